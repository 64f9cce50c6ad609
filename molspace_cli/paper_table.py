"""A table of the paper as it is printed: ours beside the paper's figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from molspace_cli.console import print_note, print_table

if TYPE_CHECKING:
    from reactions.experiments.measured import Lack, MeasuredRow, MeasuredTable, TaskItems


def print_paper_table(results: MeasuredTable) -> None:
    """Print one table a task, then the reasons why ours may differ from the paper's figure."""
    for name, entry in results.items.items():
        columns = results.table.columns_of(name)
        print_table(
            f"Table {results.table.number}   {entry.task.title}   lab: {results.lab}",
            ("space", *(head for column in columns for head in (column.title, "paper")), "remark"),
            [_cells(results, measured, name) for measured in results.rows],
        )
        print_facts(entry, results.lab, results.seed)
    for measured in results.rows:
        if measured.records and measured.definition:
            print_note(f"{measured.row.name} = {measured.definition}")
    for measured in results.rows:
        if measured.row.remark:
            print_note(f"{measured.row.name}: {measured.row.remark}.")
    for notice, names in results.notices().items():
        print_note(f"{', '.join(names)}: {notice}")
    for lack, names in results.lacking().items():
        print_note(f"{lack.what}: {', '.join(names)}" + (f" ({lack.why})" if lack.why else ""))
        if lack.fix:
            print_note(f"  fix: {lack.fix}")
    for note in results.notes:
        print_note(note)


def print_facts(entry: TaskItems, lab: str, seed: int, *, name: str = "") -> None:
    """Print how a task was scored, and what of it is missing.

    Args:
        entry: what the lab has of it.
        lab: label of the lab.
        seed: the lab's.
        name: of the task, where no table of its own has it.
    """
    task = entry.task
    facts = [name] if name else []
    facts += [f"n: {entry.n} of {entry.expected}"]
    if task.paper_items:
        facts.append(f"the paper's: {task.paper_items}")
    if prompts := task.templates:
        more = f" and {len(prompts) - 1} more" if len(prompts) > 1 else ""
        facts.append(f'prompt: "{prompts[0]}"{more}')
    else:
        facts.append(f"mean of {' and '.join(task.directions)}")
    print_note("   ".join((*facts, f"lab: {lab}", f"seed: {seed}")))
    if entry.lack:
        print_lack(entry.lack)


def print_lack(lack: Lack) -> None:
    """Print why something is not there, and what to do about it."""
    print_note("; ".join(filter(None, (lack.what, lack.why))))
    if lack.fix:
        print_note(f"  fix: {lack.fix}")


def _cells(results: MeasuredTable, measured: MeasuredRow, task: str) -> list[str]:
    state = results.state(measured, task)
    blank = {"no modality": "-", "no data": "no data"}.get(state, "")
    cells = [measured.heading(task)]
    for column in results.table.columns_of(task):
        ours, paper = results.ours(measured, column), results.table.paper(measured.row, column)
        cells += [
            blank if ours is None else f"{ours:.2f}",
            "-" if paper is None else f"{paper:.2f}",
        ]
    return [*cells, "" if state in ("no modality", "measured") else measured.remark(task)]
