"""Files of labels: rows are read or refused with their line, never lost."""

import codecs
from pathlib import Path

import pytest
from media_files import put

from reactions.core.errors import DataError
from reactions.eval import label_files as module
from reactions.eval.label_files import Damaged, csv_rows, json_value, text_lines
from reactions.eval.registry import Folders, find_set


def captions(path: Path) -> list[str]:
    return [row["caption"] for row in csv_rows(path, ("id", "caption"))]


def table(*lines: str) -> str:
    return "\n".join(["id,caption", *lines])


def test_lone_quotes_are_refused_with_their_line(tmp_path: Path) -> None:
    rows = [f"{i},caption {i}" for i in range(100)]
    rows[30], rows[90] = '30,"caption 30', '90,caption 90"'
    with pytest.raises(Damaged, match=r"line 32: a quote opened in line 32 is closed in line 92"):
        captions(put(tmp_path / "a.csv", table(*rows)))
    rows[90] = "90,caption 90"
    with pytest.raises(Damaged, match=r"line 32: not csv: unexpected end of data"):
        captions(put(tmp_path / "a.csv", table(*rows)))


def test_quotes_as_published(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", table('1, "rain, then ""hail"""', '2,"a\nb"', "3,wind"))
    assert captions(path) == ['rain, then "hail"', "a\nb", "wind"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no column 'id'; it is empty"),
        ("id,caption\n", "it has no rows"),
        ("id,text\n1,rain", "no column 'caption'; its columns: id, text"),
        ("id,caption,caption\n1,a,b", "more than one column 'caption'"),
        ("id,caption\n1,a\n2", "line 3: 1 fields, the header has 2"),
        ("id,caption\n1,a,b", "line 2: 3 fields, the header has 2"),
        (b"id,caption\n1,caf\xe9", "line 2: not UTF-8"),
        ("id,caption\n1,a\0b", "line 2: not UTF-8, or with a NUL byte"),
        ('"id,caption\n1,a', "line 1: unexpected end of data"),
        (codecs.BOM_UTF16_LE + b"x", "utf-16"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path: Path, text: str | bytes, why: str) -> None:
    with pytest.raises(Damaged, match=why):
        captions(put(tmp_path / "a.csv", text))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    ("mark", "encoding"), [(codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_BE, "utf-16-be")]
)
def test_marks_and_line_breaks(tmp_path: Path, end: str, mark: bytes, encoding: str) -> None:
    odd = "rain\u2028\x0cwind"
    data = mark + table(f"1,{odd}", "2,hail").replace("\n", end).encode(encoding)
    path = put(tmp_path / "a.csv", data)
    assert captions(path) == [odd, "hail"]
    assert text_lines(path) == ["id,caption", f"1,{odd}", "2,hail"]


def test_lists_and_records_that_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Damaged, match="line 2: not UTF-8"):
        text_lines(put(tmp_path / "a.txt", b"rain\ncaf\xe9\n"))
    with pytest.raises(Damaged, match="empty"):
        text_lines(put(tmp_path / "a.txt", "\n \n"))
    with pytest.raises(Damaged):
        json_value(put(tmp_path / "a.json", "{"))
    monkeypatch.setattr(module, "MAX_BYTES", 10)
    with pytest.raises(DataError):
        json_value(put(tmp_path / "a.json", '{"a": "bcdefgh"}'))


AUDIOSET = """# Segments csv created
# num_ytids=2
# YTID, start_seconds, end_seconds, positive_labels
aaaaaaaaaaa, 0.000, 10.000, "/m/1,/m/2"
{line}
"""


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('bbbbbbbbbbb, 0.000, 10.000, "/m/1\nccccccccccc, 0.000, 10.000, "/m/2"', "bbbbbbbbbbb"),
        ('aaaaaaaaaaa, 0.000, 10.000, "/m/1"', "'aaaaaaaaaaa' is listed twice"),
    ],
)
def test_segments_are_read_line_by_line(tmp_path: Path, line: str, why: str) -> None:
    put(tmp_path / "audioset/eval_segments.csv", AUDIOSET.format(line=line))
    put(
        tmp_path / "audioset/class_labels_indices.csv",
        "index,mid,display_name\n0,/m/1,Rain\n1,/m/2,Wind\n",
    )
    with pytest.raises(DataError, match="cannot use") as caught:
        find_set("audioset", Folders(root=tmp_path)).read()
    assert why in caught.value.why
