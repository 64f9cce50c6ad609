"""What ``molspace index`` is given: checked before anything is trained, and read as items."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from molspace_cli.input_notes import InputNotes
    from reactions.core.types import Corpus, Item, Space
    from reactions.data.manifest import Problem
    from reactions.inference.embedder import Embedder
    from reactions.inference.place_contents import PlaceContents
    from reactions.inference.table_reading import TableReading
    from reactions.session import Session


def _refuse_texts(inputs: list[str]) -> None:
    """Refuse arguments that are not files: a mistyped folder would be indexed as a text.

    Raises:
        UsageError: one is.
    """
    from reactions.core.errors import UsageError
    from reactions.core.file_names import as_stored
    from reactions.core.local_files import exists
    from reactions.inference.place_kinds import place_kind

    for text in inputs:
        if place_kind(text):
            continue
        if text != "-" and not text.lstrip().startswith("{") and not exists(as_stored(Path(text))):
            raise UsageError(
                f"there is no file or folder '{text}'",
                why="index takes texts from files of lines, or with --text",
                fix="correct the path; --text, if it is a text",
            )


def named_inputs(
    inputs: list[str], *, text: bool, modality: str | None, as_tables: bool = False
) -> tuple[str | None, list[str], list[PlaceContents]]:
    """Return what all items are said to be, the inputs, and what places among them hold.

    Raises:
        UsageError: one cannot be indexed.
    """
    from reactions.core.errors import UsageError
    from reactions.inference.arguments import refuse_paths
    from reactions.inference.places import named_places
    from reactions.modalities.text import TEXT

    if text and modality:
        raise UsageError("--text says what --modality says", fix="give one of them")
    taken_as = TEXT.name if text else modality
    contents: list[PlaceContents] = []
    if not text:
        inputs, contents = named_places(inputs, taken_as)
    if taken_as is None:
        refuse_paths(inputs, as_tables=as_tables)
        _refuse_texts(inputs)
    return taken_as, inputs, contents


def refuse_others(space: Space, *, corpora: Mapping[str, Corpus], taken_as: str | None) -> None:
    """Refuse what a space does not embed.

    Raises:
        UsageError: it does not embed a corpus, or what all items are said to be.
    """
    from reactions.core.errors import UsageError
    from reactions.inference.inputs import check_embedded

    check_embedded(taken_as, space.modalities)
    for name, corpus in corpora.items():
        if corpus.modality not in space.modalities:
            raise UsageError(
                f"the space does not embed {corpus.modality}, which the corpus '{name}' holds",
                why=f"it embeds {', '.join(space.modalities)}",
            )


def read_items(
    session: Session,
    embedder: Embedder,
    inputs: list[str],
    corpora: Mapping[str, Corpus],
    *,
    taken_as: str | None,
    reading: TableReading,
    noted: InputNotes,
) -> Iterable[Item | Problem]:
    """Read the inputs, corpora first.

    Args:
        session: whose lab has the tables.
        embedder: of the space.
        inputs: from ``named_inputs``.
        corpora: of the lab, by their names.
        taken_as: what all inputs are said to be.
        reading: how tables are read.
        noted: gets what arguments held.
    """
    from itertools import chain

    from reactions.encoding.items import CorpusRange
    from reactions.inference.inputs import read_inputs
    from reactions.search.item_names import of_corpus

    sources: list[Iterable[Item | Problem]] = []
    for name, corpus in corpora.items():
        sources.append(of_corpus(name, CorpusRange(corpus, 0, len(corpus))))
    if inputs:
        sources.append(
            read_inputs(
                inputs,
                modalities=embedder.spec.modalities,
                stdin=getattr(sys.stdin, "buffer", None),
                by_id=embedder.by_id,
                taken_as=taken_as,
                tables=session.lab.tables,
                reading=reading,
                on_held=noted.held,
            )
        )
    return chain.from_iterable(sources)
