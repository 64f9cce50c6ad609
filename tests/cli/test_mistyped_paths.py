"""Everywhere a value may be a path or a text: a mistyped path is refused, with the fix."""

import io
import sys
from pathlib import Path

import pytest
from in_process import runner
from media_files import put, sound_bytes

from reactions.api.arguments import items_of
from reactions.core.errors import MolspaceError

INFER = ("infer", "--space", "CLAP_g", "--lab", "mini", "--format", "jsonl")
CLASSIFY = (*INFER[:5], "--classify")
EVAL = ("eval", "--space", "CLAP_g", "--lab", "mini")
TASK = '[lab]\nextends = "mini"\n[tasks.mine]\nkind = "retrieval"\npath = "pairs.csv"\n'
TASK += 'audio = "wav"\ntext = "text"\n'

ENTRANCES = {
    "argument": ((*INFER, "dog.wva"), "fix: did you mean 'dog.wav'?; or say that it is a text"),
    "argument in a folder": ((*INFER, "sounds/dgo.wav"), "fix: did you mean 'sounds/dog.wav'?"),
    "argument without an ending": ((*INFER, "sounds/dog"), "fix: did you mean 'sounds/dog.wav'?"),
    "long ending": ((*INFER, "rows.parquett"), "--text (of all arguments)"),
    "words with an ending": ((*INFER, "my dog.wva"), "it ends as a file's name does (.wva)"),
    "file of lines": ((*INFER, "lines.jsonll"), "is not taken for a text"),
    "JSON with a path": ((*INFER, '{"audio": "dgo.wav"}'), "no such file"),
    "modality": ((*INFER, "--modality", "audio", "dgo.wav"), "no such file"),
    "classes": (
        (*CLASSIFY, "kb", "--classes", "clases.txt", "a dog"),
        "did you mean 'classes.txt'?   or --classes FILE",
    ),
    "classes that are files": (
        (*CLASSIFY, "kb", "--classes", "files.txt", "a dog"),
        "'files.txt' names files, not classes\n  why: 'dog.wav'",
    ),
    "knowledge base": ((*CLASSIFY, "kb.parqet", "a dog"), "has no knowledge base 'kb.parqet'"),
    "pairs": ((*EVAL, "--pairs", "pairs.cvs"), "did you mean 'pairs.csv'?   or correct the path"),
    "texts of pairs": (
        (*EVAL, "--pairs", "pairs.csv"),
        "'captions/dog.txt' is not taken for a text: it ends as a file's name does (.txt); if it "
        "is one: literal = true under [tasks.pairs]",
    ),
    "files of pairs": ((*EVAL, "--pairs", "gone.csv"), "there is no file"),
    "labels": ((*EVAL, "--labels", "labels.cvs"), "did you mean 'labels.csv'?   or correct"),
    "a reaction": (("plan", "reacton.rxn"), "did you mean 'reaction.rxn'?   or give the path"),
    "table of a knowledge base": (
        ("kb", "import", "table", "names.cvs", "--out", "k.parquet"),
        "did you mean 'names.csv'?   or check the path",
    ),
    "weights": ((*INFER, "dog", "--weights", "CLAP_g=names.cvs"), "did you mean 'names.csv'?"),
    "classes of labels": ((*EVAL, "--labels", "labels.csv"), "'dog.wav' is not taken for a text"),
    "template": (
        (*EVAL, "--labels", "names.csv", "--template", "prompts.txt"),
        "has the template 'prompts.txt' without {class}",
    ),
    "task": ((*EVAL, "--task", "tasks/esc50.toml"), "unknown task"),
    "texts of a task": (
        ("eval", "--space", "CLAP_g", "--lab", "own.toml", "--task", "mine"),
        "'captions/dog.txt' is not taken for a text",
    ),
    "lab": ((*INFER[:3], "--lab", "ownn.toml", "a dog"), "did you mean 'own.toml'?"),
    "corpus": (("index", "CLAP_g", "--corpus", "texts.txt", "--out", "x"), "has no corpus"),
    "index": (("index", "CLAP_g", "sounds/dgo.wav", "--out", "x"), "did you mean 'sounds/dog.wav'"),
    "search": (("search", "idx", "dog.wva"), "no index at 'idx'"),
    "space of a reaction": (
        ("plan", "'sounds/embeddings' + Cr(CLAP_m)", "--lab", "mini"),
        "there is no folder",
    ),
    "space": (("infer", "--space", "bundles/x", "a dog"), "no bundle at bundles/x"),
    "embeddings": (("infer", "--space", "CLAP_g", "--embeddings", "rows"), "no such folder"),
    "descriptions": (
        ("kb", "import", "table", "kb.csv", "--source", "LLM", "--out", "kb.parquet"),
        "its description is 'descriptions/dog.txt', no sentence",
    ),
    "classes to describe": (
        ("kb", "build", "--classes", "clases.txt", "--generator", "mini"),
        "did you mean 'classes.txt'?",
    ),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("dog.wav", "sounds/dog.wav"):
        put(tmp_path / name, sound_bytes())
    put(tmp_path / "files.txt", "dog.wav\ncat.wav\n")
    put(tmp_path / "pairs.csv", "wav,text\ndog.wav,captions/dog.txt\n")
    put(tmp_path / "gone.csv", "wav,text\ndgo.wav,a dog\n")
    put(tmp_path / "labels.csv", "wav,class\ndog.wav,dog.wav\n")
    put(tmp_path / "names.csv", "wav,class\ndog.wav,dog\n")
    put(tmp_path / "kb.csv", "category,description\ndog,descriptions/dog.txt\n")
    put(tmp_path / "own.toml", TASK)
    put(tmp_path / "classes.txt", "dog\n")
    put(tmp_path / "reaction.rxn", "ImageBind + Cr(CLAP_m)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    return tmp_path


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_every_entrance(folder, entrance, monkeypatch, capsys):
    arguments, message = ENTRANCES[entrance]
    code, out, err = runner(monkeypatch, capsys)(*arguments)
    output = " ".join(f"{out} {err}".replace("\n", " ").split())
    assert " ".join(message.split()) in output
    assert code in (2, 3, 4)
    assert "embedded 1 of 1" not in err


def test_a_text_that_is_called_nearly_as_a_folder_is_remarked_on(folder, monkeypatch, capsys):
    code, _, err = runner(monkeypatch, capsys)(*INFER, "soundss", "a dog")
    assert code == 0
    assert "note: 'soundss' is taken for a text; 'sounds' is there, if that was meant" in err
    assert err.count("is taken for a text") == 1


def test_a_set_may_say_that_its_texts_are_texts(folder, monkeypatch, capsys):
    put(folder / "own.toml", f"{TASK}literal = true\n")
    command = (*EVAL[:3], "--lab", "own.toml", "--task", "mine", "--json")
    code, out, _ = runner(monkeypatch, capsys)(*command)
    assert code == 0
    assert '"n": 1' in out


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"audio": ["dgo.wav"]}, "did you mean 'dog.wav'?"),
        ({"audio": [Path("dgo.wav")]}, "there is no such file"),
        ({"audio": ["sounds"]}, "it is a folder"),
        ({"audio": "dog.wav"}, "audio takes a list"),
        ({"text": "dog.wav"}, "text takes a list"),
        ({"text": [Path("dog.wav")]}, "text takes"),
    ],
)
def test_python_says_which_it_is(folder, inputs, message):
    """By the name of the argument: what is given as text is one, and a path is none."""
    ((modality, values),) = inputs.items()
    with pytest.raises(MolspaceError) as caught:
        items_of(modality, values, ())
    assert message in str(caught.value)
