"""``molspace data``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from molspace_cli import opening, options
from molspace_cli.console import human_bytes, print_json, print_note, print_table

if TYPE_CHECKING:
    from reactions.data.audit import DataFinding
    from reactions.encoders.precomputed.statistics import TableStatistics

app = typer.Typer(
    rich_markup_mode=None,
    help="The corpora, pairs and evaluation sets of a lab: what is there, what is wrong with it.",
    no_args_is_help=True,
)


@app.callback()
def _group() -> None:
    """The corpora, pairs and evaluation sets of a lab: what is there, what is wrong with it."""


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

    Examples:
      molspace data list
      molspace data list --lab lab.toml --json
    """
    from reactions.labs.inventory import inventory

    opened = opening.open_lab(lab, data=data, quiet=quiet, online=online)
    entries = inventory(opened)
    if as_json:
        print_json("data", {"lab": opened.label, "data": [entry.to_json() for entry in entries]})
        return
    print_table(
        f"lab: {opened.label}",
        ("kind", "name", "found", "expected", "left out", "size", "from"),
        [
            (
                entry.kind,
                entry.name,
                str(entry.found) if entry.looked_at else "not looked at",
                str(entry.expected),
                str(entry.bad + entry.skipped + entry.others),
                human_bytes(entry.size_bytes) if entry.size_bytes else "-",
                entry.title or "-",
            )
            for entry in entries
        ],
    )
    for entry in entries:
        for remark in entry.reading:
            print_note(f"{entry.name}: {remark}")
        if entry.problem:
            print_note(f"{entry.name}: {entry.problem}")
            if entry.fix:
                print_note(f"  fix: {entry.fix}")


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
    """Look for unusable items, duplicates, and items of evaluation sets, in corpora and pairs.

    In folders of embeddings: rows that are zero or not finite, repeated rows and ids, ids that
    not all folders have, collapsed towers.

    Examples:
      molspace data check
      molspace data check --full --lab lab.toml
    """
    from reactions.core.errors import EXIT_STEP_FAILED
    from reactions.labs.folders import examine
    from reactions.labs.inventory import audit_corpora
    from reactions.labs.pairs_audit import audit_pairs

    opened = opening.open_lab(lab, data=data, quiet=quiet).with_check("full" if full else None)
    tables, findings = examine(opened)
    findings = audit_corpora(opened) + audit_pairs(opened) + findings
    if as_json:
        body = {
            "lab": opened.label,
            "findings": [finding.to_json() for finding in findings],
            "embeddings": [table.to_json() for table in tables],
        }
        print_json("data_check", body)
    else:
        _print(opened.label, findings)
        if tables:
            _print_embeddings(tables)
    if any(finding.kind == "unusable" for finding in findings):
        raise typer.Exit(EXIT_STEP_FAILED)


def _print_embeddings(tables: Sequence[TableStatistics]) -> None:
    print_table(
        "embeddings, every row read",
        ("space", "modality", "rows", "dim", "ids", "not finite", "zero", "repeated", "cosine"),
        [
            (
                table.space,
                table.modality,
                str(table.n),
                str(table.dim),
                table.ids_from or "none",
                str(table.n_not_finite),
                str(table.n_zero),
                str(table.n_repeated),
                f"{table.cosine:.3f}",
            )
            for table in tables
        ],
    )


def _print(label: str, findings: Sequence[DataFinding]) -> None:
    count = "1 finding" if len(findings) == 1 else f"{len(findings)} findings"
    print_table(
        f"lab: {label}   {count}",
        ("corpus", "finding", "rows", "of", "what"),
        [
            (
                finding.corpus or "-",
                finding.kind,
                str(finding.count),
                str(finding.total),
                finding.message,
            )
            for finding in findings
        ],
    )
    for finding in findings:
        for example in finding.examples[:3]:
            print_note(f"{finding.kind}: " + ", ".join(f"{k} {v}" for k, v in example.items()))
        if finding.listed:
            print_note(f"{finding.kind}: all of them in {finding.listed}")
