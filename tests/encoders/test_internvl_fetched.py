"""InternVL-C from nothing to embeddings, by what the messages say."""

import pytest
from internvl_tiny import COMMIT, DIM, PINNED, REPO, Hub, forget, isolate, write

from reactions.core.errors import MissingError, UsageError
from reactions.core.file_digests import DigestCache
from reactions.core.types import Item
from reactions.encoders import registry
from reactions.encoders.transformers import internvl
from reactions.labs.lab_file import load_lab
from reactions.weights import download as fetching
from reactions.weights.hub import trust
from reactions.weights.locate import WeightLocator

pytest.importorskip("transformers")

ITEMS = [Item(str(i), "text", text) for i, text in enumerate(["a red square", ""])]


@pytest.fixture(autouse=True)
def _untouched(monkeypatch, tmp_path):
    isolate(monkeypatch, tmp_path / "modules")
    yield
    forget()


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """The files of a repository, on a hub."""
    folder = tmp_path_factory.mktemp("tinyvl")
    write(folder)
    return folder


def bring(uri, monkeypatch, original, name=""):
    monkeypatch.setattr(fetching, "_hub", lambda space: Hub(original))
    locator = WeightLocator.of_environment()
    needs = registry.requirements(uri)
    (actual,) = fetching.fetch(name or uri, needs, locator, DigestCache())
    return actual


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """Write a lab file with a space of this URI, as the paper lab has one; return the lab."""
    monkeypatch.chdir(tmp_path)

    def write(uri, extends=""):
        text = f'[lab]\n{extends}\n[spaces.InternVL]\nuri = "{uri}"\n'
        (tmp_path / "molspace.toml").write_text(text)
        return load_lab("molspace.toml")

    return write


def test_naming_the_commit_in_the_variable(original, lab, monkeypatch):
    uri = f"hf:{REPO}"
    first = bring(uri, monkeypatch, original, "InternVL")
    assert not first.was_there
    assert first.licence == "mit"
    assert bring(uri, monkeypatch, original, "InternVL").was_there
    with pytest.raises(UsageError, match="has to be pinned") as caught:
        lab(uri).catalogue.by_name("InternVL")
    fix = caught.value.fix
    setting = f"{internvl.TRUST_VARIABLE}={REPO}@{COMMIT}"
    assert f"read {first.path}, then: {setting} " in fix
    monkeypatch.setenv(*setting.split("="))
    spec = lab(uri).catalogue.by_name("InternVL")
    assert (spec.name, spec.source) == ("InternVL", PINNED)
    assert registry.load(spec).embed("text", ITEMS).shape == (2, DIM)


def test_naming_the_commit_in_a_lab(original, lab, monkeypatch, tmp_path):
    uri = f"hf:{REPO}"
    bring(uri, monkeypatch, original, "InternVL")
    (tmp_path / "published.toml").write_text(f'[spaces.InternVL]\nuri = "{uri}"\n')
    with pytest.raises(UsageError) as caught:
        lab(uri).catalogue.by_name("InternVL")
    line = f'[spaces.InternVL] uri = "{PINNED}"'
    assert line in caught.value.fix
    assert "--trust-remote-code" in caught.value.fix
    assert caught.value.fields["revision"] == COMMIT
    spec = lab(PINNED, 'extends = "published.toml"').catalogue.by_name("InternVL")
    with pytest.raises(UsageError, match="runs code"):  # somebody else may have written the lab
        registry.load(spec)
    trust([f"{REPO}@{COMMIT}"])  # --trust-remote-code
    assert registry.load(spec).embed("text", ITEMS).shape == (2, DIM)


def test_the_commit_alone_is_enough(original, monkeypatch):
    """Fetched by commit, no branch is known: the variable still finds it."""
    monkeypatch.setenv(internvl.TRUST_VARIABLE, f"{REPO}@{COMMIT}")
    actual = bring(f"hf:{REPO}", monkeypatch, original)
    assert not (actual.path.parents[1] / "refs").exists()
    spec = registry.resolve_uri(f"hf:{REPO}")
    registry.check(spec)
    assert spec.source == PINNED


def test_a_fetch_without_code_is_repaired(original, monkeypatch):
    actual = bring(PINNED, monkeypatch, original)
    (actual.path / "modeling_tinyvl.py").unlink()
    with pytest.raises(MissingError, match="not all in its repository") as caught:
        registry.resolve_uri(PINNED)
    assert caught.value.fix == f'molspace spaces fetch "{PINNED}"'
    assert not bring(PINNED, monkeypatch, original).was_there
    registry.resolve_uri(PINNED)


def test_what_is_not_here_names_the_trusted_commit(monkeypatch):
    monkeypatch.setenv(internvl.TRUST_VARIABLE, f"{REPO}@{COMMIT}")
    with pytest.raises(MissingError) as caught:
        registry.resolve_uri(f"hf:{REPO}")
    assert f'spaces fetch "{PINNED}"' in caught.value.fix
