"""Of a group of tasks, those that can be evaluated here."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from reactions.core.errors import DataError, MissingError, UsageError
from reactions.eval.protocol import check
from reactions.eval.task import Task
from reactions.labs.lab import Lab
from reactions.planning.named_rows import task_data
from reactions.products.target import Target


def possible(
    lab: Lab, target: Target, tasks: Sequence[Task], on_note: Callable[[str], None]
) -> tuple[Task, ...]:
    """Return the tasks that a space can do and whose data are there.

    Args:
        lab: where the tasks' data are.
        target: what is to be scored.
        tasks: those of a group.
        on_note: called with what is left out, and why.

    Raises:
        MissingError: no task is left.
    """
    fit = [task for task in tasks if {task.query, task.other} <= set(target.space.modalities)]
    if left_out := [task.name for task in tasks if task not in fit]:
        on_note(f"{target.name} cannot do {', '.join(left_out)}")
    possible_tasks: list[Task] = []
    for task in fit:
        try:
            data, _ = task_data(lab, task, target.space)
            if task.hit == "class":  # which not every set can count
                check(task, data)
        except (MissingError, DataError, UsageError) as error:
            why = f": {error.why}" if error.why else ""
            on_note(f"{task.name} is left out: {error.what}{why}")
        else:
            possible_tasks.append(task)
    if not possible_tasks:
        raise MissingError(
            "no task is left to be evaluated",
            why=f"lab '{lab.name}' has the data of none that {target.name} can do",
            fix="--data FOLDER with the evaluation sets   or [data] in the lab file",
        )
    return tuple(possible_tasks)
