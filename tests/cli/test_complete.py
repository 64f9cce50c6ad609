"""Completion in shells: what is offered, and that nothing heavy is imported for it."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from molspace_cli import complete
from reactions.labs.mini.spaces import SPACES


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))


def context(**params):
    return SimpleNamespace(params=params)


def test_the_tasks_are_the_library_s():
    from reactions.eval.registry import task_names

    assert ["all", "freebind", "own", "unibind", *task_names()] == complete.tasks(context(), "")


def test_spaces_of_the_default_and_of_a_named_lab(tmp_path):
    assert complete.spaces(context(), "clap") == ["CLAP_g", "CLAP_m"]
    assert "WAV2CLIP" in complete.spaces(context(lab="paper"), "")
    (tmp_path / "molspace.toml").write_text(
        '[lab]\nextends = "mini"\n[spaces.Mine]\nuri = "hf:a/b"\n'
    )
    names = complete.spaces(context(), "")
    assert names == ["Mine", *(space.name for space in SPACES)]


@pytest.mark.parametrize("text", ["[lab", "spaces = 3", '[lab]\nextends = "molspace.toml"', "\xff"])
def test_a_broken_lab_file_offers_nothing_and_says_nothing(tmp_path, text):
    (tmp_path / "molspace.toml").write_text(text, encoding="latin-1")
    assert complete.spaces(context(), "") == []


def test_knowledge_bases_of_a_lab_and_files(tmp_path):
    (tmp_path / "mine.parquet").touch()
    assert complete.knowledge(context(), "") == ["kb", "open", "mine.parquet"]
    assert complete.knowledge(context(), "m") == ["mine.parquet"]
    (tmp_path / "molspace.toml").write_text('[kb.pets]\npath = "mine.parquet"\n')
    assert complete.knowledge(context(), "p") == ["pets"]


def test_what_describes_classes_may_be_a_file_of_centres(tmp_path):
    (tmp_path / "in1k.safetensors").touch()
    (tmp_path / "notes.txt").touch()
    assert complete.described(context(), "") == ["kb", "open", "in1k.safetensors"]
    assert complete.described(context(), "in") == ["in1k.safetensors"]
    assert complete.selections("C") == ["central"]
    assert complete.rules("n") == ["nearest-row"]


def test_lists_of_tasks_go_on_after_a_comma():
    assert complete.tasks(context(), "esc50,f") == ["esc50,flickr30k", "esc50,flickrnet"]
    assert complete.tasks(context(), "a") == ["all", "audiocaps", "audioset"]
    assert "esc50,esc50" not in complete.tasks(context(), "esc50,")


def test_labs_bundles_weights_and_reactions(tmp_path):
    (tmp_path / "own.toml").touch()
    (tmp_path / "x.rxn").touch()
    bundle = tmp_path / "share/molspace/bundles/ImageBind-CLAP_m-1234"
    bundle.mkdir(parents=True)
    (bundle / "bundle.json").touch()
    assert complete.labs("") == ["mini", "paper", "own.toml", "share/"]
    assert complete.bundles("ImageB") == [str(bundle)]
    assert complete.targets(context(), "ImageB") == ["ImageBind", str(bundle)]
    assert complete.weights(context(), "CLAP_m") == ["CLAP_m="]
    assert complete.weights(context(), "CLAP_m=x") == ["CLAP_m=x.rxn"]
    assert complete.reactions(context(), "ImageBind + Cr(CLAP_") == [
        "ImageBind + Cr(CLAP_g",
        "ImageBind + Cr(CLAP_m",
    ]
    assert complete.reactions(context(), "x") == ["x.rxn"]


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("molspace spaces info Int", "InternVL"),
        ("molspace eval --task esc", "esc50"),
        ("molspace eval --tas", "--task"),
        ("molspace reproduce find", "findings"),
    ],
)
def test_a_shell_gets_its_answer_without_torch(line, answer):
    code = (
        "import sys\nfrom molspace_cli.__main__ import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print(sorted({'torch', 'numpy', 'rich', 'lark'} & set(sys.modules)), file=sys.stderr)"
    )
    words = line.split()
    environment = {
        "_MOLSPACE_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    process = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    assert answer in process.stdout.split()
    assert process.stderr.strip() == "[]"


def test_the_script_for_a_shell_is_printed():
    environment = {"_MOLSPACE_COMPLETE": "source_bash"}
    process = subprocess.run(
        [sys.executable, "-m", "molspace_cli"],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    assert process.returncode == 0
    assert "complete -o default -F _molspace_completion molspace" in process.stdout
