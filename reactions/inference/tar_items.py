"""Items of WebDataset shards, read once, in order, in constant memory."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, Final

from reactions.core.addresses import Entry, is_url
from reactions.core.hashing import bytes_digest
from reactions.core.storage import Blob, check_unchanged, open_in_order
from reactions.core.text_lines import NOT_UTF8, decode_text
from reactions.core.types import Item, Modality
from reactions.data.manifest import Problem
from reactions.data.sources.tar_index import split_member
from reactions.data.sources.text_values import captions_in, parse_json
from reactions.data.tar_members import TarMember, tar_members
from reactions.inference.place_contents import PlaceContents
from reactions.modalities.encoded import too_large
from reactions.modalities.suffixes import may_hold, modality_of, suffix_of
from reactions.modalities.text import TEXT

_TEXTS: Final = (".txt", ".caption", ".text", ".json")
_MAX_TEXT_BYTES: Final = 1 << 24

_MOST_FILES: Final = 1000
"""Of a sample; what follows counts as another, for they are held together."""

_HELD_MEMBER_BYTES: Final = 1 << 20
_HELD_BYTES: Final = 1 << 27
"""Of a remote tar, smaller members wait in memory to be decoded, so many bytes of them together;
the others are asked for again then."""


@dataclass(frozen=True, slots=True)
class HeldMember(Blob):
    """A member of a remote tar whose bytes are here until they are read.

    Attributes:
        held: the bytes.
    """

    held: _Held | None = field(default=None, compare=False, repr=False)

    def read(self) -> bytes:
        """Return the bytes: those held, or, the second time, the tar's.

        Raises:
            DataError: the tar cannot be read, or has changed.
        """
        data = self.held.take() if self.held else None
        return data if data is not None else Blob.read(self)


class _Room:
    """How many bytes are held, of all tars."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a collection may free bytes while this thread adds some
        self._held_bytes = 0

    def add(self, size_bytes: int) -> bool:
        """Count bytes, if there is room for them."""
        with self._lock:
            if self._held_bytes + size_bytes > _HELD_BYTES:
                return False
            self._held_bytes += size_bytes
            return True

    def free(self, size_bytes: int) -> None:
        """Count bytes no longer."""
        with self._lock:
            self._held_bytes -= size_bytes


_ROOM: Final = _Room()


class _Held:
    """Bytes that count until they are taken, or dropped."""

    def __init__(self, data: bytes) -> None:
        self._data: bytes | None = data

    def take(self) -> bytes | None:
        data, self._data = self._data, None
        if data is not None:
            _ROOM.free(len(data))
        return data

    def __del__(self) -> None:
        self.take()


_LOOSE: Final = "without an ending"
_SHOWN = 6
"""How many kinds of files that were left out are named."""


