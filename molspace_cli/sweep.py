"""``molspace sweep``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from molspace_cli import complete, options
from molspace_cli.confirm import agree_to_cells, checked_first, confirm
from molspace_cli.console import is_terminal, print_json, print_note, print_table, print_text, say
from molspace_cli.current import say_bundle
from molspace_cli.evaluate import WITHIN_S, Beside, TaskNames, TieRule, Ties, possible_tasks
from molspace_cli.groups import Group, grouped
from molspace_cli.space_argument import named_space

if TYPE_CHECKING:
    from reactions.core.types import Space
    from reactions.eval.baselines import Baseline
    from reactions.eval.task import Task
    from reactions.experiments.sweep import SweepTable
    from reactions.experiments.sweep.grid import GridPlan
    from reactions.products.target import Target
    from reactions.session import Session

_BEST = 5
"""Cells of each task that a terminal shows."""

SigmaGrid = Annotated[
    list[str] | None,
    typer.Option(
        "--sigma",
        metavar="VALUES",
        help="Shares of combined experts to try: 0:1:0.1,0:1:0.1 (from, to, step) in the order of "
        "the shared modalities (audio,text); 0/0.25/0.5 are three values; 0:1:0.1 alone is for "
        "all modalities together; audio=0:1:0.5; for one expert CLAP_m:0:1:0.5,0.1. Repeatable.",
    ),
]
LambdaGrid = Annotated[
    list[str] | None,
    typer.Option("--lambda", metavar="VALUES", help="Shares of displacing experts, likewise."),
]
ExpertsGrid = Annotated[
    list[str] | None,
    typer.Option(
        "--experts",
        metavar="NAME,...|all-subsets",
        autocompletion=complete.experts,
        help="Experts to keep. Repeatable: a subset each; all-subsets tries every one.",
    ),
]


@dataclass(frozen=True)
class GridOptions(Group):
    """Which settings are compared."""

    sigma: SigmaGrid = None
    lambda_: LambdaGrid = None
    experts: ExpertsGrid = None

    def plan(self, space: Space) -> GridPlan:
        """Return the settings of a product, not yet listed.

        Raises:
            UsageError: a text does not fit the product.
        """
        from reactions.experiments.sweep import plan_grid

        return plan_grid(space, sigma=self.sigma, lambda_=self.lambda_, experts=self.experts)


@named_space
@grouped
def sweep(
    task: TaskNames,
    space: Annotated[
        str | None,
        typer.Argument(
            metavar="BUNDLE|EXPR",
            autocompletion=complete.targets,
            help="What to sweep.  [default: the bundle of the last react in this folder and lab]",
            show_default=False,
        ),
    ] = None,
    *,
    tried: GridOptions,
    seeds: Annotated[
        str | None,
        typer.Option(
            "--seeds",
            metavar="N,...",
            help="Of a reaction: train and sweep a product with each of these seeds.",
        ),
    ] = None,
    ties: Ties = TieRule.STRICT,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write all rows to a .parquet, .csv or .json."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file of --out.")
    ] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="On a terminal, show every setting, not the best.")
    ] = False,
    beside: Beside = None,
    running: options.RunOptions,
    as_json: options.Json = False,
) -> None:
    """Score a product at many factors and with many choices of experts, for little more than one.

    Prints the best settings of each task beside the product's own; in a pipe, every row as csv.
    Settings that were scored before are not computed again, and a sweep that is killed goes on.

    Examples:
      molspace sweep my-bundle --task esc50 --sigma 0:1:0.1
      molspace sweep my-bundle --task clotho --experts all-subsets --out all.csv
    """
    from reactions.core.errors import UsageError
    from reactions.eval.registry import names_groups_only
    from reactions.experiments.sweep import SweepTable
    from reactions.experiments.sweep.files import check_out, to_csv, to_json, write_table
    from reactions.products.bundles.current import product_name
    from reactions.run.events import RowStarted, TaskScored

    if out is not None:
        check_out(out, overwrite=overwrite)
    shows_beside = as_json or is_terminal()
    if beside and not shows_beside:
        raise UsageError(
            "--baselines: rows of csv are settings, and what trains nothing has no place there",
            fix="--json   or   leave --baselines out",
        )
    session = running.open(command="sweep", has_rows=seeds is not None)
    quiet = running.quiet
    tasks = session.lab.parse_tasks(task)
    tables: list[SweepTable] = []
    trivial: list[Baseline] = []
    for seeded in _sessions(session, seeds, space, running.seed):
        confirm_run = partial(confirm, seeded, yes=running.yes, quiet=quiet)
        if seeds is not None:
            seeded.events(RowStarted(f"seed {seeded.lab.seed}"))
        target = seeded.target(
            space, naming="molspace sweep", confirm=checked_first(tried.plan, confirm_run)
        )
        tried.plan(target.space)
        say_bundle(target, quiet=quiet)
        if names_groups_only(task):
            tasks = possible_tasks(seeded, target, tasks, quiet)
        tables.append(_table(seeded, target, tasks, tried, ties, running, confirm_run))
        for record in tables[-1].own_records():
            seeded.events(TaskScored(product_name(target.space), record))
        if shows_beside and beside is not False and not trivial:
            within_s = None if beside else WITHIN_S
            trivial = seeded.baselines(
                target, tasks, ties=ties.value, within_s=within_s, confirm=confirm_run
            )
    table = SweepTable.joined(tables)
    if not quiet:
        for notice in table.notices:
            say(f"note: {notice}")
    if out is not None:
        write_table(table, out)
    if as_json:
        from reactions.eval.baselines import baselines_json

        rows = {scored.name: baselines_json(trivial, scored.name) for scored in tasks}
        seed = table.seeds[0] if trivial and table.seeds else None
        print_json("sweep", {**to_json(table), "baselines": rows, "baselines_seed": seed})
    elif is_terminal():
        _show(table, tasks, trivial, everything)
    elif out is None:
        print_text(to_csv(table), end="")
    if out is not None and not as_json and not quiet:
        n = len(table.rows)
        say(f"{n:,} {'row' if n == 1 else 'rows'}: {out}")


def _sessions(
    session: Session, seeds: str | None, space: str | None, seed: int | None
) -> Sequence[Session]:
    """Return a session a seed, all with one display.

    Raises:
        UsageError: these are not seeds, or what is swept has been trained with one.
    """
    from reactions.core.errors import UsageError
    from reactions.products.bundles.reference import names_bundle

    if seeds is None:
        return [session]
    if seed is not None:
        raise UsageError("--seed and --seeds exclude each other", fix="leave --seed out")
    if space is None or names_bundle(Path(space)):
        raise UsageError(
            "--seeds takes a reaction, and a bundle was trained with one seed",
            fix='molspace sweep "ImageBind + Cr(CLAP_m)" --seeds 0,1,2',
        )
    try:
        numbers = list(dict.fromkeys(int(part) for part in seeds.split(",")))
    except ValueError:
        raise UsageError(
            f"--seeds: '{seeds}' is not a list of seeds", fix="--seeds 0,1,2"
        ) from None
    return [replace(session, lab=session.lab.with_seed(number)) for number in numbers]


def _table(
    session: Session,
    target: Target,
    tasks: Sequence[Task],
    tried: GridOptions,
    ties: TieRule,
    running: options.RunOptions,
    confirm_run: Any,
) -> SweepTable:
    from reactions.experiments.sweep import sweep

    planned = tried.plan(target.space)
    agree_to_cells(planned.size, len(tasks), yes=running.yes)
    return sweep(session, target, tasks, planned.grid(), ties=ties.value, confirm=confirm_run)


def _show(
    table: SweepTable, tasks: Sequence[Task], trivial: Sequence[Baseline], everything: bool
) -> None:
    from reactions.eval.baselines import baseline_cells, beaten, lacking

    modalities = {task.name: {task.query, task.other} for task in tasks}
    for seed in table.seeds:
        for task in table.tasks:
            rows = [row for row in table.rows if (row["seed"], row["task"]) == (seed, task)]
            default_row = next(
                row for row in table.defaults if (row["seed"], row["task"]) == (seed, task)
            )
            rows.sort(key=lambda row: -row["score"])
            # The last word of an axis is the modality whose factor it is.
            acting = [axis for axis in table.axes if axis.split()[-1] in modalities[task]]
            if everything:
                acting, shown = list(table.axes), rows
            else:
                distinct: dict[tuple[Any, ...], Mapping[str, Any]] = {}
                for row in rows:
                    distinct.setdefault(tuple(row.get(a) for a in (*acting, "experts")), row)
                shown = list(distinct.values())[:_BEST]
            print_table(
                f"{task}   {default_row['space']}",
                ("", *table.axes, "experts", default_row["main"]),
                [
                    _cells(table, default_row, "own factors"),
                    *(_cells(table, row, str(i + 1), acting) for i, row in enumerate(shown)),
                ],
            )
            facts = [f"lab: {default_row['lab']}", f"seed: {seed}", f"n: {default_row['n']}"]
            facts.append(
                f"{len(shown)} of {len(rows)} settings" + ("" if everything else ", best first")
            )
            print_note("   ".join(facts))
            if seed == table.seeds[0]:
                beside = baseline_cells(trivial, task, default_row["main"])
                if beside:
                    cells = "   ".join(f"{name} {text}" for name, text in beside)
                    print_note(f"training-free, at the product's own factors: {cells}")
                best = {
                    "task": task,
                    "main": default_row["main"],
                    "metrics": rows[0] if rows else default_row,
                }
                for line in filter(None, (beaten(best, trivial), *lacking(trivial, task))):
                    print_note(line)
    print_note(
        "the best of many settings is flattered by the items that it was chosen on: "
        "molspace tune chooses on others"
    )


def _cells(
    table: SweepTable, row: Mapping[str, Any], head: str, acting: Sequence[str] | None = None
) -> list[str]:
    """Return a row's cells; factors that do not act on the task are "any" of those tried."""
    values = [
        "any"
        if acting is not None and axis not in acting
        else f"{row[axis]:g}"
        if axis in row
        else "-"
        for axis in table.axes
    ]
    return [head, *values, row["experts"] or "all", f"{row['score']:.2f}"]
