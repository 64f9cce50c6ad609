"""What endings of files say: media that are decoded, media that are not, and other files."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Protocol, TypeVar

from reactions.core.types import Modality
from reactions.modalities import registry
from reactions.modalities.undecoded import UndecodedKind


class _HasName(Protocol):
    @property
    def name(self) -> str: ...


_Named = TypeVar("_Named", bound=_HasName)

_COMPANIONS = (
    # texts and tables beside media
    "bib cfg conf cff csv doc docx htm html info ini ipynb json jsonl lock lst log md ndjson "
    "ods odt parquet pdf ppt pptx py readme rst rtf rxn sh toml tsv txt url xls xlsx xml yaml "
    "yml arrow avro db sqlite feather "
    # arrays, weights, checksums
    "bin ckpt h5 hdf5 idx index lmdb mat mdb md5 msgpack npy npz onnx pickle pkl "
    "safetensors sha1 sha256 sfv "
    # annotations of media
    "ann cls caption captions cue elan eaf lab label labels lrc m3u m3u8 pls rttm srt sub "
    "text textgrid tfrecord vtt xmp"
)
COMPANIONS = frozenset(f".{suffix}" for suffix in _COMPANIONS.split())
"""Endings of what lies beside media but is not media: it needs no mention."""


_ARCHIVES = frozenset((".7z", ".bz2", ".gz", ".rar", ".tgz", ".xz", ".zip", ".zst"))
_BESIDE = (
    "authors changelog checksums contributing copying license licence makefile manifest md5sums "
    "notice readme sha1sums sha256sums thumbs todo version"
)
_PLAIN_NAMES = frozenset(_BESIDE.split())
"""Names without an ending of what lies beside media."""


def suffix_of(name: str) -> str:
    """Return a name's ending in lower case, with its full stop; "" if it has none."""
    # Not Path(name).suffix: pathlib interns every part it sees, and names are many.
    return os.path.splitext(name)[1].lower()  # noqa: PTH122


def modality_of(name: str) -> Modality | None:
    """Return what a file's ending alone says it holds, of what is decoded."""
    return registry.suffixes().get(suffix_of(name))


def may_hold(name: str, modality: Modality) -> bool:
    """Return whether a file's ending is one of a modality's, which others may have, too."""
    record = registry.get(modality)
    suffix = suffix_of(name)
    return suffix in record.suffixes or suffix in record.shared


def sharing(name: str) -> list[Modality]:
    """Return the modalities that share a file's ending, so that it does not say which it holds."""
    suffix = suffix_of(name)
    return [
        modality for modality, record in registry.registered().items() if suffix in record.shared
    ]


def sort_out(files: Iterable[_Named], modality: Modality) -> tuple[list[_Named], dict[str, int]]:
    """Tell the files of a modality from those beside them.

    Files of an ending that is also that of lists (``.txt``) count as the modality's own only where
    no others are there: beside those they are more often lists, notes and licences. So do files of
    an ending that another modality has for its own: videos beside sounds.

    Args:
        files: with a name each.
        modality: what is looked for.

    Returns:
        Those of the modality, in order, and how many others there are, as ``count_others`` says.
    """
    files = list(files)
    possible = [file for file in files if may_hold(file.name, modality)]
    plain = [file for file in possible if suffix_of(file.name) not in registry.READ_AS_LISTS]
    names = set(without_borrowed([file.name for file in plain or possible], modality))
    of_modality = [file for file in plain or possible if file.name in names]
    other_counts = count_others((file.name for file in files), modality)
    if len(of_modality) < len(possible):
        beside = Counter(suffix_of(file.name) for file in possible) - Counter(
            suffix_of(file.name) for file in of_modality
        )
        other_counts = {**other_counts, **beside}
    return of_modality, other_counts


