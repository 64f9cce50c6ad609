"""A modality of another package: known wherever molspace's own are; or refused by name."""

import json
import os
import sys
from pathlib import Path

import command_line
import numpy as np
import pytest
from installed import install, install_example, installing
from media_files import image_bytes, put, put_tar

from reactions import Item, react
from reactions.core.errors import DataError, MissingError, UsageError
from reactions.data.manifest import Problem, read_items
from reactions.data.path_like import path_reason
from reactions.data.scan_cache import TableCache
from reactions.data.sources.config import Source
from reactions.data.sources.corpus import open_corpus
from reactions.dsl.parser import parse
from reactions.labs.lab_file import load_lab
from reactions.modalities import registry

ROOT = Path(__file__).parents[2]

LAB = """
[lab]
extends = "mini"
[reaction]
hidden_dim = 16
cr_epochs = 1
batch_size = 32
[corpora.palette]
path = "palettes"
max_bad = 0.05
"""


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder where packages of this test are installed; they are forgotten afterwards."""
    registry.forget_installed()
    with installing(tmp_path / "site", monkeypatch) as folder:
        yield folder
    registry.forget_installed()


@pytest.fixture
def palettes(site):
    install_example(site, ROOT / "examples" / "own_modality")
    return site


@pytest.fixture
def lab(tmp_path):
    """A lab with forty palettes, one of which is not one."""
    random = np.random.default_rng(0)
    for i in range(40):
        colours = random.integers(0, 256, (3, 3), dtype=np.uint8)
        put(tmp_path / f"palettes/{i:02}.pal", "\n".join(c.tobytes().hex() for c in colours))
    put(tmp_path / "palettes/bad.pal", "no colour\n")
    corpora = "".join(f"[corpora.{m}]\nworld = 64\n" for m in ("audio", "image", "text"))
    return put(tmp_path / "palettes.toml", LAB + corpora)


def molspace(site, *arguments, **options):
    env = {**os.environ, "PYTHONPATH": str(site)}
    return command_line.molspace(*arguments, cwd=site.parent, env=env, **options)


def test_a_corpus_of_it_is_scanned(palettes, lab):
    corpus = load_lab(str(lab)).corpus("palette")
    assert len(corpus) == 40
    (bad,) = corpus.bad()
    assert Path(bad.place).name == "bad.pal"
    assert "fromhex" in bad.why
    (item,) = corpus.items(0, 1)
    assert registry.load(item).value.shape == (3, 3)


def test_shards_are_looked_at_anew_once_it_is_installed(site, tmp_path):
    good, bad = "ff0000", "no colour"
    tar = put_tar(tmp_path / "x.tar", {"a.png": image_bytes(), "a.pal": good, "b.pal": bad})
    source, tables = Source((str(tar),), max_bad=0.5), TableCache(tmp_path / "cache")
    assert open_corpus("x", "image", [source], tables=tables).ids() == ["a"]
    install_example(site, ROOT / "examples" / "own_modality")
    registry.forget_installed()
    corpus = open_corpus("x", "palette", [source], tables=tables)
    assert corpus.ids() == ["a"]
    assert [bad.id for bad in corpus.bad()] == ["b"]
    assert open_corpus("x", "image", [source], tables=tables).ids() == ["a"]


def test_it_takes_part_in_a_mixture_and_is_embedded(palettes, lab, tmp_path):
    reaction = 'ImageBind + Cr("swatches:8")'
    run = molspace(palettes, "react", reaction, "--lab", lab, "--out", tmp_path / "bundle")
    assert run.returncode == 0, run.stderr
    record = json.loads((tmp_path / "bundle/bundle.json").read_text())
    assert {"V", "palette", "TVA", "audio+image+palette+text"} <= set(
        record["mixtures"][0]["subsets"]
    )
    assert "1 of 41 items are left out" in run.stderr

    put(tmp_path / "sea.pal", "0000ff 0044ff")
    lines = '{"palette": "sea.pal"}\nsea.pal\na blue sea\nlost.pal\n'
    run = molspace(
        *(palettes, "infer", "-", "--space", tmp_path / "bundle", "--lab", lab, "--out", "-"),
        stdin=lines,
    )
    assert run.returncode == 4
    assert "no such file" in run.stderr
    rows = [json.loads(line) for line in run.stdout.splitlines()]
    assert [row["modality"] for row in rows if "embedding" in row] == ["palette"] * 2 + ["text"]

    scored = molspace(
        palettes, "eval", "--task", "esc50", "--space", tmp_path / "bundle", "--lab", lab, "--json"
    )
    assert scored.returncode == 0, scored.stderr
    (result,) = json.loads(scored.stdout)["results"]
    assert result["task"] == "esc50"


def test_python_takes_values_of_it(palettes, lab):
    with react('ImageBind + Cr("swatches:8", data=VP)', lab=str(lab)) as fused:
        (row,) = fused.embed(palette=[np.array([[0, 0, 255]], np.uint8)])["palette"]
        assert np.linalg.norm(row) == pytest.approx(1)
        with pytest.raises(UsageError, match="palette 0 is float") as caught:
            fused.embed(palette=[0.5])
        assert caught.value.why == "palette takes a path or an (n, 3) uint8 array"


def test_reactions_write_its_name_and_read_its_letter(palettes):
    program = parse("A + Cr(B, data=VP)")
    assert str(program.result) == "A + Cr(B, data=(image, palette))"
    assert parse(str(program.result)).result == program.result


def test_files_and_slips_of_its_name_are_known(palettes, tmp_path):
    assert path_reason("my sea.pal", tmp_path) == "it ends as a file's name does (.pal)"
    (problem,) = read_items(['{"pallete": "sea.pal"}'], base=tmp_path)
    assert isinstance(problem, Problem)
    assert "did you mean 'palette'?" in problem.message
    put(tmp_path / "molspace.toml", '[corpora.pallete]\npath = "x"\n')
    with pytest.raises(UsageError, match="unknown modality 'pallete'"):
        load_lab(str(tmp_path / "molspace.toml"))


def test_it_is_imported_when_something_is_looked_up(palettes, tmp_path):
    assert registry.get("image") is registry.IMAGE
    assert registry.LETTERS["A"] == "audio"
    assert "molspace_swatches" not in sys.modules
    assert registry.get("palette").letter == "P"
    assert "molspace_swatches" in sys.modules


def test_without_the_package_only_its_name_is_left(site, lab):
    modality = registry.get("palette")
    assert (modality.decode, modality.suffixes) == (None, ())
    with pytest.raises(UsageError, match="cannot tell which files hold palette"):
        load_lab(str(lab)).corpus("palette")
    with pytest.raises(DataError, match="cannot use a value of type object as palette") as caught:
        registry.content_digest(Item("x", "palette", object()), None)
    assert caught.value.fix == "give a path or a string, an array or a Waveform"


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("import no_such_package", "ModuleNotFoundError: No module named 'no_such_package'"),
        ("1 / 0", "ZeroDivisionError"),
        ("OTHER = 3", "AttributeError"),
    ],
)
def test_a_package_that_cannot_be_imported_is_named(site, module, words):
    install(site, "broken", {registry.GROUP: {"smell": "broken:SMELL"}}, module)
    with pytest.raises(MissingError, match="cannot load the modality 'smell'") as caught:
        registry.get("smell")
    assert caught.value.why.startswith("broken, broken:SMELL")
    assert words in caught.value.why
    result = molspace(site, "infer", "a smell", "--space", "ImageBind")
    assert result.returncode == 3
    assert "cannot load the modality 'smell'" in result.stderr
    assert "broken, broken:SMELL" in result.stderr


@pytest.mark.parametrize(
    ("record", "why"),
    [
        ("3", "is a int, not a Modality"),
        ("Modality(name='odour')", "is called 'odour'"),
        ("Modality(name='smell', letter='A')", "the letter A stands for audio"),
        ("Modality(name='smell', letter='ab')", "its letter is one capital, not 'ab'"),
        ("Modality(name='smell', aliases=('img',))", "'img' stands for image"),
        ("Modality(name='smell', suffixes=('.x',))", "not how they are decoded"),
        ("Modality(name='smell', suffixes=('.png',), decode=max)", "files that end in .png hold"),
        ("Modality(name='smell', suffixes=('.csv',), decode=max)", "are read as lists of items"),
        ("Modality(name='smell', suffixes=('pal',), decode=max)", "'pal' is not an ending"),
    ],
)
def test_what_is_taken_or_malformed_is_refused(site, record, why):
    module = f"from reactions.modalities.base import Modality\nSMELL = {record}\n"
    install(site, "perfume", {registry.GROUP: {"smell": "perfume:SMELL"}}, module)
    with pytest.raises(UsageError, match="modality 'smell' of the package perfume") as caught:
        registry.suffixes()
    assert why in caught.value.why


@pytest.mark.parametrize("name", ["text", "digest"])
def test_names_that_are_taken_are_refused(site, name):
    module = f"from reactions.modalities.base import Modality\nX = Modality(name={name!r})\n"
    install(site, "perfume", {registry.GROUP: {name: "perfume:X"}}, module)
    with pytest.raises(UsageError, match=f"modality '{name}' of the package perfume"):
        registry.suffixes()


def test_two_packages_cannot_share_an_ending(site):
    module = (
        "from reactions.modalities.base import Modality\n"
        "X = Modality(name=NAME, suffixes=('.x',), decode=max)\n"
    )
    for name in ("smell", "taste"):
        points = {registry.GROUP: {name: f"package_of_{name}:X"}}
        install(site, f"package_of_{name}", points, module.replace("NAME", repr(name)))
    with pytest.raises(UsageError, match="'taste' of the package package_of_taste") as caught:
        registry.suffixes()
    assert caught.value.why == "files that end in .x hold smell"
