"""An option wins over the environment, that over ./molspace.toml, and that over the default."""

import json

import pytest

from molspace_cli.__main__ import main
from reactions.core.environment import VARIABLES
from reactions.core.errors import UsageError
from reactions.labs.lab_file import find_lab, load_lab
from reactions.run.device import chosen_device


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "molspace.toml").write_text(
        '[lab]\nname = "own"\nextends = "mini"\n[reaction]\nprecision = "exact"\n'
    )
    (tmp_path / "other.toml").write_text('[lab]\nname = "other"\nextends = "mini"\n')
    return tmp_path


def molspace(monkeypatch, capsys, *arguments):
    monkeypatch.setattr("sys.argv", ["molspace", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    shown = capsys.readouterr()
    return ended.value.code, shown.out, shown.err


def test_the_lab(folder, monkeypatch, capsys):
    def label(*arguments):
        _, out, _ = molspace(monkeypatch, capsys, "spaces", "list", "--json", *arguments)
        return json.loads(out)["lab"]

    assert label() == "mini (own)"
    monkeypatch.setenv("MOLSPACE_LAB", "other.toml")
    assert label() == "mini (other)"
    assert label("--lab", "mini") == "mini"
    monkeypatch.setenv("MOLSPACE_LAB", "  ")  # as good as not set
    assert label() == "mini (own)"
    (folder / "molspace.toml").unlink()
    assert label() == "mini"


def test_a_lab_that_the_environment_names_needs_no_agreement(folder, monkeypatch):
    text = '[lab]\nextends = "mini"\n[spaces.Far]\nuri = "hf:ORG/NAME"\n'
    (folder / "molspace.toml").write_text(text)
    with pytest.raises(UsageError, match=r"molspace\.toml"):
        load_lab()
    monkeypatch.setenv("MOLSPACE_LAB", "molspace.toml")
    assert "Far" in load_lab().catalogue.names()


def test_the_precision(folder, monkeypatch):
    assert load_lab("mini").settings.precision == "fast"
    assert load_lab().settings.precision == "exact"
    monkeypatch.setenv("MOLSPACE_PRECISION", "FAST")
    assert load_lab().settings.precision == "fast"
    assert load_lab().with_precision("exact").settings.precision == "exact"


def test_the_device(monkeypatch):
    assert chosen_device() == "auto"
    monkeypatch.setenv("MOLSPACE_DEVICE", "cpu")
    assert chosen_device() == "cpu"
    assert chosen_device("auto") == "auto"


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("MOLSPACE_LAB", "mimi", "MOLSPACE_LAB: no lab 'mimi'"),
        ("MOLSPACE_LAB", "nowhere/lab.toml", "MOLSPACE_LAB: no lab 'nowhere/lab.toml'"),
        ("MOLSPACE_DEVICE", "gpu", "MOLSPACE_DEVICE: unknown device 'gpu'"),
        ("MOLSPACE_PRECISION", "fats", "MOLSPACE_PRECISION is 'fats'"),
    ],
)
def test_a_wrong_value_is_refused_by_the_variables_name(
    variable, value, said, monkeypatch, capsys, tmp_path
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(variable, value)
    code, _, err = molspace(monkeypatch, capsys, "eval", "--task", "esc50", "--space", "ImageBind")
    assert code in (2, 3)
    assert f"error: {said}" in err
    assert "fix:" in err or "why:" in err


def test_published_projectors_go_with_the_lab_that_the_environment_names(folder, monkeypatch):
    from molspace_cli.importing import ImportOptions

    (folder / "molspace.toml").unlink()
    assert ImportOptions().open().name == "paper"
    monkeypatch.setenv("MOLSPACE_LAB", "other.toml")
    assert ImportOptions().open().name == "other"
    assert find_lab().name == "other.toml"


def test_every_variable_is_in_the_documentation():
    from pathlib import Path

    page = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert not [name for name in VARIABLES if f"`{name}`" not in page]