def without_borrowed(names: Iterable[str], modality: Modality) -> list[str]:
    """Return the names whose ending no other modality has for its own; all if none is left.

    Only of modalities that have endings of their own: a video's sound is taken where no files of
    sounds are beside it, and depth maps are PNGs like images.
    """
    names = list(names)
    if not registry.get(modality).suffixes:
        return names
    return [name for name in names if not is_borrowed(name, modality)] or names


def is_borrowed(name: str, modality: Modality) -> bool:
    """Return whether a file's ending is a modality's, but another one has it for its own."""
    record = registry.get(modality)
    suffix = suffix_of(name)
    return suffix in record.shared and registry.suffixes().get(suffix, modality) != modality


def is_packaged(name: str) -> bool:
    """Return whether a file may need a further package to be looked at."""
    suffix = suffix_of(name)
    return any(suffix in record.packaged for record in registry.registered().values())


def other_kind(name: str, modality: Modality | None = None) -> UndecodedKind | None:
    """Return the kind of media that a file is and that is not decoded; None for anything else.

    Args:
        name: of the file.
        modality: what is looked for. Any if None: what one of them decodes is then not meant.
    """
    suffix = suffix_of(name)
    if modality is None and suffix in registry.suffixes():
        return None
    kinds = registry.undecoded().get(suffix, ())
    return next((kind for holds, kind in kinds if modality in (None, holds)), None)


def count_others(names: Iterable[str], modality: Modality) -> dict[str, int]:
    """Count the files beside those of a modality, by ending, the most frequent first.

    What lies beside media by its nature (texts, tables, arrays, checksums), and media of another
    modality that are decoded and hold none of it, do not count.
    """
    counts = Counter(suffix_of(name) for name in names if _is_other(name, modality))
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def count_loose(names: Iterable[str]) -> int:
    """Count the members of a tar that belong to no sample, for want of an ending.

    Hidden files, and what usually lies beside media, do not count.
    """
    return sum(
        not name.rpartition("/")[2].startswith(".") and not _is_plain(name) for name in names
    )


def describe_others(counts: Mapping[str, int], modality: Modality) -> str:
    """Say in one sentence what files were left out and what helps; "" for none.

    Args:
        counts: from ``count_others``.
        modality: what was looked for.
    """
    if not counts:
        return ""
    n = sum(counts.values())
    kinds = [f"{count} {_described(suffix, modality)}" for suffix, count in counts.items()]
    more = [f"{len(kinds) - _SHOWN} further kinds"] if len(kinds) > _SHOWN else []
    what = "1 file of another kind is" if n == 1 else f"{n} files of other kinds are"
    return f"{what} left out: {', '.join(kinds[:_SHOWN] + more)}"


def is_packed(name: str) -> bool:
    """Return whether a file is an archive that cannot be read where it lies."""
    return suffix_of(name) in _ARCHIVES


_SHOWN = 6


def _is_other(name: str, modality: Modality) -> bool:
    suffix = suffix_of(name)
    if may_hold(name, modality):
        return False
    if suffix in registry.undecoded():
        return other_kind(name, modality) is not None
    if suffix in registry.suffixes() or suffix in COMPANIONS:
        return False
    return suffix != "" or not _is_plain(name)


def _is_plain(name: str) -> bool:
    return name.rpartition("/")[2].casefold() in _PLAIN_NAMES


def _described(suffix: str, modality: Modality) -> str:
    if (kind := other_kind(f"x{suffix}", modality)) is not None:
        return f"{suffix} ({kind.name}: {kind.fix})"
    if is_borrowed(f"x{suffix}", modality):
        return (
            f"{suffix} ({registry.suffixes()[suffix]}: its {modality} is taken where no files of "
            f"{modality} alone are beside it, or in a manifest)"
        )
    if may_hold(f"x{suffix}", modality):
        return f"{suffix} (taken for lists and notes, beside files of another ending)"
    if suffix == ".tar":
        return ".tar (an archive: list it as a path of its own)"
    if suffix in _ARCHIVES:
        return f"{suffix} (an archive: unpack it)"
    if not suffix:
        return "without an ending"
    return f"{suffix} (not known to hold {modality})"
