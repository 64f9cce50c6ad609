"""What a modality is: one record that says how its items are recognised, decoded and checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, TypeAlias

from reactions.core.errors import DataError, MissingError
from reactions.core.types import Modality as Name
from reactions.modalities.undecoded import UndecodedKind
from reactions.modalities.values import value_digest, value_size_bytes

if TYPE_CHECKING:
    from reactions.modalities.encoded import Source

CheckDepth: TypeAlias = Literal["header", "full"]
"""How hard to look for damage: at header and end, or at every byte."""

CHECK_DEPTHS: tuple[CheckDepth, ...] = ("header", "full")
"""The shallower first."""


def at_least(depth: CheckDepth) -> tuple[CheckDepth, ...]:
    """Return the depths whose verdicts hold at this one, too: the deepest first, itself last."""
    return CHECK_DEPTHS[CHECK_DEPTHS.index(depth) :][::-1]


@dataclass(frozen=True, kw_only=True)
class Modality:
    """A modality: everything that the library knows of it.

    Only ``name`` is needed. Without ``decode`` the items of a modality are its encoders'
    business: their files are handed on as they are, and never looked into.

    Attributes:
        name: as written in lab files, manifests and reactions; a Python identifier.
        letter: one capital that stands for it in ``data=TVA``; "" for none.
        aliases: what else people call files of its embeddings.
        suffixes: endings of its files, lower case, with the full stop.
        shared: endings of its files that others' files have, too: they are taken for its own only
            where something else says that they are, such as a corpus, a column or a flag.
        packaged: endings, of either, of files that need a further package: in shards they are
            looked at only where they are picked.
        undecoded: kinds of files that hold it and are not decoded.
        inline: whether an item is written out where others give a path: in lines, columns, JSON.
        form: a decoded value in words, as in ``"an (h, w, 3) uint8 array"``, for messages.
        decode: an open file, at its start, and its name for messages, to a value in memory.
            Whatever it raises means that the item cannot be decoded.
        buffered: False where something else reads from the file's descriptor as well.
        proves_whole: of the same, whether header and end alone prove an item whole; False where
            only decoding it shows.
        check_all: looks for damage at every byte, and raises what it finds; None where decoding
            does. It is for media of which only a part is decoded.
        why_unusable: why a decoded value cannot be embedded, lower case, no full stop, such as
            ``"it needs a string"``; "" if it can.
        digest: a decoded value's content, as ``"TAG:"`` and 64 hex digits; "" for a value that
            is none of this modality.
        size_bytes: what a decoded value takes in memory.
        check_version: to be raised whenever a change in ``decode`` or ``proves_whole`` can change
            a verdict on a file.
    """

    name: Name
    letter: str = ""
    aliases: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    packaged: tuple[str, ...] = ()
    undecoded: tuple[UndecodedKind, ...] = ()
    inline: bool = False
    form: str = "a string, an array or a Waveform"
    decode: Callable[[BinaryIO, str], Any] | None = None
    buffered: bool = True
    proves_whole: Callable[[BinaryIO, str], bool] = lambda stream, path: False
    check_all: Callable[[BinaryIO, str], None] | None = None
    why_unusable: Callable[[Any], str] = lambda value: ""
    digest: Callable[[Any], str] = value_digest
    size_bytes: Callable[[Any], int] = value_size_bytes
    check_version: int = 0

    @property
    def takes(self) -> str:
        """What a caller may give as a value, in words."""
        return self.form if self.inline else f"a path or {self.form}"

    def load(self, source: Source, name: str = "") -> Any:
        """Decode a file, a ``Blob`` or bytes.

        Args:
            source: of the media.
            name: what bytes were called where they came from; "" is where the source lies.

        Raises:
            MediaError: it is missing, or cannot be decoded; ``fields["path"]`` names it.
            DataError: the tar or the server it lies in cannot be read.
            TypeError: nothing is known about how this modality is decoded.
        """
        if self.decode is None:
            raise TypeError(f"{self.name} is not decoded")
        return self._read(source, self.decode, name)

    def look_at_all(self, source: Source) -> None:
        """Look for damage at every byte of a file, a ``Blob`` or bytes.

        Raises:
            MediaError: some is found, or the file is missing; ``fields["path"]`` names it.
            DataError: the tar or the server it lies in cannot be read.
        """
        if self.check_all is None:
            self.load(source)
        else:
            self._read(source, self.check_all)

    def _read(self, source: Source, read: Callable[[BinaryIO, str], Any], name: str = "") -> Any:
        from reactions.modalities import encoded

        path = name or encoded.place(source)
        start: bytes | None = None
        try:
            with encoded.open_encoded(source, buffered=self.buffered) as stream:
                try:
                    return read(stream, path)
                except Exception:
                    start = encoded.first_bytes(stream)
                    raise
        # Passed on as they are: a full memory, or a package that is not installed, says nothing
        # about the file.
        except (DataError, MissingError, MemoryError):
            raise
        # Decoders raise whatever their parsers meet (struct.error, KeyError, SyntaxError, ...);
        # the set is open, and every one of them means a bad file.
        except Exception as error:
            raise encoded.undecodable(self.name, path, error, self.undecoded, start) from error

    def is_whole(self, source: Source) -> bool:
        """Return whether header and end prove an item whole; False where a full try must decide.

        Raises:
            DataError: it is certainly not, or the tar or server it lies in cannot be read.
            MissingError: what decodes it is not installed.
        """
        from reactions.modalities import encoded

        try:
            with encoded.open_encoded(source, buffered=self.buffered) as stream:
                return self.proves_whole(stream, encoded.place(source))
        except (DataError, MissingError, MemoryError):
            raise
        except Exception:  # the full try words it
            return False
