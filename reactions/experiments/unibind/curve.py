"""What faults of descriptions cost: centres by how the describer errs, k and rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from reactions.centres import class_rows, evaluate_centres
from reactions.core.centre_options import CentreOptions, Rule
from reactions.core.errors import MissingError
from reactions.eval.baselines import CLIP_PROMPT
from reactions.eval.registry import get_task
from reactions.experiments.parts import SCORING_S, parts_of
from reactions.experiments.unibind.claims import KNOWN
from reactions.planning.centres import ClassCentres, open_source
from reactions.run.events import Event, ignore
from reactions.run.parts import follow
from reactions.session import Session

SPACE = "ImageBind"
TASKS = ("imagenet", "esc50")
KS = (1, 10, 50, 200, 1000)
RULES: tuple[Rule, ...] = ("mean", "nearest-row")

DESCRIBERS: Mapping[str, Mapping[str, str | int | bool]] = {
    "as in kb": {},
    "no stray sentences": {"stray": 0},
    "30 % stray": {"stray": 30},
    "60 % stray": {"stray": 60},
    "attributes unbiased": {"bias": 0},
    "all attributes told": {"silent": 0},
    "no synonyms": {"synonyms": False},
    "half of the words unknown": {"vocabulary": "open"},
}
"""How the describer errs, beside what the lab's ``kb`` says: the names of its knobs."""


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """One setting on one task.

    Attributes:
        task: its name.
        describer: a name of ``DESCRIBERS``.
        rule: of the centres.
        k: the most central descriptions that are kept.
        accuracy: mean over seeds, per cent.
        gain: over CLIP's template, mean over seeds in points.
        by_seed: the gain for each seed.
    """

    task: str
    describer: str
    rule: str
    k: int
    accuracy: float
    gain: float
    by_seed: tuple[float, ...]


@dataclass(frozen=True)
class CentreCurve:
    """All settings.

    Attributes:
        lab: label of the lab.
        seeds: of corpora, descriptions and evaluation data.
        templates: task to the accuracy of CLIP's template, mean over seeds, per cent.
        points: tasks outermost, then describers, rules, k.
    """

    lab: str
    seeds: tuple[int, ...]
    templates: Mapping[str, float]
    points: tuple[CurvePoint, ...]

    def to_json(self) -> dict[str, Any]:
        """Return everything as a JSON object."""
        names = ("task", "describer", "rule", "k", "accuracy", "gain", "by_seed")
        return {
            "lab": self.lab,
            "space": SPACE,
            "seeds": list(self.seeds),
            "templates": dict(self.templates),
            "points": [{name: getattr(point, name) for name in names} for point in self.points],
        }


def measure_curve(
    sessions: Sequence[Session],
    *,
    describers: Mapping[str, Mapping[str, str | int | bool]] = DESCRIBERS,
    tasks: Sequence[str] = TASKS,
    ks: Sequence[int] = KS,
    events: Callable[[Event], None] = ignore,
) -> CentreCurve:
    """Score the space by centres of each describer, rule and k, beside CLIP's template.

    Args:
        sessions: one for each seed; their labs differ only in it.
        describers: how the describer errs.
        tasks: with classes.
        ks: how many of the most central descriptions are kept.
        events: called as each describer begins, with an estimate of the time left.

    Raises:
        MissingError: the lab has no generated knowledge base called ``kb``.
    """
    settings = [(session, name) for session in sessions for name in describers]
    parts = [(f"seed {s.lab.seed}: {name}", 8 * SCORING_S, ()) for s, name in settings]
    templates: dict[str, list[float]] = {}
    scores: dict[tuple[str, str, str, int], list[tuple[float, float]]] = {}
    for index in follow(parts_of(sessions[0], parts), events):
        session, describer = settings[index]
        described_session = _with_describer(session, describers[describer])
        for task, template, scored in _scored(described_session, tasks, ks):
            if describer == next(iter(describers)):
                templates.setdefault(task, []).append(template)
            for (rule, k), accuracy in scored.items():
                scores.setdefault((task, describer, rule, k), []).append((accuracy, template))
    points = []
    for task in tasks:
        for describer in describers:
            for rule in RULES:
                for k in ks:
                    pairs = np.array(scores[task, describer, rule, k])  # (seeds, 2)
                    gains = pairs[:, 0] - pairs[:, 1]
                    points.append(
                        CurvePoint(
                            task,
                            describer,
                            rule,
                            k,
                            float(pairs[:, 0].mean()),
                            float(gains.mean()),
                            tuple(map(float, gains)),
                        )
                    )
    return CentreCurve(
        sessions[0].lab.label,
        tuple(session.lab.seed for session in sessions),
        {task: float(np.mean(values)) for task, values in templates.items()},
        tuple(points),
    )


def _with_describer(session: Session, errors: Mapping[str, str | int | bool]) -> Session:
    """Return a session whose ``kb`` is written by a describer that errs so."""
    lab = session.lab
    source = lab.knowledge_bases.get(KNOWN)
    if source is None or not source.n_sentences:
        raise MissingError(
            f"lab '{lab.name}' has no knowledge base '{KNOWN}' of the mini world",
            fix='a lab that extends mini: [lab] extends = "mini"',
        )
    merged = tuple(sorted({**dict(source.errors), **errors}.items()))
    bases = {**lab.knowledge_bases, KNOWN: replace(source, errors=merged)}
    return replace(session, lab=replace(lab, knowledge_bases=bases))


def _scored(
    session: Session, tasks: Sequence[str], ks: Sequence[int]
) -> Iterator[tuple[str, float, dict[tuple[str, int], float]]]:
    """Yield each task with the template's accuracy, and that of each rule and k."""
    source = open_source(session.lab, KNOWN)
    target = session.target(SPACE)
    for task in map(get_task, tasks):
        rows = class_rows(session, target, [task], ClassCentres(source))
        row = next(row for row in rows if row.name == CLIP_PROMPT)
        template = row.results[task.name].record["metrics"][task.main_score]
        scored: dict[tuple[str, int], float] = {}
        for k in ks:
            for rule in RULES:
                centres = ClassCentres(source, CentreOptions(k=k, rule=rule))
                (result,) = evaluate_centres(session, target, [task], centres)
                scored[rule, k] = float(result.record["metrics"][task.main_score])
        yield task.name, float(template), scored
