"""Impossible names, unknown users' homes, devices, pipes: mistakes without tracebacks."""

import sys

import pytest
from in_process import runner

NAMES = ["~no-such-user/x", "x" * 5000, "a/" * 3000 + "b", "x" * 300 + "/y"]
URIS = [
    "",
    "precomputed:",
    "file:",
    "hf:",
    "open_clip:ViT-B-32/",
    "open_clip:",
    "laion_clap:",
    "imagebind:",
    "wav2clip:",
    "audioclip:",
]


@pytest.fixture
def molspace(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    monkeypatch.setattr(sys, "stdin", None)
    command = runner(monkeypatch, capsys)

    def run(*arguments):
        code, out, err = command(*arguments)
        assert code in (2, 3, 4), (out, err)
        return code, err

    return run


@pytest.mark.parametrize("name", NAMES, ids=lambda name: f"{name[:6]}{len(name)}")
@pytest.mark.parametrize("scheme", URIS)
def test_in_uris_and_quoted_folders(molspace, name, scheme):
    assert "error: " in molspace("plan", f'ImageBind + Cr("{scheme}{name}")')[1]
    molspace("spaces", "info", f"{scheme}{name}/" if not scheme else f"{scheme}{name}")


@pytest.mark.parametrize("name", NAMES, ids=lambda name: f"{name[:6]}{len(name)}")
def test_in_options_and_arguments(molspace, name, tmp_path):
    for arguments in (
        ("data", "list", "--lab", name),
        ("data", "list", "--data", name),
        ("spaces", "--lab", name),
        ("lab", "allow", name),
        ("show", name),
        ("push", name, "me/x"),
        ("import", "freebind", name),
        ("plan", "ImageBind + Cr(CLAP_m)", "--weights", f"ImageBind={name}"),
        ("plan", f"{name}.rxn"),
        ("eval", "--space", name, "--task", "esc50"),
    ):
        molspace(*arguments)


@pytest.mark.parametrize("name", NAMES, ids=lambda name: f"{name[:6]}{len(name)}")
@pytest.mark.parametrize(
    "text",
    [
        '[lab]\nextends = "{}"\n',
        '[spaces.X]\npath = "{}"\n',
        '[corpora.text]\nmanifest = "{}"\n',
        '[corpora.text]\npath = "{}"\n',
        '[corpora.image]\npath = "{}"\n',
        '[data]\nroot = "{}"\n',
        '[data.esc50]\npath = "{}"\n',
        '[spaces.X]\nadapter = "mini"\nsource = "{}"\ndim = 2\nmodalities = ["text"]\n',
        '[spaces.X]\nuri = "hf:{}"\n',
    ],
)
def test_in_lab_files(molspace, name, text, tmp_path):
    (tmp_path / "own.toml").write_text(text.format(name))
    molspace("plan", "X + Cr(X)", "--lab", "own.toml")
    molspace("data", "check", "--lab", "own.toml") if "corpora" in text else None


@pytest.mark.parametrize("variable", ["HF_HOME", "HF_HUB_CACHE", "MOLSPACE_WEIGHTS"])
def test_in_the_environment(molspace, monkeypatch, variable):
    for name in NAMES:
        monkeypatch.setenv(variable, name)
        molspace("spaces", "info", "hf:org/name")


@pytest.mark.parametrize("name", ["/dev/zero", "pipe", "folder.rxn"])
def test_what_is_not_a_regular_file(molspace, tmp_path, name):
    import os

    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder.rxn").mkdir()
    (tmp_path / "given.rxn").symlink_to(name)
    assert molspace("plan", "given.rxn")[0] == 2
    (tmp_path / "given.toml").symlink_to(name)
    molspace("spaces", "--lab", "given.toml")


def test_a_reaction_file_of_gigabytes_is_not_read(molspace, tmp_path):
    with (tmp_path / "big.rxn").open("wb") as stream:
        stream.truncate(3 << 30)
    code, err = molspace("plan", "big.rxn")
    assert code == 2
    assert "3,221,225,472 bytes" in err
