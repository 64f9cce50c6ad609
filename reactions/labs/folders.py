"""The folders of embeddings of a lab: counted for a list, or read whole to be checked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from reactions.core.errors import DataError, MissingError, MolspaceError
from reactions.core.types import Modality, SpaceSpec
from reactions.data.audit import DataFinding
from reactions.encoders.precomputed.folder import ADAPTER, open_table, unread_files
from reactions.encoders.precomputed.ids import RowIndex
from reactions.encoders.precomputed.layouts import find_sets
from reactions.encoders.precomputed.statistics import TableStatistics, statistics
from reactions.encoders.spread import is_collapsed
from reactions.labs.lab import Lab

_SHOWN = 3


def folder_spaces(lab: Lab) -> tuple[list[SpaceSpec], dict[str, MolspaceError]]:
    """Return the spaces of a lab that are folders of embeddings; models are not looked for.

    Returns:
        Those that can be used, and by name why the others cannot.
    """
    specs: list[SpaceSpec] = []
    broken: dict[str, MolspaceError] = {}
    for name in lab.catalogue.names():
        uri = lab.uris.get(name, "")
        if not uri or uri.startswith((f"{ADAPTER}:", "file:")) or ":" not in uri:
            try:
                spec = lab.catalogue.by_name(name)
            except MolspaceError as error:
                broken[name] = error
                continue
            if spec.adapter == ADAPTER:
                specs.append(spec)
    return specs, broken


def size_bytes(spec: SpaceSpec, modality: Modality) -> int:
    """Return the bytes of the files that hold a modality's rows and ids."""
    paths = find_sets(Path(spec.source))[modality].paths
    return sum(path.stat().st_size for path in paths)


def common_ids(
    specs: Sequence[SpaceSpec], modality: Modality
) -> tuple[int, int, dict[str, list[str]]]:
    """Compare the ids that folders give one modality.

    Returns:
        How many all of them have, the most rows that one has, and the ids of each that not all
        have. Folders without ids have row numbers.

    Raises:
        DataError: a table or its ids cannot be read.
    """
    ids_of_space: dict[str, list[str]] = {}
    for spec in specs:
        table, ids, _ = open_table(spec, modality)
        ids_of_space[spec.name] = (
            [str(row) for row in range(table.shape[0])] if ids is None else ids
        )
    indices = {name: RowIndex(ids) for name, ids in ids_of_space.items()}
    alone: dict[str, list[str]] = {}
    shared = {
        name: [all(row >= 0 for row in rows) for rows in zip(*_rows(indices, ids), strict=True)]
        for name, ids in ids_of_space.items()
    }
    for name, ids in ids_of_space.items():
        alone[name] = [id for id, is_shared in zip(ids, shared[name], strict=True) if not is_shared]
    first = specs[0].name
    return sum(shared[first]), max(map(len, ids_of_space.values())), alone


def _rows(indices: dict[str, RowIndex], ids: list[str]) -> list[list[int]]:
    return [index.rows(ids) for index in indices.values()]


def shared_modalities(specs: Sequence[SpaceSpec]) -> dict[Modality, list[SpaceSpec]]:
    """Return the modalities that several of some spaces have, each with these."""
    owners_of: dict[Modality, list[SpaceSpec]] = {}
    for spec in specs:
        for modality in spec.modalities:
            owners_of.setdefault(modality, []).append(spec)
    return {modality: owners for modality, owners in sorted(owners_of.items()) if len(owners) > 1}


def examine(lab: Lab) -> tuple[list[TableStatistics], list[DataFinding]]:
    """Read the folders of embeddings of a lab, every row once.

    Returns:
        What was counted, and what is wrong; what cannot be used is reported, not raised.
    """
    counted: list[TableStatistics] = []
    described, broken = folder_spaces(lab)
    findings = [DataFinding("unusable", name, _said(error)) for name, error in broken.items()]
    specs = []
    for spec in described:
        if note := unread_files(spec):
            findings.append(DataFinding("unread", spec.name, note))
        before = len(findings)
        for modality in spec.modalities:
            try:
                counts = statistics(spec, modality)
            except (DataError, MissingError) as error:
                findings.append(DataFinding("unusable", f"{spec.name} {modality}", _said(error)))
                continue
            counted.append(counts)
            findings += _faults(counts)
        if not any(f.kind == "unusable" and f.count == 0 for f in findings[before:]):
            specs.append(spec)
    for modality, owners in shared_modalities(specs).items():
        finding = _unmatched(owners, modality)
        if finding:
            findings.append(finding)
    return counted, findings


def _faults(table: TableStatistics) -> Iterator[DataFinding]:
    name = f"{table.space} {table.modality}"
    for n, what in ((table.n_not_finite, "not finite"), (table.n_zero, "zero")):
        if n:
            message = (
                f"{n} of {table.n} rows are {what}, the first bad one is row {table.first_bad}"
            )
            yield DataFinding("unusable", name, message, count=n, total=table.n)
    if table.n_repeated:
        yield DataFinding(
            "duplicates",
            name,
            f"{table.n_repeated} of {table.n} rows are the same as an earlier one",
            count=table.n_repeated,
            total=table.n,
        )
    if is_collapsed(table.cosine, table.n, table.dim):
        message = f"the tower has collapsed: root mean squared cosine {table.cosine:.4f}"
        yield DataFinding("collapsed", name, message, count=table.n, total=table.n)
    if not table.ids_from:
        message = (
            "rows have no ids: they are paired by their numbers, and no input can look them up"
        )
        yield DataFinding("no_ids", name, message, count=table.n, total=table.n)


def _unmatched(specs: Sequence[SpaceSpec], modality: Modality) -> DataFinding | None:
    n_common, n_most, alone = common_ids(specs, modality)
    lacking = {name: ids for name, ids in alone.items() if ids}
    if not lacking:
        return None
    names = " and ".join(spec.name for spec in specs)
    parts = [f"{len(ids)} of {name} are not" for name, ids in lacking.items()]
    return DataFinding(
        "unmatched",
        names,
        f"{n_common} {modality} ids are in all folders; " + ", ".join(parts),
        count=sum(map(len, lacking.values())),
        total=n_most,
        examples=tuple({"space": name, "id": ids[0]} for name, ids in lacking.items())[:_SHOWN],
    )


def _said(error: MolspaceError) -> str:
    text = f"{error.what}: {error.why}" if error.why else error.what
    return f"{text}; {error.fix}" if error.fix else text
