"""Rectangles that people marked in pictures: VOC's XML, and the text form of KAIST's set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from xml.parsers import expat

from reactions.core.local_files import read_small_file
from reactions.eval.label_files import Damaged
from reactions.modalities.images.crops import Rectangle

MAX_BYTES = 1 << 20
"""Of the annotations of a picture."""

MAX_MARKS = 1000
"""In a picture: places for backgrounds are tried against all of them."""

_MAX_SIDE = 1 << 16
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_SIZES = ("x", "y", "w", "h")


@dataclass(frozen=True, slots=True)
class Mark:
    """A rectangle with a name.

    Attributes:
        name: of what is marked.
        box: in the picture, as far as it says.
        hidden: whether something is in front of it.
        ignored: whether it is marked to be left alone.
    """

    name: str
    box: Rectangle
    hidden: bool = False
    ignored: bool = False


def read_marks(path: Path) -> list[Mark]:
    """Return what a file marks; nothing is a possible answer.

    Raises:
        Damaged: it is neither XML of VOC's or KAIST's kind nor KAIST's text.
        DataError: it cannot be read, or has more than ``MAX_BYTES``.
    """
    data = read_small_file(path, MAX_BYTES)
    marks = _of_xml(data) if data.lstrip().startswith(b"<") else _of_text(data)
    if len(marks) > MAX_MARKS:
        raise Damaged(f"it marks {len(marks)} objects, more than {MAX_MARKS}")
    return marks


def _of_text(data: bytes) -> list[Mark]:
    """Read lines of name, x, y, w, h, hidden, four numbers of what is seen, ignored, angle."""
    marks = []
    for line in data.decode("utf-8", "replace").splitlines():
        if not line.strip() or line.startswith("%"):
            continue
        name, *fields = line.split()
        if len(fields) < 4:
            raise Damaged(f"no rectangle in the line '{line[:60]}'")
        marks.append(
            Mark(
                name,
                _box(*fields[:4], is_size=True),
                hidden=_flag(fields, 4),
                ignored=_flag(fields, 9),
            )
        )
    return marks


def _flag(fields: list[str], place: int) -> bool:
    return len(fields) > place and fields[place] != "0"


def _box(*values: str, is_size: bool) -> Rectangle:
    try:
        numbers = [round(float(value)) for value in values]
    except (ValueError, OverflowError):
        raise Damaged(f"'{' '.join(values)[:60]}' is not a rectangle") from None
    left, top, right, bottom = numbers
    if is_size:
        right, bottom = left + right, top + bottom
    if max(map(abs, (left, top, right, bottom))) > _MAX_SIDE or right <= left or bottom <= top:
        raise Damaged(f"'{' '.join(values)[:60]}' is not a rectangle")
    return Rectangle(left, top, right, bottom)


def _of_xml(data: bytes) -> list[Mark]:
    reader = _Reader()
    try:
        reader.parser.Parse(data, True)
    except expat.ExpatError as error:
        raise Damaged(str(error)) from error
    return reader.marks


class _Reader:
    """Collects the objects of a file as they pass by: how deep it nests does not matter."""

    def __init__(self) -> None:
        self.marks: list[Mark] = []
        self._fields: dict[str, str] | None = None
        self._text = ""
        self.parser = expat.ParserCreate()
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters
        # Entities are declared there: their expansion could fill the memory.
        self.parser.StartDoctypeDeclHandler = self._doctype

    def _doctype(self, *_: object) -> None:
        raise Damaged("it declares a document type, which annotations do not")

    def _start(self, tag: str, _: object) -> None:
        if tag == "object":
            self._fields = {}
        self._text = ""

    def _characters(self, text: str) -> None:
        self._text += text

    def _end(self, tag: str) -> None:
        if self._fields is None:
            return
        if tag != "object":
            # A part's name comes after the object's own.
            self._fields.setdefault(tag, self._text.strip())
            self._text = ""
            return
        fields, self._fields = self._fields, None
        keys = _CORNERS if "xmin" in fields else _SIZES
        if "name" not in fields or any(key not in fields for key in keys):
            raise Damaged(f"an object has no name, or no {', '.join(keys)}")
        self.marks.append(
            Mark(
                fields["name"],
                _box(*(fields[key] for key in keys), is_size=keys is _SIZES),
                hidden=fields.get("occlusion", "0") != "0",
                ignored=fields.get("ignore", "0") != "0",
            )
        )
