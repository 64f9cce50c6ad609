"""``molspace reproduce``."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from molspace_cli import complete, opening, options
from molspace_cli.confirm import confirm
from molspace_cli.console import print_json, print_note, print_table, print_text, say
from molspace_cli.groups import grouped

if TYPE_CHECKING:
    from reactions.experiments.paper_tables import SpaceRow
    from reactions.experiments.reproduce import MeasuredRow, MeasuredTable

app = typer.Typer(rich_markup_mode=None, help="The paper's experiments.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """The paper's experiments."""


Rows = Annotated[
    str | None,
    typer.Option(
        "--rows",
        metavar="NAME,...",
        help="Only these spaces: ImageBind, ImageBind++, 'InternVL_IB++ Ver.', ...",
    ),
]


@app.command("findings")
def findings(
    seeds: Annotated[int, typer.Option("--seeds", metavar="N", min=2, help="How many seeds.")] = 10,
    first: Annotated[
        int, typer.Option("--from", metavar="N", min=0, help="The first of them.")
    ] = 10,
    lab: Annotated[
        str,
        typer.Option(
            "--lab",
            metavar="FILE",
            autocompletion=complete.labs,
            help="A lab that extends mini: other encoders.",
        ),
    ] = "mini",
    precision: options.Precision = None,
    device: options.Device = "auto",
    executor: options.Executor = "local",
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Measure the paper's six findings on the mini lab, with confidence intervals.

    A seed decides corpora, projectors and evaluation data; the encoders stay. Seeds 0 and 1
    were looked at while the encoders were made, 2 to 9 since, so the default starts at 10. A
    claim is judged by the wider of two intervals: over items, and over seeds.
    It takes about 150 seconds a seed on two cores. Exits with 4 if a finding does not hold.
    """
    from reactions.core.errors import EXIT_STEP_FAILED
    from reactions.experiments.findings import SETTINGS, STATEMENTS, measure

    sessions = [
        opening.open_session(
            lab, seed=seed, precision=precision, device=device, executor=executor, quiet=quiet
        )
        for seed in range(first, first + seeds)
    ]
    events = sessions[0].events  # one display for all seeds
    sessions = [replace(session, events=events) for session in sessions]
    if not quiet:
        say(f"lab: {sessions[0].lab.label}")
        for line in SETTINGS:
            say(f"note: {line}")
    measured = measure(sessions, events=events)
    if as_json:
        print_json("findings", measured.to_json())
    else:
        families = list(next(iter(measured.scores.values())))
        print_table(
            f"lab: {measured.lab}   means of R@1 (both directions) or accuracy, "
            f"%, seeds {', '.join(map(str, measured.seeds))}",
            ("space", *families),
            [
                (space, *(f"{row[family]:.1f}" if family in row else "-" for family in families))
                for space, row in measured.scores.items()
            ],
        )
        print_table(
            f"lab: {measured.lab}   contrasts, percentage points, 95 % intervals over items and "
            "over seeds",
            (
                "finding",
                "space",
                "claim",
                "other",
                "family",
                "difference",
                "over items",
                "over seeds",
                "by seed",
                "holds",
            ),
            [
                (
                    str(verdict.contrast.finding),
                    verdict.contrast.space,
                    verdict.contrast.claim,
                    verdict.contrast.other,
                    verdict.contrast.family,
                    f"{verdict.difference.mean:+.2f}",
                    f"[{verdict.difference.low:+.2f}, {verdict.difference.high:+.2f}]",
                    f"[{verdict.over_seeds.low:+.2f}, {verdict.over_seeds.high:+.2f}]",
                    " ".join(f"{value:+.1f}" for value in verdict.by_seed),
                    "yes" if verdict.holds else "NO",
                )
                for verdict in measured.verdicts
            ],
        )
        for number, statement in STATEMENTS.items():
            print_text(
                f"({number}) {'holds' if measured.holds(number) else 'DOES NOT HOLD'}: {statement}"
            )
    if not all(measured.holds(number) for number in STATEMENTS):
        raise typer.Exit(EXIT_STEP_FAILED)


_ABOUT = {
    "table3": """The paper's Table 3, zero-shot classification: ours beside the paper's figure.

    Trains the reactions of its Table 2 that are not trained yet and scores them on ESC-50,
    AudioSet and ImageNet. Exits with 3 if the lab has nothing that could be measured.
    """,
    "table4": """The paper's Table 4, zero-shot retrieval: ours beside the paper's figure.

    Trains the reactions of its Table 2 that are not trained yet and scores them on AudioCaps,
    Clotho, VGG-SS, FlickrNet, COCO and Flickr30K. Exits with 3 if the lab has nothing that
    could be measured.
    """,
}


def _add_table(name: str, about: str) -> None:
    @app.command(name, help=about)
    @grouped
    def table(
        rows: Rows = None, *, running: options.RunOptions, as_json: options.Json = False
    ) -> None:
        _measure(name, rows, running, as_json)


for _name, _about in _ABOUT.items():
    _add_table(_name, _about)


def _measure(name: str, rows: str | None, running: options.RunOptions, as_json: bool) -> None:
    from reactions.core.errors import MissingError
    from reactions.experiments.paper_tables import TABLES, parse_rows
    from reactions.experiments.reproduce import measure

    chosen = parse_rows(rows)
    session, quiet = running.open(), running.quiet
    results = measure(
        TABLES[name],
        session,
        chosen,
        confirm=partial(confirm, session, yes=running.yes, quiet=quiet),
        started=lambda row: (
            None if quiet else say(f"lab: {session.lab.label}   {_definition(row)}")
        ),
    )
    if as_json:
        print_json(name, results.to_json())
    else:
        _print_table(results)
    if not results.n_measured:
        raise MissingError(
            f"nothing could be measured on lab '{session.lab.name}'",
            why="it lacks the spaces, or the evaluation sets, of all rows",
            fix="molspace spaces list   and   molspace data list   say what is there",
        )


def _definition(row: SpaceRow) -> str:
    """Return a row's name, and what it stands for unless that is a space of the same name."""
    return row.name if row.name == row.reaction else f"{row.name} = {row.reaction}"


def _print_table(results: MeasuredTable) -> None:
    """Print one table a task, then the reasons why ours may differ from the paper's figure."""
    for name, entry in results.items.items():
        columns = results.table.columns_of(name)
        print_table(
            f"Table {results.table.number}   {entry.task.title}   lab: {results.lab}",
            ("space", *(head for column in columns for head in (column.title, "paper")), "remark"),
            [_cells(results, measured, name) for measured in results.rows],
        )
        facts = [f"n: {entry.n} of {entry.expected}", f"the paper's: {results.paper_n(name)}"]
        if prompts := entry.task.templates:
            more = f" and {len(prompts) - 1} more" if len(prompts) > 1 else ""
            facts.append(f'prompt: "{prompts[0]}"{more}')
        print_note("   ".join((*facts, f"lab: {results.lab}", f"seed: {results.seed}")))
        if lack := entry.lack:
            print_note("; ".join(filter(None, (lack.what, lack.why))))
            if lack.fix:
                print_note(f"  fix: {lack.fix}")
    for lack, names in results.lacking().items():
        print_note(f"{lack.what}: {', '.join(names)}" + (f" ({lack.why})" if lack.why else ""))
        if lack.fix:
            print_note(f"  fix: {lack.fix}")
    for note in results.notes:
        print_note(note)


def _cells(results: MeasuredTable, measured: MeasuredRow, task: str) -> list[str]:
    state, lack = results.state(measured, task), measured.lack
    blank = {"no modality": "-", "no data": "no data"}.get(state, "")
    cells = [measured.row.name]
    for column in results.table.columns_of(task):
        ours, paper = results.ours(measured, column), results.table.paper(measured.row.name, column)
        cells += [
            blank if ours is None else f"{ours:.2f}",
            "-" if paper is None else f"{paper:.2f}",
        ]
    return [*cells, lack.what if lack and state != "no modality" else ""]
