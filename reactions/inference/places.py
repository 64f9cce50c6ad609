"""Arguments of ``molspace infer`` and ``index`` that name many items, or items that lie elsewhere.

Addresses, patterns and folders are replaced by the files that they name, each of which stands as
if it had been typed. Tars and parquet files stay: what they hold is read when its turn comes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from reactions.core.addresses import Entry, absolute, is_url
from reactions.core.braces import expand
from reactions.core.errors import MissingError, UsageError
from reactions.core.local_files import exists, is_dir, leads_nowhere
from reactions.core.remote import url_name
from reactions.core.storage import find, is_folder, walk
from reactions.core.types import Modality
from reactions.data.path_like import is_pattern, known_suffix
from reactions.inference.arguments import MANIFEST_SUFFIXES
from reactions.inference.folders import check_known, counted, kind_left_out, with_folders
from reactions.inference.place_contents import PlaceContents
from reactions.inference.place_kinds import CONTAINERS, TABLES, is_address
from reactions.modalities.encoded import too_large
from reactions.modalities.suffixes import (
    is_packed,
    may_hold,
    modality_of,
    other_kind,
    sharing,
    suffix_of,
)

_WILD = re.compile(r"[*?\[]")
_FILE = "file://"


def named_places(
    inputs: Iterable[str], modality: Modality | None = None, base: Path = Path()
) -> tuple[list[str], list[PlaceContents]]:
    """Replace addresses, patterns and folders by the files that they name, in order.

    A pattern takes media, and tars, parquet files and lists where its own ending is theirs; a
    folder takes media. What else is there is left out and counted.

    Args:
        inputs: command-line arguments.
        modality: what all arguments hold; None where their endings say it.
        base: folder that relative paths start from.

    Returns:
        The arguments, and what was found at each pattern and folder.

    Raises:
        UsageError: an argument names nothing that can be embedded.
        MissingError: there is nothing at an address, or a package is missing that opens it.
        DataError: a folder or an address cannot be read.
    """
    arguments: list[str] = []
    contents: list[PlaceContents] = []
    for text in inputs:
        if text.startswith(_FILE) and is_address(text):
            text = text.removeprefix(_FILE)
        if is_address(text):
            names, holding = _at_address(text, modality)
        elif _is_pattern(text, base):
            names, holding = _matches(text, modality, base)
        else:
            names, of_folder = with_folders([text], modality, base)
            holding = of_folder[0] if of_folder else None
        arguments += names
        if holding is not None:
            contents.append(holding)
    return arguments, contents


def _is_pattern(text: str, base: Path) -> bool:
    """Return whether an argument is a pattern of file names, and not a text with a star in it."""
    if not text.strip() or text == "-" or text.lstrip().startswith("{") or "\n" in text:
        return False
    wild = _WILD.search(text)
    if wild is None and expand(text) == [text]:
        return False
    try:
        if exists(base / text):
            return False
        folder = text[: wild.start()].rpartition("/")[0] if wild else ""
        if folder and is_dir(base / folder):
            return True
    except (OSError, ValueError):
        return False
    names_files = bool(known_suffix(text)) or suffix_of(text) in CONTAINERS
    return len(text.split()) == 1 and (names_files or is_pattern(text))


def _matches(
    text: str, modality: Modality | None, base: Path
) -> tuple[list[str], PlaceContents | None]:
    """Return the files that a pattern names, as they would be typed, and what was left out."""
    try:
        files = find(absolute(text, base))
    except MissingError as error:
        raise UsageError(
            f"no file matches '{text}'",
            why="" if "matches" in error.what else error.what,
            fix="correct the pattern; if it is meant as a text, --text",
        ) from None
    start = f"{base.absolute()}/"
    shown = [file.url.removeprefix(start) for file in files]
    return _sorted_out(text, files, shown, modality, names_kind=suffix_of(text))


def _at_address(text: str, modality: Modality | None) -> tuple[list[str], PlaceContents | None]:
    """Return the files at an address, and what was left out of a folder or a pattern."""
    if text.endswith("/") and text.startswith(("http://", "https://")):
        raise UsageError(
            f"'{text}' cannot be embedded",
            why="folders cannot be listed by HTTP",
            fix="give its files; {0000..0003} in an address stands for several",
        )
    name = url_name(text)
    wild = _WILD.search(text.partition("?")[0] if text.startswith("http") else text)
    if wild is None and len(names := expand(text)) == 1:
        is_listed = not text.startswith(("http://", "https://"))
        if is_listed and not suffix_of(name) and is_folder(text):
            return _below(text, modality)
        _check_ending(text, name, modality)
        (file,) = find(text)  # what is not there is no medium
        if suffix_of(name) not in CONTAINERS and (why := too_large(file.size_bytes)):
            raise UsageError(f"'{text}' cannot be embedded", why=why, fix="cut it up")
        return names, None
    files = find(text)
    shown = [file.url for file in files]
    return _sorted_out(text, files, shown, modality, names_kind=suffix_of(name))


def _below(folder: str, modality: Modality | None) -> tuple[list[str], PlaceContents | None]:
    files = walk(folder)
    return _sorted_out(folder, files, [file.url for file in files], modality, is_folder=True)


def _sorted_out(
    text: str,
    files: list[Entry],
    shown: list[str],
    modality: Modality | None,
    *,
    names_kind: str = "",
    is_folder: bool = False,
) -> tuple[list[str], PlaceContents]:
    """Return which of some files are taken, and a count of them and the others."""
    if modality:
        check_known(modality)
    names: list[str] = []
    other_endings: Counter[str] = Counter()
    lists = (*MANIFEST_SUFFIXES, *TABLES)
    for file, as_typed in zip(files, shown, strict=True):
        ending = suffix_of(file.name)
        is_medium = may_hold(file.name, modality) if modality else modality_of(file.name)
        is_named = ending == names_kind and (ending in CONTAINERS or ending in lists)
        if is_url(file.url) and is_medium and too_large(file.size_bytes):
            other_endings[f"{ending} (too large)"] += 1
        elif not is_url(file.url) and leads_nowhere(Path(file.url)):
            other_endings[kind_left_out(file)] += 1
        elif is_medium or (is_named and not (is_url(file.url) and ending in lists)):
            names.append(as_typed)
        else:
            other_endings[ending or "without an ending"] += 1
    what = "the folder" if is_folder else "what matches"
    if not names:
        raise UsageError(
            f"{what} '{text}' holds no {modality or 'media'}",
            why=counted(other_endings) or "it is empty",
            fix="say what the files hold: --modality NAME; if it is meant as a text, --text",
        )
    count = "1 file" if len(names) == 1 else f"{len(names)} files"
    more = f"; left out: {counted(other_endings)}" if other_endings else ""
    verb = "is a folder, of" if is_folder else "matches"
    kind: Literal["folder", "pattern"] = "folder" if is_folder else "pattern"
    return names, PlaceContents(
        text, kind, {"files": len(names)}, other_endings, f"{text} {verb} {count}{more}"
    )


def _check_ending(url: str, name: str, modality: Modality | None) -> None:
    """Refuse an address whose ending does not say how to read it.

    Raises:
        UsageError: it does not.
    """
    if modality is not None or modality_of(name) or suffix_of(name) in CONTAINERS:
        return
    why, fix = "its ending does not say what it holds", "say it: --modality NAME"
    if suffix_of(name) in (*MANIFEST_SUFFIXES, *TABLES):
        why = "lists are read from this machine alone, for they name files of it"
        fix = "download it, and give the file"
    elif kind := other_kind(name):
        why, fix = f"{kind.name} is not decoded here", kind.fix
    elif is_packed(name):
        why, fix = "it is a packed archive", "give a plain .tar, or the files"
    elif names := sharing(name):
        why = f"its ending is that of {', '.join(names)}"
        fix = f"--modality {'|'.join(names)}"
    raise UsageError(
        f"'{url}' cannot be embedded", why=why, fix=f"{fix}; if it is meant as a text, --text"
    )
