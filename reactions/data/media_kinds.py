"""What the endings of files say: images and sounds that are decoded, and media that are not."""

from __future__ import annotations

import os
from typing import NamedTuple

from reactions.kinds import Modality

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
    # arrays, weights, archives, checksums
    "bin bz2 ckpt gz h5 hdf5 idx index lmdb mat mdb md5 msgpack npy npz onnx pickle pkl pt pth "
    "safetensors sha1 sha256 sfv tar tgz xz zip zst 7z rar "
    # annotations of media
    "ann cls caption captions cue elan eaf lab label labels lrc m3u m3u8 pls rttm srt sub "
    "text textgrid tfrecord vtt xmp"
)
COMPANIONS = frozenset(f".{suffix}" for suffix in _COMPANIONS.split())
"""Endings of what lies beside media and is none: it needs no mention."""


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
