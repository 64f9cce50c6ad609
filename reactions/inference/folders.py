"""Folders among the arguments of ``molspace infer``: the media in them, as if each were named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from reactions.core.addresses import Entry
from reactions.core.errors import UsageError, suggestion
from reactions.core.local_files import is_dir, leads_nowhere
from reactions.core.storage import walk
from reactions.core.types import Modality
from reactions.inference.place_contents import PlaceContents
from reactions.inference.place_kinds import is_saved_dataset
from reactions.modalities import registry
from reactions.modalities.suffixes import modality_of, sort_out, suffix_of

MANIFEST = "manifest.jsonl"


def with_folders(
    inputs: Iterable[str], modality: Modality | None = None, base: Path = Path()
) -> tuple[list[str], list[PlaceContents]]:
    """Replace folders by the media in them and in the folders within, in order of their names.

    What hidden files and folders hold is left out. Links to folders are followed, but not in
    circles; links to nothing are counted.

    Args:
        inputs: command-line arguments.
        modality: what all arguments hold; None where their endings say it.
        base: folder that relative paths start from.

    Returns:
        The arguments, and what each folder holds.

    Raises:
        UsageError: a folder holds no media, or has a manifest that says what it holds.
        DataError: a folder cannot be read.
    """
    arguments: list[str] = []
    contents: list[PlaceContents] = []
    for text in inputs:
        is_folder = text.strip() and text != "-" and is_dir(base / text)
        if not is_folder or is_saved_dataset(text, base):
            arguments.append(text)
            continue
        if (base / text / MANIFEST).is_file():
            raise UsageError(
                f"'{text}' is a folder with a manifest",
                why="the manifest says what its files are",
                fix=f"molspace infer {Path(text) / MANIFEST}",
            )
        if modality:
            check_known(modality)
        media, other_endings = _media(base / text, modality)
        if not media:
            raise UsageError(
                f"the folder '{text}' holds no {modality or 'media'}",
                why=counted(other_endings) or "it is empty",
                fix="give a folder of media; say what its files hold: --modality NAME; if its name "
                "is meant as a text, --text",
            )
        arguments += [str(Path(text) / name) for name in media]
        count = "1 media file" if len(media) == 1 else f"{len(media)} media files"
        more = f"; left out: {counted(other_endings)}" if other_endings else ""
        sentence = f"{text} is a folder, of {count}{more}"
        contents.append(
            PlaceContents(text, "folder", {"files": len(media)}, other_endings, sentence)
        )
    return arguments, contents


def check_known(modality: Modality) -> None:
    """Refuse a modality of which it is not known how its files end.

    Raises:
        UsageError: it is none of those that are decoded.
    """
    record = registry.get(modality)
    if not (record.suffixes or record.shared):
        modalities = [name for name in registry.names() if registry.get(name).suffixes]
        raise UsageError(
            f"it is not known how files of {modality} end, so none are found in folders",
            fix=suggestion(modality, modalities) + "  or name the files",
        )


def _media(folder: Path, modality: Modality | None) -> tuple[list[str], Counter[str]]:
    """Return the paths of media within a folder, and the endings of what else there is."""
    everything = walk(str(folder.absolute()))
    files = [file for file in everything if not leads_nowhere(Path(file.url))]
    if modality:
        media, _ = sort_out(files, modality)
    else:
        media = [file for file in files if modality_of(file.name)]
    names = {file.name for file in media}
    other_endings = Counter(kind_left_out(file) for file in everything if file.name not in names)
    return sorted(names), other_endings


def kind_left_out(file: Entry) -> str:
    """Return what a file that is not taken is counted as."""
    ending = suffix_of(file.name) or "without an ending"
    return f"{ending} (a link to nothing)" if leads_nowhere(Path(file.url)) else ending


def counted(others: Counter[str]) -> str:
    """Return how many files of each kind there are, the most frequent first."""
    kinds = [
        f"{n} {suffix}"
        for suffix, n in sorted(others.items(), key=lambda pair: (-pair[1], pair[0]))
    ]
    return ", ".join(kinds[:6]) + (f" and {len(kinds) - 6} more kinds" if len(kinds) > 6 else "")
