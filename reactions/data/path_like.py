"""What looks like a path or a file's name, and is therefore not embedded as a text.

A mistyped path that is embedded as a text gives a row like any other, unnoticed. So
a bare line or argument that looks like a path is refused; a user who means the words says so
(``{"text": ...}``, or ``--text`` on the command line). Ordinary sentences, numbers,
abbreviations and idioms with a slash (``and/or``, ``km/h``) are texts.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from reactions.modalities.registry import suffixes, undecoded
from reactions.modalities.suffixes import COMPANIONS, other_kind


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_OTHER_FILES = _words(
    """
    7z cpp epub gguf glb gltf java joblib js lance ldjson lz4 mat obj pcd ply psd rs stl tex
    """
)

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_ABSOLUTE = re.compile(r"(?:(?:\.{1,2}|~[^/\\\s]*)?[/\\]|[A-Za-z]:[/\\])(?=\S)")
_HOME = re.compile(r"~(?:[A-Za-z_][\w.-]*)?$")
_GLOB = re.compile(r"\w\[[^\]\s]+\]|\{[^{}\s]*,[^{}\s]*\}")
_EMPHASIS = re.compile(r"(\*{1,3})[^*]+\1|[^\W\d_]+\*+[^\W\d_]+")
_TAIL = re.compile(r"(?:~|[?#:][\w=&.,%+-]*)$")
"""What stands behind a file's name: of a backup, a query, a fragment, a line."""

_INVISIBLE = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\u00ad]")
"""What is copied along with a path and not seen."""

_NAME_PART = re.compile(r"[\W\d_]*\d[\W\d_]*|[-\u2013_&+=]+|\(.*\)")
"""A word that is more often in the names that programs give than in sentences: a number, a date."""

_ROW = re.compile(
    r'"?[^\t,;|"]{0,200}[^\t,;|"\s]\.([A-Za-z0-9]{2,5})"?(?:#\d+)?"?(\t|\s*\||[,;](?=\S))'
)
"""A name with its ending, and what separates fields: lists of captions as of Flickr8k are so."""

_SUFFIX = re.compile(r"(.*)\.([A-Za-z0-9]{1,11})$", re.DOTALL)
_UNKNOWN_SUFFIX = re.compile(r"[a-z][a-z0-9]{0,4}|[A-Z][A-Z0-9]{2,4}")
_ABBREVIATION = re.compile(r"(?:[^\W\d_]{1,2}\.)+[^\W\d_]{1,2}")
_FRACTION = re.compile(r"[$€£#+-]?\d+(?:[.,]\d+)?(?:/\d+(?:[.,]\d+)?){1,2}(?:-?[^\W\d_]{0,4}|%|\")")
# Scripts that set no blanks between words: a line without blanks is a sentence there.
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")

_PUNCTUATION = ".,;:!?…'\"()[]{}«»“”\u2018\u2019"
_FOLDERS = _words(
    """
    bin dev doc etc img lib mnt mp3 opt out png raw src tmp usr val var wav
    """
)
"""Short words that name folders more often than they stand beside a slash."""

_PER = _words(
    """
    day hour hr image item kg km litre liter min minute month second sec step week year
    """
)
_WORDS = _words(
    """
    active before black client day either female full gnu good hot input left linux love male
    neither nor off on open pass play read start stop true win work write after white server
    night passive empty bad cold output right hate fail pause close lose life false yes no
    they them she her him his audio video light dark high low
    """
)
"""Words that are written with a slash between them."""

_USUAL_FILES = _words("csv docx gz json jsonl npy npz parquet pdf safetensors tar tsv txt xlsx zip")
_OFTEN_MISTYPED = _USUAL_FILES | _words(
    "aac aiff avi bmp flac gif jpeg jpg m4a mkv mov mp3 mp4 mpeg ndjson ogg opus ply png tar tiff "
    "wav webm webp wma"
)

_FEW_WORDS = 3
_MAX_NAME_CHARS = 1024


