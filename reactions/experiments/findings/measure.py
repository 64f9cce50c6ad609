"""The findings on a lab: every space trained and scored for each seed, every contrast judged."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from reactions.core.types import Leaf
from reactions.eval.bootstrap import recall_by_item
from reactions.eval.registry import get_task
from reactions.eval.task_data import RetrievalData
from reactions.experiments.findings.contrasts import (
    A_LITTLE,
    A_LOT,
    BESIDE,
    CONTRASTS,
    CONTROLS,
    FAMILIES,
    MEANS,
    OWN_SPACE,
    SPACES,
    STATEMENTS,
    TOLERANCE,
)
from reactions.experiments.findings.judge import Strata, Verdict, judge
from reactions.experiments.notes import tuning_notes
from reactions.experiments.paper.spaces import FACTORS
from reactions.experiments.parts import SCORING_S, parts_of
from reactions.planning.plan import ReactionPlan
from reactions.run.events import Event, ignore
from reactions.run.parts import follow
from reactions.session import Session

_OWN_MODALITIES = ("image", "text")


@dataclass(frozen=True)
class Findings:
    """All verdicts, and the mean scores they rest on.

    Attributes:
        lab: label of the lab.
        seeds: seeds of corpora, projectors and evaluation data.
        scores: space to family to mean score in per cent.
        verdicts: in the order of ``CONTRASTS``.
        controls: in the order of ``CONTROLS``; no finding hangs on them.
        means: in the order of ``MEANS``, likewise.
        notes: how the figures must be read beside the paper's.
    """

    lab: str
    seeds: tuple[int, ...]
    scores: Mapping[str, Mapping[str, float]]
    verdicts: tuple[Verdict, ...]
    controls: tuple[Verdict, ...] = ()
    means: tuple[Verdict, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def numbers(self) -> tuple[int, ...]:
        """The findings that were measured."""
        return tuple(sorted({verdict.contrast.finding for verdict in self.verdicts}))

    def holds(self, finding: int) -> bool:
        """Return whether every contrast of a finding holds."""
        return all(v.holds for v in self.verdicts if v.contrast.finding == finding)

    def to_json(self) -> dict[str, Any]:
        """Return everything as a JSON object."""
        return {
            "lab": self.lab,
            "seeds": list(self.seeds),
            "margins": {"reaches": TOLERANCE, "a lot": A_LOT, "a little": A_LITTLE},
            "scores": {space: dict(row) for space, row in self.scores.items()},
            "findings": [
                {"finding": number, "statement": STATEMENTS[number], "holds": self.holds(number)}
                for number in self.numbers
            ],
            "contrasts": [verdict.to_json() for verdict in self.verdicts],
            "controls": [verdict.to_json() for verdict in self.controls],
            "means": [verdict.to_json() for verdict in self.means],
            "notes": list(self.notes),
        }


def measure(
    sessions: Sequence[Session],
    only: Collection[int] = tuple(STATEMENTS),
    *,
    events: Callable[[Event], None] = ignore,
) -> Findings:
    """Train and evaluate the spaces of findings for each seed, and judge their contrasts.

    Args:
        sessions: one for each seed; their labs differ only in it.
        only: numbers of the findings to measure.
        events: called as each space begins, with an estimate of the time left.
    """
    strata: Strata = {}
    sessions = [_with_own_space(session) for session in sessions]
    groups = [[c for c in group if c.finding in only] for group in (CONTRASTS, CONTROLS, MEANS)]
    needed = {space for group in groups for contrast in group for space in contrast.spaces}
    needed |= {space for finding in only for space in BESIDE.get(finding, ())}
    spaces = [space for space in SPACES if space in needed]
    prospects = [prospect for session in sessions for prospect in _prospects(session, spaces)]
    planned = [
        (f"seed {p.session.lab.seed}: {p.space}", SCORING_S, [p.plan] if p.plan else [])
        for p in prospects
    ]
    notes: dict[str, None] = {}
    for index in follow(parts_of(sessions[0], planned), events):
        notes |= dict.fromkeys(_measure_space(prospects[index], strata))
    verdicts, controls, means = (
        tuple(judge(contrast, strata, len(sessions)) for contrast in group) for group in groups
    )
    return Findings(
        lab=sessions[0].lab.label,
        seeds=tuple(session.lab.seed for session in sessions),
        scores={
            space: {
                family: 100 * float(np.mean([x.mean() for x in strata[space, family]]))
                for family in FAMILIES
                if (space, family) in strata
            }
            for space in spaces
        },
        verdicts=verdicts,
        controls=controls,
        means=means,
        notes=tuple(notes),
    )


def _with_own_space(session: Session) -> Session:
    """Return a session whose lab also knows ``OWN_SPACE``, with the paper's factors and mean."""
    lab = session.lab
    base = lab.catalogue.by_name("ImageBind")
    spec = replace(
        base,
        name=OWN_SPACE,
        modalities=_OWN_MODALITIES,
        preprocessing=tuple((m, tag) for m, tag in base.preprocessing if m in _OWN_MODALITIES),
        flops_per_item=tuple((m, n) for m, n in base.flops_per_item if m in _OWN_MODALITIES),
    )
    catalogue = lab.catalogue.extended({OWN_SPACE: spec})
    factors = replace(FACTORS, mean="eq10")
    return replace(session, lab=replace(lab, catalogue=catalogue, factors=factors))


@dataclass(frozen=True, slots=True)
class _Prospect:
    """A space at one seed, before anything runs."""

    session: Session
    space: str
    plan: ReactionPlan | None

    @property
    def reaction(self) -> str:
        return SPACES[self.space][0]


def _prospects(session: Session, spaces: Sequence[str]) -> Iterator[_Prospect]:
    """Yield the spaces at one seed, each reaction planned once."""
    plans: dict[str, ReactionPlan | None] = {}
    for space in spaces:
        reaction, _ = SPACES[space]
        if reaction not in plans:
            checked = session.check(reaction)
            plans[reaction] = None if isinstance(checked.space, Leaf) else session.plan(checked)
        yield _Prospect(session, space, plans[reaction])


def _measure_space(prospect: _Prospect, strata: Strata) -> tuple[str, ...]:
    """Score a space, and return how its figures must be read."""
    session, space = prospect.session, prospect.space
    target = session.target(prospect.plan or prospect.reaction)
    adjustment = SPACES[space][1]
    for family, names in FAMILIES.items():
        tasks = [get_task(name) for name in names]
        # All tasks of a family have the same two modalities.
        if not {tasks[0].query, tasks[0].other} <= set(target.space.modalities):
            continue
        for task, result in zip(tasks, session.evaluate(target, tasks, adjustment), strict=True):
            data = session.lab.benchmark(task.name)
            if isinstance(data, RetrievalData):
                items = recall_by_item(
                    result.arrays["rank_forward"], result.arrays["rank_backward"], data.owner, 1
                )
            else:
                items = np.asarray(result.arrays["correct"], dtype=np.float64).ravel()
            strata.setdefault((space, family), []).append(items)
    return tuning_notes([target.bundle.record] if target.bundle else [])
