"""A lab file that the user did not name: used by itself only as data, or once the user agreed."""

import os
from pathlib import Path

import pytest
from lab_files import write

from reactions.core.errors import MolspaceError, UsageError
from reactions.encoders.registry import ADAPTERS, MODELS
from reactions.labs import trust
from reactions.labs.lab_file import find_lab, load_lab, read_chain

pytestmark = pytest.mark.usefixtures("own_folder")

REMOTE = '[corpora.text]\npath = "https://example.org/a.txt"\n'

NAMING = {
    "a remote place": REMOTE,
    "one of several places": '[corpora.text]\npath = ["a.txt", "s3://bucket/a.txt"]\n',
    "a list of tables": '[[corpora.text]]\npath = "a.txt"\n[[corpora.text]]\npath = "hf://a/b/c"\n',
    "pairs elsewhere": '[pairs.x]\npath = "s3://b/x-{0..9}.tar"\naudio = "wav"\nimage = "jpg"\n',
    "videos elsewhere": '[pairs.x]\nvideo = ["here", "https://example.org/a.mp4"]\n',
    "a chain": '[corpora.text]\npath = "reference::file://refs.json"\n',
    "a cache in front": '[corpora.text]\npath = "simplecache::gs://bucket/a.txt"\n',
    "a data set": '[corpora.image]\ndataset = "org/photos"\n',
    "a data set of pairs": '[pairs.x]\ndataset = "org/x"\naudio = "wav"\nimage = "jpg"\n',
    "a data set of a task": '[tasks.x]\nkind = "retrieval"\ndataset = "org/x"\n'
    'audio = "wav"\nimage = "jpg"\n',
    "a model": '[spaces.X]\nuri = "open_clip:ViT-B-32/openai"\n',
    "a repository": '[spaces.X]\nuri = "hf:org/name"\n',
    "a folder with code": '[spaces.X]\nuri = "hf:./evil"\n',
    "a checkpoint": '[spaces.X]\nuri = "laion_clap:./evil.pt"\n',
    "a scheme of a package": '[spaces.X]\nuri = "plugin:x"\n',
    "an adapter of a package": "[spaces.X]\nadapter = 'plugin'\nsource = 'x'\ndim = 2\n"
    "modalities = ['text']\n",
    "a model in full": "[spaces.X]\nadapter = 'internvl'\nsource = 'hf:./evil'\ndim = 2\n"
    "modalities = ['text']\n",
    "the paper's lab": '[lab]\nextends = "paper"\n',
}


@pytest.mark.parametrize("name", NAMING)
def test_what_is_more_than_data_waits_for_the_user(name):
    write(NAMING[name])
    with pytest.raises(UsageError, match="not allowed") as caught:
        load_lab()
    assert "molspace lab allow" in caught.value.fix
    assert caught.value.fields["names"]
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("name", NAMING)
def test_what_a_lab_extends_counts(name):
    write(NAMING[name], "base/molspace.toml")
    write('[lab]\nextends = "base"\n', "middle.toml")
    write('[lab]\nextends = "middle.toml"\n')
    with pytest.raises(UsageError, match="not allowed") as caught:
        load_lab()
    assert all("middle" not in entry["path"] for entry in caught.value.fields["names"])


LOCAL = {
    "nothing": "",
    "the mini lab": '[lab]\nextends = "mini"\n',
    "a folder": '[corpora.image]\npath = "photos"\n',
    "a file by URL": '[corpora.text]\npath = "file:///a/b.txt"\n',
    "pairs": '[pairs.x]\npath = "pairs.csv"\naudio = "wav"\nimage = "jpg"\n',
    "videos": '[pairs.x]\nvideo = ["videos", "file:///a/b.mp4"]\n',
    "a data set in a folder": '[corpora.image]\ndataset = "./photos"\n',
    "a manifest": '[corpora.audio]\nmanifest = "sounds.jsonl"\n',
    "evaluation sets": '[data]\nroot = "sets"\n[data.coco]\npath = "/data/coco"\n',
    "embeddings by URI": '[spaces.X]\nuri = "precomputed:./x"\n',
    "a world": "[corpora.text]\nworld = 10\n",
    "settings": "[reaction]\nhidden_dim = 3\n[factors.lambda]\nother = 0.5\n",
}


@pytest.mark.parametrize("name", LOCAL)
def test_local_data_needs_no_agreement(name):
    write(LOCAL[name])
    assert trust.mentions(read_chain(find_lab())) == []
    load_lab()


def test_folders_of_embeddings_need_no_agreement(tmp_path):
    import numpy as np

    (tmp_path / "x").mkdir()
    np.save(tmp_path / "x" / "text.npy", np.eye(3, dtype=np.float32))
    write('[spaces.X]\npath = "x"\n')
    assert load_lab().catalogue.by_name("X").dim == 3


