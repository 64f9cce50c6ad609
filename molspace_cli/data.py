"""``molspace data``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from molspace_cli import opening, options
from molspace_cli.console import human_bytes, print_json, print_note, print_table

if TYPE_CHECKING:
    from reactions.data.audit import Finding
    from reactions.encoders.precomputed.statistics import TableStatistics

app = typer.Typer(
    rich_markup_mode=None,
    help="The corpora and evaluation sets of a lab: what is there, and what is wrong with it.",
    no_args_is_help=True,
)


@app.callback()
def _group() -> None:
    """The corpora and evaluation sets of a lab: what is there, and what is wrong with it."""


@app.command("list")
def list_data(
    lab: options.Lab = None,
    data: options.Data = None,
    online: options.Online = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Count what a lab has: items found and expected, left out, and bytes.

    What is remote is listed as not looked at, unless --online is given.
    """
    from reactions.labs.inventory import inventory

    opened = opening.open_lab(lab, data=data, quiet=quiet, online=online)
    held = inventory(opened)
    if as_json:
        print_json("data", {"lab": opened.label, "data": [one.to_json() for one in held]})
        return
    print_table(
        f"lab: {opened.label}",
        ("kind", "name", "found", "expected", "left out", "size", "from"),
        [
            (
                one.kind,
                one.name,
                str(one.found) if one.looked_at else "not looked at",
                str(one.expected),
                str(one.bad + one.skipped + one.others),
                human_bytes(one.size_bytes) if one.size_bytes else "-",
                one.title or "-",
            )
            for one in held
        ],
    )
    for one in held:
        for remark in one.reading:
            print_note(f"{one.name}: {remark}")
        if one.problem:
            print_note(f"{one.name}: {one.problem}")
            if one.fix:
                print_note(f"  fix: {one.fix}")


@app.command("check")
def check(
    lab: options.Lab = None,
    data: options.Data = None,
    full: Annotated[
        bool, typer.Option("--full", help="Decode every file instead of a look at its header.")
    ] = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Look for unusable items, duplicates, and captions of evaluation sets in the corpora.

    In folders of embeddings: rows that are zero or not finite, repeated rows and ids, ids that
    not all folders have, collapsed towers.
    """
    from reactions.core.errors import EXIT_STEP_FAILED
    from reactions.labs.folders import examine
    from reactions.labs.inventory import audit_corpora

    opened = opening.open_lab(lab, data=data, quiet=quiet).with_check("full" if full else None)
    counted, findings = examine(opened)
    findings = audit_corpora(opened) + findings
    if as_json:
        body = {
            "lab": opened.label,
            "findings": [one.to_json() for one in findings],
            "embeddings": [one.to_json() for one in counted],
        }
        print_json("data_check", body)
    else:
        _print(opened.label, findings)
        if counted:
            _print_embeddings(counted)
    if any(one.kind == "unusable" for one in findings):
        raise typer.Exit(EXIT_STEP_FAILED)


def _print_embeddings(counted: Sequence[TableStatistics]) -> None:
    print_table(
        "embeddings, every row read",
        ("space", "modality", "rows", "dim", "ids", "not finite", "zero", "repeated", "cosine"),
        [
            (
                one.space,
                one.modality,
                str(one.n),
                str(one.dim),
                one.ids_from or "none",
                str(one.n_not_finite),
                str(one.n_zero),
                str(one.n_repeated),
                f"{one.cosine:.3f}",
            )
            for one in counted
        ],
    )


def _print(label: str, findings: Sequence[Finding]) -> None:
    count = "1 finding" if len(findings) == 1 else f"{len(findings)} findings"
    print_table(
        f"lab: {label}   {count}",
        ("corpus", "finding", "rows", "of", "what"),
        [
            (one.corpus or "-", one.kind, str(one.count), str(one.total), one.message)
            for one in findings
        ],
    )
    for one in findings:
        for example in one.examples[:3]:
            print_note(f"{one.kind}: " + ", ".join(f"{k} {v}" for k, v in example.items()))
        if one.listed:
            print_note(f"{one.kind}: all of them in {one.listed}")
