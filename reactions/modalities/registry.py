"""The modalities that are known by name: those of molspace, and those of installed packages.

A package adds one by an entry point whose name is the modality's:

    [project.entry-points."molspace.modalities"]
    palette = "my_package:PALETTE"              # a reactions.modalities.base.Modality

It is imported when something is first looked up that molspace's own modalities do not answer.
Spaces and corpora may have modalities of any other name, too: their files are handed to encoders
as they are, and nothing can be said about them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from functools import lru_cache, partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from reactions.core.errors import DataError, MediaError, UsageError
from reactions.core.plugins import load_plugin, package_of, plugins
from reactions.core.types import Item
from reactions.core.types import Modality as Name
from reactions.modalities import noticed
from reactions.modalities.audio import AUDIO
from reactions.modalities.base import CheckDepth, Modality
from reactions.modalities.depth import DEPTH
from reactions.modalities.event import EVENT
from reactions.modalities.image import IMAGE
from reactions.modalities.once import decoded
from reactions.modalities.point import POINT
from reactions.modalities.text import TEXT
from reactions.modalities.thermal import THERMAL
from reactions.modalities.undecoded import UndecodedKind
from reactions.modalities.video import VIDEO

if TYPE_CHECKING:
    from reactions.core.file_digests import DigestCache
    from reactions.modalities.encoded import Source

GROUP = "molspace.modalities"

BUILT_IN: Mapping[Name, Modality] = {
    modality.name: modality
    for modality in (TEXT, IMAGE, AUDIO, DEPTH, THERMAL, VIDEO, EVENT, POINT)
}
"""The papers' come first, in the order in which they write their letters: TVA."""

LETTERS: Mapping[str, Name] = MappingProxyType(
    {modality.letter: modality.name for modality in BUILT_IN.values() if modality.letter}
)
"""The papers' one-letter names, as in ``data=TVA``. Canonical texts and names are written with
these alone, so that they do not depend on what is installed."""

KEYS = ("id", "digest", "modality", "path")
"""Keys of a manifest's line that are not modalities."""

READ_AS_LISTS = (".csv", ".jsonl", ".ndjson", ".parquet", ".tar", ".tsv", ".txt")
"""Endings of files that hold many items: no modality has them for its own; it may share them."""

_LETTER = re.compile(r"[A-Z]?")
_SUFFIX = re.compile(r"\.[a-z0-9]+")

_CHECK_VERSION = 2
"""Raise it whenever a change in ``check`` can change a verdict."""

_SKIP = (
    "fix it, or run molspace data check --full, with the same --lab and --data: it finds all "
    "that cannot be decoded, and later runs leave them out; one alone is left out by "
    'skip = ["{id}"] under [corpora.{modality}]; of an evaluation set, remove the file: what '
    "is missing is counted"
)


def skip(item: Item) -> str:
    """Return what helps against an item of a corpus that cannot be used."""
    return _SKIP.format(id=item.id, modality=item.modality)


def get(name: Name) -> Modality:
    """Return what is known about a modality; of one that is not registered, only its name."""
    return BUILT_IN.get(name) or installed().get(name) or Modality(name=name)


def registered() -> Mapping[Name, Modality]:
    """Return all modalities, molspace's own first."""
    return {**BUILT_IN, **installed()}


def names() -> list[Name]:
    """Return the names that a slip of the keyboard may have meant, sorted."""
    return sorted(registered())


@lru_cache(maxsize=1)
def letters() -> Mapping[str, Name]:
    """Return the letters that ``data=TVA`` may be written with, and what each stands for."""
    return {m.letter: m.name for m in registered().values() if m.letter}


@lru_cache(maxsize=1)
def suffixes() -> Mapping[str, Name]:
    """Return the endings of files that are decoded as they are, and what each holds."""
    return {suffix: m.name for m in registered().values() for suffix in m.suffixes}


@lru_cache(maxsize=1)
def undecoded() -> Mapping[str, tuple[tuple[Name, UndecodedKind], ...]]:
    """Return the endings of files that are not decoded, with each modality they may hold.

    Another modality may decode some of them: a video holds pictures, and is not one.
    """
    kinds: dict[str, tuple[tuple[Name, UndecodedKind], ...]] = {}
    for modality in registered().values():
        for kind in modality.undecoded:
            for suffix in kind.suffixes:
                kinds[suffix] = (*kinds.get(suffix, ()), (modality.name, kind))
    return kinds


@lru_cache(maxsize=1)
def aliases() -> Mapping[str, Name]:
    """Return what people call files of embeddings, in lower case, and the modality meant."""
    return {alias: m.name for m in registered().values() for alias in (m.name, *m.aliases)}


# --- items ---------------------------------------------------------------------------


def load(item: Item, modality: Modality | None = None) -> Item:
    """Return the item with its value decoded, as the record of its modality says.

    Values already in memory pass through, as do files of modalities that nothing is known about:
    their space knows how to read them.

    Args:
        item: with a value as an ``Item`` may have it.
        modality: a record to use in place of the registered one.

    Raises:
        MediaError: the file cannot be decoded; fields ``id`` and ``path`` name it.
    """
    from reactions.modalities.encoded import ENCODED

    if not isinstance(item.value, ENCODED):
        return item
    modality = modality or get(item.modality)
    if modality.decode is None:
        return item
    name = f"{item.modality} {item.id}"
    try:
        with noticed.of_item(name) if isinstance(item.value, bytes) else nullcontext():
            value = decoded(item.value, modality, partial(modality.load, item.value))
        return replace(item, value=value)
    except MediaError as error:
        error.fields["id"] = item.id
        error.fix = error.fix or skip(item)
        raise