def test_a_misspelt_key_is_named_without_a_question_of_trust():
    write('[spaces.X]\npth = "x"\n')
    with pytest.raises(UsageError, match=r"unknown key spaces\.X\.pth") as caught:
        load_lab()
    assert "did you mean 'path'" in caught.value.fix


def test_a_lab_that_is_named_needs_no_agreement():
    write(REMOTE)
    for name in ("molspace.toml", "./molspace.toml", ".", str(Path.cwd())):
        assert load_lab(name).corpora


def test_an_agreement_holds_for_this_path_with_this_content(tmp_path):
    write(REMOTE)
    trust.allow(read_chain(find_lab()))
    assert load_lab().corpora
    write(REMOTE + "# \n")
    with pytest.raises(UsageError, match="has changed since you allowed it"):
        load_lab()
    write(REMOTE)
    assert load_lab().corpora
    write(REMOTE, "other/molspace.toml")
    os.chdir("other")
    with pytest.raises(UsageError, match="is not allowed"):
        load_lab()


def test_an_agreement_covers_what_is_extended_as_it_is():
    write('[lab]\nextends = "base.toml"\n')
    write(REMOTE, "base.toml")
    trust.allow(read_chain(find_lab()))
    load_lab()
    write(REMOTE.replace("example.org", "example.com"), "base.toml")
    with pytest.raises(UsageError, match="has changed"):
        load_lab()


def test_what_was_denied_is_refused_even_as_data():
    write("")
    trust.deny(find_lab())
    paths = []
    with pytest.raises(UsageError, match="is not allowed") as caught:
        load_lab(agree=lambda path, names: bool(paths.append(path)) or True)
    assert caught.value.why == "you denied it"
    assert not paths
    trust.allow(read_chain(find_lab()))
    load_lab()


def test_a_yes_is_asked_for_once_and_a_no_changes_nothing():
    write(REMOTE)
    values = []

    def answer(yes):
        return lambda path, names: values.append([name.value for name in names]) or yes

    with pytest.raises(UsageError):
        load_lab(agree=answer(False))
    load_lab(agree=answer(True))
    load_lab(agree=answer(False))
    assert values == [["https://example.org/a.txt"]] * 2


def test_a_link_is_judged_by_where_it_leads(tmp_path):
    write(REMOTE, "elsewhere/lab.toml")
    Path("molspace.toml").symlink_to("elsewhere/lab.toml")
    with pytest.raises(UsageError, match=r"elsewhere/lab.toml.*not allowed"):
        load_lab()


@pytest.mark.parametrize("record", [b"", b"[]", b"{", b"[" * 60_000, b"\xff", b'{"digest": 3}'])
def test_a_damaged_record_is_not_an_agreement(record):
    write(REMOTE)
    trust.allow(read_chain(find_lab()))
    (path,) = Path(os.environ["XDG_DATA_HOME"], "molspace", "labs").iterdir()
    path.write_bytes(record)
    with pytest.raises(UsageError, match="allowed"):
        load_lab()


def test_nothing_is_looked_at_before_the_agreement(monkeypatch):
    """No place, no package, no entry point."""
    from importlib import metadata

    from reactions.core import remote
    from reactions.encoders import plugins, registry
    from reactions.encoders.base import Adapter

    def reached(*args, **options):
        raise AssertionError("looked at")

    for module, name in (
        (remote, "_open"),
        (plugins, "plugins"),
        (registry, "_imported"),
        (Adapter, "resolve"),
        (metadata, "entry_points"),
    ):
        monkeypatch.setattr(module, name, reached)
    for text in NAMING.values():
        write(text + '[spaces.Y]\npath = "y"\n')
        with pytest.raises(MolspaceError, match="not allowed"):
            load_lab()


def test_every_adapter_of_ours_is_judged():
    """A new adapter is a model, unless it is known to read arrays alone."""
    assert set(ADAPTERS) - trust._MODEL_ADAPTERS == {"mini", "precomputed"}
    assert set(MODELS) <= trust._MODEL_ADAPTERS


@pytest.mark.parametrize("target", ["nowhere.toml", "molspace.toml"])
def test_a_broken_link_never_selects_another_lab(target):
    Path("molspace.toml").symlink_to(target)
    with pytest.raises(MolspaceError, match=r"nowhere\.toml|molspace\.toml"):
        load_lab()


def test_a_folder_of_that_name_never_selects_another_lab():
    Path("molspace.toml").mkdir()
    with pytest.raises(MolspaceError, match=r"molspace\.toml"):
        load_lab()
