"""On which devices an entry's rows were made: what can make them differ in rounding."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from reactions.core.hashing import JSON


@dataclass(frozen=True, slots=True)
class Hardware:
    """A device, as far as its arithmetic goes.

    Attributes:
        kind: ``"cpu"`` or ``"cuda"``.
        name: as its driver or the system names it; "" where it does not.
    """

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}".rstrip()


@dataclass(frozen=True, slots=True)
class MadeBy:
    """Rows and the device that made them; rows that are reused, or of earlier versions, have none.

    Attributes:
        hardware: the device.
        start: first row.
        stop: row after the last; None for a result that is not made by rows.
    """

    hardware: Hardware
    start: int
    stop: int | None

    def to_json(self) -> JSON:
        """Return the JSON object that ``parse`` reads."""
        rows = None if self.stop is None else [self.start, self.stop]
        return {"kind": self.hardware.kind, "name": self.hardware.name, "rows": rows}


def parse(value: JSON) -> tuple[MadeBy, ...]:
    """Read a list of JSON objects; () for None.

    Raises:
        TypeError: it is something else.
        LookupError: a field is missing.
    """
    parts = []
    for part in [] if value is None else value:
        kind, name, rows = part["kind"], part["name"], part["rows"]
        start, stop = (0, None) if rows is None else rows
        is_range = type(start) is int and (stop is None or type(stop) is int)
        if not (isinstance(kind, str) and isinstance(name, str) and is_range):
            raise TypeError(f"{part!r:.80} is not rows of a device")
        parts.append(MadeBy(Hardware(kind, name), start, stop))
    return tuple(parts)


def joined(parts: Iterable[MadeBy]) -> tuple[MadeBy, ...]:
    """Return the same with neighbouring rows of one device as one.

    Args:
        parts: rows in ascending order.
    """
    merged: list[MadeBy] = []
    for part in parts:
        last = merged[-1] if merged else None
        if last is not None and (last.hardware, last.stop) == (part.hardware, part.start):
            merged[-1] = MadeBy(last.hardware, last.start, part.stop)
        else:
            merged.append(part)
    return tuple(merged)


def mixture(parts: Iterable[MadeBy]) -> str:
    """Say which devices made how many rows, where there are several; else ""."""
    rows: dict[Hardware, int] = {}
    for part in parts:
        rows[part.hardware] = rows.get(part.hardware, 0) + (part.stop or 0) - part.start
    if len(rows) < 2:
        return ""
    return ", ".join(f"{hardware} ({n:,} rows)" for hardware, n in rows.items())
