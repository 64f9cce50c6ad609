"""Captions in csv, tsv and jsonl files as people publish and export them."""

import codecs
import json
from pathlib import Path

import pytest
from media_files import put

from reactions.core.errors import DataError, UsageError
from reactions.data.corpora import TextCorpus
from reactions.data.scan_cache import TableCache
from reactions.data.sources.config import Source
from reactions.data.sources.corpus import SourceCorpus, open_corpus


def opened(path: Path, **options: object) -> SourceCorpus:
    source = Source(paths=(str(path),), **{"max_bad": 1.0, **options})
    return open_corpus("captions", "text", [source], tables=TableCache())


def rows(corpus: SourceCorpus) -> list[tuple[str, str]]:
    return [(item.id, item.value) for item in corpus.items(0, len(corpus))]


def texts(corpus: SourceCorpus) -> list[str]:
    return [text for _, text in rows(corpus)]


def quoted_rows(sep: str) -> list[str]:
    """1,000 rows, of which two have a quote that no other answers."""
    captions = [f"caption {i}" for i in range(1000)]
    captions[300] = '"' + captions[300]
    captions[990] += '"'
    return [f"http://x/{i}{sep}{caption}" for i, caption in enumerate(captions)]


# --- quotes ---


def test_tab_separated_captions_are_taken_as_they_stand(tmp_path: Path) -> None:
    lines = quoted_rows("\t")
    corpus = opened(put(tmp_path / "a.tsv", "\n".join(["url\tcaption", *lines])))
    assert len(corpus) == 1000
    assert texts(corpus)[300] == '"caption 300'
    assert corpus.skipped.n_bad == 0


