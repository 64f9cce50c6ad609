"""Names of ImageNet's classes, by their WordNet ids, from a file of the set or of its users."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from reactions.core.local_files import is_file
from reactions.eval.published import PublishedSet

_NAMES = (
    "classnames.txt",
    "LOC_synset_mapping.txt",
    "imagenet_class_index.json",
    "map_clsloc.txt",
    "ILSVRC/devkit/data/map_clsloc.txt",
    "devkit/data/map_clsloc.txt",
    "words.txt",
)

WNID = re.compile(r"n\d{8}")
"""A WordNet id."""


def class_names(
    published: PublishedSet, folders: Sequence[Path], here: Collection[str]
) -> dict[str, str]:
    """Return WordNet id to all names of the class, separated by commas.

    Args:
        published: the set.
        folders: where to look for a file of names.
        here: ids of the classes that lie there: of a file of all of WordNet, only those count.

    Raises:
        MissingError: there is no such file.
        DataError: it is damaged.
    """
    paths = (folder / name for folder in folders for name in _NAMES)
    path = next(filter(is_file, paths), None)
    if path is None:
        raise published.missing("no names of its classes", _NAMES[:4])
    names: dict[str, str] = {}
    if path.suffix == ".json":
        record = published.read_json(path)
        if not isinstance(record, Mapping):
            raise published.damaged(path, "it is not a JSON object")
        for value in record.values():
            if isinstance(value, list) and len(value) == 2:
                names[str(value[0])] = str(value[1]).replace("_", " ")
    else:
        for line in published.read_lines(path):
            wnid, _, name = line.replace("\t", " ").partition(" ")
            name = re.sub(r"^\d+ ", "", name.strip())  # map_clsloc.txt numbers its classes
            if WNID.fullmatch(wnid) and name:
                names[wnid] = name.replace("_", " ")
    if not names or not all(map(WNID.fullmatch, names)):
        raise published.damaged(path, "it has no lines such as 'n01440764 tench'")
    if path.name == "words.txt":  # all of WordNet: only what the set uses are classes
        names = {wnid: name for wnid, name in names.items() if wnid in here}
    return names


def distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Return the first name of each class, and all of them where classes share the first."""
    first = [name.split(",")[0].strip() for name in names]
    counts = Counter(first)
    return tuple(
        short if counts[short] == 1 else name for short, name in zip(first, names, strict=True)
    )
