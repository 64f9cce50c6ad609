"""What a lab file's ``[pairs.NAME]`` names, and which of them tuning uses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from reactions.core.addresses import is_url
from reactions.core.errors import DataError, MissingError, UsageError, suggestion
from reactions.core.types import Modality
from reactions.data.pairs.config import VIDEO, VIDEO_MODALITIES, PairPlaces
from reactions.data.sources.config import Source
from reactions.labs.data_sections import absolute_place, dataset_place, read_options, rooted
from reactions.labs.pairs_schema import MediaPairs, Pairs, WorldScenes
from reactions.modalities.base import CheckDepth
from reactions.modalities.videos.choice import ClipChoice


@dataclass(frozen=True, slots=True)
class PairsSource:
    """Where pairs come from.

    Attributes:
        name: of the section.
        modalities: what belongs together, sorted.
        default: whether they are used where no pairs are named.
        places: of real items; None for the mini world's.
        world_scenes: scenes of the mini world; 0 for real items.
        seen_by: a space of the mini lab whose training scenes these are; "" for scenes that
            nothing else uses.
        training_seed: of that training.
    """

    name: str
    modalities: tuple[Modality, ...]
    default: bool = False
    places: PairPlaces | None = None
    world_scenes: int = 0
    seen_by: str = ""
    training_seed: int = 0

    def with_check(self, depth: CheckDepth) -> PairsSource:
        """Return the same pairs, with another depth of looking for damage."""
        if self.places is None:
            return self
        places = replace(self.places, source=replace(self.places.source, check=depth))
        return replace(self, places=places)

    def joins(self, *modalities: Modality) -> bool:
        """Whether each item has all of these modalities."""
        return set(modalities) <= set(self.modalities)


def read_pairs(
    pairs: Mapping[str, Pairs], base: Mapping[str, PairsSource], path: Path, root: Path
) -> dict[str, PairsSource]:
    """Return the pairs of a lab, by name.

    Args:
        pairs: what the file says.
        base: what the lab says that this one extends. None of its pairs stay the default where
            the file has pairs of the same modalities.
        path: the file; relative paths start beside it.
        root: what ``$MOLSPACE_DATA`` stands for in paths.

    Raises:
        DataError: pairs of the mini world without scenes.
        UsageError: several are the default for the same modalities, or an address is one that is
            never opened.
    """
    new_sources = {name: _source(name, section, path, root) for name, section in pairs.items()}
    for source in new_sources.values():
        for other in new_sources.values():
            if source is other or not (source.default and other.default):
                continue
            if other.joins(*source.modalities) or source.joins(*other.modalities):
                raise UsageError(
                    f"{path}: pairs.{source.name} and pairs.{other.name} are both the default",
                    fix="leave default = true with one of them",
                )
    inherited = {
        name: replace(source, default=source.default and not _rivalled(source, new_sources))
        for name, source in base.items()
    }
    return {**inherited, **new_sources}


def _rivalled(source: PairsSource, new_sources: Mapping[str, PairsSource]) -> bool:
    return any(
        other.joins(*source.modalities) or source.joins(*other.modalities)
        for other in new_sources.values()
    )


def _source(name: str, section: Pairs, path: Path, root: Path) -> PairsSource:
    if not isinstance(section, WorldScenes):
        places = _places(name, section, path, root)
        return PairsSource(name, places.modalities, section.default, places=places)
    if section.world < 1:
        raise DataError(f"{path}: pairs.{name} are empty (world = {section.world})")
    if section.training_seed < 0:
        raise UsageError(
            f"{path}: pairs.{name}.training_seed is {section.training_seed}",
            why="it must be a whole number from 0 up",
        )
    return PairsSource(
        name,
        VIDEO_MODALITIES,
        section.default,
        world_scenes=section.world,
        seen_by=section.seen_by,
        training_seed=section.training_seed,
    )


def _places(name: str, section: MediaPairs, path: Path, root: Path) -> PairPlaces:
    where = f"{path}: pairs.{name}"
    media = dict(section.media)
    is_video = VIDEO in media
    names = (
        tuple(sorted((m, columns[0]) for m, columns in media.items())) if section.has_table else ()
    )
    key = "path" if section.path else VIDEO
    texts = section.path if section.has_table else [str(text) for text in media[VIDEO]]
    if is_url(section.folder):
        raise UsageError(
            f"{where}.folder is the address '{section.folder}'",
            why="a table names files of the machine that it lies on",
            fix="download them, and give their folder; or give shards",
        )
    source = Source(
        paths=tuple(absolute_place(rooted(t, root), path, f"{where}.{key}") for t in texts),
        dataset=dataset_place(section, path, root, where),
        **read_options(section),
    )
    return PairPlaces(
        source,
        names,
        folder=absolute_place(rooted(section.folder, root), path, where) if section.folder else "",
        clip=ClipChoice(section.seconds, section.clip_at, section.picture_at) if is_video else None,
        by_id=section.by_id,
    )


def choose_pairs(
    pairs: Mapping[str, PairsSource],
    modalities: tuple[Modality, Modality],
    name: str | None,
    lab: str,
) -> PairsSource:
    """Return the pairs that tuning uses: those named, the only ones that fit, or the default.

    Args:
        pairs: of the lab, by name.
        modalities: the tuned one, and the one it is paired with.
        name: of the section, or None.
        lab: its name, for errors.

    Raises:
        MissingError: the lab has no pairs of these modalities.
        UsageError: the named ones are not there or lack a modality, or several fit.
    """
    tuned, paired = modalities
    if name is not None:
        if name not in pairs:
            raise UsageError(
                f"lab '{lab}' has no pairs '{name}'",
                fix=suggestion(name, list(pairs)) if pairs else _how_to_add(tuned, paired),
                pairs=name,
            )
        if not pairs[name].joins(tuned, paired):
            raise UsageError(
                f"the pairs '{name}' are of {' and '.join(pairs[name].modalities)}",
                why=f"{tuned} and {paired} are asked for",
                fix=_how_to_add(tuned, paired),
                pairs=name,
            )
        return pairs[name]
    fitting = [source for source in pairs.values() if source.joins(tuned, paired)]
    if not fitting:
        raise MissingError(
            f"lab '{lab}' has no pairs of {tuned} and {paired}",
            fix=_how_to_add(tuned, paired),
            modalities=[tuned, paired],
        )
    defaults = [source for source in fitting if source.default] if len(fitting) > 1 else fitting
    if len(defaults) != 1:
        names = [source.name for source in fitting]
        raise UsageError(
            f"lab '{lab}' has several pairs of {tuned} and {paired}: {', '.join(names)}",
            fix=f"name one, pairs={names[0]}, or set default = true in one of their sections",
            pairs=names,
        )
    return defaults[0]


def _how_to_add(tuned: Modality, paired: Modality) -> str:
    return (
        f'[pairs.NAME] with path = "TABLE.csv", {tuned} = "COLUMN" and {paired} = "COLUMN" '
        "in a lab file"
    )
