"""The paper's findings, rehearsed on the mini lab: contrasts with confidence intervals.

Each finding is a set of contrasts between two spaces on one family of tasks. A contrast is
the difference of their mean scores, over the tasks and over seeds, with two 95 % intervals: a
bootstrap that draws items within each task and seed, and Student's t over the seeds' means. The
first leaves out what another training run would change, the second rests on few numbers: a claim
is judged by the wider. The margins below were fixed before anything was measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from reactions.core.types import Leaf
from reactions.eval.bootstrap import (
    Interval,
    bootstrap_strata,
    recall_by_item,
    student_interval,
)
from reactions.eval.registry import get_task
from reactions.eval.task_data import RetrievalData
from reactions.experiments.paper.spaces import EXPERTISE, VERSATILE
from reactions.planning.plan import ReactionPlan
from reactions.products.tree import NO_ADJUSTMENT, Adjustment
from reactions.run.events import Event
from reactions.run.parts import RunPart, follow
from reactions.run.schedule import schedule
from reactions.session import Session

TOLERANCE = 1.0
"""Percentage points within which two scores count as equal ("reaches", "does not hurt")."""

A_LOT = 5.0
"""Percentage points that the whole interval must exceed for "lifts a lot"."""

A_LITTLE = 5.0
"""Percentage points that the whole interval must stay within for "costs a little"."""

SCORING_S = 1.5
"""Seconds that scoring one space takes on two cores: what the first estimate begins with."""

Claim: TypeAlias = Literal["beats", "lifts a lot", "reaches", "costs a little"]

FAMILIES: Mapping[str, tuple[str, ...]] = {
    "audio-text": ("audiocaps", "clotho"),
    "audio-image": ("vggss", "flickrnet"),
    "image-text": ("coco", "flickr30k"),
    "audio classification": ("esc50",),
    "image classification": ("imagenet",),
}
"""Tasks whose per-item scores (R@1 of both directions, or accuracy) are averaged."""

_DR = "ImageBind + Dr(InternVL)"
_PP = "ImageBind + Cr(CLAP_m) & Cr(CLAP_g)"
_BOTH = "ImageBind + Dr(InternVL) | Cr(CLAP_m) & Cr(CLAP_g)"
_SEQUENCE = (
    "ImageBind + Dr(InternVL) | Dr(CLAP_m, lambda=(0.5, 0.1)) | Dr(CLAP_g, lambda=(0.5, 0.1))"
)
_SUBSETS = ("T", "V", "A", "TV", "TA", "VA", "TVA")

SPACES: Mapping[str, tuple[str, Adjustment]] = {
    "ImageBind": ("ImageBind", NO_ADJUSTMENT),
    "InternVL": ("InternVL", NO_ADJUSTMENT),
    "CLAP_g": ("CLAP_g", NO_ADJUSTMENT),
    "CLAP_m": ("CLAP_m", NO_ADJUSTMENT),
    "InternVL_IB": (_DR, NO_ADJUSTMENT),
    **{f"InternVL_IB, only {s}": (f"{_DR[:-1]}, data={s})", NO_ADJUSTMENT) for s in _SUBSETS},
    "ImageBind++ Ver.": (_PP, Adjustment(sigma=VERSATILE)),
    "ImageBind++ AT E.": (_PP, Adjustment(sigma=EXPERTISE)),
    "ImageBind + Cr(CLAP_g)": (
        _PP,
        Adjustment(sigma=VERSATILE, experts=frozenset({"CLAP_g"})),
    ),
    "ImageBind + Cr(CLAP_m)": (
        _PP,
        Adjustment(sigma=VERSATILE, experts=frozenset({"CLAP_m"})),
    ),
    "InternVL_IB++ Ver.": (_BOTH, Adjustment(sigma=VERSATILE)),
    "InternVL_IB++ AT E.": (_BOTH, Adjustment(sigma=EXPERTISE)),
    "only sequential": (_SEQUENCE, NO_ADJUSTMENT),
}
"""Name in the tables to reaction and adjustment (Molecule-Space, tables 2, 6, 7, 8)."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One comparison: ``space`` against ``other`` on a family of tasks."""

    finding: int
    space: str
    claim: Claim
    other: str
    family: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """A contrast with what was measured, in percentage points.

    Attributes:
        contrast: what was claimed.
        difference: mean of space minus other, with its interval over items.
        over_seeds: the same mean, with its interval over seeds; unbounded for a single seed.
        by_seed: the difference for each seed.
        holds: whether the wider interval fits the claim as a whole.
    """

    contrast: Comparison
    difference: Interval
    over_seeds: Interval
    by_seed: tuple[float, ...]
    holds: bool


