"""What a lab holds, in one list; nothing is opened, scanned or rendered for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from reactions.core.errors import MissingError, MolspaceError
from reactions.core.types import SpaceSpec
from reactions.eval.registry import loadable_sets

if TYPE_CHECKING:
    from reactions.labs.lab import Lab


@dataclass(frozen=True, slots=True)
class Holding:
    """One thing that a lab names.

    Attributes:
        kind: ``"space"``, ``"corpus"``, ``"pairs"``, ``"knowledge"`` or ``"task"``.
        name: as commands take it.
        holds: what it is, in words.
    """

    kind: str
    name: str
    holds: str

    def to_json(self) -> dict[str, str]:
        """Return the fields."""
        return asdict(self)


def contents(lab: Lab) -> list[Holding]:
    """Return what a lab holds: spaces, corpora, pairs, knowledge bases, evaluation sets."""
    return [*_spaces(lab), *_media(lab), *_tasks(lab)]


@dataclass(frozen=True, slots=True)
class AbsentSpace:
    """A space that a lab names and that cannot be used on this machine.

    Attributes:
        name: of the space.
        state: ``"no weights on this machine"``, or ``"cannot be used"``.
        remark: what helps; where more than weights is missing, what is wrong and why before it.
    """

    name: str
    state: str
    remark: str


def described_spaces(lab: Lab) -> tuple[list[SpaceSpec], list[AbsentSpace]]:
    """Describe the spaces that a lab knows by name; one that cannot be used is not raised."""
    specs: list[SpaceSpec] = []
    absent: list[AbsentSpace] = []
    for name in lab.catalogue.names():
        try:
            specs.append(lab.catalogue.by_name(name))
        except MolspaceError as error:
            absent.append(_absent(name, error))
    return specs, absent


def _absent(name: str, error: MolspaceError) -> AbsentSpace:
    if isinstance(error, MissingError) and error.fix and error.fields.get("looked_in"):
        return AbsentSpace(name, "no weights on this machine", error.fix)
    remark = "; ".join(filter(None, (error.what, error.why, error.fix)))
    return AbsentSpace(name, "cannot be used", remark)


def _spaces(lab: Lab) -> Iterator[Holding]:
    for name in lab.catalogue.names():
        if name in lab.uris:  # a model can only be described once its weights are here
            holds = lab.uris[name]
        else:
            try:
                holds = _senses(lab.catalogue.by_name(name))
            except MolspaceError as error:
                holds = f"cannot be used: {error.what}"
        yield Holding("space", name, holds)


def _senses(spec: SpaceSpec) -> str:
    separate, derived = dict(spec.tower_digests), dict(spec.derived)
    plain = [m for m in spec.modalities if m not in separate and m not in derived]
    parts = [", ".join(plain)] if plain else []
    if separate:
        parts.append(f"{', '.join(separate)} (files of their own)")
    if derived:
        recipes = ", ".join(f"{modality}={recipe}" for modality, recipe in derived.items())
        parts.append(f"by its images: {recipes}")
    return f"{spec.dim}-d: " + "; ".join(parts)


def _media(lab: Lab) -> Iterator[Holding]:
    for modality, corpus in lab.corpora.items():
        holds = f"{corpus.world_rows} items of the mini world"
        if not corpus.world_rows:
            holds = f"{len(corpus.sources)} source" + "s" * (len(corpus.sources) != 1)
        yield Holding("corpus", modality, holds)
    for name, pairs in lab.pairs.items():
        holds = f"{' with '.join(pairs.modalities)}: " + (
            f"{pairs.world_scenes} scenes of the mini world" if pairs.world_scenes else "files"
        )
        yield Holding("pairs", name, holds + (" (default)" if pairs.default else ""))
    for name, knowledge in lab.knowledge_bases.items():
        holds = str(knowledge.path) if knowledge.path else "written by the mini world's describer"
        yield Holding("knowledge", name, holds)


def _tasks(lab: Lab) -> Iterator[Holding]:
    for published in loadable_sets()[0]:
        if lab.may_have(published.task.name):
            yield Holding(
                "task", published.task.name, f"{published.task.kind} of {published.task.query}"
            )
    for name, own_set in lab.own_tasks.items():
        yield Holding("task", name, f"{own_set.task.kind} of {own_set.task.query}")