def check(name: Name, source: Source, depth: CheckDepth = "header") -> str:
    """Return why an encoded item cannot be decoded.

    A look at the header finds empty files, other formats and absurd sizes; one at the end
    finds what was cut short, where the format shows it. Damage in the middle only a full
    try finds; formats that show nothing at their end always get one.

    Args:
        name: of the modality; items that are written out, and those of modalities that nothing
            is known about, are never at fault here.
        source: the media.
        depth: how hard to look.

    Returns:
        The reason in lower case; "" if nothing was found.

    Raises:
        TransientError: memory or a disk gave way, which says nothing about the item.
        DataError: the tar or the server it lies in cannot be read.
    """
    from reactions.core.transient import is_transient, run_again
    from reactions.modalities.encoded import place

    modality = get(name)
    if modality.decode is None or modality.inline:
        return ""
    try:
        if depth == "full":
            modality.look_at_all(source)
        elif not modality.is_whole(source):
            modality.load(source)
    except MemoryError as error:
        raise run_again(place(source), error) from error
    except MediaError as error:
        # Libraries report a full memory or a failing disk by errors of their own.
        if is_transient(error.__cause__):
            raise run_again(place(source), error.__cause__ or error) from error
        return error.why or error.what
    return ""


def check_version(name: Name) -> int:
    """Return a number that changes whenever the verdict on a file of a modality can change."""
    return _CHECK_VERSION + get(name).check_version


def check_versions() -> Any:
    """Return what changes whenever the verdict on a file that is known by its ending can change.

    Returns:
        JSON-able; depends on what is installed.
    """
    versions = {name: modality.check_version for name, modality in installed().items()}
    return [_CHECK_VERSION, versions] if versions else _CHECK_VERSION


def content_digest(item: Item, digests: DigestCache) -> str:
    """Return a tagged digest of an item's value.

    Raises:
        DataError: the file cannot be read, or the value is not of a known kind.
    """
    from pathlib import Path

    from reactions.core.hashing import bytes_digest
    from reactions.core.storage import Blob

    value = item.value
    if value is None:
        return "id"
    if isinstance(value, Path):
        return f"file:{digests.of(value)}"
    if isinstance(value, Blob):
        return value.tag or f"file:{bytes_digest(value.read())}"
    if isinstance(value, bytes):
        return f"file:{bytes_digest(value)}"
    modality = get(item.modality)
    if tag := modality.digest(value):
        return tag
    raise DataError(
        f"cannot use a value of type {type(value).__name__} as {item.modality}",
        fix=f"give {modality.takes}",
        id=item.id,
    )


# --- installed packages --------------------------------------------------------------


@lru_cache(maxsize=1)
def installed() -> Mapping[Name, Modality]:
    """Return the modalities of installed packages, by name.

    Raises:
        MissingError: one cannot be imported.
        UsageError: one is not a modality, or claims a name, a letter or an ending that another
            has.
    """
    modalities: dict[Name, Modality] = {}
    for point in plugins(GROUP):
        modality = load_plugin(point, "the modality")
        if not isinstance(modality, Modality):
            why = f"{point.value} is a {type(modality).__name__}, not a Modality"
        elif modality.name != point.name:
            why = f"{point.value} is called '{modality.name}'"
        else:
            why = _malformed(modality) or _collision(modality, {**BUILT_IN, **modalities}.values())
        if why:
            package = package_of(point)
            raise UsageError(
                f"cannot use the modality '{point.name}' of the package {package}",
                why=why,
                fix="fix or uninstall the package",
                name=point.name,
                package=package,
            )
        modalities[modality.name] = modality
    return modalities


def forget_installed() -> None:
    """Look for installed packages again when they are next needed."""
    for remembered in (installed, letters, suffixes, undecoded, aliases):
        remembered.cache_clear()


def _malformed(modality: Modality) -> str:
    """Return what a record of a modality cannot say; "" if it is well formed."""
    if not modality.name.isidentifier() or modality.name in KEYS:
        return f"'{modality.name}' cannot be the name of a modality"
    if not _LETTER.fullmatch(modality.letter):
        return f"its letter is one capital, not '{modality.letter}'"
    if modality.suffixes and modality.decode is None:
        return "it says how its files end, but not how they are decoded"
    undecoded_ones = (suffix for kind in modality.undecoded for suffix in kind.suffixes)
    for suffix in (*modality.suffixes, *modality.shared, *undecoded_ones):
        if not _SUFFIX.fullmatch(suffix):
            return f"'{suffix}' is not an ending such as '.png'"
        if suffix in READ_AS_LISTS and suffix not in modality.shared:
            return f"files that end in {suffix} are read as lists of items"
    return ""


def _collision(modality: Modality, registered: Iterable[Modality]) -> str:
    """Return which of a modality's names, letters and endings are taken; "" if none is."""
    for other in registered:
        if modality.name == other.name:
            return f"there is a modality '{other.name}' already"
        if modality.letter and modality.letter == other.letter:
            return f"the letter {modality.letter} stands for {other.name}"
        for name in (*other.aliases, other.name):
            if name in (modality.name, *modality.aliases):
                return f"'{name}' stands for {other.name}"
        for suffix in modality.suffixes:
            if suffix in other.suffixes:
                return f"files that end in {suffix} hold {other.name}"
    return ""
