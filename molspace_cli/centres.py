"""``molspace eval --centres``: classes by descriptions, with prompts and names beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from molspace_cli.console import print_json, print_note, print_table, say
from molspace_cli.setting import setting_facts

if TYPE_CHECKING:
    from reactions.core.centre_options import CentreOptions
    from reactions.eval.baselines import Baseline
    from reactions.eval.metrics import Ties
    from reactions.eval.result import Result
    from reactions.eval.task import Task
    from reactions.planning.centres import ClassCentres
    from reactions.planning.plan import Plan
    from reactions.products.target import Target
    from reactions.products.tree import Adjustment
    from reactions.session import Session


def evaluate_by_centres(
    session: Session,
    target: Target,
    tasks: Sequence[Task],
    centres: ClassCentres,
    adjustment: Adjustment,
    *,
    ties: Ties,
    metrics: str | None,
    beside: bool,
    leave_out: bool,
    confirm: Callable[[Plan], None],
    quiet: bool,
    as_json: bool,
) -> None:
    """Score tasks with embedding centres and print them.

    Args:
        session: lab and store.
        target: what is scored.
        tasks: with classes.
        centres: what stands for their classes.
        adjustment: factors and experts.
        ties: how ties count.
        metrics: names of metrics to show, instead of the task's own; None for that.
        beside: whether prompts and names stand beside.
        leave_out: whether tasks whose classes are not described are left out, with a note.
        confirm: asks before a long run.
        quiet: no notes.
        as_json: print JSON.
    """
    from reactions.centres import class_rows, evaluate_centres

    if leave_out:
        tasks = _described(session, target, tasks, centres, adjustment, quiet)
    how: dict[str, Any] = {"ties": ties, "further": metrics is not None, "confirm": confirm}
    results = evaluate_centres(session, target, tasks, centres, adjustment, **how)
    rows: list[Baseline] = []
    if beside:
        rows = class_rows(session, target, tasks, centres, adjustment, **how)
    if not quiet:
        for notice in dict.fromkeys(
            text for result in results for text in result.record["notices"]
        ):
            say(f"note: {notice}")
    if as_json:
        print_json(
            "eval",
            {
                "lab": results[0].record["lab"] if results else "",
                "bundle": str(target.bundle.path) if target.bundle else None,
                "results": [_json(result, rows) for result in results],
            },
        )
        return
    for result in results:
        _print(result, rows, centres.options, metrics)


def _described(
    session: Session,
    target: Target,
    tasks: Sequence[Task],
    centres: ClassCentres,
    adjustment: Adjustment,
    quiet: bool,
) -> list[Task]:
    """Return the tasks whose classes are described; name the others in notes.

    Raises:
        DataError: those of no task are.
    """
    from reactions.core.errors import DataError
    from reactions.planning.centre_scores import plan_centre_scores

    described: list[Task] = []
    problem: DataError | None = None
    for task in tasks:
        try:
            plan_centre_scores(session.lab, target, [task], centres, adjustment)
        except DataError as error:
            problem = error
            if not quiet:
                say(f"note: {task.name} is left out: {error.what}: {error.why}")
        else:
            described.append(task)
    if problem is not None and not described:
        raise problem
    return described


def _json(result: Result, rows: Sequence[Baseline]) -> Mapping[str, Any]:
    """Return a record with what stands beside it, and the differences."""
    from reactions.eval.baselines import baselines_json, difference

    task = result.record["task"]
    beside = baselines_json(rows, task)
    of = {row.name: row.results[task] for row in rows if task in row.results}
    for entry in beside:
        if entry["name"] in of:
            entry["difference"] = difference(result, of[entry["name"]])._asdict()
    return {**result.record, "baselines": beside} if rows else result.record


def _print(
    result: Result, rows: Sequence[Baseline], options: CentreOptions, metrics: str | None
) -> None:
    """Print a task: a row for each way to describe its classes.

    Args:
        result: by centres.
        rows: what stands beside.
        options: of the centres.
        metrics: names of metrics to show, instead of how much better centres are.
    """
    from reactions.core.centre_options import NOT_ZERO_SHOT
    from reactions.eval.baselines import CLIP_PROMPT, TASK_PROMPTS, difference, lacking

    record = result.record
    task, main, centres = record["task"], record["main"], record["centres"]
    table = [(f"{options.title} ({_source(centres)})", f"{record['metrics'][main]:.2f}", "")]
    names = [] if metrics is None else _chosen(metrics, record)
    values = [_values(record, names)]
    task_rows = [row for row in rows if row.has(task)]
    for row in task_rows:
        name = row.name
        if name == CLIP_PROMPT and all(other.name != TASK_PROMPTS for other in task_rows):
            name += ", the task's"
        if task not in row.results:
            table.append((name, "-", ""))
            values.append(["-"] * len(names))
            continue
        gain = difference(result, row.results[task])
        value = row.results[task].record["metrics"][main]
        cell = f"{gain.mean:+.2f} [{gain.low:+.1f}, {gain.high:+.1f}]"
        table.append((name, f"{value:.2f}", cell))
        values.append(_values(row.results[task].record, names))
    columns = ("classes described by", f"{main} (%)", "centres better by [95 %]")
    shown = [line[: 3 if rows else 2] for line in table]
    title = f"{task}   {record['space']}"
    if names:
        lines = [(line[0], *cells) for line, cells in zip(table, values, strict=True)]
        print_table(title, (columns[0], *names), lines)
    else:
        print_table(title, columns[: 3 if rows else 2], shown)
    counts = centres["descriptions"]
    facts = [f"lab: {record['lab']}", f"n: {record['n']}"]
    if record["expected"] and record["expected"] != record["n"]:
        facts.append(f"expected: {record['expected']}")
    facts += setting_facts(record)
    if record["experts"] is not None:
        facts.append("experts: " + ", ".join(record["experts"]))
    for name, values in record["factors"].items():
        facts.append(name + ": " + ", ".join(f"{m} {v:g}" for m, v in values.items()))
    facts += [f"mean of {stage}: {mean}" for stage, mean in record.get("means", {}).items()]
    facts.append(f"classes: {record['classes']['n']} ({record['classes']['digest']})")
    facts.append(f"descriptions: {counts['used']:,} of {counts['of']:,}")
    facts.append(f"{_source(centres)}: {centres['digest'][:12]}")
    print_note("   ".join(facts))
    if not centres["zero_shot"]:
        print_note(f"{NOT_ZERO_SHOT}, {centres['items']}")
    if folds := [name for name in record["metrics"] if name not in (main, *names)]:
        print_note(f"--json has {folds[0]} to {folds[-1]}, too")
    for sentence in lacking(rows, task):
        print_note(f"- {sentence}")
    print_ties(record)


def _chosen(metrics: str, record: Mapping[str, Any]) -> list[str]:
    from reactions.eval.further_metrics import chosen

    return chosen(metrics, record["metrics"], record.get("further", {}))


def _values(record: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    metrics = {**record["metrics"], **record.get("further", {})}
    return [f"{metrics[name]:.2f}" for name in names]


def print_ties(record: Mapping[str, Any]) -> None:
    """Say how many right answers of a score tie with a wrong one, and how they count."""
    for name, counts in record["tied"].items():
        if counts["n"]:
            strict = record["ties"] == "strict"
            print_note(
                f"{name}: {counts['n']} of {counts['of']} right answers tie with a wrong one, as "
                f"those of duplicated items do; counted as {'misses' if strict else 'hits'} "
                f"(--ties {'lenient' if strict else 'strict'} counts them as "
                f"{'hits' if strict else 'misses'})"
            )


def _source(centres: Mapping[str, Any]) -> str:
    return str(centres.get("kb") or centres.get("file"))
