"""The files of a data set that our own readers read: as they lie, or prepared by ``datasets``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reactions.core.addresses import Entry
from reactions.core.errors import UsageError
from reactions.core.storage import entry_of
from reactions.core.types import Modality
from reactions.data.hub.card import read_card
from reactions.data.hub.config import DatasetPlace
from reactions.data.hub.prepare import prepared_splits
from reactions.data.hub.repository import repository_of
from reactions.data.hub.splits import (
    candidates,
    choose_config,
    choose_split,
    data_names,
    left_out,
    split_files,
)
from reactions.data.sources.captions import SUFFIXES
from reactions.data.sources.config import OnProgress, silent
from reactions.modalities.registry import get
from reactions.modalities.suffixes import suffix_of


def dataset_files(
    place: DatasetPlace,
    modalities: Sequence[Modality],
    *,
    on_progress: OnProgress = silent,
    remarks: list[str],
) -> list[Entry]:
    """Return the files of a data set's split, fetched unless they are streamed.

    Parquet files and tars are read as they are, and so are tables and lines of texts. Files of
    any other kind are written to parquet once, by the library ``datasets``.

    Args:
        place: the data set.
        modalities: what is read from it.
        on_progress: of preparing, where that is needed.
        remarks: gets a sentence for each thing that was chosen, or left out.

    Raises:
        MissingError: it is not there, a package is missing, or the network must not be used.
        UsageError: revision, configuration or split are unclear, or unknown.
        DataError: it cannot be used.
    """
    repository = repository_of(place)
    names = data_names(repository.names())
    configs = read_card(repository.card())
    config = choose_config(configs, place)
    if len(configs) > 1 and not place.config:
        remarks.append(f"'{place}': its default configuration, '{config.name}', is read")
    candidate_names = candidates(names, config)
    if remark := left_out(names, candidate_names, config):
        remarks.append(f"'{place}': {remark}")
    kinds = {suffix_of(name) for name in candidate_names}
    inline = all(get(modality).inline for modality in modalities)
    of_texts = {*SUFFIXES} - {".json"}  # which may be laid out in many ways
    if kinds and (kinds <= {".parquet"} or kinds <= {".tar"} or (inline and kinds <= of_texts)):
        by_split = split_files(candidate_names, config, place)
        file_names = _chosen(by_split, place, remarks)
        if n_unsplit := len(
            {*candidate_names} - {name for names in by_split.values() for name in names}
        ):
            remarks.append(
                f"'{place}': {n_unsplit} of its files belong to no split, and are left out"
            )
        return repository.entries(file_names)
    if place.streaming:
        raise UsageError(
            f"'{place}' cannot be streamed",
            why=f"its files end in {', '.join(sorted(kinds)) or 'nothing'}; parquet files and tars "
            "can be read in pieces",
            fix="leave streaming out",
            dataset=place.name,
        )
    folder, by_split = prepared_splits(repository, names, config, place, on_progress=on_progress)
    return [entry_of(folder / name) for name in _chosen(by_split, place, remarks)]


def _chosen(
    by_split: Mapping[str, Sequence[str]], place: DatasetPlace, remarks: list[str]
) -> tuple[str, ...]:
    splits, names = choose_split(by_split, place)
    if not place.splits:
        remarks.append(f"'{place}': its only split, '{splits[0]}', is read")
    return names