def path_reason(text: str, base: Path | None) -> str:
    """Say why a bare text is taken for a path, or return "" for what reads as a text.

    Args:
        text: one line or argument.
        base: folder that relative paths start from; None looks at no disk, as for texts of tables.

    Returns:
        The reason, lower case, no full stop.
    """
    line = _INVISIBLE.sub("", text).strip()
    words = line.split()
    if not words:
        return ""
    if is_row(line):
        return "it begins with a file's name, as a row of a table does"
    reason = _of_word(line, base) if len(words) == 1 else _of_words(line, words, base)
    return reason or _on_disk(line, base)


def is_row(text: str) -> bool:
    """Return whether a line is a medium's name and something else, as in a table's row."""
    row = _ROW.match(text.strip())
    return row is not None and _is_of_media(row[1].lower()) and len(text.split()) > 1


def known_suffix(text: str) -> str:
    """Return the suffix of a medium, table or document that a text ends in, without the dot.

    Punctuation around it is not part of it; "" if there is none.
    """
    for name in (text, _TAIL.sub("", text)):
        match = _SUFFIX.match(name.rstrip(_PUNCTUATION))
        if match and _is_known(match[2].lower()):
            return match[2]
    return ""


def file_reason(word: str) -> str:
    """Say why a name, such as a class's, is taken for that of a file, or return "".

    Stricter than ``path_reason``: names have slashes and dots in them (``AC/DC``, ``Node.js``).
    """
    suffix = "" if len(word.split()) > 1 else known_suffix(word)
    return f"it ends as a file's name does (.{suffix})" if _ends_few_words(suffix.lower()) else ""


def share_of_paths(texts: Sequence[str]) -> float:
    """Return which share of texts looks like paths; 0 of none."""
    return sum(path_reason(text, None) != "" for text in texts) / max(1, len(texts))


def not_decoded(suffix: str) -> str:
    """Return what to do with media of a suffix that are not decoded; "" for any other."""
    kind = other_kind(f"x.{suffix}")
    return f"; {kind.name} is not decoded here: {kind.fix}" if kind else ""


def never_a_file(word: str) -> str:
    """Say why a path cannot be that of a file here, whatever its suffix; "" if it can."""
    if _URL.match(word):
        return "it is a URL, and nothing is downloaded here"
    if is_pattern(word):
        return "it looks like a pattern of file names that matched none"
    return ""


def _is_known(suffix: str) -> bool:
    """Return whether it is one of media, tables, arrays, documents or archives, without the dot.

    Sentences end in none of them.
    """
    return suffix in _OTHER_FILES or f".{suffix}" in COMPANIONS or _is_of_media(suffix)


def _ends_few_words(suffix: str) -> bool:
    """Return whether a few words end in it only if they are a file's name: ``my trip.mov``."""
    return suffix in _USUAL_FILES or (len(suffix) > 2 and _is_of_media(suffix))


def _is_of_media(suffix: str) -> bool:
    return f".{suffix}" in suffixes() or f".{suffix}" in undecoded()


def _of_word(word: str, base: Path | None) -> str:
    if reason := never_a_file(word):
        return reason
    if _ABSOLUTE.match(word) or _HOME.match(word):
        return "it begins as a path does"
    if suffix := known_suffix(word):
        return f"it ends as a file's name does (.{suffix}){not_decoded(suffix)}"
    bare = word.strip(_PUNCTUATION)
    if _has_separator(word, bare, base):
        return "it holds a path's separator and no blanks"
    return _unknown_suffix(bare)


def _of_words(line: str, words: list[str], base: Path | None) -> str:
    """Judge several words: a path if they begin or all end as paths do, or are few."""
    suffix = known_suffix(line) or (_mistyped_suffix(line) if len(words) <= _FEW_WORDS else "")
    if _URL.match(line) and suffix:
        return "it is a URL, and nothing is downloaded here"
    start = _ABSOLUTE.match(line)
    if start and (suffix or re.search(r"[/\\]", line[start.end() :])):
        return "it begins as a path does"
    few = (_ends_few_words(suffix.lower()) or not known_suffix(line)) and (
        len(words) <= _FEW_WORDS
        or any(_NAME_PART.fullmatch(word) for word in (*words[:-1], words[-1].rpartition(".")[0]))
        or any(_has_separator(word, word, base) for word in words)
    )
    if suffix and (
        few or _has_separator(words[0], words[0], base) or all(known_suffix(word) for word in words)
    ):
        return f"it ends as a file's name does (.{suffix}){not_decoded(suffix)}"
    return ""


