"""Tables of captions: every line is found or counted, whatever is in the file."""

import codecs
import io
import re
from pathlib import Path

import pyarrow as pa
import pytest
from fuzzing import fuzz, mutated, usable_or_refused
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import compute, parquet

from reactions.core.errors import DataError, MolspaceError
from reactions.core.storage import find
from reactions.data.scan_cache import TableCache
from reactions.data.sources.captions import texts_part
from reactions.data.sources.config import Source
from reactions.data.sources.parts import TextPart

assert compute  # loaded before memory is limited

_SPANS = re.compile(r"(\d+) of its rows span (\d+) lines")


def read(path: Path, data: bytes, **options: object) -> TextPart | MolspaceError:
    path.write_bytes(data)
    source = Source(paths=(str(path),), **options)
    return usable_or_refused(
        lambda: texts_part("fuzz", find(str(path)), source, tables=TableCache()),
        max_extra_bytes=1 << 30,
    )


def n_joined(part: TextPart) -> int:
    """Lines that belong to the row begun before, as the user is told."""
    spans = [_SPANS.search(remark) for remark in part.table.facts.get("notices", ())]
    return sum(int(match[2]) - int(match[1]) for match in spans if match)


# --- lines of tables ---

_CELL = st.one_of(
    st.text(st.sampled_from('abc "'), max_size=6),
    st.sampled_from(
        ['"', '""', '"a"', '"a', 'a"', "rain, wind", "\0", "\u2028", "\x0c", "é", "\ufeff", "", "1"]
    ),
)
_BREAK = st.sampled_from(["\n", "\n", "\r\n", "\r", "\n\n", "\n \n"])


@st.composite
def tables(draw: st.DrawFn, delimiter: str) -> bytes:
    """Draw a table of two columns whose cells and rows are often broken; bytes, too."""
    text = f"id{delimiter}caption\n"
    for _ in range(draw(st.integers(1, 12))):
        cells = draw(st.lists(_CELL, min_size=1, max_size=3))
        if draw(st.booleans()):
            cells = [f"x{draw(_CELL)}", draw(_CELL)]
        text += delimiter.join(cells) + draw(_BREAK)
    encoding = draw(st.sampled_from(["utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1"]))
    return text.encode(encoding, "replace")


