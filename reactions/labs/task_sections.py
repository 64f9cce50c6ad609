"""What a lab file's ``[tasks]`` describes: evaluation sets of one's own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from reactions.core.addresses import is_url
from reactions.core.errors import UsageError
from reactions.core.local_files import expand_user
from reactions.data.sources.config import Source
from reactions.eval.own_set import OwnSet
from reactions.eval.registry import loadable_sets, reserved
from reactions.eval.task import (
    CAPTIONS,
    GROUPS,
    IMAGE_TEMPLATES,
    OWN,
    SOUND_TEMPLATES,
    Task,
    folded,
)
from reactions.labs.data_sections import dataset_place, read_options, rooted
from reactions.labs.tasks_schema import OwnTask
from reactions.modalities.audio import AUDIO
from reactions.modalities.image import IMAGE
from reactions.modalities.text import TEXT

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
TEMPLATES = {AUDIO.name: SOUND_TEMPLATES, IMAGE.name: IMAGE_TEMPLATES}
"""Prompts where none are given, by modality."""
_PROTOCOLS = {
    "classification": "zero-shot accuracy; a class is the normalised mean of its normalised "
    "template embeddings",
    "multilabel": "macro mean of average precision over the classes present, on raw cosines",
    "retrieval": "each item has one or more partners; both directions; main score: mean of both "
    "directions' R@1",
}


def read_tasks(tasks: Mapping[str, OwnTask], path: Path, root: Path) -> dict[str, OwnSet]:
    """Return the evaluation sets that a lab file describes, by name.

    Args:
        tasks: what the file says.
        path: the file; relative paths start beside it, unless a folder of data has them.
        root: what ``$MOLSPACE_DATA`` stands for in paths.

    Raises:
        UsageError: a name is taken or cannot be typed, or templates and score do not fit.
    """
    names_taken: dict[str, str] = {}
    if tasks:
        for published in loadable_sets()[0]:
            names_taken |= dict.fromkeys(published.task.spellings(), published.task.name)
    sets: dict[str, OwnSet] = {}
    for name, section in tasks.items():
        _check_name(name, names_taken, path)
        if (other := next((n for n in sets if folded(n) == folded(name)), None)) is not None:
            raise UsageError(f"{path}: [tasks.{name}] and [tasks.{other}] cannot be told apart")
        sets[name] = _own_set(name, section, path, root)
    return sets


def _check_name(name: str, names_taken: Mapping[str, str], path: Path) -> None:
    if not _NAME.fullmatch(name) or reserved(name):
        raise UsageError(
            f"{path}: [tasks.{name}] cannot be asked for by this name",
            fix="letters, digits, '-', '_' and '.', and not "
            f"'all', {', '.join(map(repr, GROUPS))} or '{OWN}', which stand for several tasks",
        )
    if (published := names_taken.get(folded(name))) is not None:
        raise UsageError(
            f"{path}: [tasks.{name}] has the name of a published evaluation set, '{published}'",
            fix="choose another name; or say where the published set lies: "
            f"path in [data.{published}]",
        )


def _own_set(name: str, section: OwnTask, path: Path, root: Path) -> OwnSet:
    where = f"{path}: tasks.{name}"
    # Texts are found by media: their side comes last, as in published sets.
    media = sorted(section.media.items(), key=lambda entry: entry[0] == TEXT.name)
    query = media[0][0]
    other = media[1][0] if section.kind == "retrieval" else TEXT.name
    templates, by_id = tuple(section.templates), section.named_by_id
    if section.kind != "retrieval" and not templates:
        # How embeddings that are at hand were prompted is not known: nothing is claimed of it.
        templates = ("{class}",) if TEXT.name in by_id else TEMPLATES.get(query, ())
    protocol = _PROTOCOLS[section.kind]
    try:
        task = Task(
            name=name,
            title=section.title or name,
            kind=section.kind,
            query=query,
            other=other,
            protocol=CAPTIONS.format(m=query) if other == TEXT.name and not templates else protocol,
            licence=section.licence,
            citation=section.citation,
            source=str(path),
            templates=templates,
            main_score=section.main_score,
        )
    except UsageError as error:
        raise UsageError(f"{path}: {error.what}", fix=error.fix) from None

    def local(text: str, key: str) -> str:
        if is_url(text):
            raise UsageError(
                f"{where}.{key} is the address '{text}'",
                why="evaluation sets are read from this machine",
                fix="download it, and give its path",
            )
        return str(expand_user(rooted(text, root))) if text else ""

    return OwnSet(
        task,
        path.parent.absolute(),
        tuple(
            (m, tuple(columns) if section.has_table else (local(str(columns[0]), m),))
            for m, columns in media
        ),
        table=local(section.path, "path"),
        folder=local(section.folder, "folder"),
        classes=tuple(section.labels),
        separator=section.separator,
        literal=section.literal,
        by_id=by_id,
        source=Source(
            dataset=dataset_place(section, path, root, where),
            **read_options(section),
        ),
    )
