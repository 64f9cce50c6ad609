"""A table of the paper with a lab's figures, and why some are not there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

from reactions.eval.task import Task
from reactions.experiments.paper.table import Column, PaperTable, SpaceRow
from reactions.products.tree import Adjustment, Factors

State: TypeAlias = Literal["measured", "no modality", "no data", "not run"]


@dataclass(frozen=True, slots=True)
class Lack:
    """Why something could not be measured."""

    what: str
    why: str = ""
    fix: str = ""


@dataclass(frozen=True, slots=True)
class TaskItems:
    """What a lab has of a task.

    Attributes:
        task: the task.
        n: items found; 0 without data.
        expected: items of the lab's whole set; of the published one if the lab has no data.
        lack: why there are no data, None if there are.
    """

    task: Task
    n: int
    expected: int
    lack: Lack | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {
            "task": self.task.name,
            "title": self.task.title,
            "n": self.n,
            "expected": self.expected,
            "paper_n": self.task.paper_items,
            "prompts": list(self.task.templates),
            "lack": self.lack and asdict(self.lack),
        }


@dataclass(frozen=True, slots=True)
class MeasuredRow:
    """A row with what the lab measured.

    Attributes:
        row: what was asked for.
        modalities: that the space embeds.
        records: task name to the result's record.
        lack: why the row could not run, None if it could.
        notices: of its training.
        bundle: the bundle that stood for it; "" if none was named.
        headings: task name to the row's name in its table, where that is not the row's.
        reasons: task name to why there is no figure, where other tasks have one.
        record: of the product's bundle; empty for a space.
    """

    row: SpaceRow
    modalities: tuple[str, ...]
    records: Mapping[str, Mapping[str, Any]]
    lack: Lack | None = None
    notices: tuple[str, ...] = ()
    bundle: str = ""
    headings: Mapping[str, str] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict)

    def heading(self, task: str) -> str:
        """Return the row's name in the table of a task."""
        return self.headings.get(task, self.row.name)

    @property
    def definition(self) -> str:
        """What was measured, in words; "" for a space of the row's name."""
        if self.headings:  # what trains nothing has no reaction of its own
            return self.row.group
        if not self.bundle:
            return definition(self.row)
        reaction = next((str(record["space"]) for record in self.records.values()), "")
        facts = (f"the bundle {self.bundle}", reaction, factors_text(self.row.adjustment))
        return ", ".join(filter(None, facts))

    def remark(self, task: str) -> str:
        """Return why there is no figure for a task; "" if there is one."""
        return self.reasons.get(task, self.lack.what if self.lack else "")


@dataclass(frozen=True)
class MeasuredTable:
    """A table with the lab's figures.

    Attributes:
        table: the paper's.
        lab: label of the lab, with any that its spaces bring along.
        seed: the lab's.
        items: task name to what the lab has of it.
        rows: those asked for, in order.
        notes: how the figures must be read.
    """

    table: PaperTable
    lab: str
    seed: int
    items: Mapping[str, TaskItems]
    rows: tuple[MeasuredRow, ...]
    notes: tuple[str, ...]

    def state(self, measured: MeasuredRow, task: str) -> State:
        """Return why a cell has a figure, or has none."""
        if task in measured.records:
            return "measured"
        available = self.items[task]
        if not {available.task.query, available.task.other} <= set(measured.modalities):
            return "no modality"
        return "no data" if available.lack else "not run"

    def ours(self, measured: MeasuredRow, column: Column) -> float | None:
        """Return the lab's figure, per cent; None if there is none."""
        record = measured.records.get(column.task)
        return None if record is None else float(record["metrics"][column.metric])

    @property
    def n_measured(self) -> int:
        """How many cells have a figure of the lab."""
        tasks = [column.task for column in self.table.columns]
        return sum(task in row.records for row in self.rows for task in tasks)

    def lacking(self) -> dict[Lack, list[str]]:
        """Return why rows could not run, each reason once, with the rows' names."""
        reasons: dict[Lack, list[str]] = {}
        for measured in self.rows:
            if measured.lack:
                reasons.setdefault(measured.lack, []).append(measured.row.name)
        return reasons

    def notices(self) -> dict[str, list[str]]:
        """Return what should be known of the rows' training, each once, with the rows' names."""
        names: dict[str, list[str]] = {}
        for measured in self.rows:
            for notice in measured.notices:
                names.setdefault(notice, []).append(measured.row.name)
        return names

    def to_json(self) -> dict[str, Any]:
        """Return everything as a JSON object."""
        return {
            "table": self.table.number,
            "title": self.table.title,
            "lab": self.lab,
            "seed": self.seed,
            "measured": self.n_measured,
            "tasks": [entry.to_json() for entry in self.items.values()],
            "rows": [self._row_json(measured) for measured in self.rows],
            "notes": list(self.notes),
        }

    def _row_json(self, measured: MeasuredRow) -> dict[str, Any]:
        row = measured.row
        return {
            "name": row.name,
            "group": row.group,
            "reaction": row.reaction,
            "sigma": _factors(row.adjustment.sigma),
            "lambda": _factors(row.adjustment.lambda_),
            **_named(row, measured),
            "lack": measured.lack and asdict(measured.lack),
            "cells": [
                {
                    "task": column.task,
                    "metric": column.metric,
                    "ours": self.ours(measured, column),
                    "paper": self.table.paper(row, column),
                    "state": self.state(measured, column.task),
                }
                for column in self.table.columns
            ],
            "results": [dict(record) for record in measured.records.values()],
        }


def _factors(by_name: Mapping[str, Factors]) -> list[float] | dict[str, list[float]] | None:
    """Return one list for all experts, or one for each that has its own."""
    by_expert = {
        name: [float(value) for value in factors]
        for name, factors in by_name.items()
        if isinstance(factors, tuple)
    }
    return by_expert.get("", by_expert or None)


def _named(row: SpaceRow, measured: MeasuredRow) -> dict[str, Any]:
    """Return what only some rows have."""
    experts = row.adjustment.experts
    fields = {
        "experts": sorted(experts) if experts else None,
        "paper_name": row.paper_name,
        "remark": row.remark,
        "bundle": measured.bundle,
        "notices": list(measured.notices),
        "reasons": dict(measured.reasons),
    }
    return {name: value for name, value in fields.items() if value}


def definition(row: SpaceRow) -> str:
    """Return what a row stands for; "" if that is a space of the same name."""
    if row.name == row.reaction:
        return ""
    return ", ".join(filter(None, (row.reaction, factors_text(row.adjustment))))


def factors_text(adjustment: Adjustment) -> str:
    """Return what an adjustment changes, for people: ``"sigma (0.5, 0.1), only CLAP_g"``."""
    parts = []
    for name, by_expert in (("sigma", adjustment.sigma), ("lambda", adjustment.lambda_)):
        for expert, factors in by_expert.items():
            if isinstance(factors, tuple):
                shares = ", ".join(f"{value:g}" for value in factors)
                parts.append(f"{name} {f'{expert} ' if expert else ''}({shares})")
    if adjustment.experts is not None:
        parts.append(f"only {', '.join(sorted(adjustment.experts))}")
    return ", ".join(parts)
