"""Any bytes given to ``infer`` as lines or arguments give an item or a problem each."""

import io
from pathlib import Path

import numpy as np
import pytest
from fuzzing import fuzz, mutated, usable_or_refused
from hypothesis import given
from hypothesis import strategies as st

from reactions.core.errors import MolspaceError
from reactions.core.types import Item
from reactions.data.manifest import Problem
from reactions.inference.arguments import refuse_paths
from reactions.inference.inputs import read_inputs, read_stream
from reactions.inference.writers import json_lines

MODALITIES = ("audio", "image", "text")
GOOD = (
    b'\xef\xbb\xbf{"id": "rain", "text": "rain on a tin roof"}\n'
    b'{"id": 7, "modality": "audio", "path": "sounds/rain.wav", "digest": "sha256:00"}\r\n'
    b'a dog, barking\rand/or 3.5 U.S.A.\nclip.m4a\n*.wav\n~/x\n{"image": null, "id": "c"}\n'
    b'[{"text": "a"}]\n{"text": ["a"], "audio": {"b": NaN}}\n\n'
)
PIECES = st.sampled_from(
    [
        *(bytes([byte]) for byte in b'\0\r\n\t {}[]":,\\/.~*?$-0aZ'),
        *(c.encode() for c in "é東\u2028\ufeff\u202e"),
        b"\xff\xfe",
        b"\xed\xa0\x80",
        b"\\ud800",
        b'{"text": "',
        b'{"id": ',
        b'"audio": ',
        b"null",
        b"1e999",
        b"9" * 400,
        b"[" * 500,
        b"../" * 300,
        b"file:///etc/passwd",
        b"/dev/zero",
        b"clip.wav",
        b"clip.m4a",
        b"x" * 300,
    ]
)
LINES = st.one_of(mutated(GOOD, len(GOOD)), st.lists(PIECES, max_size=12).map(b"".join))


def check(entries: object) -> list[Item | Problem]:
    """Return entries that can be printed and written, whatever is in them."""
    assert isinstance(entries, list)
    items = [entry for entry in entries if isinstance(entry, Item)]
    for entry in entries:
        if isinstance(entry, Item):
            assert entry.modality in MODALITIES
        else:
            entry.message.encode()
            assert entry.message
    rows = np.zeros((len(items), 2), np.float32)
    assert json_lines(items, rows, "").count(b"\n") == len(items)
    return entries


@fuzz
@given(data=LINES, literal=st.booleans())
def test_every_line_is_an_item_or_a_problem(data: bytes, literal: bool) -> None:
    outcome = usable_or_refused(
        lambda: list(
            read_stream(
                io.BytesIO(data),
                base=Path("/nowhere"),
                modalities=MODALITIES,
                taken_as="text" if literal else None,
            )
        )
    )
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):  # UTF-16 or UTF-32, whose lines are others
        assert isinstance(outcome, list | MolspaceError)
        return
    entries = check(outcome)
    lines = [line for line in data.splitlines() if line.decode(errors="ignore").strip("\ufeff\0 ")]
    blank = [line for line in lines if not line.decode(errors="replace").strip("\ufeff").strip()]
    assert len(entries) >= len(lines) - len(blank)
    if literal:
        assert all(e.modality == "text" for e in entries if isinstance(e, Item))


@fuzz
@given(arguments=st.lists(PIECES | st.text().map(str.encode) | LINES, max_size=4))
def test_any_arguments(arguments: list[bytes]) -> None:
    # As the interpreter decodes them.
    texts = [data.replace(b"\0", b"").decode(errors="surrogateescape") for data in arguments]
    texts = [text for text in texts if text != "/dev/zero"]
    refused = usable_or_refused(lambda: refuse_paths(texts, Path("/nowhere")))
    if isinstance(refused, MolspaceError):
        assert refused.exit_code == 2
    check(
        usable_or_refused(
            lambda: list(read_inputs(texts, modalities=MODALITIES, base=Path("/nowhere")))
        )
    )


@pytest.mark.parametrize("size", [1 << 20, (1 << 20) + 1, 3 << 20])
def test_lines_of_any_length(size: int) -> None:
    data = b"a\n" + b"x" * size + b"\nb"
    stream = io.BytesIO(data)
    entries = check(
        usable_or_refused(
            lambda: list(read_stream(stream, base=Path("/nowhere"), modalities=MODALITIES)),
            max_extra_bytes=64 << 20,
        )
    )
    assert len(entries) == 3


def test_what_has_no_end_is_refused() -> None:
    with Path("/dev/zero").open("rb") as stream:
        outcome = usable_or_refused(
            lambda: list(read_stream(stream, base=Path("/nowhere"), modalities=MODALITIES)),
            max_extra_bytes=64 << 20,
        )
    assert isinstance(outcome, MolspaceError)
    assert "no line break" in outcome.why
