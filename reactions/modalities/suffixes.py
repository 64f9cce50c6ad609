"""What the endings of files say: images and sounds that are decoded, and media that are not."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from reactions.core.types import Modality

_IMAGES = (
    "apng avif avifs bmp dib gif j2c j2k jfif jp2 jpc jpe jpeg jpf jpg jpx mpo pbm pgm png pnm ppm "
    "qoi tga tif tiff webp"
)
_SOUNDS = (
    "8svx aif aifc aiff amb au bwf caf flac mp1 mp2 mp3 mpa mpga nist oga ogg opus rf64 snd sph "
    "svx w64 wav wave"
)
SUFFIXES: dict[str, Modality] = {
    **{f".{suffix}": "image" for suffix in _IMAGES.split()},
    **{f".{suffix}": "audio" for suffix in _SOUNDS.split()},
}
"""Modality of a file that is decoded as it is, by its ending (lower case)."""


class OtherKind(NamedTuple):
    """A kind of media that is not decoded.

    Attributes:
        modalities: what it may hold.
        name: of the kind, for people.
        fix: how to make it usable.
    """

    modalities: tuple[Modality, ...]
    name: str
    fix: str


_TO_IMAGE = "convert it to PNG or JPEG"
_TO_SOUND = "convert it to FLAC or WAV, as with ffmpeg -i IN OUT.flac"
_FROM_VIDEO = "take out its sound (ffmpeg -i IN OUT.flac) or a picture (ffmpeg -i IN OUT.png)"

_OTHERS = (
    (("image",), "a HEIF image", "heic heics heif heifs hif", _TO_IMAGE),
    (("image",), "a JPEG XL image", "jxl", _TO_IMAGE),
    (("image",), "a drawing", "ai cdr emf eps ps svg svgz wmf", _TO_IMAGE),
    (
        ("image",),
        "a camera's raw image",
        "3fr arw cr2 cr3 dng erf kdc mef nef nrw orf pef raf raw rw2 sr2 srf srw x3f",
        _TO_IMAGE,
    ),
    (
        ("image",),
        "an image of a format that is not decoded here",
        "bpg cur dcm dcx dds djvu exr fits flif fts hdr icns ico iff jls jxr pam pcx pfm pict psb "
        "psd ras sgi wdp xbm xcf xpm",
        _TO_IMAGE,
    ),
    (("audio",), "AAC sound", "aac adts m4a m4b m4p m4r", _TO_SOUND),
    (
        ("audio",),
        "a sound of a format that is not decoded here",
        "3ga ac3 act aa aax alac amr ape awb avr dff dsf dss dts dtshd eac3 gsm htk ircam mka mlp "
        "mpc mpp paf pvf ra raw rm sd2 sds sf shn spx tak thd tta voc vox wma wv wve xi",
        _TO_SOUND,
    ),
    (
        ("audio",),
        "notes, not sound",
        "it kar mid midi mod s3m xm",
        "render it to FLAC or WAV with a synthesizer",
    ),
    (
        ("image", "audio"),
        "a video",
        "3g2 3gp asf avi divx f4v flv m2ts m2v m4v mk3d mkv mov mp4 mpeg mpg mts mxf ogm ogv ogx "
        "qt rmvb ts vob weba webm wmv wtv",
        _FROM_VIDEO,
    ),
)

OTHER_MEDIA: dict[str, tuple[OtherKind, ...]] = {}
"""Kinds of media that are not decoded, by ending; ``.raw`` may be an image or a sound."""

for _modalities, _name, _suffixes, _fix in _OTHERS:
    for _suffix in _suffixes.split():
        _kind = OtherKind(_modalities, _name, _fix)
        OTHER_MEDIA[f".{_suffix}"] = (*OTHER_MEDIA.get(f".{_suffix}", ()), _kind)

_COMPANIONS = (
    # texts and tables beside media
    "bib cfg conf cff csv doc docx htm html info ini ipynb json jsonl lock lst log md ndjson "
    "ods odt parquet pdf ppt pptx py readme rst rtf rxn sh toml tsv txt url xls xlsx xml yaml "
    "yml arrow avro db sqlite feather "
    # arrays, weights, checksums
    "bin ckpt h5 hdf5 idx index lmdb mat mdb md5 msgpack npy npz onnx pickle pkl pt pth "
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
    """Return what a file's ending says it holds, of what is decoded."""
    return SUFFIXES.get(suffix_of(name))


def other_kind(name: str, modality: Modality | None = None) -> OtherKind | None:
    """Return the kind of media that a file is and that is not decoded; None for anything else.

    Args:
        name: of the file.
        modality: what is looked for; any if None.
    """
    kinds = OTHER_MEDIA.get(suffix_of(name), ())
    return next((kind for kind in kinds if modality in (None, *kind.modalities)), None)


def count_others(names: Iterable[str], modality: Modality) -> dict[str, int]:
    """Count the files beside those of a modality, by ending, the most frequent first.

    What lies beside media by its nature (texts, tables, arrays, checksums), and media of another
    modality that are decoded, do not count.
    """
    counts = Counter(
        suffix_of(name)
        for name in names
        if modality_of(name) is None
        and suffix_of(name) not in COMPANIONS
        and not (suffix_of(name) == "" and _is_plain(name))
        and (suffix_of(name) not in OTHER_MEDIA or other_kind(name, modality))
    )
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


def _is_plain(name: str) -> bool:
    return name.rpartition("/")[2].casefold() in _PLAIN_NAMES


def _described(suffix: str, modality: Modality) -> str:
    if (kind := other_kind(f"x{suffix}", modality)) is not None:
        return f"{suffix} ({kind.name}: {kind.fix})"
    if suffix == ".tar":
        return ".tar (an archive: list it as a path of its own)"
    if suffix in _ARCHIVES:
        return f"{suffix} (an archive: unpack it)"
    if not suffix:
        return "without an ending"
    return f"{suffix} (not known to hold {modality})"
