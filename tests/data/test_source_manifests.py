"""Manifests as corpora: what their lines say, held against what is there."""

import hashlib
import json
from pathlib import Path

import pytest
from media_files import put

from reactions.core.errors import DataError, MissingError
from reactions.core.types import Item
from reactions.data.corpora import IdCorpus, ListCorpus, TextCorpus
from reactions.data.scan_cache import TableCache
from reactions.data.sources.config import Source
from reactions.data.sources.corpus import SourceCorpus, open_corpus


def from_manifest(path: Path, modality="image", cache: Path | None = None, **options):
    source = Source(manifest=path, **options)
    return open_corpus("pictures", modality, [source], tables=TableCache(cache))


def ids(corpus: SourceCorpus) -> list[str]:
    return [item.id for item in corpus.items(0, len(corpus))]


def test_manifests_are_scanned_too(folder: Path, tmp_path: Path, looks: list[str]) -> None:
    put(folder / "empty.png", b"")
    lines = [
        {"id": "one", "image": "b.png"},
        {"id": "two", "image": "empty.png"},
        {"id": "three", "image": None},
        {"id": "four", "text": "rain"},
    ]
    path = put(folder / "list.jsonl", "\n".join(map(json.dumps, lines)))
    cache = tmp_path / "cache"
    with pytest.raises(DataError, match="1 of 3 image items"):
        from_manifest(path, cache=cache)
    corpus = from_manifest(path, cache=cache, max_bad=0.4)
    assert [(item.id, item.value) for item in corpus.items(0, 2)] == [
        ("one", folder / "b.png"),
        ("three", None),
    ]
    assert looks == ["b.png", "empty.png"]
    assert corpus.digest == from_manifest(path, cache=cache, max_bad=0.4).digest


def test_a_manifest_keeps_its_digest(folder: Path) -> None:
    path = put(folder / "list.txt", "b.png\na.JPG\nrain and wind\n")
    items = [Item("1", "image", folder / "b.png"), Item("2", "image", folder / "a.JPG")]
    assert from_manifest(path).digest == ListCorpus("x", "image", items).digest
    texts = from_manifest(path, "text")
    assert texts.digest == TextCorpus("x", ["rain and wind"], ["3"]).digest
    assert [item.value for item in texts.items(0, 9)] == ["rain and wind"]
    ids_only = put(folder / "ids.jsonl", '{"id": "a", "text": null}\n{"id": "b", "text": "x"}\n')
    corpus = from_manifest(ids_only, "text")
    assert [item.value for item in corpus.items(0, 2)] == [None, "x"]
    ids_only = put(folder / "ids.jsonl", '{"id": "a", "text": null}\n{"id": "b", "image": null}\n')
    assert from_manifest(ids_only, "text").digest == IdCorpus("x", "text", ["a"]).digest
    assert from_manifest(ids_only).digest == IdCorpus("x", "image", ["b"]).digest


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def lines_of(path: Path, *records: dict) -> Path:
    return put(path, "".join(json.dumps(record) + "\n" for record in records))


def test_digests_in_a_manifest_are_held_against_the_files(
    folder: Path, tmp_path: Path, looks: list[str]
) -> None:
    right, other = sha256(folder / "b.png"), sha256(folder / "a.JPG")
    path = lines_of(
        folder / "list.jsonl",
        {"id": "one", "image": "b.png", "digest": right},
        {"id": "two", "modality": "image", "path": "b.png", "digest": other},
        {"id": "three", "image": "deep/er/c.webp"},
    )
    cache = tmp_path / "cache"
    with pytest.raises(DataError, match="1 of 3 image items cannot be used"):
        from_manifest(path, cache=cache)
    corpus = from_manifest(path, cache=cache, max_bad=0.4)
    assert ids(corpus) == ["one", "three"]
    (bad,) = corpus.skipped.first
    assert (bad.id, bad.place) == ("two", str(folder / "b.png"))
    assert f"its digest is {right[:12]}..., not {other[:12]}..." in bad.why
    # The manifest is corrected, the files are as they were: nothing is read again.
    digest = corpus.digest
    looks.clear()
    lines_of(
        path,
        {"id": "one", "image": "b.png", "digest": right},
        {"id": "two", "image": "b.png", "digest": right},
        {"id": "three", "image": "deep/er/c.webp"},
    )
    corpus = from_manifest(path, cache=cache)
    assert ids(corpus) == ["one", "two", "three"]
    assert corpus.digest != digest
    assert looks == []


def test_digests_of_texts(tmp_path: Path) -> None:
    right = hashlib.sha256("Straße".encode()).hexdigest()
    path = lines_of(
        tmp_path / "list.jsonl",
        {"id": "one", "text": "Straße", "digest": right},
        {"id": "two", "modality": "text", "text": "Strasse", "digest": right},
    )
    corpus = from_manifest(path, "text", max_bad=0.5)
    assert ids(corpus) == ["one"]
    assert [(bad.id, bad.place) for bad in corpus.skipped.first] == [("two", f"{path}:2")]
    assert "as the manifest says" in corpus.skipped.first[0].why