STATEMENTS: Mapping[int, str] = {
    1: "displacement reaches or beats the expert on image-text and costs a little audio-image",
    2: "combination at (0.5, 0.1) lifts audio-text and audio classification a lot, does not "
    "hurt image-text, and lifts audio-image",
    3: "at (0.8, 0.5) audio-text reaches or passes the better CLAP",
    4: "two experts beat one",
    5: "the mixture beats each single projector on audio-text and audio-image",
    6: "sequential-and-parallel beats only-sequential on image-text and audio-image",
}

CONTRASTS: tuple[Comparison, ...] = (
    Comparison(1, "InternVL_IB", "reaches", "InternVL", "image-text"),
    Comparison(1, "InternVL_IB", "costs a little", "ImageBind", "audio-image"),
    Comparison(2, "ImageBind++ Ver.", "lifts a lot", "ImageBind", "audio-text"),
    Comparison(2, "ImageBind++ Ver.", "lifts a lot", "ImageBind", "audio classification"),
    Comparison(2, "ImageBind++ Ver.", "reaches", "ImageBind", "image-text"),
    Comparison(2, "ImageBind++ Ver.", "beats", "ImageBind", "audio-image"),
    Comparison(3, "ImageBind++ AT E.", "reaches", "CLAP_g", "audio-text"),
    Comparison(3, "ImageBind++ AT E.", "reaches", "CLAP_m", "audio-text"),
    Comparison(4, "ImageBind++ Ver.", "beats", "ImageBind + Cr(CLAP_g)", "audio-text"),
    Comparison(4, "ImageBind++ Ver.", "beats", "ImageBind + Cr(CLAP_m)", "audio-text"),
    *(
        Comparison(5, "InternVL_IB", "beats", f"InternVL_IB, only {subset}", family)
        for family in ("audio-text", "audio-image")
        for subset in _SUBSETS
    ),
    Comparison(6, "InternVL_IB++ Ver.", "beats", "only sequential", "image-text"),
    Comparison(6, "InternVL_IB++ Ver.", "beats", "only sequential", "audio-image"),
)

Strata: TypeAlias = dict[tuple[str, str], list[NDArray[np.float64]]]
"""(space, family) to per-item scores (shares), one array for each seed and task."""


@dataclass(frozen=True)
class Findings:
    """All verdicts, and the mean scores they rest on.

    Attributes:
        lab: label of the lab.
        seeds: seeds of corpora, projectors and evaluation data.
        scores: space to family to mean score in per cent.
        verdicts: in the order of ``CONTRASTS``.
    """

    lab: str
    seeds: tuple[int, ...]
    scores: Mapping[str, Mapping[str, float]]
    verdicts: tuple[Verdict, ...]

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
                {"finding": number, "statement": text, "holds": self.holds(number)}
                for number, text in STATEMENTS.items()
            ],
            "contrasts": [
                {
                    "finding": v.contrast.finding,
                    "space": v.contrast.space,
                    "claim": v.contrast.claim,
                    "other": v.contrast.other,
                    "family": v.contrast.family,
                    "difference": v.difference.mean,
                    "low": v.difference.low,
                    "high": v.difference.high,
                    "low_over_seeds": _finite(v.over_seeds.low),
                    "high_over_seeds": _finite(v.over_seeds.high),
                    "by_seed": list(v.by_seed),
                    "holds": v.holds,
                }
                for v in self.verdicts
            ],
        }


