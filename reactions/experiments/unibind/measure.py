"""UniBind's findings on a lab: every arm measured for each seed, every claim judged."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reactions.centres import class_rows, evaluate_centres
from reactions.core.types import Leaf
from reactions.eval.baselines import BARE_NAMES, CLIP_PROMPT, SEVEN_PROMPTS
from reactions.eval.baselines import SYNONYMS as SYNONYM_ROW
from reactions.eval.registry import get_task
from reactions.experiments.findings.judge import Strata
from reactions.experiments.parts import SCORING_S, parts_of
from reactions.experiments.unibind.claims import (
    ARMS,
    CLAIMS,
    CONTROLS,
    CUTOFFS,
    DIRECTIONS,
    GEOMETRY,
    KNOWN,
    NAME,
    POINT_DIRECTIONS,
    PROMPT,
    RECOGNITION,
    RETRIEVAL_TASK,
    SEVEN,
    STATEMENTS,
    SYNONYMS,
    Arm,
    ByCentres,
    at,
)
from reactions.experiments.unibind.judge import Judged, judge
from reactions.experiments.unibind.scenes import geometry, point_retrieval
from reactions.labs.lab import Lab
from reactions.planning.centres import ClassCentres, open_source
from reactions.planning.plan import ReactionPlan
from reactions.products.target import Target
from reactions.run.events import Event, ignore
from reactions.run.parts import follow
from reactions.session import Session

_ROWS = {PROMPT: CLIP_PROMPT, SEVEN: SEVEN_PROMPTS, NAME: BARE_NAMES, SYNONYMS: SYNONYM_ROW}
"""Rows beside centres, by our names of what describes the classes."""

_TEXTLESS, _TEXT_OF = "PointExpert", "InternVL"
"""A space without texts, and the one in whose space it lies."""


@dataclass(frozen=True)
class UniBindFindings:
    """All claims judged, and the means that they rest on.

    Attributes:
        lab: label of the lab.
        seeds: of corpora, layers and evaluation data.
        scores: arm to family to its mean, per cent (the gap: times 100).
        judged: in the order of ``CLAIMS``.
        controls: in the order of ``CONTROLS``; no finding hangs on them.
    """

    lab: str
    seeds: tuple[int, ...]
    scores: Mapping[str, Mapping[str, float]]
    judged: tuple[Judged, ...]
    controls: tuple[Judged, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The findings that were measured."""
        present = {judged.claim.finding for judged in self.judged}
        return tuple(name for name in STATEMENTS if name in present)

    def holds(self, finding: str) -> bool:
        """Return whether every claim of a finding holds."""
        return all(j.holds for j in self.judged if j.claim.finding == finding)

    def to_json(self) -> dict[str, Any]:
        """Return everything as a JSON object."""
        return {
            "lab": self.lab,
            "seeds": list(self.seeds),
            "scores": {arm: dict(row) for arm, row in self.scores.items()},
            "findings": [
                {"finding": name, "statement": STATEMENTS[name], "holds": self.holds(name)}
                for name in self.names
            ],
            "claims": [judged.to_json() for judged in self.judged],
            "controls": [judged.to_json() for judged in self.controls],
        }


def measure(
    sessions: Sequence[Session],
    only: Collection[str] = tuple(STATEMENTS),
    *,
    events: Callable[[Event], None] = ignore,
) -> UniBindFindings:
    """Train and measure the arms of findings for each seed, and judge their claims.

    Args:
        sessions: one for each seed; their labs differ only in it.
        only: names of the findings to measure.
        events: called as each reaction begins, with an estimate of the time left.
    """
    claims, controls = (
        [claim for claim in group if claim.finding in only] for group in (CLAIMS, CONTROLS)
    )
    needed = dict.fromkeys(pair for claim in (*claims, *controls) for pair in claim.measured)
    prospects = [
        prospect
        for session in map(_with_text, sessions)
        for prospect in _prospects(session, [pair for pair in needed if pair[0] in ARMS])
    ]
    planned = [
        (f"seed {p.session.lab.seed}: {p.reaction}", SCORING_S, [p.plan] if p.plan else [])
        for p in prospects
    ]
    strata: Strata = {}
    for index in follow(parts_of(sessions[0], planned), events):
        for key, values in _measure(prospects[index]).items():
            strata.setdefault(key, []).extend(values)
    judged, beside = (
        tuple(judge(claim, strata, len(sessions)) for claim in group)
        for group in (claims, controls)
    )
    scores: dict[str, dict[str, float]] = {}
    for arm, family in needed:
        mean = np.mean([values.mean() for values in strata[arm, family]])
        scores.setdefault(arm, {})[family] = 100 * float(mean)
    return UniBindFindings(
        lab=sessions[0].lab.label,
        seeds=tuple(session.lab.seed for session in sessions),
        scores=scores,
        judged=judged,
        controls=beside,
    )


