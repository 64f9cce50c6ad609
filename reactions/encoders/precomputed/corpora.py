"""The items of spaces that are given as embeddings, and which of them several spaces share."""

from __future__ import annotations

from collections.abc import Sequence

from reactions.core.errors import DataError
from reactions.core.types import Modality, SpaceSpec
from reactions.data.corpora import IdCorpus
from reactions.encoders.precomputed.folder import open_table
from reactions.encoders.precomputed.ids import RowIndex


def corpus(spec: SpaceSpec, modality: Modality) -> IdCorpus:
    """Return all items of one modality of a precomputed space, in the file's order.

    Raises:
        DataError: the space lacks the modality, or its ids do not fit its embeddings.
    """
    ids, _ = _all_ids(spec, modality)
    return IdCorpus(f"{spec.name}/{modality}", modality, ids)


def common_corpus(specs: Sequence[SpaceSpec], modality: Modality) -> IdCorpus:
    """Return the items of one modality that several precomputed spaces must share.

    Args:
        specs: at least one, each embedding ``modality``. The first gives the ids and
            their order; the others must have them all, and, where neither names its
            items, exactly as many.
        modality: which items.

    Returns:
        The items; its notices say how rows are paired, where that is not by ids.

    Raises:
        DataError: a space lacks some of the first one's items.
    """
    first = specs[0]
    ids, has_ids = _all_ids(first, modality)
    notices = []
    for other in specs[1:]:
        if other.source == first.source:
            continue
        other_ids, other_has_ids = _all_ids(other, modality)
        missing = _missing(ids, other_ids)
        # Bare row numbers always overlap; only equal counts make it likely that they agree.
        if missing or (not has_ids and not other_has_ids and len(ids) != len(other_ids)):
            raise DataError(
                f"mismatched ids: {modality} of '{other.name}' does not cover '{first.name}'",
                why=f"'{first.name}' has {len(ids)} items, '{other.name}' has {len(other_ids)}"
                + (
                    f"; {len(missing)} of the former are not in the latter, "
                    f"such as {', '.join(missing[:3])}"
                    if missing
                    else ", and without ids rows must pair one to one"
                ),
                fix="embed the same items with every model, and give them ids",
                modality=modality,
                spaces=[first.name, other.name],
                counts=[len(ids), len(other_ids)],
                n_missing=len(missing),
                missing=missing[:5],
            )
        nameless = [s.name for s, has in ((first, has_ids), (other, other_has_ids)) if not has]
        if nameless:
            notices.append(
                f"{len(ids)} {modality} rows of '{first.name}' and '{other.name}' are paired by "
                f"their numbers: there are no {modality} ids in {' and '.join(nameless)}"
            )
        if len(other_ids) > len(ids):
            notices.append(
                f"{len(other_ids) - len(ids)} of {len(other_ids)} {modality} rows of "
                f"'{other.name}' are not used, as '{first.name}' lacks them"
            )
    return IdCorpus(f"{first.name}/{modality}", modality, ids, notices, positional=not has_ids)


def missing_ids(spec: SpaceSpec, modality: Modality, ids: Sequence[str]) -> list[str]:
    """Return those of some ids that a space has no row for.

    Raises:
        DataError: the space lacks the modality, names no rows, or its ids do not fit.
    """
    return _missing(ids, named_rows(spec, modality, f"the lab's {modality} corpus"))


def named_rows(spec: SpaceSpec, modality: Modality, named_by: str) -> list[str]:
    """Return the ids of a space's rows, in order.

    Args:
        spec: of a folder.
        modality: of the rows.
        named_by: what names the items that are looked up, for the error.

    Raises:
        DataError: the space lacks the modality, names no rows, or its ids do not fit.
    """
    stored_ids, has_ids = _all_ids(spec, modality)
    if not has_ids:
        raise DataError(
            f"space '{spec.name}' has no ids for its {modality} rows",
            why=f"items are named by {named_by}, and rows found by ids alone",
            fix=f"give the ids used when embedding, as {modality}.ids.txt in {spec.source}",
            space=spec.name,
            modality=modality,
        )
    return stored_ids


def _all_ids(spec: SpaceSpec, modality: Modality) -> tuple[list[str], bool]:
    """Return the ids of a modality, and whether the folder names them."""
    table, ids, _ = open_table(spec, modality)
    if ids is None:
        return [str(row) for row in range(table.shape[0])], False
    return ids, True


def _missing(ids: Sequence[str], stored_ids: Sequence[str]) -> list[str]:
    return [id for id, row in zip(ids, RowIndex(stored_ids).rows(ids), strict=True) if row < 0]
