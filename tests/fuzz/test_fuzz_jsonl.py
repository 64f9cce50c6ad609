"""Records and manifests, one a line: every line is found or counted, whatever is in it."""

import json
from pathlib import Path

from fuzzing import fuzz, mutated, usable_or_refused
from hypothesis import given
from hypothesis import strategies as st

from reactions.core.errors import MolspaceError
from reactions.core.storage import find
from reactions.data.manifest import read_items
from reactions.data.scan_cache import TableCache
from reactions.data.sources.captions import texts_part
from reactions.data.sources.config import Source
from reactions.data.sources.corpus import open_corpus
from reactions.data.sources.parts import TextPart

_VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=5),
        st.sampled_from(["rain", "\ud800", "\0", "a.wav", "~nobody/x", "\u2028", "x" * 300]),
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "caption", "text", "audio", "modality", "path", "digest", ""]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
_ODD = [
    b"",
    b" ",
    b"null",
    b"[" * 2000,
    b'{"caption": "rain"',
    b'{"caption": "a", "caption": "b"}',
    b"\xff\xfe",
    b"\x00",
    b"1" * 5000,
    b'{"id": ' + b"9" * 5000 + b', "caption": "x"}',
    b"rain and wind",
]
_LINES = st.lists(
    st.one_of(
        _VALUES.map(lambda value: json.dumps(value).encode()),
        st.sampled_from(_ODD),
        mutated(b'{"id": "a", "caption": "rain"}', head_bytes=30),
    ),
    max_size=8,
)
_BREAKS = st.sampled_from([b"\n", b"\r\n", b"\r"])


def numbers(data: bytes) -> set[int]:
    """Return the numbers of the lines that are not blank."""
    return {i for i, line in enumerate(data.splitlines(), start=1) if line.strip()}


@fuzz
@given(_LINES, _BREAKS, st.sampled_from(["", "id"]))
def test_every_record_is_found_or_counted(
    tmp_path_factory, lines: list[bytes], end: bytes, id_column: str
) -> None:
    data = b'{"id": "first", "caption": "rain"}' + end + end.join(lines)
    path = tmp_path_factory.getbasetemp() / "fuzz.jsonl"
    path.write_bytes(data)
    source = Source(paths=(str(path),), id_column=id_column)
    part = usable_or_refused(
        lambda: texts_part("fuzz", find(str(path)), source, tables=TableCache())
    )
    if isinstance(part, MolspaceError):
        assert "ids, first" in part.what  # which is refused: two lines have the same id
        return
    assert isinstance(part, TextPart)
    places = {int(place.rpartition(":")[2]) for place in part.table.strings("place")}
    assert places == numbers(data)


@fuzz
@given(_LINES, _BREAKS)
def test_every_line_of_a_manifest_is_an_item_or_a_problem(lines: list[bytes], end: bytes) -> None:
    split = end.join(lines).splitlines()
    outcome = usable_or_refused(lambda: list(read_items(split, base=Path("/nowhere"))))
    assert isinstance(outcome, list)
    assert len(outcome) == len(numbers(end.join(lines)))


@fuzz
@given(_LINES, _BREAKS, st.sampled_from(["text", "audio"]))
def test_manifests_are_corpora_or_refused(
    tmp_path_factory, lines: list[bytes], end: bytes, modality: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "manifest.jsonl"
    path.write_bytes(end.join([b'{"id": "first", "text": "rain"}', *lines]))
    source = Source(manifest=path, max_bad=1.0)
    usable_or_refused(lambda: open_corpus("fuzz", modality, [source], tables=TableCache()))