def is_pattern(word: str) -> bool:
    """Return whether a word reads as a pattern of file names, and not as one with emphasis."""
    if "*" in word and not _EMPHASIS.fullmatch(word.strip(_PUNCTUATION)):
        return True
    return bool(_GLOB.search(word))


def _has_separator(word: str, bare: str, base: Path | None) -> bool:
    if "\\" in word:
        return True
    if "/" not in bare:
        return "/" in word
    if _FRACTION.fullmatch(bare) or "<" in bare:  # 1/2, 24/7, 3/4-inch; </s>
        return False
    parts = bare.split("/")
    if not all(parts) or parts[0].lower() in _FOLDERS:
        return True
    if base is not None and os.path.isdir(os.path.join(base, parts[0])):  # noqa: PTH112, PTH118
        return True
    return not (_UNSPACED.search(bare) or _is_idiom(parts))


def _is_idiom(parts: list[str]) -> bool:
    """Return whether words with a slash between them are what people write, as ``and/or`` is."""
    if len(parts) > 3 or not all(part.replace("'", "").isalpha() for part in parts):
        return False
    if all(len(part) <= 3 for part in parts):
        return True
    if all(part.isupper() and len(part) <= 5 for part in parts):
        return True
    folded = [part.lower() for part in parts]
    if folded[-1].removesuffix("s") in _PER or folded[-1] in _PER:
        return True
    return all(part in _WORDS or len(part) <= 2 for part in folded)


def _unknown_suffix(bare: str) -> str:
    match = _SUFFIX.match(bare)
    if not match or _ABBREVIATION.fullmatch(bare):  # e.g. U.S. Ph.D.
        return ""
    stem, suffix = match[1], match[2]
    # An ellipsis, an address, and what is not a name.
    if not stem or stem.endswith(".") or "@" in stem or not stem[-1].isalnum():
        return ""
    if len(suffix) == 1 and len(stem) < 3:
        return ""
    if _UNKNOWN_SUFFIX.fullmatch(suffix) or _mistyped_suffix(bare):
        return f"it ends as a file's name does (.{suffix})"
    return ""


def _mistyped_suffix(text: str) -> str:
    """Return the suffix of a text that is a usual one but for a slip; "" if it is none."""
    match = _SUFFIX.match(text.rstrip(_PUNCTUATION))
    if match is None or not match[1] or match[1][-1].isspace() or len(match[2]) < 3:
        return ""
    suffix = match[2].lower()
    return match[2] if any(_is_slip(suffix, usual) for usual in _OFTEN_MISTYPED) else ""


def _is_slip(typed: str, meant: str) -> bool:
    """Return whether one letter is missing, too many or another one, or two changed places."""
    if abs(len(typed) - len(meant)) > 1 or typed == meant:
        return False
    start = 0
    while typed[start : start + 1] == meant[start : start + 1] != "":
        start += 1
    rest, due = typed[start:], meant[start:]
    return (
        rest[1:] == due[1:]
        or rest[1:] == due
        or rest == due[1:]
        or (rest[:2] == due[1::-1] and rest[2:] == due[2:])
    )


def _on_disk(line: str, base: Path | None) -> str:
    if base is None or len(line) > _MAX_NAME_CHARS:
        return ""
    # Not pathlib, which interns every part it sees: lines are many.
    try:
        exists = os.path.lexists(os.path.join(base, line))  # noqa: PTH118
    except (OSError, ValueError):  # with a null in it, or not encodable
        return ""
    return "a file or folder of this name is there" if exists else ""