def measure(
    sessions: Sequence[Session], *, events: Callable[[Event], None] = lambda event: None
) -> Findings:
    """Train and evaluate all spaces for each seed, and judge the contrasts.

    Args:
        sessions: one for each seed; their labs differ only in it.
        events: called as each space begins, with an estimate of the time left.
    """
    strata: Strata = {}
    prospects = [prospect for session in sessions for prospect in _prospects(session)]
    for index in follow(_parts(prospects), events):
        _measure_space(prospects[index], strata)
    return Findings(
        lab=sessions[0].lab.label,
        seeds=tuple(session.lab.seed for session in sessions),
        scores={
            space: {
                family: 100 * float(np.mean([x.mean() for x in strata[space, family]]))
                for family in FAMILIES
                if (space, family) in strata
            }
            for space in SPACES
        },
        verdicts=tuple(judge(contrast, strata, len(sessions)) for contrast in CONTRASTS),
    )


@dataclass(frozen=True, slots=True)
class _Prospect:
    """A space at one seed, before anything runs."""

    session: Session
    space: str
    plan: ReactionPlan | None

    @property
    def reaction(self) -> str:
        return SPACES[self.space][0]


def _prospects(session: Session) -> Iterator[_Prospect]:
    """Yield the spaces at one seed, each reaction planned once."""
    plans: dict[str, ReactionPlan | None] = {}
    for space, (reaction, _) in SPACES.items():
        if reaction not in plans:
            checked = session.check(reaction)
            plans[reaction] = None if isinstance(checked.space, Leaf) else session.plan(checked)
        yield _Prospect(session, space, plans[reaction])


def _parts(prospects: Sequence[_Prospect]) -> list[RunPart]:
    """Return what each seed and space is planned to take; spaces share what they train."""
    from reactions.planning.throughput import pace
    from reactions.run.device import resolve_devices

    first = prospects[0].session
    speed = pace(resolve_devices(first.device), first.lab.settings.precision)
    counted: set[str] = set()  # keys differ between seeds
    parts = []
    for prospect in prospects:
        flops = 0.0
        if prospect.plan is not None:
            steps = schedule(prospect.plan.targets, prospect.session.store.lookup).pending
            flops = sum(step.cost.flops for step in steps if step.key not in counted)
            counted |= {step.key for step in steps}
        label = f"seed {prospect.session.lab.seed}: {prospect.space}"
        parts.append(RunPart(label, SCORING_S + flops / speed))
    return parts


def _measure_space(prospect: _Prospect, strata: Strata) -> None:
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


def judge(contrast: Comparison, strata: Strata, n_seeds: int) -> Verdict:
    """Compare two spaces item by item and decide whether the claim holds.

    Args:
        contrast: the claim.
        strata: per-item scores; seeds outermost, then the family's tasks.
        n_seeds: how many seeds there are.
    """
    pairs = zip(
        strata[contrast.space, contrast.family],
        strata[contrast.other, contrast.family],
        strict=True,
    )
    differences = [100 * (x - y) for x, y in pairs]
    over_items = bootstrap_strata(differences)
    # (seeds * tasks,) -> (seeds, tasks) -> (seeds,)
    per_seed = np.reshape([d.mean() for d in differences], (n_seeds, -1)).mean(axis=1)
    over_seeds = student_interval(per_seed)
    interval = max(over_items, over_seeds, key=lambda x: x.high - x.low)
    # The low end decides: a claim has to hold for the whole interval.
    holds = {
        "beats": interval.low > 0,
        "lifts a lot": interval.low > A_LOT,
        "reaches": interval.low > -TOLERANCE,
        "costs a little": interval.low > -A_LITTLE and interval.mean <= 0,
    }[contrast.claim]
    return Verdict(contrast, over_items, over_seeds, tuple(map(float, per_seed)), holds)


def _finite(value: float) -> float | None:
    """Return a number that JSON can hold, or None."""
    return value if np.isfinite(value) else None
