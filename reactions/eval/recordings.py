"""N-Caltech101's recordings, in the original layout and in that of EST's copy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reactions.core.addresses import Entry
from reactions.core.local_files import is_dir
from reactions.eval import caltech
from reactions.eval.caltech import Name, Part
from reactions.eval.labelled import media_files
from reactions.eval.published import PublishedSet

_TESTING, _TRAINING = "testing", ("training",)
FOLDERS = (
    "Caltech101",
    "N_Caltech101",  # as EventBind's lists call it
    _TESTING,
    "N-Caltech101/Caltech101",
    f"N-Caltech101/{_TESTING}",
)
LABELS = tuple(
    f"{folder}/{name}"
    for folder in FOLDERS
    for name in ("accordion", "airplanes", "BACKGROUND_Google", "Faces_easy")
)
"""Folders of classes of which one must be there: a folder called Caltech101 may be another's."""

_ENDINGS = (".bin", ".npy", ".npz")
"""Of recordings: pictures of the same names are those of Caltech-101."""

_EST = "scored are EST's folder for testing; the one for validation is left alone"


@dataclass(frozen=True, slots=True)
class Recordings:
    """Recordings of one part of the set.

    Attributes:
        entries: the files of those that are there, sorted.
        pictures: the picture of each, where a list says so; else pictures have the same names.
        folders: of all classes, sorted.
        expected: how many there should be.
        remarks: what was decided, for people.
        is_paired: whether it is known which picture a recording is of.
    """

    entries: Mapping[Name, Entry]
    pictures: Mapping[Name, Name]
    folders: tuple[str, ...]
    expected: int
    remarks: tuple[str, ...]
    is_paired: bool


def chosen_recordings(published: PublishedSet, part: Part) -> Recordings:
    """Return the recordings for testing or for training.

    Raises:
        MissingError: there are none.
        DataError: a list is damaged.
    """
    root = published.labels.parent
    is_est = root.name == _TESTING
    root = root.parent if is_est else root
    recordings: dict[Name, Entry] = {}
    of_part: set[Name] = set()
    for folder in (_TESTING, *_TRAINING, "validation") if is_est else ("",):
        for entry in media_files(root / folder, "event") if is_dir(root / folder) else ():
            name = caltech.name_of(entry.name)
            if name is None or caltech.dropped(name) or not entry.name.lower().endswith(_ENDINGS):
                continue
            recordings.setdefault(name, entry)
            if folder in ((_TESTING,) if part == "test" else _TRAINING):
                of_part.add(name)
    if not recordings:
        raise published.missing(f"no recordings in folders of classes in {root}", FOLDERS)
    # Lists are of the original: nobody says that EST's copy counts as it does.
    pairs = None if is_est else caltech.listed_pairs(published, part)
    if pairs is not None:
        names, why = set(pairs), caltech.listed(published, part)
    elif is_est:
        names, why = of_part, _EST
    else:
        names = {name for name in recordings if caltech.is_tested(name) == (part == "test")}
        why = caltech.RULE
    folders = tuple(caltech.class_folders(recordings))
    return Recordings(
        {name: recordings[name] for name in sorted(names) if name in recordings},
        pairs or {},
        folders,
        len(names),
        caltech.remarks(folders, why),
        is_paired=not is_est,
    )