def test_lines_without_a_usable_item_are_counted_and_listed(folder: Path, tmp_path: Path) -> None:
    path = lines_of(
        folder / "list.jsonl",
        {"id": "one", "image": "b.png"},
        {"id": "gone", "image": "gone.png"},
        {"id": "number", "image": 3},
        {"id": "sound", "audio": "gone.wav"},
        {"id": "digest", "image": "b.png", "digest": "abc"},
    )
    with pytest.raises(DataError, match="3 of 4 image items cannot be used") as caught:
        from_manifest(path)
    assert f"{path}:2: no such file: {folder / 'gone.png'}" in caught.value.why
    corpus = from_manifest(path, cache=tmp_path / "cache", max_bad=0.75)
    assert ids(corpus) == ["one"]
    assert corpus.skipped.listed is not None
    listed = [json.loads(line) for line in corpus.skipped.listed.read_text().splitlines()]
    assert [record["id"] for record in listed] == ["gone", "number", "digest"]
    assert [record["place"] for record in listed] == [f"{path}:{n}" for n in (2, 3, 5)]
    assert "64 hex digits" in listed[2]["why"]
    # Where all of them are bad, it is an error of the corpus, not of the manifest.
    with pytest.raises(DataError, match="1 of 1 audio items cannot be used"):
        from_manifest(path, "audio", max_bad=0.99)
    with pytest.raises(DataError, match="is empty"):
        from_manifest(path, "audio", max_bad=1.0)


def test_bad_items_of_a_manifest_can_be_skipped(folder: Path) -> None:
    path = put(folder / "list.txt", "b.png\ngone.png\na.JPG\n")
    corpus = from_manifest(path, max_bad=0.5, skip=frozenset({"2", "3"}))
    assert ids(corpus) == ["1"]
    assert (corpus.skipped.n_bad, corpus.skipped.n_skipped) == (0, 2)


def test_a_full_check_of_a_manifest_lasts(folder: Path, tmp_path: Path, damaged: Path) -> None:
    path = put(folder / "list.txt", "deep/s.wav\ndeep/t.flac\ngone.wav\n")
    options = {"modality": "audio", "cache": tmp_path / "cache", "max_bad": 0.9}
    assert ids(from_manifest(path, **options)) == ["1", "2"]
    assert ids(from_manifest(path, check="full", **options)) == ["1"]
    assert ids(from_manifest(path, **options)) == ["1"]


def test_a_manifest_that_is_broken_is_an_error_that_names_the_line(folder: Path) -> None:
    path = put(folder / "list.jsonl", '{"id": "a", "image": "b.png"}\n\n{"id": "b", "image"\n')
    with pytest.raises(DataError, match="bad lines in the manifest") as caught:
        from_manifest(path, max_bad=1.0)
    assert caught.value.why.startswith("line 3: not JSON")
    assert caught.value.fields["lines"] == [3]


def test_manifests_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="no manifest for the image corpus") as caught:
        from_manifest(tmp_path / "gone.jsonl")
    assert "[corpora.image]" in caught.value.fix


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_manifests_of_any_line_break_and_mark(folder: Path, end: str, encoding: str) -> None:
    lines = ['{"id": "one", "image": "b.png"}', "", '{"id": "two", "text": "a\u2028b"}', "a.JPG"]
    path = put(folder / "list.jsonl", end.join(lines).encode(encoding))
    assert ids(from_manifest(path)) == ["one", "4"]
    assert [item.value for item in from_manifest(path, "text").items(0, 9)] == ["a\u2028b"]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"caf\xe9", "line 2: not UTF-8"),
        (b"rain\0", "line 2: it holds a NUL byte"),
        (b"x" * 2_000_000, "line 2: longer than 1048576 bytes"),
    ],
)
def test_lines_that_are_not_text_are_refused(folder: Path, line: bytes, why: str) -> None:
    path = put(folder / "list.txt", b"b.png\n" + line + b"\na.JPG\n")
    with pytest.raises(DataError, match="bad lines in the manifest") as caught:
        from_manifest(path, max_bad=1.0)
    assert why in caught.value.why
    assert caught.value.fields["lines"] == [2]


def test_lines_of_other_modalities_are_counted(folder: Path) -> None:
    lines = ["b.png", "rain and wind", '{"text": "x.png"}', '{"id": "s", "audio": null}']
    path = put(folder / "list.jsonl", "\n".join(lines))
    for corpus in (from_manifest(path), from_manifest(path, cache=folder / "cache")):
        assert len(corpus) == 1
        assert any("1 audio, 2 text lines are of other" in notice for notice in corpus.notices)
    texts = from_manifest(path, "text")
    assert "1 audio, 1 image lines are of other modalities" in texts.notices[0]
    assert from_manifest(put(folder / "one.jsonl", "b.png\n")).notices == ()
