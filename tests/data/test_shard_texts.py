"""Texts in shards: byte-order marks, other encodings, absurd lengths."""

import codecs
import io
import json
import tarfile
from pathlib import Path

import pytest

from reactions.core.errors import UsageError
from reactions.data.scan_cache import TableCache
from reactions.data.sources import shards
from reactions.data.sources.config import Source
from reactions.data.sources.corpus import SourceCorpus, open_corpus


def opened(path: Path, **options: object) -> SourceCorpus:
    source = Source(paths=(str(path),), **{"max_bad": 1.0, **options})
    return open_corpus("captions", "text", [source], tables=TableCache())


def tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def rows(corpus: SourceCorpus) -> dict[str, str]:
    return {item.id: item.value for item in corpus.items(0, len(corpus))}


def test_byte_order_marks_are_not_part_of_a_text(tmp_path: Path) -> None:
    record = json.dumps({"caption": "Straße"}, ensure_ascii=False)
    members = {
        "a.txt": codecs.BOM_UTF8 + "Straße\n".encode(),
        "b.txt": codecs.BOM_UTF16_LE + "Straße\r\n".encode("utf-16-le"),
        "c.txt": codecs.BOM_UTF16_BE + "Straße".encode("utf-16-be"),
        "d.json": codecs.BOM_UTF8 + record.encode(),
        "e.json": codecs.BOM_UTF16_LE + record.encode("utf-16-le"),
    }
    corpus = opened(tar(tmp_path / "a.tar", members))
    assert rows(corpus) == dict.fromkeys("abcde", "Straße")


def test_other_encodings_and_lengths_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "_MAX_TEXT_BYTES", 100)
    members = {
        "a.txt": "Straße".encode("cp1252"),
        "b.txt": b"rain",
        "c.txt": b"x" * 101,
        "d.txt": codecs.BOM_UTF16_LE + b"x",
        "e.json": '{"caption": "Straße"}'.encode("cp1252"),
    }
    corpus = opened(tar(tmp_path / "a.tar", members))
    assert rows(corpus) == {"b": "rain"}
    assert {bad.id: bad.why.split(" ")[0] for bad in corpus.bad()} == {
        "a": "not",
        "c": "longer",
        "d": "not",
        "e": "not",
    }


@pytest.mark.parametrize("options", [{"header": False}, {"columns": (0,)}, {"delimiter": ";"}])
def test_what_is_said_of_tables_is_refused(tmp_path: Path, options: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="says nothing about"):
        opened(tar(tmp_path / "a.tar", {"a.txt": b"rain"}), **options)
