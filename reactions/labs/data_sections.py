"""What a lab file's ``[corpora.MODALITY]`` and ``[data]`` name, as absolute places."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reactions.core.addresses import absolute, is_url
from reactions.core.errors import DataError, MissingError, UsageError, suggestion
from reactions.core.local_files import expand_user, is_dir
from reactions.core.paths import DATA_VARIABLE
from reactions.core.protocols import check_address
from reactions.core.types import Corpus, Modality
from reactions.data.hub.config import DatasetPlace
from reactions.data.sources.config import OnProgress, Source, silent
from reactions.eval.registry import Folders, task_names
from reactions.labs.data_schema import (
    Corpora,
    Data,
    Files,
    FromDataset,
    HubData,
    ItemOptions,
    Manifest,
    MediaCorpus,
    NamedMedia,
    TextCorpus,
    TextFiles,
    World,
)
from reactions.weights.hub import is_repository

if TYPE_CHECKING:
    from reactions.data.scan_cache import TableCache


@dataclass(frozen=True, slots=True)
class CorpusSource:
    """Where the items of one modality come from.

    Attributes:
        world_rows: rows of the mini world; 0 for real items.
        sources: files, folders, shards and manifests, in order.
    """

    world_rows: int = 0
    sources: tuple[Source, ...] = ()


def open_sources(
    name: str,
    modality: Modality,
    source: CorpusSource,
    *,
    tables: TableCache,
    on_progress: OnProgress = silent,
) -> Corpus:
    """Open a corpus of files; see ``reactions.data.sources.corpus.open_corpus``.

    Raises:
        MissingError: as it does; a path that leads nowhere is named by its key.
    """
    from reactions.data.sources.corpus import open_corpus

    try:
        return open_corpus(name, modality, source.sources, tables=tables, on_progress=on_progress)
    except MissingError as error:
        if error.fix.startswith("check the path"):
            error.fix = f"{error.fix}: under [corpora.{modality}] of the lab file"
        raise


def read_corpora(corpora: Corpora, path: Path, root: Path) -> dict[Modality, CorpusSource]:
    """Return the corpora of a lab file, by modality.

    Args:
        corpora: what the file says.
        path: the file; relative paths start beside it.
        root: what ``$MOLSPACE_DATA`` stands for in paths.

    Raises:
        UsageError: an address is one that is never opened.
        DataError: a corpus of the mini world without rows.
    """
    return {
        modality: _corpus(corpus, modality, path, root)
        for modality, corpus in corpora
        if corpus is not None
    }


def _corpus(
    corpus: TextCorpus | MediaCorpus, modality: Modality, path: Path, root: Path
) -> CorpusSource:
    if isinstance(corpus, World):
        if corpus.world < 1:
            raise DataError(f"{path}: the {modality} corpus is empty (world = {corpus.world})")
        return CorpusSource(world_rows=corpus.world)
    where = f"{path}: corpora.{modality}"
    if not isinstance(corpus, list):
        return CorpusSource(sources=(_source(corpus, where, path, root),))
    sources = (_source(table, f"{where}[{i}]", path, root) for i, table in enumerate(corpus))
    return CorpusSource(sources=tuple(sources))


def _source(table: Files | HubData | Manifest, where: str, path: Path, root: Path) -> Source:
    common = read_options(table)
    if isinstance(table, Manifest):
        return Source(manifest=path.parent / expand_user(rooted(table.manifest, root)), **common)
    common["columns"] = tuple(table.column)
    if isinstance(table, HubData):
        common["dataset"] = dataset_place(table, path, root, where)
        return Source(member=table.member.lower(), **common)
    places = (absolute_place(rooted(text, root), path, f"{where}.path") for text in table.path)
    return Source(paths=tuple(places), member=table.member.lower(), **common)


def read_options(section: ItemOptions) -> dict[str, Any]:
    """Return what a section says of reading its items, as arguments of ``Source``.

    Args:
        section: of the file; one that has no ``id``, or no format of tables, says nothing of it.
    """
    options: dict[str, Any] = {
        "skip": frozenset(section.skip),
        "max_bad": section.max_bad,
        "check": section.check,
    }
    id_column = getattr(section, "id", None)
    if id_column is not None:
        options["id_column"] = id_column
    if isinstance(section, TextFiles | NamedMedia):
        options |= {
            "where": tuple((column, tuple(v)) for column, v in section.where.items()),
            "header": section.header,
            "delimiter": section.delimiter,
            "quoted": section.quoted,
        }
    return options


def dataset_place(section: FromDataset, path: Path, root: Path, where: str) -> DatasetPlace | None:
    """Return the data set that a section names; None where it names none.

    Args:
        section: of the file.
        path: the lab file; relative folders start beside it.
        root: what ``$MOLSPACE_DATA`` stands for in paths.
        where: the section, for errors.

    Raises:
        UsageError: it is neither ``ORG/NAME`` nor a folder, or a folder is said to be on the hub.
    """
    text = rooted(section.dataset, root)
    if not text:
        return None
    places = (section.config, tuple(section.split))
    if text.startswith((".", "/", "~")):
        for key in ("revision", "streaming"):
            if key in section.model_fields_set:
                raise UsageError(
                    f"{where}.{key} says nothing about the folder '{text}'",
                    why="it is for data sets of the hub",
                    fix="remove it",
                )
        return DatasetPlace(str((path.parent / expand_user(text)).resolve()), "", *places)
    if not is_repository(text):
        raise UsageError(
            f"{where}.dataset is '{text}'",
            why="it names no data set",
            fix='dataset = "ORG/NAME"; or, for a folder, dataset = "./FOLDER"',
        )
    if is_dir(path.parent / text):
        raise UsageError(
            f"{where}.dataset is '{text}', which a folder beside the file is called, too",
            fix=f'for the folder: dataset = "./{text}"; for the data set of the hub, rename it',
        )
    return DatasetPlace(text, section.revision.strip(), *places, section.streaming)


def absolute_place(text: str, path: Path, where: str) -> str:
    """Return an absolute path or URL; an address that is never opened is refused here already.

    Args:
        text: a path, URL or pattern.
        path: the lab file; relative paths start beside it.
        where: the key it stands at, for errors.

    Raises:
        UsageError: it is such an address.
    """
    place = absolute(text, path.parent)
    if is_url(place):
        try:
            check_address(place)
        except UsageError as error:
            raise UsageError(
                f"{where}: {error.what}", why=error.why, fix=error.fix, **error.fields
            ) from None
    return place


def rooted(text: str, root: Path) -> str:
    """Return a path with the folder of data in place of ``$MOLSPACE_DATA``."""
    return text.replace(f"${DATA_VARIABLE}", str(root), 1) if text.startswith("$") else text


def read_folders(
    data: Data, base: Folders, path: Path, root: Path, own: Iterable[str] = ()
) -> Folders:
    """Return where the evaluation sets of a lab file lie.

    Args:
        data: what the file says.
        base: what the lab that this one extends says.
        path: the file; relative folders start beside it.
        root: what ``$MOLSPACE_DATA`` stands for in paths.
        own: names of the lab's own sets.

    Raises:
        UsageError: a name is not that of an evaluation set.
    """
    for name in data.sets():
        if name not in (names := ("root", *task_names(), *own)):
            raise UsageError(f"{path}: unknown key data.{name}", fix=suggestion(name, names))

    def folder(text: str) -> Path:
        return path.parent / expand_user(rooted(text, root))

    return Folders(
        root=base.root if data.root is None else folder(data.root),
        tasks={**base.tasks, **{task: folder(entry.path) for task, entry in data.sets().items()}},
    )