def n_lines(data: bytes) -> int:
    """Count the lines that are not blank, with the header."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        data = data.decode("utf-16").encode()
    return sum(bool(line.strip()) for line in data.removeprefix(codecs.BOM_UTF8).splitlines())


@pytest.mark.parametrize(
    ("suffix", "delimiter", "quoted"),
    [
        ("csv", ",", None),
        ("csv", ";", None),
        ("csv", ",", False),
        ("csv", ",", True),
        ("tsv", "\t", None),
        ("tsv", "\t", True),
    ],
)
def test_every_row_is_found_or_counted(
    tmp_path: Path, suffix: str, delimiter: str, quoted: bool | None
) -> None:
    n_read = 0

    @fuzz
    @given(tables(delimiter))
    def check(data: bytes) -> None:
        nonlocal n_read
        part = read(tmp_path / f"a.{suffix}", data, quoted=quoted)
        if isinstance(part, MolspaceError):
            assert "no captions in" in part.what  # nothing but blank lines
            assert n_lines(data) == 1
            return
        n_read += 1
        if not quoted:  # rows that are trusted may span lines untold
            assert len(part) + n_joined(part) == n_lines(data) - 1
        good = part.good
        texts = list(part.table.strings("text"))
        assert all(texts[row].strip() for row in good.nonzero()[0])
        assert len(set(part.table.strings("id"))) == len(part)

    check()
    assert n_read


@pytest.mark.parametrize("suffix", ["csv", "tsv", "txt"])
def test_any_bytes_are_read_or_refused(tmp_path: Path, suffix: str) -> None:
    good = 'id,caption\n1,rain\n2,"wind, or\nhail"\n3,Straße\n'.replace(
        ",", "\t" if suffix == "tsv" else ","
    )

    @fuzz
    @given(st.one_of(mutated(good.encode()), mutated(good.encode("utf-16")), st.binary()))
    def check(data: bytes) -> None:
        read(tmp_path / f"a.{suffix}", data)
        read(tmp_path / f"a.{suffix}", data, header=suffix == "txt", id_column="")

    check()


@fuzz
@given(st.binary(max_size=200))
def test_every_line_of_a_text_is_found_or_counted(tmp_path_factory, data: bytes) -> None:
    part = read(tmp_path_factory.getbasetemp() / "lines.txt", data)
    if isinstance(part, MolspaceError):
        assert data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) or n_lines(data) == 0
    elif not data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        assert len(part) == n_lines(data)


@pytest.mark.parametrize(("size_bytes", "usable"), [(1 << 26, True), (8 << 30, False)])
def test_a_line_of_gigabytes_takes_none(tmp_path: Path, size_bytes: int, usable: bool) -> None:
    path = tmp_path / "a.csv"
    with path.open("wb") as stream:
        stream.write(b'caption\n"')
        stream.seek(size_bytes)  # a hole: it takes no disk
        stream.write(b'"\nrain\n')
    source = Source(paths=(str(path),))
    part = usable_or_refused(
        lambda: texts_part("fuzz", find(str(path)), source, tables=TableCache()),
        max_extra_bytes=1 << 28,
    )
    if usable:
        assert isinstance(part, TextPart)
        assert (len(part), int(part.good.sum())) == (2, 1)
    else:
        assert isinstance(part, DataError)
        assert "line 2 has no end within 256 MiB" in part.why


# --- parquet ---


def packed(table: pa.Table, **options: object) -> bytes:
    stream = io.BytesIO()
    parquet.write_table(table, stream, **{"compression": "zstd", **options})
    return stream.getvalue()


def repeated(text: str, times: int) -> pa.Array:
    """An array that holds a text once and says so often that it is the value."""
    return pa.DictionaryArray.from_arrays(pa.array([0] * times, pa.int32()), pa.array([text]))


_GOOD = packed(
    pa.table({"id": ["a", "b", "c"], "caption": [["rain", "wind"], ["hail"], ["Straße"]]}),
    row_group_size=2,
)


def test_mutated_parquet_is_read_or_refused(tmp_path: Path) -> None:
    backwards = mutated(_GOOD[::-1]).map(lambda data: data[::-1])  # what counts is at the end

    @fuzz
    @given(st.one_of(mutated(_GOOD), backwards))
    def check(data: bytes) -> None:
        read(tmp_path / "a.parquet", data, id_column="id")

    check()


def _shared_prefixes() -> bytes:
    texts = [f"{'w' * 500_000}{i}" for i in range(1200)]
    encoding = {"caption": "DELTA_BYTE_ARRAY"}
    return packed(pa.table({"caption": texts}), use_dictionary=False, column_encoding=encoding)


def _long_list() -> pa.Array:
    return pa.ListArray.from_arrays(
        pa.array([0, 500_000], pa.int32()), repeated("x" * 99_999, 500_000)
    )


BOMBS = {
    "a long text 100,000 times": lambda: packed(
        pa.table({"caption": repeated("x" * (2 << 20), 100_000)})
    ),
    "a page of more than 256 MiB": lambda: packed(
        pa.table({"caption": pa.array(["x" * (1 << 25)] * 9)}),
        use_dictionary=False,
        write_statistics=False,
    ),
    "a long id": lambda: packed(
        pa.table({"caption": repeated("rain", 100_000), "id": repeated("x" * 99_999, 100_000)})
    ),
    "rows without an end": lambda: packed(pa.table({"caption": pa.nulls(20_000_000, pa.string())})),
    "a list without an end": lambda: packed(pa.table({"captions": _long_list()})),
    "a structure": lambda: packed(
        pa.table({"text": pa.StructArray.from_arrays([repeated("x" * 99_999, 100_000)], ["text"])})
    ),
    "texts that begin alike": _shared_prefixes,
}


@pytest.mark.parametrize("name", list(BOMBS))
def test_small_files_that_stand_for_gigabytes_are_refused(tmp_path: Path, name: str) -> None:
    data = BOMBS[name]()
    assert len(data) < 1 << 17
    outcome = read(tmp_path / "a.parquet", data, id_column="id" if "id" in name else "")
    assert isinstance(outcome, DataError)
    assert "stands for more than its size allows" in outcome.what


def test_texts_that_repeat_as_people_repeat_them_are_read(tmp_path: Path) -> None:
    texts = [f"a caption of some length, number {i // 5}" for i in range(20_000)]
    part = read(tmp_path / "a.parquet", packed(pa.table({"caption": texts})))
    assert isinstance(part, TextPart)
    assert len(part) == 20_000
