"""Why no id of a table is among those of embeddings: the ways in which they may be written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import PurePosixPath

from reactions.core.types import Modality

_SAMPLED = 1000
_TRIED = 50

_SPELLINGS: Mapping[str, Callable[[str], str]] = {
    "case": str.casefold,
    "leading zeros": lambda id: id.lstrip("0") or "0",
    "folders": lambda id: PurePosixPath(id).name,
    "endings": lambda id: str(PurePosixPath(id).with_suffix("")) if id.strip("./") else id,
    "folders and endings": lambda id: PurePosixPath(id).stem,
}


def how_alike(
    ids: Sequence[str],
    stored: Sequence[str],
    modality: Modality,
    columns: Sequence[str | int],
) -> str:
    """Return how ids of a table may become those of embeddings; "" if that cannot be seen.

    Args:
        ids: of the table, none of which is stored.
        stored: of the embeddings.
        modality: of both.
        columns: of the table that hold the ids.
    """
    sample = ids[:_SAMPLED]
    if len(columns) == 1 and isinstance(columns[0], str):
        for before, after in _affixes(sample, set(stored)):
            composed = f"{before}{{{columns[0]}}}{after}"
            return (
                f"'{sample[0]}' of the table is '{before}{sample[0]}{after}' in the folder: "
                f'--columns "{modality}={composed}", or {modality} = "{composed}" in a lab file'
            )
    for words, spelling in _SPELLINGS.items():
        spelled = {spelling(id): id for id in stored}
        matched = [(id, spelled[spelling(id)]) for id in sample if spelling(id) in spelled]
        if 2 * len(matched) > len(sample):
            id, stored_id = matched[0]
            return f"they differ in {words}: write '{id}' as '{stored_id}' in one of the two"
    return ""


def _affixes(ids: Sequence[str], stored: set[str]) -> Iterator[tuple[str, str]]:
    """Yield what stands before and behind most ids of a table where they are stored."""
    longer = (stored_id for stored_id in stored if ids[0] in stored_id)
    for stored_id in islice(longer, _TRIED):
        before, _, after = stored_id.partition(ids[0])
        if 2 * sum(f"{before}{id}{after}" in stored for id in ids) > len(ids):
            yield before, after