class TarItems:
    """The items of a tar: each file of a sample that holds a modality of the space.

    An item's id is its sample's key. A sample's picture and its caption are two items of one id; of
    two pictures, ``KEY.left.jpg`` and ``KEY.right.jpg``, each is called by its own name too.

    Args:
        shard: the tar.
        modalities: that the space embeds.
        only: the modality that is taken; None takes all.
    """

    def __init__(
        self, shard: Entry, modalities: Collection[Modality], only: Modality | None = None
    ) -> None:
        self._shard = shard
        self._modalities = modalities
        self._only = only
        self._samples = 0
        self._counts: Counter[Modality] = Counter()
        self._other_endings: Counter[str] = Counter()
        self._loose = 0

    def __iter__(self) -> Iterator[Item | Problem]:
        """Yield the items in order, and a problem for each that cannot be one.

        Raises:
            DataError: the tar is damaged, cut short, compressed or has changed.
        """
        with open_in_order(self._shard) as stream:
            for key, members in self._grouped(stream):
                self._samples += 1
                yield from self._sample(key, members, stream)
        check_unchanged(self._shard)

    @property
    def contents(self) -> PlaceContents:
        """What the tar held, and what of it was left out."""
        counts = ", ".join(f"{n} {modality}" for modality, n in sorted(self._counts.items()))
        samples = "1 sample" if self._samples == 1 else f"{self._samples} samples"
        left_out = [f"{n} {ending}" for ending, n in self._other_endings.most_common(_SHOWN)]
        if more := sum(n for _, n in self._other_endings.most_common()[_SHOWN:]):
            left_out.append(f"{more} of other kinds")
        left_out += [f"{self._loose} {_LOOSE}"] if self._loose else []
        rest = f"; left out: {', '.join(left_out)}" if left_out else ""
        name = self._shard.name
        sentence = f"{name} holds {samples}: {counts or 'nothing to embed'}{rest}"
        other_counts = dict(self._other_endings) | ({_LOOSE: self._loose} if self._loose else {})
        return PlaceContents(name, "tar", dict(self._counts), other_counts, sentence)

    def _grouped(self, stream: BinaryIO) -> Iterator[tuple[str, list[_Member]]]:
        """Yield the files of each sample, which lie behind one another."""
        key, group = "", list[_Member]()
        for member in tar_members(stream, self._shard.url, self._shard.size_bytes):
            member_key, rest = split_member(member.name)
            if not member_key:
                self._loose += not member.name.rpartition("/")[2].startswith(".")
                continue
            if group and (member_key != key or len(group) >= _MOST_FILES):
                yield key, group
                group = []
            key = member_key
            modality = self._modality(rest)
            value = self._value(member, stream) if modality and modality != TEXT.name else None
            group.append(_Member(rest, member, modality, value))
        if group:
            yield key, group

    def _modality(self, rest: str) -> Modality | None:
        """Return what a file of a sample is taken for; None for what is left out."""
        name = f"x.{rest}"
        if suffix_of(name) in _TEXTS:
            modality: Modality | None = TEXT.name
        elif self._only is not None and may_hold(name, self._only):
            modality = self._only
        else:
            modality = modality_of(name)
        is_embedded = self._only in (None, modality) and modality in self._modalities
        return modality if is_embedded else None

    def _value(self, member: TarMember, stream: BinaryIO) -> Blob:
        url, (name, offset, size_bytes) = self._shard.url, member
        plain = Blob(url, offset, size_bytes, name)
        if not is_url(url) or size_bytes > _HELD_MEMBER_BYTES or not _ROOM.add(size_bytes):
            return plain
        stream.seek(offset)
        data = stream.read(size_bytes)
        tag = f"file:{bytes_digest(data)}"
        return HeldMember(url, offset, size_bytes, name, tag, _Held(data))

    def _sample(
        self, key: str, members: list[_Member], stream: BinaryIO
    ) -> Iterator[Item | Problem]:
        texts = [member for member in members if member.modality == TEXT.name]
        media = [member for member in members if member.value is not None]
        several = Counter(member.modality for member in media)
        names = Counter((member.modality, _called(key, member)) for member in media)
        for member in members:
            if member.modality is None:
                self._other_endings[suffix_of(f"x.{member.rest}")] += 1
        for member in media:
            assert member.modality is not None
            id = key if several[member.modality] == 1 else _called(key, member)
            if names[member.modality, _called(key, member)] > 1 and several[member.modality] > 1:
                what = ", ".join(other.rest for other in media if other.modality == member.modality)
                yield Problem(0, id, f"several {member.modality} files of one name: {what}")
            elif why := too_large(member.place.size_bytes):
                yield Problem(0, id, why)
            else:
                self._counts[member.modality] += 1
                yield Item(id, member.modality, member.value, True)
        yield from self._captions(key, texts, stream)

    def _captions(
        self, key: str, texts: list[_Member], stream: BinaryIO
    ) -> Iterator[Item | Problem]:
        """Yield a sample's captions: those of the first of its files that may hold any."""
        texts = sorted(texts, key=lambda m: (_TEXTS.index(suffix_of(f"x.{m.rest}")), m.rest))
        for number, member in enumerate(texts):
            ending = suffix_of(f"x.{member.rest}")
            pairs: list[tuple[str, str]] = [] if number else self._read_text(member, stream)
            if ending == ".json" and all(not text for text, _ in pairs):
                pairs = []  # facts about the sample
            if not pairs:
                self._other_endings[ending] += 1
            for i, (text, why) in enumerate(pairs):
                id = key if len(pairs) == 1 else f"{key}/{i}"
                if why:
                    yield Problem(0, id, why)
                else:
                    self._counts[TEXT.name] += 1
                    yield Item(id, TEXT.name, text, True, self._shard.url)

    def _read_text(self, member: _Member, stream: BinaryIO) -> list[tuple[str, str]]:
        """Return the captions of a file, each with why it cannot be used."""
        if member.place.size_bytes > _MAX_TEXT_BYTES:
            return [("", f"longer than {_MAX_TEXT_BYTES} bytes")]
        stream.seek(member.place.offset)
        data = stream.read(member.place.size_bytes)
        if suffix_of(f"x.{member.rest}") == ".json":
            record, why = parse_json(data)
            return captions_in(record) if record is not None else [("", why)]
        try:
            return captions_in(decode_text(data))
        except UnicodeDecodeError:
            return [("", NOT_UTF8)]


@dataclass(frozen=True, slots=True)
class _Member:
    """A file of a sample.

    Attributes:
        rest: its name behind the key.
        place: where it is in the tar.
        modality: what it is taken for; None if it is left out.
        value: of media.
    """

    rest: str
    place: TarMember
    modality: Modality | None
    value: Blob | None


def _called(key: str, member: _Member) -> str:
    """Return the id of one of several files of a modality: ``KEY.left`` of ``KEY.left.jpg``."""
    middle = member.rest.rpartition(".")[0]
    return f"{key}.{middle}" if middle else key
