"""Evaluation sets of other packages: found, offered, scored; or refused by name."""

import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import command_line
import pytest
from installed import install, install_example, installing
from media_files import image_bytes, put

from molspace_cli import complete
from reactions.core.errors import MissingError, UsageError
from reactions.eval import registry


def context(**params):
    return SimpleNamespace(params=params)


ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "own_task"


def install_set(site: Path, package: str, points: dict[str, str], module: str = "") -> None:
    """Install a package of evaluation sets."""
    install(site, package, {registry.GROUP: points}, module)


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder where packages of this test are installed; they are forgotten afterwards."""
    with installing(tmp_path / "site", monkeypatch) as folder:
        yield folder


@pytest.fixture
def postcards(site):
    install_example(site, ROOT / "examples" / "own_task")
    return site


@pytest.fixture
def sets(tmp_path):
    """Three postcards, one of which is lost."""
    put(tmp_path / "sets/postcards/postcards.csv", "file,text\na.png,sea\nb.png,hills\nc.png,x\n")
    for seed, name in enumerate("ab"):
        put(tmp_path / f"sets/postcards/images/{name}.png", image_bytes(seed))
    return tmp_path / "sets"


def molspace(site, *arguments):
    env = {**os.environ, "PYTHONPATH": str(site)}
    return command_line.molspace(*arguments, cwd=site.parent, env=env)


def test_a_set_of_another_package_is_scored(postcards, sets):
    result = molspace(
        *(postcards, "eval", "--task", "postcards,Cards", "--space", "ImageBind"),
        *("--data", sets, "--json"),
    )
    assert result.returncode == 0, result.stderr
    (record,) = json.loads(result.stdout)["results"]
    assert (record["task"], record["n"], record["main"]) == ("postcards", 2, "mean R@1")


def test_all_takes_it_and_lists_count_it(postcards, sets):
    result = molspace(
        *(postcards, "eval", "--task", "all", "--space", "ImageBind", "--data", sets, "--json")
    )
    assert result.returncode == 0, result.stderr
    assert [r["task"] for r in json.loads(result.stdout)["results"]] == ["postcards"]
    result = molspace(postcards, "data", "list", "--lab", "paper", "--data", sets)
    assert "task\tpostcards\t2\t3" in result.stdout
    assert "molspace_postcards" not in molspace(postcards, "data", "list").stdout


def test_its_captions_are_compared_with_text_corpora(postcards, sets):
    put(sets.parent / "captions.txt", "hills\nrain\n")
    put(sets.parent / "molspace.toml", '[corpora.text]\npath = "captions.txt"\n')
    result = molspace(postcards, "data", "check", "--data", sets, "--json")
    (leak,) = [f for f in json.loads(result.stdout)["findings"] if f["kind"] == "leakage"]
    assert (leak["task"], leak["count"]) == ("postcards", 1)


def test_it_is_offered_and_near_names_are(postcards):
    assert complete.tasks(context(), "po") == ["postcards"]
    assert "postcards" in registry.task_names()
    with pytest.raises(UsageError, match="unknown task 'poscards'") as caught:
        registry.get_task("poscards")
    assert "did you mean 'postcards'" in caught.value.fix
    assert registry.get_task("CARDS").name == "postcards"
    assert registry.all_tasks()[-1].name == "postcards"


def test_names_are_known_without_importing_it(postcards):
    registry.task_names()
    registry.get_task("clotho")
    complete.tasks(context(), "")
    assert "molspace_postcards" not in sys.modules


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("import no_such_package", "ModuleNotFoundError: No module named 'no_such_package'"),
        ("1 / 0", "ZeroDivisionError"),
        ("SET = (", "SyntaxError"),
        ("OTHER = 3", "AttributeError"),
    ],
)
def test_a_package_that_cannot_be_imported_is_named(site, module, words):
    install_set(site, "broken", {"birds": "broken:SET"}, module)
    with pytest.raises(MissingError, match="cannot load the evaluation set 'birds'") as caught:
        registry.get_task("birds")
    assert words in caught.value.why
    assert caught.value.why.startswith("broken, broken:SET")
    with pytest.raises(MissingError, match="'birds'"):
        registry.parse_tasks("all")
    assert registry.get_task("esc").name == "esc50"  # others are not affected


def test_a_broken_package_is_listed_and_stops_nothing_else(site, sets):
    install_set(site, "broken", {"birds": "broken:SET"}, "import no_such_package")
    result = molspace(site, "data", "list", "--lab", "paper", "--data", sets)
    assert result.returncode == 0, result.stderr
    assert "cannot load the evaluation set 'birds'" in result.stdout
    assert "task\tesc50\t0\t2000" in result.stdout
    result = molspace(site, "eval", "--task", "birds", "--space", "ImageBind")
    assert result.returncode == 3
    assert "fix or uninstall the package that provides it" in result.stderr


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("SET = {}", "is a dict"),
        ("from reactions.eval.tasks.esc50 import SET", "an evaluation set called 'esc50'"),
    ],
)
def test_what_is_not_an_evaluation_set_of_its_name_is_refused(site, module, words):
    install_set(site, "odd", {"birds": "odd:SET"}, module)
    with pytest.raises(UsageError, match="the entry point 'birds' of odd is") as caught:
        registry.get_task("birds")
    assert words in caught.value.what


def test_a_name_that_is_taken_is_refused(site):
    install_set(
        site, "rival", {"ESC_50": "rival:SET"}, "from reactions.eval.tasks.esc50 import SET"
    )
    for ask in (lambda: registry.get_task("esc50"), registry.all_tasks):
        with pytest.raises(UsageError, match="several evaluation sets are called") as caught:
            ask()
        assert "molspace itself ('esc50') and rival ('ESC_50')" in caught.value.why
    assert registry.get_task("clotho").name == "clotho"


def test_two_packages_with_one_name_are_refused(postcards):
    install_set(postcards, "second", {"postcards": "second:SET"})
    with pytest.raises(
        UsageError, match="several evaluation sets are called 'postcards'"
    ) as caught:
        registry.get_task("postcards")
    assert "molspace_postcards" in caught.value.why
    assert "second" in caught.value.why


def test_an_alias_that_is_taken_is_refused(site):
    module = (EXAMPLE / "molspace_postcards.py").read_text().replace('"cards"', '"MS COCO"')
    install_set(site, "molspace_postcards", {"postcards": "molspace_postcards:SET"}, module)
    with pytest.raises(UsageError, match="are both called 'mscoco'"):
        registry.all_tasks()