def _with_text(session: Session) -> Session:
    """Return a session in whose lab PointExpert also has the texts of the space it lies in.

    As an expert it has none, so that what a reaction gains is not from texts; to see what it
    recognises by itself, it needs them.
    """
    lab = session.lab
    expert, partner = (lab.catalogue.by_name(name) for name in (_TEXTLESS, _TEXT_OF))
    spec = replace(
        expert,
        name=_named(expert.name),
        modalities=(*expert.modalities, "text"),
        preprocessing=(*expert.preprocessing, *_text_alone(partner.preprocessing)),
        flops_per_item=(*expert.flops_per_item, *_text_alone(partner.flops_per_item)),
    )
    return replace(session, lab=_extended(lab, spec.name, spec))


def _named(expert: str) -> str:
    return f"{expert}_{_TEXT_OF}"


def _text_alone(entries: Sequence[tuple[str, Any]]) -> tuple[tuple[str, Any], ...]:
    return tuple((modality, value) for modality, value in entries if modality == "text")


def _extended(lab: Lab, name: str, spec: Any) -> Lab:
    return replace(lab, catalogue=lab.catalogue.extended({name: spec}))


@dataclass(frozen=True)
class _Prospect:
    """A reaction at one seed, before anything runs.

    Attributes:
        session: of the seed.
        reaction: what is trained; or the name of a space.
        plan: of its training; None for a space.
        arms: their names, each with a family.
    """

    session: Session
    reaction: str
    plan: ReactionPlan | None
    arms: tuple[tuple[str, str], ...]


def _prospects(session: Session, needed: Sequence[tuple[str, str]]) -> Iterator[_Prospect]:
    """Yield what is measured at one seed, each reaction once."""
    arms_of_reactions: dict[str, list[tuple[str, str]]] = {}
    for arm, family in needed:
        reaction = ARMS[arm].reaction
        # A space without texts recognises nothing.
        if reaction == _TEXTLESS and family in RECOGNITION:
            reaction = _named(reaction)
        arms_of_reactions.setdefault(reaction, []).append((arm, family))
    for reaction, pairs in arms_of_reactions.items():
        checked = session.check(reaction)
        plan = None if isinstance(checked.space, Leaf) else session.plan(checked)
        yield _Prospect(session, reaction, plan, tuple(pairs))


def _measure(prospect: _Prospect) -> Strata:
    """Measure a reaction's arms at one seed: per-item values, one array a task."""
    session = prospect.session
    target = session.target(prospect.plan or prospect.reaction)
    strata: Strata = {}
    looked_at: dict[tuple[str, str], Mapping[str, NDArray[np.float64]]] = {}
    for arm_name, family in prospect.arms:
        arm = ARMS[arm_name]
        if family in RECOGNITION:
            strata[arm_name, family] = _recognised(session, target, arm, RECOGNITION[family])
            continue
        kind = _kind(family)
        # The same for all arms of a reaction that differ in factors alone: by arm.
        if (arm_name, kind) not in looked_at:
            looked_at[arm_name, kind] = _looked_at(session, target, arm, kind)
        strata[arm_name, family] = [looked_at[arm_name, kind][family]]
    return strata


def _recognised(
    session: Session, target: Target, arm: Arm, names: Sequence[str]
) -> list[NDArray[np.float64]]:
    """Return which items of each task are recognised, 0 or 1."""
    tasks = [get_task(name) for name in names]
    if isinstance(arm.classes, ByCentres):
        centres = ClassCentres(open_source(session.lab, arm.classes.knowledge), arm.classes.options)
        results = evaluate_centres(session, target, tasks, centres, arm.adjustment)
    else:
        source = open_source(session.lab, KNOWN)  # it names the synonyms
        rows = class_rows(session, target, tasks, ClassCentres(source), arm.adjustment)
        row = next(row for row in rows if row.name == _ROWS[arm.classes or PROMPT])
        results = [row.results[task.name] for task in tasks]
    return [np.asarray(r.arrays["correct"], dtype=np.float64).ravel() for r in results]


_RETRIEVAL, _POINTS, _LIE = "retrieval", "points", "geometry"


def _kind(family: str) -> str:
    if family in GEOMETRY:
        return _LIE
    return _POINTS if family.startswith(POINT_DIRECTIONS) else _RETRIEVAL


def _looked_at(
    session: Session, target: Target, arm: Arm, kind: str
) -> Mapping[str, NDArray[np.float64]]:
    """Return all families of one kind, of items and not of tasks."""
    if kind == _RETRIEVAL:
        return _retrieved(session, target, arm)
    embedder = session.embedder(target, arm.adjustment)
    look = geometry if kind == _LIE else point_retrieval
    return look(embedder, session.lab.seed)


def _retrieved(session: Session, target: Target, arm: Arm) -> dict[str, NDArray[np.float64]]:
    """Return which queries find their partner among the first k, 0 or 1."""
    (result,) = session.evaluate(target, [get_task(RETRIEVAL_TASK)], arm.adjustment)
    # Events are on the left: backward, they ask for pictures.
    ranks = dict(zip(DIRECTIONS, ("rank_backward", "rank_forward"), strict=True))
    return {
        at(direction, k): (np.asarray(result.arrays[name]).ravel() <= k).astype(np.float64)
        for direction, name in ranks.items()
        for k in CUTOFFS
    }
