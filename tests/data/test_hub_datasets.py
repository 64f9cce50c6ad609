"""Data sets of the hub as corpora: fetched or streamed at a commit, and found offline."""

from pathlib import Path

import pytest
from hub_server import HubServer, serving
from media_files import image_bytes
from parquet_media import media_bytes, struct

from reactions.core.errors import DataError, MissingError, UsageError
from reactions.core.protocols import NotLookedAt, deny_network
from reactions.data.hub import repository
from reactions.data.hub.config import DatasetPlace
from reactions.data.parquet_cells import forget_files
from reactions.data.scan_cache import TableCache
from reactions.data.sources.config import Source
from reactions.data.sources.corpus import SourceCorpus, open_corpus
from reactions.weights.hub import hub_cache

pytest.importorskip("huggingface_hub")

CARD = """---
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*
  - split: test
    path: data/test-*
---
"""
PICTURES = [image_bytes(seed) for seed in range(7)]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch):
    forget_files()
    with serving(monkeypatch) as server:
        yield server


def files(first: int = 0) -> dict[str, bytes]:
    shards = {"train-00000-of-00002": (first, 4), "train-00001-of-00002": (4, 7)}
    return {"README.md": CARD.encode()} | {
        f"data/{name}.parquet": media_bytes({"image": [struct(p) for p in PICTURES[a:b]]})
        for name, (a, b) in {**shards, "test-00000-of-00001": (0, 2)}.items()
    }


def opened(commit: str, modality: str = "image", **place: object) -> SourceCorpus:
    dataset = DatasetPlace("org/photos", **{"revision": commit, "splits": ("train",), **place})
    source = Source(dataset=dataset)
    return open_corpus("photos", modality, [source], tables=TableCache())


