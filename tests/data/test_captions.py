import json
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from media_files import put
from pyarrow import parquet

from reactions.core.errors import DataError, MissingError
from reactions.core.extras import install_extra
from reactions.core.storage import find
from reactions.data.audit import like_paths
from reactions.data.corpora import TextCorpus
from reactions.data.scan_cache import TableCache
from reactions.data.sources import captions
from reactions.data.sources.captions import texts_part
from reactions.data.sources.config import Source
from reactions.data.sources.corpus import SourceCorpus, open_corpus
from reactions.data.sources.text_values import captions_in, parse_json


def opened(path: Path | str, cache: Path | None = None, **options: object) -> SourceCorpus:
    source = Source(paths=(str(path),), **{"max_bad": 1.0, **options})
    return open_corpus("captions", "text", [source], tables=TableCache(cache))


def rows(corpus: SourceCorpus) -> list[tuple[str, str]]:
    return [(item.id, item.value) for item in corpus.items(0, len(corpus))]


def bad(corpus: SourceCorpus) -> dict[str, str]:
    return {bad.id: bad.why for bad in corpus.bad()}


def put_parquet(path: Path, columns: dict[str, Iterable[object]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.table(columns), path, row_group_size=2)
    return put(path, path.read_bytes())


# --- formats ---


def test_plain_lines_are_numbered_as_in_an_editor(tmp_path: Path) -> None:
    path = put(tmp_path / "a.txt", "\ufeffrain\r\n\n  wind  \nStraße")
    corpus = opened(path)
    assert rows(corpus) == [("1", "rain"), ("3", "wind"), ("4", "Straße")]
    assert corpus.skipped.n_bad == 0


def test_a_file_of_lines_and_the_same_texts_in_memory_are_one_corpus(tmp_path: Path) -> None:
    corpus = opened(put(tmp_path / "a.txt", "rain\nwind\n"))
    assert corpus.digest == TextCorpus("other", ["rain", "wind"], ["1", "2"]).digest


@pytest.mark.parametrize(
    ("suffix", "comma", "options"), [("csv", ",", {}), ("tsv", "\t", {"quoted": True})]
)
def test_tables_with_a_header(
    tmp_path: Path, suffix: str, comma: str, options: dict[str, bool]
) -> None:
    cells = [
        ("id", "caption", "url"),
        ("a", f'"rain{comma} then ""hail"""', "x"),
        ("b", "two\u2028lines", "y"),
        ("c", '"a\nb"', "z"),
    ]
    path = put(tmp_path / f"a.{suffix}", "\n".join(map(comma.join, cells)))
    corpus = opened(path, id_column="id", **options)
    assert rows(corpus) == [
        ("a", f'rain{comma} then "hail"'),
        ("b", "two\u2028lines"),
        ("c", "a\nb"),
    ]
    assert [id for id, _ in rows(opened(path, **options))] == ["1", "2", "3"]


def test_csv_with_odd_headers(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", "\ufeff id , TEXT \nx,rain\n\ny,wind\n")
    assert rows(opened(path)) == [("1", "rain"), ("2", "wind")]
    assert rows(opened(put(tmp_path / "b.csv", "whatever\nrain\n"))) == [("1", "rain")]


def test_several_columns_are_several_captions(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", "f,c1,c2\nx,rain,wind\ny,hail,\n")
    corpus = opened(path, columns=("c1", "c2"), id_column="f")
    assert rows(corpus) == [("x/0", "rain"), ("x/1", "wind"), ("y", "hail")]
    assert corpus.skipped.n_bad == 0


def test_json_lines(tmp_path: Path) -> None:
    records = [
        {"key": 7, "caption": "rain"},
        {"key": "b", "caption": ["wind", "storm"]},
        {"key": "c", "caption": "hail", "extra": {"deep": 1}},
    ]
    path = put(tmp_path / "a.jsonl", "\n\n".join(map(json.dumps, records)))
    assert rows(opened(path, id_column="key")) == [
        ("7", "rain"),
        ("b/0", "wind"),
        ("b/1", "storm"),
        ("c", "hail"),
    ]
    assert rows(opened(path))[0] == ("1", "rain")
    assert rows(opened(path))[1] == ("3/0", "wind")
    plain = put(tmp_path / "b.jsonl", '"rain"\n["wind", "hail"]\n')
    assert rows(opened(plain)) == [("1", "rain"), ("2/0", "wind"), ("2/1", "hail")]


def test_parquet(tmp_path: Path) -> None:
    columns = {"id": [3, 1, 2], "TEXT": ["rain", None, "wind"], "n": [1.0, 2.0, 3.0]}
    path = put_parquet(tmp_path / "a.parquet", columns)
    corpus = opened(path, id_column="id")
    assert rows(corpus) == [("3", "rain"), ("2", "wind")]
    assert bad(corpus) == {"1": "empty"}
    lists = put_parquet(tmp_path / "b.parquet", {"captions": [["rain", "wind"], ["hail"]]})
    assert rows(opened(lists)) == [("1/0", "rain"), ("1/1", "wind"), ("2", "hail")]


def test_several_files_put_their_names_before_ids(tmp_path: Path) -> None:
    put(tmp_path / "x/a-0.txt", "rain\n")
    put(tmp_path / "x/a-1.txt", "wind\nhail\n")
    corpus = opened(tmp_path / "x/*.txt")
    assert rows(corpus) == [("a-0/1", "rain"), ("a-1/1", "wind"), ("a-1/2", "hail")]
    put(tmp_path / "y/a-0.txt", "snow\n")
    assert [id for id, _ in rows(opened(tmp_path / "{x,y}/a-0.txt"))] == ["1/1", "2/1"]


def test_remote_captions() -> None:
    import fsspec

    fs = fsspec.filesystem("memory")
    fs.store.clear()
    with fs.open("/set/a.csv", "wb") as stream:
        stream.write(b"caption\nrain\nwind\n")
    parquet.write_table(pa.table({"caption": ["hail"]}), "/set/b.parquet", filesystem=fs)
    assert rows(opened("memory://set/a.csv")) == [("1", "rain"), ("2", "wind")]
    assert rows(opened("memory://set/b.parquet")) == [("1", "hail")]
    assert len(opened("memory://set/*")) == 3


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1)))
def test_whatever_is_written_comes_back(texts: list[str]) -> None:
    expected = [text.strip() for text in texts if text.strip()]
    data = "\n".join(json.dumps({"caption": text}) for text in texts).encode()
    texts_read = [
        text
        for line in data.splitlines()
        for text, why in captions_in(parse_json(line)[0])
        if not why
    ]
    assert texts_read == expected


