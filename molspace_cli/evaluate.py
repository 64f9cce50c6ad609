"""``molspace eval``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from molspace_cli import complete, options
from molspace_cli.centres import evaluate_by_centres, print_ties
from molspace_cli.confirm import checked_first, confirm
from molspace_cli.console import print_json, print_note, print_table, say
from molspace_cli.current import say_bundle
from molspace_cli.groups import grouped
from molspace_cli.own_tables import TableOptions
from molspace_cli.setting import setting_facts
from molspace_cli.space_argument import named_space

if TYPE_CHECKING:
    from reactions.eval.baselines import Baseline
    from reactions.eval.task import Task
    from reactions.products.target import Target
    from reactions.session import Session


WITHIN_S = 30
"""Longer than an evaluation of cached embeddings should take because of what stands beside it."""

_SHORT = {"sum of cosines": "sum", "centred sum of cosines": "centred sum"}
"""Headings that fit a terminal of 80 columns."""


class TieRule(StrEnum):
    """Values of ``--ties``."""

    STRICT = "strict"
    LENIENT = "lenient"


class HitRule(StrEnum):
    """Values of ``--hit``."""

    PAIR = "pair"
    CLASS = "class"


TaskNames = Annotated[
    str,
    typer.Option(
        "--task",
        metavar="TASK[,TASK...]|GROUP",
        autocompletion=complete.tasks,
        help=f"{', '.join(complete.built_in_tasks())}, or one that an installed package adds; "
        "of groups (freebind, unibind, own, all) those the space can do.",
        show_default=False,
    ),
]
MaybeTaskNames = Annotated[str | None, *TaskNames.__metadata__]
Ties = Annotated[
    TieRule,
    typer.Option(
        "--ties",
        help="How a right answer that ties with a wrong one counts, as items that are there "
        "twice do: strict, as a miss; lenient, as a hit.",
    ),
]
Hits = Annotated[
    HitRule | None,
    typer.Option(
        "--hit",
        help="What retrieval must find among the first k: pair, the paired item; class, any item "
        "of the query's class, of sets that have classes.  [default: pair]",
        show_default=False,
    ),
]
Beside = Annotated[
    bool | None,
    typer.Option(
        "--baselines/--no-baselines",
        help="Rows of what trains nothing beside a reaction's: its best part, sums of cosines, "
        f"orthogonal maps.  [default: those that take less than {WITHIN_S} s]  With --centres: "
        "rows of templates and names.",
        show_default=False,
    ),
]
Centres = Annotated[
    str | None,
    typer.Option(
        "--centres",
        metavar="KB|FILE",
        autocompletion=complete.described,
        help="Descriptions that stand for the classes instead of prompts: a knowledge base of "
        "the lab, its .parquet file, or a .safetensors file of centres.",
    ),
]


Metrics = Annotated[
    str | None,
    typer.Option(
        "--metrics",
        metavar="NAME,...|all",
        help="Show these: R@5, MRR, nDCG@10, mAP, 'median rank', accuracy, top-5, 'mean per "
        "class', or parts of such names.  [default: those of the task's protocol]",
        show_default=False,
    ),
]


@named_space
@grouped
def evaluate(
    space: Annotated[
        str | None,
        typer.Argument(
            metavar="BUNDLE|EXPR|NAME|URI",
            autocompletion=complete.targets,
            help="What to score.  [default: the bundle of the last react in this folder and lab, "
            "or in the nearest folder above]",
            show_default=False,
        ),
    ] = None,
    task: MaybeTaskNames = None,
    *,
    tables: TableOptions,
    metrics: Metrics = None,
    used: options.FactorOptions,
    ties: Ties = TieRule.STRICT,
    hit: Hits = None,
    beside: Beside = None,
    centres: Centres = None,
    described: options.DescriptionOptions,
    running: options.RunOptions,
    as_json: options.Json = False,
) -> None:
    """Score a space on tasks: zero-shot classification and retrieval in both directions.

    Examples:
      molspace eval --task esc50
      molspace eval ImageBind --task unibind --json
      molspace eval --task esc50 --centres kb --sigma 0.8,0.5
      molspace eval --pairs pairs.csv --metrics MRR,nDCG@10
      molspace eval --labels birds.csv --template "a photo of a {class}."
    """
    from reactions.core.errors import UsageError
    from reactions.eval.registry import names_groups_only
    from reactions.eval.task import counting_hits
    from reactions.planning.scoring import plan_scores
    from reactions.products.tree import fit_adjustment

    adjustment = used.adjustment()
    if centres is None:
        described.refuse_without("--centres")
    described_by = described.read()
    session, quiet = running.open(command="eval"), running.quiet
    if task is None and not tables.is_given:
        task_option = f"--task {space}" if space in complete.built_in_tasks() else "--task TASK"
        raise UsageError("nothing to score on", fix=f"{task_option}, --pairs FILE or --labels FILE")
    session, table_tasks, messages = tables.add_to(session)
    tasks = (*(session.lab.parse_tasks(task) if task is not None else ()), *table_tasks)
    if hit is not None:
        tasks = counting_hits(tasks, hit.value)
    is_groups = task is not None and not table_tasks and names_groups_only(task)
    if centres is not None:
        from reactions.planning.centres import ClassCentres, open_source

        tasks = with_classes(tasks, left_out=is_groups, quiet=quiet)
        by_centres = ClassCentres(open_source(session.lab, centres), described_by)
    if metrics is not None:
        check_metrics(metrics, tasks, of_some=is_groups)  # now, not after minutes of training
    confirm_run = partial(confirm, session, yes=running.yes, quiet=quiet)
    fits = partial(fit_adjustment, adjustment=adjustment)
    target = session.target(space, confirm=checked_first(fits, confirm_run))
    fits(target.space)
    say_bundle(target, quiet=quiet)
    if is_groups:
        tasks = possible_tasks(session, target, tasks, quiet)
        if metrics is not None:
            check_metrics(metrics, tasks)
    for message in () if quiet else messages:
        say(message)
    if centres is not None:
        evaluate_by_centres(
            session,
            target,
            tasks,
            by_centres,
            adjustment,
            ties=ties.value,
            metrics=metrics,
            beside=beside is not False,
            leave_out=is_groups,
            confirm=confirm_run,
            quiet=quiet,
            as_json=as_json,
        )
        return
    scorings = plan_scores(
        session.lab,
        target,
        tasks,
        adjustment,
        ties.value,
        further=metrics is not None or bool(table_tasks),
    )
    results = [result.record for result in session.score(target, scorings, confirm_run)]
    baselines: list[Baseline] = []
    if beside is not False:
        baselines = session.baselines(
            target,
            tasks,
            adjustment,
            ties.value,
            within_s=None if beside else WITHIN_S,
            confirm=confirm_run,
        )
    if not quiet:
        for notice in (text for record in results for text in record["notices"]):
            say(f"note: {notice}")
    if as_json:
        print_json(
            "eval",
            {
                "lab": results[0]["lab"] if results else "",
                "bundle": str(target.bundle.path) if target.bundle else None,
                "results": [_with_baselines(record, baselines) for record in results],
            },
        )
        return
    for record in results:
        whole = "listed" if record["task"] in session.lab.own_tasks else "published set"
        _print(record, whole, baselines, metrics)


def check_metrics(metrics: str, tasks: Sequence[Task], *, of_some: bool = False) -> None:
    """Refuse names of metrics that tasks do not have.

    Args:
        metrics: as typed.
        tasks: what is scored.
        of_some: whether it is enough that one of the tasks has them.

    Raises:
        UsageError: one is not there.
    """
    from reactions.core.errors import UsageError
    from reactions.eval.further_metrics import chosen as select_metrics
    from reactions.eval.further_metrics import names_of

    refused: list[UsageError] = []
    for task in tasks:
        try:
            select_metrics(metrics, *names_of(task))
        except UsageError as error:
            refused.append(error)
    if refused and not (of_some and len(refused) < len(tasks)):
        raise refused[0]


def _with_baselines(record: Mapping[str, Any], baselines: Sequence[Baseline]) -> Mapping[str, Any]:
    from reactions.eval.baselines import baselines_json

    if not baselines:
        return record
    return {**record, "baselines": baselines_json(baselines, record["task"])}


def with_classes(tasks: Sequence[Task], *, left_out: bool, quiet: bool) -> tuple[Task, ...]:
    """Return the tasks that have classes; name the others in a note, or refuse them.

    Args:
        tasks: as asked for.
        left_out: whether others are left out.
        quiet: name none.

    Raises:
        UsageError: a task has none, and is not left out.
    """
    from reactions.planning.centre_scores import check_has_classes

    if left_out:
        retrieval = [task.name for task in tasks if task.kind == "retrieval"]
        if retrieval and not quiet:
            say(f"note: centres stand for classes, and change nothing of {', '.join(retrieval)}")
        return tuple(task for task in tasks if task.kind != "retrieval")
    for task in tasks:
        check_has_classes(task)
    return tuple(tasks)


def possible_tasks(
    session: Session, target: Target, tasks: Sequence[Task], quiet: bool
) -> tuple[Task, ...]:
    """Return the tasks that a space can do and whose data are there; name the others in notes.

    Raises:
        MissingError: no task is left.
    """
    from reactions.planning.possible import possible

    def note(text: str) -> None:
        if not quiet:
            say(f"note: {text}")

    return possible(session.lab, target, tasks, note)


def _print(
    record: Mapping[str, Any],
    whole: str,
    baselines: Sequence[Baseline],
    metric_names: str | None = None,
) -> None:
    """Print a result, and what trains nothing beside it.

    Args:
        record: of the space.
        whole: names what has all of the items, found or not.
        baselines: rows beside a reaction.
        metric_names: names of metrics, if any were asked for.
    """
    from reactions.eval.baselines import baseline_cells, beaten, lacking
    from reactions.eval.further_metrics import chosen as select_metrics

    metrics = record["metrics"]
    if metric_names is not None:
        all_metrics = {**metrics, **record.get("further", {})}
        names = select_metrics(metric_names, metrics, record.get("further", {}))
        metrics = {name: all_metrics[name] for name in names}
    facts = [f"lab: {record['lab']}", f"n: {record['n']}"]
    if record["expected"] and record["expected"] != record["n"]:
        facts.append(f"{whole}: {record['expected']}")
    facts += setting_facts(record)
    if any("trained in float32" in text for text in record["notices"]):
        facts.append("projectors trained in float32: no fast 16-bit products")
    if record["experts"] is not None:
        facts.append("experts: " + ", ".join(record["experts"]))
    for name, values in record["factors"].items():
        facts.append(name + ": " + ", ".join(f"{m} {v:g}" for m, v in values.items()))
    facts += [f"mean of {stage}: {mean}" for stage, mean in record.get("means", {}).items()]
    if record["prompts"]:
        more = len(record["prompts"]) - 1
        facts.append(f'prompt: "{record["prompts"][0]}"' + (f" and {more} more" if more else ""))
    if hit := record.get("hit"):
        facts.append(f"hit: {hit}")
    if classes := record.get("classes"):
        facts.append(f"classes: {classes['n']} ({classes['digest']})")
    beside = {name: baseline_cells(baselines, record["task"], name) for name in metrics}
    rows = [
        (
            ("* " if name == record["main"] else "") + name,
            f"{value:.2f}",
            *(text for _, text in beside[name]),
        )
        for name, value in metrics.items()
    ]
    headings = [_SHORT.get(heading, heading) for heading, _ in next(iter(beside.values()))]
    columns = ("metric (%)", "reaction", *headings) if headings else ("metric", "%")
    print_table(f"{record['task']}   {record['space']}", columns, rows)
    print_note("   ".join(facts))
    if sentence := beaten(record, baselines):
        print_note(sentence)
    for sentence in lacking(baselines, record["task"]):
        print_note(f"- {sentence}")
    print_ties(record)