def test_a_split_is_fetched_once(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = hub.push("org/photos", files())
    corpus = opened(commit)
    assert [item.value.read() for item in corpus.items(0, 7)] == PICTURES
    assert corpus.ids()[4] == "train-00001-of-00002/1"
    assert Path(corpus.items(0, 1)[0].value.url).is_relative_to(hub_cache())
    assert not hub.bytes_sent_for("test-00000-of-00001.parquet")
    hub.requests.clear()
    assert opened(commit).digest == corpus.digest
    assert hub.requests == []
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    assert len(opened(commit)) == 7


def test_other_files_are_counted(hub: HubServer) -> None:
    further_files = {"data/more.csv": b"a\n", "c.jpg": PICTURES[0]}
    commit = hub.push("org/photos", {**files(), "README.md": b"# Photos", **further_files})
    remarks = [remark for remark in opened(commit).remarks if "left out" in remark]
    assert len(remarks) == 1
    assert "2 other files are left out (.jpg, .csv)" in remarks[0]


def test_a_streamed_split_leaves_nothing(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = hub.push("org/photos", files())
    corpus = opened(commit, streaming=True)
    assert [item.value.read() for item in corpus.items(2, 7)] == PICTURES[2:]
    assert corpus.items(0, 1)[0].value.url.startswith(f"hf://datasets/org/photos@{commit}/data/")
    assert not list(hub_cache().rglob("*.parquet"))
    assert opened(commit).digest == corpus.digest


def test_what_was_not_fetched_is_missed_offline(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = hub.push("org/photos", files())
    opened(commit)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    hub.requests.clear()
    for place, words in [
        ({"splits": ("test",)}, "1 of 1 files"),
        ({"revision": "b" * 40}, "its list of files"),
        ({"splits": ("test",), "streaming": True}, "HF_HUB_OFFLINE"),
    ]:
        with pytest.raises(MissingError) as caught:
            opened(commit, **place)
        assert words in caught.value.why
        assert caught.value.exit_code == 3
    with pytest.raises(MissingError, match="is not on this machine") as caught:
        opened("b" * 40)
    assert f"hf download org/photos --repo-type dataset --revision {'b' * 40}" in caught.value.fix
    assert hub.requests == []


def test_a_snapshot_that_another_program_brought(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    commit = hub.push("org/photos", files())
    download = huggingface_hub.snapshot_download
    download("org/photos", repo_type="dataset", revision=commit, cache_dir=hub_cache())
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert len(opened(commit)) == 7
    shard = hub_cache() / f"datasets--org--photos/snapshots/{commit}/data"
    (shard / "train-00001-of-00002.parquet").unlink()
    with pytest.raises(DataError, match="lacks 1 of 2 files"):
        opened(commit)


@pytest.mark.parametrize("has_card", [True, False])
def test_a_part_that_another_program_brought_is_not_the_whole(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch, has_card: bool
) -> None:
    commit = hub.push("org/photos", {n: d for n, d in files().items() if has_card or n[0] == "d"})
    repo = {"repo_type": "dataset", "revision": commit, "cache_dir": hub_cache()}
    patterns = ["data/train-*", "README.md"]
    huggingface_hub = pytest.importorskip("huggingface_hub")
    huggingface_hub.snapshot_download("org/photos", allow_patterns=patterns, **repo)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    options = {} if has_card else {"config": "default"}
    with pytest.raises(MissingError, match="cannot be told from the files here") as caught:
        opened(commit, splits=(), **options)
    assert 'split = "NAME"' in caught.value.fix
    assert len(opened(commit, **options)) == 7
    if not has_card:
        with pytest.raises(MissingError) as caught:
            opened(commit)
        assert 'config = "default"' in caught.value.fix
    with pytest.raises((DataError, UsageError), match=r"no files|no split"):
        opened(commit, splits=("test",), **options)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    with pytest.raises(UsageError, match="has 2 splits"):
        opened(commit, splits=())


@pytest.mark.parametrize(("revision", "message"), [("", "no revision"), ("main", "'main'")])
def test_a_revision_that_may_move_is_refused_with_its_commit(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch, revision: str, message: str
) -> None:
    commit = hub.push("org/photos", files())
    with pytest.raises(UsageError, match=message) as caught:
        opened(revision)
    assert f'revision = "{commit}"' in caught.value.fix
    refs = hub_cache() / "datasets--org--photos/refs"
    refs.mkdir(parents=True)
    (refs / "main").write_text("c" * 40)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UsageError, match=message) as caught:
        opened(revision)
    assert f'revision = "{"c" * 40}"' in caught.value.fix


def test_a_branch_that_moved_changes_nothing(hub: HubServer) -> None:
    before = hub.push("org/photos", files())
    corpus = opened(before)
    after = hub.push("org/photos", files(first=1))
    assert before != after
    assert opened(before).digest == corpus.digest
    assert opened(after).digest != corpus.digest


def test_commands_that_list_do_not_fetch(hub: HubServer) -> None:
    commit = hub.push("org/photos", files())
    deny_network("listing", "--online")
    with pytest.raises(NotLookedAt, match="was not looked at"):
        opened(commit)
    assert hub.requests == []


def test_a_hostile_hub(hub: HubServer) -> None:
    commit = hub.push("org/photos", {**files(), "data/../../../x.parquet": b""})
    with pytest.raises(DataError, match="cannot be used"):
        opened(commit)
    other = hub.push("org/photos", files())
    hub.commits["org/photos"][commit] = hub.commits["org/photos"][other]
    hub.branches["org/photos"][commit] = other
    with pytest.raises(DataError, match="cannot be used") as caught:
        opened(commit)
    assert f"not of {commit}" in caught.value.why


def test_files_beside_climb_out_of_no_snapshot(hub: HubServer, tmp_path: Path) -> None:
    (tmp_path / "private.png").write_bytes(PICTURES[0])
    rows = [
        struct(PICTURES[1]),
        struct(None, str(tmp_path / "private.png")),
        struct(None, f"{'../' * 12}{tmp_path}/private.png"),
    ]
    commit = hub.push("org/photos", {"train.parquet": media_bytes({"image": rows})})
    dataset = DatasetPlace("org/photos", commit)
    corpus = open_corpus("x", "image", [Source(dataset=dataset, max_bad=1.0)], tables=TableCache())
    assert len(corpus) == 1
    assert all("is not beside its table" in bad.why for bad in corpus.bad())


def test_without_the_library(monkeypatch: pytest.MonkeyPatch, hub: HubServer) -> None:
    def refuse_import(name: str) -> object:
        raise ImportError(name)

    monkeypatch.setattr(repository.importlib, "import_module", refuse_import)
    with pytest.raises(MissingError, match="cannot fetch data sets") as caught:
        opened("a" * 40)
    assert "huggingface_hub" in caught.value.fix


def test_texts_in_lines_are_read_as_they_lie(hub: HubServer) -> None:
    lines = b'{"text": "rain"}\n{"text": "hail"}\n'
    commit = hub.push("org/photos", {"train.jsonl": lines, "test.jsonl": lines})
    corpus = opened(commit, "text", streaming=True)
    assert [item.value for item in corpus.items(0, 2)] == ["rain", "hail"]
    with pytest.raises(UsageError, match="cannot be streamed"):
        opened(commit, streaming=True)
