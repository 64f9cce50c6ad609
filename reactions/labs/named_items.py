"""The items that a lab names, where folders of embeddings have to supply their rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from reactions.core.errors import DataError
from reactions.core.types import Corpus, Modality, SpaceSpec
from reactions.data.corpora import IdCorpus
from reactions.data.manifest import read_manifest
from reactions.data.sources.config import Source
from reactions.data.sources.corpus import SourceCorpus
from reactions.data.sources.manifests import others_remark
from reactions.labs.lab import Lab

_BLOCK_ROWS = 1 << 14
_SHOWN = 3


def names_items(lab: Lab, modality: Modality) -> bool:
    """Return whether a lab names items of a modality that are not made up."""
    source = lab.corpora.get(modality)
    return source is not None and bool(source.sources)


def unnamed_note(lab: Lab, modality: Modality) -> str:
    """Return what to say of a modality without a corpus in a lab that names others; or ""."""
    named_modalities = sorted(other for other in lab.corpora if names_items(lab, other))
    if not named_modalities:
        return ""
    return (
        f"{modality}: all rows of the folders are trained on, held-out ones included, for the lab "
        f"names a corpus of {' and '.join(named_modalities)} alone "
        f"(name one in [corpora.{modality}])"
    )


def named_items(lab: Lab, modality: Modality, folders: Sequence[SpaceSpec]) -> IdCorpus:
    """Return the items that a lab names and folders have rows for.

    Up to ``max_bad`` of the items may be without a row; that is noted. Of a manifest only the ids
    count: the files that it names need not be there.

    Args:
        lab: names a corpus of the modality.
        modality: of the items.
        folders: the spaces that look them up.

    Raises:
        DataError: more are without a row, items have no ids of their own, or the corpus cannot
            be used.
        MissingError: a file of the corpus is missing.
    """
    name = f"{lab.name} {modality}"
    ids, notices = _ids(lab, modality)
    absent: dict[str, str] = {}
    for spec in folders:
        absent.update(dict.fromkeys(_absent(spec, modality, ids), spec.name))
    share = max(source.max_bad for source in lab.corpora[modality].sources)
    # Floats: 0.29 * 100 is less than 29.
    if len(absent) > share * len(ids) + 1e-6:
        raise _without_rows(
            name,
            modality,
            len(ids),
            absent,
            "embed these items too, leave them out of the corpus, or raise max_bad (now "
            f"{share:g}) under [corpora.{modality}]",
        )
    if absent:
        first, space = next(iter(absent.items()))
        notices.append(
            f"{modality} corpus: {len(absent)} of {len(ids)} items are left out, as folders have "
            f"no rows for them: '{first}' in '{space}'"
        )
    return IdCorpus(name, modality, [id for id in ids if id not in absent], notices)


def has_rows(corpus: Corpus, folders: Sequence[SpaceSpec]) -> Corpus:
    """Return a corpus that encoders embed, checked before they do: folders have all its rows.

    Raises:
        DataError: one lacks some, or items have no ids of their own.
    """
    ids = list(_own_ids(corpus))
    absent: dict[str, str] = {}
    for spec in folders:
        absent.update(dict.fromkeys(_absent(spec, corpus.modality, ids), spec.name))
    if absent:
        raise _without_rows(
            corpus.name,
            corpus.modality,
            len(ids),
            absent,
            "embed these items too, or leave them out of the corpus",
        )
    return corpus


def _absent(spec: SpaceSpec, modality: Modality, ids: Sequence[str]) -> list[str]:
    from reactions.encoders.precomputed.corpora import missing_ids

    return missing_ids(spec, modality, ids)


def _ids(lab: Lab, modality: Modality) -> tuple[list[str], list[str]]:
    """Return the ids of a corpus, and what its user should know of it."""
    sources = lab.corpora[modality].sources
    if all(source.manifest is not None and not source.paths for source in sources):
        remarks: list[str] = []
        return [id for source in sources for id in _listed(source, modality, remarks)], remarks
    corpus = lab.corpus(modality)
    assert corpus is not None  # it is named
    return list(_own_ids(corpus, as_written=True)), list(getattr(corpus, "notices", ()))


def _listed(source: Source, modality: Modality, remarks: list[str]) -> list[str]:
    """Return the ids in a manifest, apart from those to skip; notes other modalities' lines."""
    assert source.manifest is not None
    other_modalities: Counter[Modality] = Counter()
    rows = read_manifest(source.manifest, modality, other_modalities)
    if other_modalities:
        remarks.append(f"{modality} corpus: {others_remark(source.manifest, other_modalities)}")
    if unknown := sorted(source.skip - {row.id for row in rows}):
        raise DataError(f"the manifest '{source.manifest}' has no item '{unknown[0]}' to skip")
    listed = [row for row in rows if row.id not in source.skip]
    number = next((row.line_number for row in listed if not row.own_id), 0)
    if number:
        raise _without_id(f"line {number} of '{source.manifest}'", modality, 'add {"id": "..."}')
    return [row.id for row in listed]


def _own_ids(corpus: Corpus, *, as_written: bool = False) -> Iterator[str]:
    """Yield ids as items carry them, or without the numbers that we put before those of parts."""
    if as_written and isinstance(corpus, SourceCorpus):
        pairs = corpus.written_ids()
    else:
        starts = range(0, len(corpus), _BLOCK_ROWS)
        blocks = (corpus.items(start, start + _BLOCK_ROWS) for start in starts)
        pairs = ((item.id, item.own_id) for items in blocks for item in items)
    for id, is_own in pairs:
        if not is_own:
            raise _without_id(
                f"item '{id}' of corpus '{corpus.name}'",
                corpus.modality,
                f'name the column of ids, id = "..." under [corpora.{corpus.modality}], or '
                "list the items in a manifest",
            )
        yield id


def _without_id(where: str, modality: Modality, fix: str) -> DataError:
    return DataError(
        f"{where} has no id of its own",
        why=f"folders of embeddings supply {modality} rows by id; a position is not an id",
        fix=fix,
        modality=modality,
    )


def _without_rows(
    name: str, modality: Modality, n: int, absent: dict[str, str], fix: str
) -> DataError:
    shown = [f"'{id}' in '{space}'" for id, space in list(absent.items())[:_SHOWN]]
    return DataError(
        f"mismatched ids: folders have no rows for {len(absent)} of {n} items of corpus '{name}'",
        why=f"such as {', '.join(shown)}",
        fix=fix,
        corpus=name,
        modality=modality,
        n_missing=len(absent),
        n_items=n,
        missing=list(absent)[:5],
    )
