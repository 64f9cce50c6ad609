"""Entries listed by what they share: equal steps that were run on different corpora.

The index is a text file, a line an entry: its key, and the digest of its preimage without the
corpus. It is a cache of what the manifests say. Several processes append to it at once, and
other versions of molspace publish entries without it: so an entry that is not listed is looked
up in its manifest and listed then, a line that cannot be read counts as missing, and what a
line says is checked against the manifest before it is used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from reactions.core.hashing import digest
from reactions.core.types import Digest
from reactions.store.files import replace_text
from reactions.store.layout import MANIFEST_JSON
from reactions.store.located import LocatedStore
from reactions.store.manifest import EntryManifest
from reactions.store.partial import SHARD_JSON

CORPUS = "corpus"
"""The parameter of a step that says what its rows were made of."""

_NONE = "-" * 64  # of no corpus; as long as a digest, so that all lines are of one length
_LINE = re.compile(rf"([0-9a-f]{{64}}) ([0-9a-f]{{64}}|{_NONE})")


def without_corpus(kind: str, preimage: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return all that made a step's rows but the corpus; None where there was none."""
    params = preimage.get("params")
    if not isinstance(params, Mapping) or not isinstance(params.get(CORPUS), str):
        return None
    other_params = {name: value for name, value in params.items() if name != CORPUS}
    return {"kind": kind, "preimage": {**preimage, "params": other_params}}


class Index:
    """The entries of a store, finished and in the making, by what made them.

    Args:
        layout: of the store.
    """

    def __init__(self, layout: LocatedStore) -> None:
        self._layout = layout

    def add(self, key: Digest, kind: str, preimage: Mapping[str, Any]) -> None:
        """List an entry; where that cannot be written, it is listed later."""
        self._append(_line(key, kind, preimage))

    def keys(self, kind: str, preimage: Mapping[str, Any]) -> list[Digest]:
        """Return, in order, the keys of entries that differ in the corpus alone.

        Entries that are not listed yet are read and listed.
        """
        listed = _parsed(self._text())
        fresh = "".join(
            _line(key, manifest.kind, manifest.preimage) for key, manifest in self._unlisted(listed)
        )
        self._append(fresh)
        listed.update(_parsed(fresh))
        name = _name(kind, preimage)
        # Steps without a corpus are all listed under _NONE: they have nothing in common.
        return sorted(key for key, other in listed.items() if other == name != _NONE)

    def prune(self) -> None:
        """Drop the lines of entries that are gone.

        A line that another process appends meanwhile may be lost; it is listed again later.
        """
        alive = {folder.name for folder in self._folders()}
        text = self._text()
        lines = "".join(f"{key} {name}\n" for key, name in _parsed(text).items() if key in alive)
        if lines != text:
            with suppress(OSError):
                replace_text(self._layout.index, lines)

    def _folders(self) -> Iterator[Path]:
        yield from self._layout.entry_folders()
        yield from self._layout.place.folders(self._layout.partial)

    def _unlisted(self, listed: Mapping[Digest, str]) -> Iterator[tuple[Digest, EntryManifest]]:
        place = self._layout.place
        entries = [f for f in self._layout.entry_folders() if f.name not in listed]
        # Damaged, or moved by another run: perhaps next time.
        for folder, data in place.load_all(entries, MANIFEST_JSON):
            with suppress(ValueError):
                yield folder.name, EntryManifest.parse(data)
        for folder in place.folders(self._layout.partial):
            if folder.name not in listed:
                with suppress(OSError, ValueError, StopIteration):
                    shard = next(iter(place.folders(folder)))
                    yield folder.name, EntryManifest.read(shard / SHARD_JSON, place)

    def _text(self) -> str:
        try:
            return self._layout.index.read_text(encoding="utf-8", errors="replace")
        except OSError:  # none yet
            return ""

    def _append(self, lines: str) -> None:
        # Appended, so that lines which other processes add at the same time stay.
        if lines:
            with suppress(OSError), self._layout.index.open("a", encoding="utf-8") as stream:
                stream.write(lines)


def _name(kind: str, preimage: Mapping[str, Any]) -> str:
    shared = without_corpus(kind, preimage)
    return _NONE if shared is None else digest("without corpus", shared)


def _line(key: Digest, kind: str, preimage: Mapping[str, Any]) -> str:
    return f"{key} {_name(kind, preimage)}\n"


def _parsed(text: str) -> dict[Digest, str]:
    matches = map(_LINE.fullmatch, text.splitlines())
    return {match[1]: match[2] for match in matches if match}
