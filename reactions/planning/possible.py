"""Of a group of tasks, those that can be evaluated here."""

from __future__ import annotations

from collections.abc import Sequence

from reactions.core.errors import DataError, MissingError, UsageError
from reactions.eval.protocol import check
from reactions.eval.task import Task
from reactions.labs.lab import Lab
from reactions.products.target import Target


def possible(
    lab: Lab, target: Target, tasks: Sequence[Task]
) -> tuple[tuple[Task, ...], tuple[str, ...]]:
    """Return the tasks that a space can do and whose data are there, and notes on the others.

    Raises:
        MissingError: no task is left.
    """
    notes: list[str] = []
    fit = [task for task in tasks if {task.query, task.other} <= set(target.space.modalities)]
    if left_out := [task.name for task in tasks if task not in fit]:
        notes.append(f"{target.name} cannot do {', '.join(left_out)}")
    left: list[Task] = []
    for task in fit:
        try:
            data = lab.benchmark(task.name)
            if task.hit == "class":  # which not every set can count
                check(task, data)
        except (MissingError, DataError, UsageError) as error:
            why = f": {error.why}" if error.why else ""
            notes.append(f"{task.name} is left out: {error.what}{why}")
        else:
            left.append(task)
    if not left:
        raise MissingError(
            "no task is left to be evaluated",
            why=f"lab '{lab.name}' has the data of none that {target.name} can do",
            fix="--data FOLDER with the evaluation sets   or [data] in the lab file",
        )
    return tuple(left), tuple(notes)
