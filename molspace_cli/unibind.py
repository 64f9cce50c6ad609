"""``molspace reproduce unibind-findings``, ``unibind-table2`` and ``unibind-zero-shot``."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from molspace_cli import options
from molspace_cli.confirm import confirm
from molspace_cli.console import print_json, print_note, print_table, print_text, say
from molspace_cli.evaluate import HitRule
from molspace_cli.groups import grouped
from molspace_cli.paper_table import print_facts, print_lack
from molspace_cli.seeds import First, MiniLab, Seeds, open_seeds
from molspace_cli.setting import setting_facts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from reactions.eval.bootstrap import Interval
    from reactions.experiments.unibind.judge import Judged
    from reactions.experiments.unibind.measure import UniBindFindings
    from reactions.experiments.unibind.tables import RetrievalTable, ZeroShotResult, ZeroShotTable
    from reactions.session import Session


def unibind_findings(
    seeds: Seeds = 6,
    first: First = 30,
    lab: MiniLab = "mini",
    only: Annotated[
        str | None,
        typer.Option("--only", metavar="NAME,...", help="Only these findings: U1a,U3."),
    ] = None,
    precision: options.Precision = None,
    device: options.Device = None,
    executor: options.Executor = "local",
    track: options.Track = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Measure UniBind's findings on the mini lab, with baselines and confidence intervals.

    A seed decides corpora, described items, layers and evaluation data; the encoders stay.
    Settings were chosen on seed 26. A claim holds where the mean reaches its margin, fixed before
    anything was measured, and the wider of two intervals (over items, and over seeds) lies above
    zero. Exits with 4 if a finding does not hold.

    Examples:
      molspace reproduce unibind-findings --only U1a,U3
    """
    from reactions.core.errors import EXIT_STEP_FAILED
    from reactions.experiments.unibind.claims import STATEMENTS, parse_findings
    from reactions.experiments.unibind.measure import measure

    names = parse_findings(only)
    sessions = open_seeds(
        "reproduce unibind-findings",
        lab,
        range(first, first + seeds),
        precision=precision,
        device=device,
        executor=executor,
        quiet=quiet,
        track=track,
    )
    if not quiet:
        say(f"lab: {sessions[0].lab.label}")
    measured = measure(sessions, names, events=sessions[0].events)
    if as_json:
        print_json("unibind-findings", measured.to_json())
    else:
        _print_scores(measured)
        _print_judged(measured.lab, "claims", measured.judged, margins=True)
        _print_judged(measured.lab, "baselines and controls", measured.controls, margins=False)
        for name in measured.names:
            verdict = "holds" if measured.holds(name) else "DOES NOT HOLD"
            print_text(f"({name}) {verdict}: {STATEMENTS[name]}")
    if not all(measured.holds(name) for name in measured.names):
        raise typer.Exit(EXIT_STEP_FAILED)


def _print_scores(measured: UniBindFindings) -> None:
    families = list(dict.fromkeys(family for row in measured.scores.values() for family in row))
    rows = measured.scores.items()
    print_table(
        f"lab: {measured.lab}   means, %, seeds {', '.join(map(str, measured.seeds))}",
        ("measured", "by", "%"),
        [
            (family, arm, f"{row[family]:.1f}")
            for family in families
            for arm, row in rows
            if family in row
        ],
    )


def _print_judged(lab: str, title: str, judged: Sequence[Judged], *, margins: bool) -> None:
    from reactions.experiments.unibind.claims import GAP

    if not judged:
        return
    print_table(
        f"lab: {lab}   {title}, points, 95 % intervals over items and over seeds",
        (
            "finding",
            "this",
            "less that",
            "of",
            "difference",
            "over items",
            "over seeds",
            "by seed",
            *(("at least", "holds") if margins else ()),
        ),
        [
            (
                judgement.claim.finding,
                judgement.claim.arm,
                _other(judgement),
                judgement.claim.family,
                f"{judgement.difference.mean:+.2f}{' %' if judgement.claim.relative else ''}",
                # The gap is one number a seed: no items are drawn.
                "-" if judgement.claim.family == GAP else _interval(judgement.difference),
                _interval(judgement.over_seeds),
                " ".join(f"{value:+.1f}" for value in judgement.by_seed),
                *(
                    (f"{judgement.claim.at_least:g}", "yes" if judgement.holds else "NO")
                    if margins
                    else ()
                ),
            )
            for judgement in judged
        ],
    )


def _interval(interval: Interval) -> str:
    return f"[{interval.low:+.2f}, {interval.high:+.2f}]"


def _other(judged: Judged) -> str:
    if judged.claim.beyond is None:
        return judged.claim.other
    arm, other, family = judged.claim.beyond
    return f"{judged.claim.other}, by more than {arm} less {other} of {family}"


# --- tables ------------------------------------------------------------------------------

Knowledge = Annotated[
    str,
    typer.Option("--kb", metavar="KB", help="The lab's knowledge base."),
]


@grouped
def unibind_table2(
    kb: Knowledge = "kb",
    hit: Annotated[
        HitRule,
        typer.Option(
            "--hit", help="What counts as found: any item of the query's class, or its pair."
        ),
    ] = HitRule.CLASS,
    *,
    running: options.RunOptions,
    as_json: options.Json = False,
) -> None:
    """UniBind's Table 2 (supplement), event-image retrieval: ours beside the paper's figure.

    A row is left empty, with the reason, where the lab lacks its space, data or weights.
    Exits with 3 if the lab has nothing that could be measured.

    Examples:
      molspace reproduce unibind-table2 --hit class
    """
    from reactions.experiments.unibind.tables import measure_retrieval

    session = running.open(command="reproduce unibind-table2", has_rows=True)
    table = measure_retrieval(
        session,
        knowledge=kb,
        hit=hit.value,
        confirm=partial(confirm, session, yes=running.yes, quiet=running.quiet),
        started=_said(session, running.quiet),
    )
    if as_json:
        print_json("unibind-table2", table.to_json())
    else:
        _print_retrieval(table)
    _refuse_nothing(session, table.n_measured)