def test_a_csv_with_lone_quotes_counts_all_lines_that_they_swallow(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", "\n".join(["url,caption", *quoted_rows(",")]))
    corpus = opened(path)
    assert (len(corpus), corpus.skipped.n_bad) == (309, 691)
    assert corpus.skipped.first[0].place == f"{path}:302"
    assert "opened in line 302 is closed in line 992" in corpus.notices[0]
    with pytest.raises(DataError, match="691 of 1000 text items cannot be used"):
        opened(path, max_bad=0.01)
    assert len(opened(path, quoted=False)) == 1000
    assert len(opened(path, quoted=True)) == 310


def test_fields_that_span_lines_are_reported(tmp_path: Path) -> None:
    corpus = opened(put(tmp_path / "a.csv", 'id,caption\na,"rain,\nthen wind"\nb,hail\n'))
    assert rows(corpus) == [("1", "rain,\nthen wind"), ("2", "hail")]
    assert corpus.notices == (
        "text corpus: 'a.csv': 1 of its rows span 2 lines, as quoted fields may; the first begins "
        "in line 2",
    )


def test_tsv_files_that_look_quoted_are_reported(tmp_path: Path) -> None:
    path = put(tmp_path / "a.tsv", 'id\tcaption\na\t"he said ""rain"""\nb\thail\n')
    corpus = opened(path)
    assert texts(corpus) == ['"he said ""rain"""', "hail"]
    assert "quoted = true" in corpus.notices[0]
    corpus = opened(path, quoted=True)
    assert texts(corpus) == ['he said "rain"', "hail"]
    assert corpus.notices == ()
    # As R writes: whatever is text is quoted, names included.
    path = put(tmp_path / "b.tsv", '"id"\t"caption"\n"a"\t"rain ""x"""\n')
    assert texts(opened(path)) == ['rain "x"']


# --- headers and delimiters ---


def test_cc3m_as_published(tmp_path: Path) -> None:
    lines = ["a bus station\thttp://x/1", "a dog barks\thttp://x/2"]
    path = put(tmp_path / "Train_GCC-training.tsv", "\n".join(lines))
    corpus = opened(path, header=False, columns=(0,))
    assert rows(corpus) == [("1", "a bus station"), ("2", "a dog barks")]
    assert rows(opened(path, header=False, columns=(0,), id_column=1))[1][0] == "http://x/2"
    for options in ({}, {"header": False}):
        with pytest.raises(DataError, match="which column") as caught:
            opened(path, **options)
        assert "column = 0" in caught.value.fix
    with pytest.raises(DataError, match="no column 'caption'") as caught:
        opened(path, columns=("caption",))
    assert "header = false" in caught.value.fix
    with pytest.raises(DataError, match="no column 2"):
        opened(path, header=False, columns=(2,))


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
@pytest.mark.parametrize("captions", [["a dog barks", "rain"], ["rain", "wind", "hail"]])
def test_a_file_of_one_column_without_a_header_loses_no_caption(
    tmp_path: Path, suffix: str, captions: list[str]
) -> None:
    path = put(tmp_path / f"a.{suffix}", "\n".join(captions))
    with pytest.raises(DataError, match="which column") as caught:
        opened(path)
    assert "header = false" in caught.value.fix
    corpus = opened(path, header=False)
    assert rows(corpus) == [(str(i), text) for i, text in enumerate(captions, start=1)]
    assert texts(opened(path, columns=(captions[0],))) == captions[1:]


def test_a_name_that_may_be_a_caption_is_reported(tmp_path: Path) -> None:
    corpus = opened(put(tmp_path / "a.csv", "utterance\na dog barks\n"))
    assert texts(corpus) == ["a dog barks"]
    assert "'utterance', is taken for the name of its column" in corpus.notices[0]


@pytest.mark.parametrize("sep", [";", "\t", "|"])
def test_other_delimiters_under_csv(tmp_path: Path, sep: str) -> None:
    lines = [f"id{sep}caption", f"a{sep}rain, then wind", f"b{sep}hail"]
    path = put(tmp_path / "a.csv", "\n".join(lines))
    corpus = opened(path, id_column="id")
    assert rows(corpus) == [("a", "rain, then wind"), ("b", "hail")]
    assert "is read as separated by" in corpus.notices[0]
    assert opened(path, id_column="id", delimiter=sep).notices == ()
    table = put(tmp_path / "b.csv", "\n".join([f"id{sep}alt", *lines[1:]]))
    assert texts(opened(table, columns=("alt",))) == ["rain, then wind", "hail"]
    with pytest.raises(DataError, match="which column") as caught:
        opened(table)
    assert caught.value.why == "its columns: id, alt"
    bare = put(tmp_path / "c.csv", "\n".join(lines[1:]).replace(", ", " "))
    assert texts(opened(bare, header=False, columns=(1,))) == ["rain then wind", "hail"]
    with pytest.raises(DataError, match="which column") as caught:
        opened(bare, header=False)
    assert "column = 0" in caught.value.fix


def test_a_delimiter_that_the_first_line_declares(tmp_path: Path) -> None:
    corpus = opened(put(tmp_path / "a.csv", "sep=;\nid;caption\na;rain, wind\n"), id_column="id")
    assert rows(corpus) == [("a", "rain, wind")]
    assert corpus.notices == ()


def test_commas_under_tsv(tmp_path: Path) -> None:
    path = put(tmp_path / "a.tsv", 'id,caption\na,"rain, wind"\n')
    corpus = opened(path)
    assert texts(corpus) == ["rain, wind"]
    assert "separated by commas" in corpus.notices[0]


def test_a_name_that_is_there_twice(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", "id,alt,alt\na,rain,wind\n")
    with pytest.raises(DataError, match="2 times") as caught:
        opened(path, columns=("alt",))
    assert "column = 1" in caught.value.fix
    assert texts(opened(path, columns=(2,))) == ["wind"]


def test_usual_names_that_are_there_twice(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", "id,caption,Caption\na,rain,wind\n")
    with pytest.raises(DataError, match="which column") as caught:
        opened(path)
    assert "column = 1" in caught.value.fix
    assert texts(opened(path, columns=("Caption",))) == ["wind"]


def test_names_in_another_unicode_form(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", "id,le\u0301gende\na,rain\n")
    assert texts(opened(path, columns=("l\u00e9gende",))) == ["rain"]


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.parquet"])
@pytest.mark.parametrize("options", [{"header": False}, {"delimiter": ";"}, {"quoted": True}])
def test_what_is_said_of_tables_is_refused_for_other_files(
    tmp_path: Path, name: str, options: dict[str, object]
) -> None:
    with pytest.raises(UsageError, match="says nothing about"):
        opened(put(tmp_path / name, "x"), **options)


def test_bad_rows_never_take_the_id_of_another(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", "id,caption\n2,rain\nbroken\n1,wind\n")
    corpus = opened(path, id_column="id")
    assert rows(corpus) == [("2", "rain"), ("1", "wind")]
    assert [bad.id for bad in corpus.bad()] == ["row 2"]


# --- records ---


def test_keys_that_are_not_captions_are_none(tmp_path: Path) -> None:
    urls = [{"url": "http://x/1"}, {"url": "http://x/2"}]
    with pytest.raises(DataError, match="which column") as caught:
        opened(put(tmp_path / "a.jsonl", "\n".join(map(json.dumps, urls))))
    assert "url" in caught.value.why
    later = [*urls, {"url": "http://x/3", "caption": "rain"}]
    corpus = opened(put(tmp_path / "b.jsonl", "\n".join(map(json.dumps, later))))
    assert rows(corpus) == [("3", "rain")]
    assert corpus.skipped.n_bad == 2
    corpus = opened(tmp_path / "a.jsonl", columns=("url",))
    assert texts(corpus) == ["http://x/1", "http://x/2"]


def test_keys_that_are_there_twice(tmp_path: Path) -> None:
    path = put(tmp_path / "a.jsonl", '{"caption": "rain", "caption": "wind"}\n{"caption": "hail"}')
    corpus = opened(path)
    assert texts(corpus) == ["hail"]
    assert "a key is repeated" in corpus.skipped.first[0].why


# --- encodings and line breaks ---

_FILES = {
    "a.txt": "rain\nStraße\n",
    "a.csv": "caption,id\nrain,a\nStraße,b\n",
    "a.tsv": "caption\tid\nrain\ta\nStraße\tb\n",
    "a.jsonl": '{"caption": "rain"}\n{"caption": "Straße"}\n',
}
_MARKS = {
    "utf-8": codecs.BOM_UTF8,
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
}


@pytest.mark.parametrize("name", list(_FILES))
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", list(_MARKS))
def test_any_mark_and_line_break_gives_the_same_corpus(
    tmp_path: Path, name: str, end: str, encoding: str
) -> None:
    data = _MARKS[encoding] + _FILES[name].replace("\n", end).encode(encoding)
    expected = TextCorpus("other", ["rain", "Straße"], ["1", "2"]).digest
    assert opened(put(tmp_path / name, data)).digest == expected


@pytest.mark.parametrize("name", list(_FILES))
def test_other_encodings_are_refused_with_the_line_and_the_fix(tmp_path: Path, name: str) -> None:
    path = put(tmp_path / name, _FILES[name].encode("cp1252"))
    with pytest.raises(DataError, match="1 of 2 text items cannot be used") as caught:
        opened(path, max_bad=0.01)
    assert f"{path}:{2 if name in ('a.txt', 'a.jsonl') else 3}: " in caught.value.why
    assert "iconv" in caught.value.fix


def test_a_header_in_another_encoding_is_refused(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", "Länge;caption\n1;rain\n".encode("cp1252"))
    with pytest.raises(DataError, match="cannot read captions") as caught:
        opened(path)
    assert "line 1 is not UTF-8" in caught.value.why
    assert "iconv" in caught.value.fix


def test_utf16_without_a_mark_is_not_text(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is empty"):
        opened(put(tmp_path / "a.txt", "rain\nwind\n".encode("utf-16-le")))
    with pytest.raises(DataError, match="cannot read captions") as caught:
        opened(put(tmp_path / "a.csv", "caption\nwind\n".encode("utf-16-le")))
    assert "NUL" in caught.value.why


def test_a_cut_utf16_file_is_refused(tmp_path: Path) -> None:
    data = codecs.BOM_UTF16_LE + "rain\nwind".encode("utf-16-le")[:-1]
    with pytest.raises(DataError, match="cannot read captions") as caught:
        opened(put(tmp_path / "a.txt", data))
    assert "utf-16" in caught.value.why


def test_form_feeds_and_line_separators_are_part_of_a_caption(tmp_path: Path) -> None:
    odd = "rain\x0c\u2028\x85wind"
    assert texts(opened(put(tmp_path / "a.txt", f"{odd}\nhail\n"))) == [odd, "hail"]
    assert texts(opened(put(tmp_path / "a.csv", f"id,caption\n1,{odd}\n2,hail\n"))) == [odd, "hail"]


def test_blank_lines_are_counted(tmp_path: Path) -> None:
    corpus = opened(put(tmp_path / "a.txt", "rain\n\n \nwind\n"))
    assert corpus.notices == ("text corpus: 'a.txt': 2 blank lines give no caption",)


@pytest.mark.parametrize("sep", ["^", ":", "~", "\x01", " - "])
def test_columns_separated_by_something_else_are_not_a_single_column(
    sep: str, tmp_path: Path
) -> None:
    path = put(tmp_path / "a.csv", f"url{sep}caption\nhttp://x/1{sep}a dog\nhttp://x/2{sep}a cat\n")
    with pytest.raises(DataError, match="which column"):
        opened(path)


@pytest.mark.parametrize(
    ("text", "suffix", "options"),
    [
        ("1.jpg#0\ta dog\n1.jpg#1\ta cat\n", "tsv", {"columns": (1,), "header": False}),
        ("image,caption\n1.jpg,a dog\n1.jpg,a cat\n", "csv", {}),
    ],
)
def test_a_plain_text_that_is_a_table_is_not_read_as_captions(
    text: str, suffix: str, options: dict[str, object], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="is a table, not lines of captions") as caught:
        opened(put(tmp_path / "captions.txt", text))
    assert "header = false and column = 1" in caught.value.fix
    table = opened(put(tmp_path / f"captions.{suffix}", text), **options)
    assert [value for _, value in rows(table)] == ["a dog", "a cat"]


def test_tabs_in_lines_of_text_are_reported(tmp_path: Path) -> None:
    corpus = opened(put(tmp_path / "a.txt", "1.jpg#0\ta dog\n2\ta cat\nno tab\n"))
    assert len(corpus) == 3
    assert "2 lines hold tabs" in corpus.notices[0]
    assert ".tsv" in corpus.notices[0]