# --- bad input ---


def test_bad_lines_are_counted_and_listed(tmp_path: Path) -> None:
    path = put(
        tmp_path / "a.txt", b"rain\n\xff\xfe\nwind\nno\0thing\n" + b"x" * 2_000_000 + b"\nend"
    )
    corpus = opened(path, cache=tmp_path / "cache")
    assert rows(corpus) == [("1", "rain"), ("3", "wind"), ("6", "end")]
    problems = bad(corpus)
    assert problems["2"] == "not UTF-8"
    assert "NUL" in problems["4"]
    assert "longer than" in problems["5"]
    assert corpus.skipped.n_bad == 3
    assert [b.place for b in corpus.skipped.first] == [f"{path}:{n}" for n in (2, 4, 5)]
    assert corpus.skipped.listed is not None
    listed = [json.loads(line) for line in corpus.skipped.listed.read_text().splitlines()]
    assert [entry["id"] for entry in listed] == ["2", "4", "5"]


def test_bad_rows_of_a_csv(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", b'id,caption\na,rain\nb\nc,  \nd,x,y\n,lost\ne,\xff\nf,"wind')
    corpus = opened(path, id_column="id")
    assert rows(corpus) == [("a", "rain")]
    assert bad(corpus) == {
        "2": "1 fields, the header has 2",
        "c": "empty",
        "4": "3 fields, the header has 2",
        "5": "no id in 'id'",
        "e": "not UTF-8",
        "7": "not csv: unexpected end of data",
    }


def test_bad_json_lines(tmp_path: Path) -> None:
    lines = [
        '{"caption": "rain"}',
        '{"caption": ',
        "null",
        '{"caption": 5}',
        '{"caption": []}',
        '{"other": "x"}',
        '{"caption": ["wind", ""]}',
        "[" * 100_000,
    ]
    corpus = opened(put(tmp_path / "a.jsonl", "\n".join(lines)))
    assert [text for _, text in rows(corpus)] == ["rain", "wind"]
    problems = bad(corpus)
    assert list(problems) == ["2", "3", "4", "5", "6", "8"]
    assert "not JSON" in problems["2"]
    assert problems["4"] == "'5' is not text"
    assert "not JSON" in problems["8"]


@pytest.mark.parametrize("name", ["a.txt", "a.csv", "a.tsv", "a.jsonl", "b.csv", "c.txt"])
def test_an_empty_file_is_an_error(tmp_path: Path, name: str) -> None:
    path = put(tmp_path / name, {"b.csv": "caption\n", "c.txt": "\n \n"}.get(name, ""))
    with pytest.raises(DataError, match=f"no captions in '{path}'") as caught:
        opened(path)
    assert ("it is empty" in caught.value.why) == (path.stat().st_size == 0)


def test_too_many_bad_rows_are_an_error(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", "caption\n" + "rain\n" * 97 + '""\n' * 3)
    assert len(opened(path, max_bad=0.03)) == 97
    with pytest.raises(DataError, match="3 of 100 text items cannot be used") as caught:
        opened(path, max_bad=0.02)
    assert f"{path}:99: empty" in caught.value.why
    assert "max_bad (now 0.02) under [corpora.text]" in caught.value.fix
    assert caught.value.fields["n_bad"] == 3


def test_nothing_usable_is_an_error_whatever_the_limit(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is empty"):
        opened(put(tmp_path / "a.csv", 'caption\n""\n'), max_bad=1.0)


def test_columns_that_are_not_there(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", "id,captoin,url\na,rain,x\n")
    with pytest.raises(DataError, match=r"which column .* holds the captions") as caught:
        opened(path)
    assert "id, captoin, url" in caught.value.why
    with pytest.raises(DataError, match="no column 'caption'") as caught:
        opened(path, columns=("caption",))
    assert "did you mean 'captoin'" in caught.value.fix
    with pytest.raises(DataError, match="no column 'ids'"):
        opened(path, columns=("captoin",), id_column="ids")
    with pytest.raises(DataError, match="no column 'x'"):
        opened(put_parquet(tmp_path / "a.parquet", {"caption": ["rain"]}), columns=("x",))


def test_repeated_ids(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", "id,caption\na,rain\na,wind\n")
    with pytest.raises(DataError, match="repeats 1 of its text ids, first 'a'"):
        opened(path, id_column="id")


@pytest.mark.parametrize("cut", [10, 100])
def test_a_damaged_parquet(tmp_path: Path, cut: int) -> None:
    path = put_parquet(tmp_path / "a.parquet", {"caption": ["rain", "wind", "hail"] * 50})
    put(path, path.read_bytes()[:-cut])
    with pytest.raises(DataError, match="cannot read captions"):
        opened(path)


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put_parquet(tmp_path / "a.parquet", {"caption": ["rain"]})
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(MissingError, match="cannot read") as caught:
        opened(path)
    assert install_extra("parquet") in caught.value.fix


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="cannot tell how to read text") as caught:
        opened(put(tmp_path / "a.docx", "x"))
    assert ".jsonl" in caught.value.fix
    put(tmp_path / "b.txt", "rain")
    with pytest.raises(MissingError, match="no text at") as caught:
        opened(tmp_path)
    assert f"{tmp_path}/*.txt" in caught.value.fix


# --- remembering ---


def test_captions_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path / "a.txt", "rain\nwind\n")
    first = opened(path, cache=tmp_path / "cache")
    digest = first.digest
    monkeypatch.setattr(captions, "_rows", lambda *args: pytest.fail("read again"))
    monkeypatch.setattr("reactions.data.corpora.rows_digest", lambda *a: pytest.fail("hashed"))
    monkeypatch.setattr(
        "reactions.data.sources.corpus.rows_digest", lambda *a: pytest.fail("hashed again")
    )
    reopened = opened(path, cache=tmp_path / "cache")
    assert rows(reopened) == rows(first)
    assert reopened.digest == digest


def test_captions_that_changed_are_read_again(tmp_path: Path) -> None:
    path = put(tmp_path / "a.txt", "rain\nwind\n")
    before = opened(path, cache=tmp_path / "cache").digest
    put(path, "rain\nhail\n", when_s=1_600_000_001)
    after = opened(path, cache=tmp_path / "cache")
    assert rows(after) == [("1", "rain"), ("2", "hail")]
    assert after.digest != before
    put(path, "rain\nwind\n", when_s=1_600_000_002)
    assert opened(path, cache=tmp_path / "cache").digest == before


def test_other_columns_are_other_captions(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", "id,caption,title\nx,rain,wind\n")
    cache = tmp_path / "cache"
    assert rows(opened(path, cache)) == [("1", "rain")]
    assert rows(opened(path, cache, columns=("title",))) == [("1", "wind")]
    assert rows(opened(path, cache, id_column="id")) == [("x", "rain")]
    assert rows(opened(path, cache)) == [("1", "rain")]


def test_a_file_just_written_is_not_trusted(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("rain\n")
    assert rows(opened(path, cache=tmp_path / "cache")) == [("1", "rain")]
    path.write_text("hail\n")
    assert rows(opened(path, cache=tmp_path / "cache")) == [("1", "hail")]


def test_progress_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captions, "_PROGRESS_ROWS", 2)
    reports: list[tuple[str, int, int]] = []
    path = put(tmp_path / "a.txt", "a\nb\nc\nd\ne\n")
    texts_part(
        "a",
        find(str(path)),
        Source(),
        tables=TableCache(),
        on_progress=lambda *report: reports.append(report),
    )
    assert reports == [("a", 2, 0), ("a", 4, 0), ("a", 5, 5)]


def test_a_list_of_files_is_no_list_of_captions(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"lists paths, not captions") as caught:
        opened(put(tmp_path / "a.txt", "dogs/1.wav\ndogs/2.wav\na dog.\n"))
    assert "most of its first 3 lines look like paths, such as 'dogs/1.wav'" in caught.value.why
    assert "[corpora.audio]" in caught.value.fix
    # Who says that they are texts has them, and is told of them.
    corpus = opened(put(tmp_path / "b.jsonl", '{"caption": "dogs/1.wav"}\n{"caption": "a dog"}\n'))
    finding = like_paths(corpus)
    assert finding is not None
    assert (finding.kind, finding.count, finding.total) == ("paths", 1, 2)
    near_threshold = opened(put(tmp_path / "c.txt", "dogs/1.wav\na dog.\nand/or\n"))
    assert [example["text"] for example in like_paths(near_threshold).examples] == ["dogs/1.wav"]
    assert like_paths(opened(put(tmp_path / "d.txt", "a dog.\nand/or\n"))) is None
