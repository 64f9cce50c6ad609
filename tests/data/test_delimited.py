"""Rows of csv and tsv files: none is lost without being counted."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactions.core.text_lines import MAX_LINE_BYTES, read_lines
from reactions.data.delimited import DelimitedRow, Dialect, read_rows

CSV, TSV = Dialect(",", quoted=True), Dialect("\t", quoted=False)


def read(text: str | bytes, dialect: Dialect = CSV, n_fields: int = 2) -> list[DelimitedRow]:
    data = text.encode() if isinstance(text, str) else text
    return list(read_rows(read_lines(io.BytesIO(data), keepends=True), dialect, n_fields))


def n_lines(rows: list[DelimitedRow]) -> int:
    return sum(len(row.line_numbers) for row in rows)


def test_tabs_are_not_quoted() -> None:
    rows = read('a\t"rain\nb\twind"\nc\t"hail"\n', TSV)
    assert [list(row.fields) for row in rows] == [["a", '"rain'], ["b", 'wind"'], ["c", '"hail"']]


@pytest.mark.parametrize("n_fields", [1, 2, 3])
@pytest.mark.parametrize("column", [0, -1])
def test_two_lone_quotes_take_all_lines_between_them_out(n_fields: int, column: int) -> None:
    """Of 1,000 rows, Python's reader gives 310, and all seem well."""
    lines = [",".join([f"x{i}"] * n_fields).split(",") for i in range(1000)]
    lines[300][column] = f'"{lines[300][column]}'
    lines[990][column] += '"'
    text = "\n".join(map(",".join, lines))
    assert len(list(csv.reader(io.StringIO(text), strict=True))) == 310
    rows = read(text, n_fields=n_fields)
    assert [i for row in rows if row.why for i in row.line_numbers] == list(range(301, 992))
    assert [i for row in rows for i in row.line_numbers] == list(range(1, 1001))
    assert "opened in line 301 is closed in line 991" in rows[300].why
    assert "quoted = false" in rows[300].why


def test_two_lone_quotes_in_rows_side_by_side() -> None:
    rows = read('1,rain\n2,"wind\n3,hail"\n4,snow\n')
    assert [(row.line_numbers, bool(row.why)) for row in rows] == [
        ((1,), False),
        ((2,), True),
        ((3,), True),
        ((4,), False),
    ]


@pytest.mark.parametrize(
    ("text", "n_fields"),
    [
        ('1,"rain,\nthen wind"\n', 2),
        ('1,"rain, then\nwind, or hail"\n', 2),
        ('"rain\nthen wind",1,x\n', 3),
        ('x,"rain\n\nthen wind",1\n', 3),
        ('"rain\nthen wind"\n', 1),
        ('1,"rain\r\nthen ""wind"", at last\rand the end"\n', 2),
    ],
)
def test_fields_that_span_lines_are_one_row(text: str, n_fields: int) -> None:
    (row,) = read(text, n_fields=n_fields)
    (fields,) = csv.reader(io.StringIO(text, newline=""))
    assert (row.fields, row.why) == (fields, "")


def test_quotes_that_are_trusted_hold_whatever_they_hold() -> None:
    text = '1,"a,b\n2,c,d\n3,e"\n'
    assert len([row for row in read(text) if row.why]) == 3
    (row,) = read(text, Dialect(",", quoted=True, trusted=True))
    assert row.fields == ["1", "a,b\n2,c,d\n3,e"]


def test_faults_count_all_their_lines() -> None:
    rows = read('1,"rain\nwind\nhail" x\n2,snow\n')  # something after the closing quote
    assert [row.line_numbers for row in rows if row.why] == [(1,), (2,), (3,)]
    assert rows[-1].fields == ["2", "snow"]
    rows = read('1,rain\n2,"wind\n3,hail\n4,snow\n')  # never closed
    assert [bool(row.why) for row in rows] == [False, True, True, True]
    rows = read('1,"a\n\nb"\n', n_fields=3)  # one field too few, over two lines
    assert [(row.line_numbers, row.why) for row in rows] == [
        ((1,), "2 fields, the header has 3"),
        ((3,), "2 fields, the header has 3"),
    ]


def test_a_field_past_what_fits_counts_its_lines_and_reading_goes_on() -> None:
    inner = "x" * 1000
    text = '0,"' + f"{inner}\n" * 500 + "9,rain\n"
    rows = read(text)
    assert n_lines(rows) == 501
    assert rows[-1].fields == ["9", "rain"]
    assert "field limit" in rows[0].why


@pytest.mark.parametrize("dialect", [CSV, TSV])
def test_lines_past_the_limit_are_one_bad_row(dialect: Dialect) -> None:
    data = b"a" * (MAX_LINE_BYTES + 5) + b"\nb" + dialect.delimiter.encode() + b"c\n"
    long, good = read(data, dialect)
    assert (long.line_numbers, long.why) == ((1,), f"longer than {MAX_LINE_BYTES} bytes")
    assert good.fields == ["b", "c"]


_CELLS = st.text(st.sampled_from('ab ",\n\r;x'), max_size=8)


@given(st.lists(st.lists(_CELLS, min_size=2, max_size=2), max_size=8))
def test_what_a_writer_quotes_comes_back_or_is_counted(table: list[list[str]]) -> None:
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(table)
    text = stream.getvalue()
    trusted = read(text, Dialect(",", quoted=True, trusted=True))
    assert [list(row.fields) for row in trusted] == table
    checked = read(text)
    assert n_lines(checked) == n_lines(trusted)


@given(st.text(st.sampled_from('ab",\n\r\x00\u2028\x0c'), max_size=60))
def test_every_line_is_in_a_row_or_counted(text: str) -> None:
    n_expected = sum(bool(line.strip()) for line in text.encode().splitlines())
    for dialect in (CSV, TSV, Dialect(",", quoted=True, trusted=True)):
        rows = read(text, dialect)
        numbers = [number for row in rows for number in row.line_numbers]
        assert len(numbers) == n_expected
        assert numbers == sorted(set(numbers))
        assert all(row.why or len(row.fields) == 2 for row in rows)