@grouped
def unibind_zero_shot(
    kb: Knowledge = "kb",
    space: Annotated[
        str,
        typer.Option("--space", metavar="SPACE", help="A space, reaction or bundle."),
    ] = "PointBind",
    *,
    running: options.RunOptions,
    as_json: options.Json = False,
) -> None:
    """UniBind's thirteen sets, zero-shot: a template and centres, beside what may be cited.

    A figure is left out, with the reason, where the lab lacks the space, data or weights.
    Exits with 3 if the lab has nothing that could be measured.

    Examples:
      molspace reproduce unibind-zero-shot
    """
    from reactions.experiments.unibind.tables import measure_zero_shot

    session = running.open(command="reproduce unibind-zero-shot", has_rows=True)
    table = measure_zero_shot(
        session,
        space=space,
        knowledge=kb,
        confirm=partial(confirm, session, yes=running.yes, quiet=running.quiet),
        started=_said(session, running.quiet),
    )
    if as_json:
        print_json("unibind-zero-shot", table.to_json())
    else:
        _print_zero_shot(table)
    _refuse_nothing(session, table.n_measured)


def _said(session: Session, quiet: bool) -> Callable[[str], None]:
    def started(name: str) -> None:
        if not quiet:
            say(f"lab: {session.lab.label}   {name}")

    return started


def _refuse_nothing(session: Session, n_measured: int) -> None:
    from reactions.core.errors import MissingError

    if not n_measured:
        raise MissingError(
            f"nothing could be measured on lab '{session.lab.name}'",
            why="it lacks the spaces, or the evaluation sets, of all rows",
            fix="molspace spaces list   and   molspace data list   say what is there",
        )


def _print_retrieval(table: RetrievalTable) -> None:
    for direction in table.task.directions:
        metrics = [f"{direction} R@{k}" for k in table.task.cutoffs]
        heads = [head for k in table.task.cutoffs for head in (f"R@{k}", "paper")]
        print_table(
            f"UniBind, table 2   {direction}   hits by {table.task.hit}   lab: {table.lab}",
            ("model", *heads),
            [
                (
                    row.name,
                    *(
                        cell
                        for metric in metrics
                        for cell in (
                            f"{row.figures[metric]:.2f}" if row.figures else "",
                            f"{row.published.figures[metric]:.2f}",
                        )
                    ),
                )
                for row in table.rows
            ],
        )
    print_facts(table.items, table.lab, table.seed)
    for row in table.rows:
        setting = setting_facts(row.record)
        print_note(", ".join((f"{row.name} = {row.reaction}", *setting)))
        if row.lack and row.lack != table.items.lack:
            print_lack(row.lack)
    _print_notices([(row.name, row.record) for row in table.rows])
    _print_notes(table.lab, table.notes)


def _print_zero_shot(table: ZeroShotTable) -> None:
    from reactions.experiments.unibind.tables import ZERO_SHOT_WAYS

    print_table(
        f"recognition, %   {table.space}   lab: {table.lab}   seed: {table.seed}",
        ("set", "n", *ZERO_SHOT_WAYS, "UniBind"),
        [
            (
                row.items.task.title,
                f"{row.items.n}",
                *(_figure(row, way) for way in ZERO_SHOT_WAYS),
                "",
            )
            for row in table.rows
        ],
    )
    records = [
        (row.items.task.title, record) for row in table.rows for record in row.records.values()
    ]
    trained_records = [record for _, record in records if not _is_zero_shot(record)]
    for fact in dict.fromkeys(fact for record in trained_records for fact in _setting(record)):
        print_note(f"* {fact}")
    _print_notices(records)
    for row in table.rows:
        _print_lacks(row)
        for entry in row.cited:
            source = "; ".join(filter(None, (entry.source, entry.remark)))
            print_note(f"{row.items.task.title}: {entry.model} {entry.value:g} ({source})")
    _print_notes(table.lab, table.notes)


def _is_zero_shot(record: Mapping[str, Any]) -> bool:
    return bool(record["setting"] == "zero-shot")


def _setting(record: Mapping[str, Any]) -> list[str]:
    """Return why a score is not zero-shot."""
    return setting_facts(record) or [f"setting: {record['setting']}"]


def _figure(row: ZeroShotResult, way: str) -> str:
    """Return a cell, with a mark where it is not zero-shot."""
    if way not in row.records:
        return ""
    return f"{row.figures[way]:.2f}{'' if _is_zero_shot(row.records[way]) else '*'}"


def _print_notices(records: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    """Print what should be known of scores, each once, with the rows' names."""
    names: dict[str, list[str]] = {}
    for name, record in records:
        for notice in record.get("notices", ()):
            names.setdefault(notice, []).append(name)
    for notice, rows in names.items():
        print_note(f"{', '.join(dict.fromkeys(rows))}: {notice}")


def _print_lacks(row: ZeroShotResult) -> None:
    """Print why ways have no figure, each reason once."""
    reasons = {
        lack: [w for w, way_lack in row.lacks.items() if way_lack == lack]
        for lack in row.lacks.values()
    }
    for lack, ways in reasons.items():
        print_note(f"{row.items.task.title}, {', '.join(ways)}:")
        print_lack(lack)


def _print_notes(lab: str, notes: Sequence[str]) -> None:
    from reactions.experiments.notes import rehearsal_note

    for note in filter(None, (*notes, rehearsal_note(lab))):
        print_note(note)
