"""What there is before anything runs: the spaces of a lab, and the steps of a reaction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from reactions.api.python_names import python_names
from reactions.api.results import Cell, ResultTable
from reactions.core.types import SpaceSpec
from reactions.dsl import Expression
from reactions.labs.contents import described_spaces
from reactions.labs.lab import Lab
from reactions.labs.lab_file import load_lab
from reactions.planning import drawing
from reactions.planning.plan import ReactionPlan, plan_json, total_cost
from reactions.run.logs import log_scans
from reactions.session import Session


class SpaceList(ResultTable):
    """The spaces that a lab knows by name.

    Attributes:
        specs: name to what is known of it, of those that can be used on this machine.
        missing: name to what helps, of the others.
    """

    def __init__(self, lab: Lab) -> None:
        self.lab = lab.label
        specs, absent = described_spaces(lab)
        self.specs: dict[str, SpaceSpec] = {spec.name: spec for spec in specs}
        self.missing: dict[str, str] = {space.name: space.remark for space in absent}
        self.notices = tuple(f"{name}: {fix}" for name, fix in self.missing.items())

    def __iter__(self) -> Iterator[str]:
        return iter([*self.specs, *self.missing])

    def __len__(self) -> int:
        return len(self.specs) + len(self.missing)

    def __contains__(self, name: object) -> bool:
        return name in self.specs or name in self.missing

    @property
    def title(self) -> str:
        """What it is."""
        return "spaces"

    @property
    def columns(self) -> tuple[str, ...]:
        """A row a space."""
        return ("space", "dim", "modalities", "hub", "licence", "here")

    def rows(self) -> Iterator[tuple[Cell, ...]]:
        """Yield the spaces, those without weights last."""
        for name, spec in self.specs.items():
            modalities = ", ".join(spec.modalities)
            yield name, spec.dim, modalities, spec.hub, spec.licence or None, True
        for name in self.missing:
            yield name, None, None, None, None, False


class PlanPreview(ResultTable):
    """The steps of a reaction: which are done, why not, and what the rest takes.

    Attributes:
        expression: the canonical reaction.
        to_do: steps, flops, size_bytes and memory_bytes of what is not done.
        steps: all of them, as ``molspace plan --json`` has them, each with its ``state``.
    """

    def __init__(self, session: Session, planned: ReactionPlan) -> None:
        self._planned = planned
        self._states = session.store.explain_all(planned.steps())
        self.expression = planned.checked.expression
        self.lab = session.lab.label
        self.notices = planned.notices
        self.steps: list[dict[str, Any]] = [
            {**step, "state": self._states[step["key"]]} for step in plan_json(planned)
        ]
        cost = total_cost(step for step in planned.steps() if self._states[step.key] != "hit")
        self.to_do: Mapping[str, float] = {
            "steps": sum(step["state"] != "hit" for step in self.steps),
            "flops": cost.flops,
            "size_bytes": cost.size_bytes,
            "memory_bytes": cost.memory_bytes,
        }

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def title(self) -> str:
        """The reaction, and how much of it is to be done."""
        return f"{self.expression}   {self.to_do['steps']} of {len(self.steps)} steps to do"

    @property
    def columns(self) -> tuple[str, ...]:
        """A row a step."""
        return ("step", "kind", "state", "flops", "size_bytes", "memory_bytes")

    def rows(self) -> Iterator[tuple[Cell, ...]]:
        """Yield the steps, inputs before what needs them."""
        for step in self.steps:
            costs = (step["flops"], step["size_bytes"], step["memory_bytes"])
            yield step["label"], step["kind"], step["state"], *costs

    def to_json(self) -> dict[str, Any]:
        """Return it as an object for ``json.dumps``."""
        facts = {"expression": self.expression, "lab": self.lab, "notices": list(self.notices)}
        return {**facts, "to_do": dict(self.to_do), "steps": self.steps}

    def mermaid(self) -> str:
        """Return the steps as a drawing in Mermaid's language."""
        return drawing.draw(self._planned, self._states, form="mermaid")


@python_names
def plan(
    reaction: str | Expression,
    *,
    lab: str | None = None,
    seed: int | None = None,
    precision: str | None = None,
) -> PlanPreview:
    """Plan a reaction without running it: no weights are loaded.

    Args:
        reaction: as for ``react``.
        lab: name or file of the lab.
        seed: instead of the lab's.
        precision: ``"fast"`` or ``"exact"``, instead of the lab's.

    Raises:
        MolspaceError: whatever stands in the way, with the fix.
    """
    opened = load_lab(lab, seed=seed, on_progress=log_scans()).with_precision(precision)
    session = Session(opened)
    return PlanPreview(session, session.plan(session.check(reaction)))


@python_names
def spaces(*, lab: str | None = None) -> SpaceList:
    """List the spaces that a lab knows by name; no weights are loaded.

    Args:
        lab: name or file of the lab.
    """
    return SpaceList(load_lab(lab))
