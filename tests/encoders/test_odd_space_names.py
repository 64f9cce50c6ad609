"""Paths and names that no file system holds are refused in words, whatever reads them."""

import contextlib

import numpy as np
import pytest
from command_line import molspace

from reactions.core.errors import MolspaceError, UsageError
from reactions.core.file_digests import DigestCache
from reactions.encoders import registry
from reactions.labs.lab_file import load_lab
from reactions.weights.locate import WeightLocator

NAMES = [
    "~nobody_of_this_name/x",
    "~nobody_of_this_name",
    "x" * 5000,
    "./" + "x" * 300,
    "a/" * 3000,
    "nul\0l",
    "a\ud800b",
    "",
    " ",
    ".",
    "/dev/null",
    "\u202e\x1b[31m",
]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
@pytest.mark.parametrize(
    "scheme", ["", "file:", "file://", "precomputed:", *sorted(registry.MODELS)]
)
def test_uris_of_odd_names(scheme, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    colon = "" if not scheme or scheme.endswith((":", "/")) else ":"
    uri = f"{scheme}{colon}{name}"
    with pytest.raises(MolspaceError) as caught:
        registry.resolve_uri(uri, digest_cache=DigestCache())
    assert caught.value.what
    with contextlib.suppress(MolspaceError):
        registry.requirements(uri)


@pytest.mark.parametrize(
    "variable", ["HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME", "MOLSPACE_WEIGHTS"]
)
def test_folders_of_nobody_in_the_environment(variable, monkeypatch):
    monkeypatch.setenv(variable, "~nobody_of_this_name/x")
    for other in {"HF_HOME", "HF_HUB_CACHE"} - {variable}:
        monkeypatch.delenv(other, raising=False)
    with pytest.raises(UsageError, match="nobody_of_this_name"):
        WeightLocator.of_environment()


@pytest.mark.parametrize("key", ['path = "~nobody_of_this_name/x"', 'uri = "~nobody_of_this_name"'])
def test_folders_of_nobody_in_a_lab_file(key, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "molspace.toml").write_text(f"[spaces.Mine]\n{key}\n")
    with pytest.raises(MolspaceError):
        load_lab().catalogue.by_name("Mine")


@pytest.mark.parametrize("name", ["~nobody_of_this_name/x", "x" * 5000, "y" * 300])
def test_quoted_folders_end_with_an_error(name, tmp_path):
    result = molspace("plan", f'"{name}" + Cr("{name}/b")', cwd=tmp_path)
    assert result.returncode in (2, 3)
    assert "Traceback" not in result.stderr
    assert result.stderr.startswith("error: ")


def test_weights_name_another_folder_of_embeddings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, seed in (("old", 0), ("new", 1)):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "text.npy", np.random.default_rng(seed).normal(size=(3, 4)))
    (tmp_path / "molspace.toml").write_text(
        '[spaces.Plain]\npath = "old"\n[spaces.Uri]\nuri = "precomputed:old"\n'
    )
    for name in ("Plain", "Uri"):
        lab = load_lab(weights={name: tmp_path / "new"})
        assert lab.catalogue.by_name(name).source == str(tmp_path / "new")
        lab.refuse_unused_weights([name])
        assert load_lab().catalogue.by_name(name).source == str(tmp_path / "old")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"name": "a\\ud800b"}', "cannot be printed"),
        ('{"licence": "\\u001b]0;title\\u0007"}', "cannot be printed"),
        ('{"\\u001b[31m": "x"}', "unknown key"),
        ("[" * 100_000, "cannot read"),
        ("{" + " " * (1 << 20) + "}", "too large"),
    ],
)
def test_a_description_that_no_terminal_should_see(tmp_path, text, words):
    np.save(tmp_path / "text.npy", np.ones((3, 4), np.float32))
    (tmp_path / "space.json").write_text(text)
    with pytest.raises(MolspaceError, match=words) as caught:
        registry.resolve_uri(str(tmp_path))
    assert all(line.isprintable() for line in caught.value.lines())
