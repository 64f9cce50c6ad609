"""``molspace kb``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from molspace_cli import (
    complete,
    knowledge_build,
    knowledge_import,
    knowledge_show,
    opening,
    options,
)
from molspace_cli.console import (
    print_json,
    print_note,
    print_path,
    print_table,
    print_text,
    say,
)
from molspace_cli.knowledge_import import Overwrite
from molspace_cli.knowledge_made import say_made

if TYPE_CHECKING:
    from reactions.knowledge.audit import KnowledgeReport

app = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Knowledge bases: descriptions of classes and items, made, looked at and checked.",
)
app.add_typer(knowledge_import.app, name="import")

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME|FILE",
        autocompletion=complete.knowledge,
        help="A knowledge base of the lab, or a parquet file.",
        show_default=False,
    ),
]


@app.callback()
def _group() -> None:
    """Knowledge bases: descriptions of classes and items, made, looked at and checked."""


app.command("build")(knowledge_build.build)
app.command("describe")(knowledge_build.describe)
app.command("show")(knowledge_show.show)


# --- check ---------------------------------------------------------------------------


@app.command("check")
def check(
    name: Name,
    least: Annotated[
        int,
        typer.Option(
            "--least", metavar="N", min=0, help="Descriptions that a category should have."
        ),
    ] = 50,
    token_limit: Annotated[
        int | None,
        typer.Option(
            "--token-limit",
            metavar="N",
            min=1,
            help="CLIP tokens that a row may have.  [default: what the knowledge base says]",
        ),
    ] = None,
    classes: options.ClassNames = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 4 if something should be repaired.")
    ] = False,
    lab: options.Lab = None,
    data: options.Data = None,
    seed: options.Seed = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Look for duplicates, empty and long rows, short categories, rows that name another one.

    Length is counted in tokens of CLIP; diversity by distinct words and pairs of words, and by the
    mean cosine of the word sets of two descriptions of a category (overlap). With --classes, those
    that have no rows are found, too.

    Examples:
      molspace kb check kb --strict
      molspace kb check birds.parquet --classes birds.txt
    """
    from reactions.core.errors import EXIT_STEP_FAILED
    from reactions.knowledge.audit import check_knowledge
    from reactions.labs.generators import classes_of

    opened = opening.open_lab(lab, seed=seed, data=data, quiet=quiet, online=False)
    knowledge = opened.knowledge(name)
    report = check_knowledge(
        knowledge,
        least_rows=least,
        token_limit=token_limit,
        categories=None if classes is None else classes_of(opened, classes)[1],
        on_progress=opened.on_progress,
    )
    if as_json:
        print_json("kb_check", {**knowledge_show.identified(knowledge, opened), **report.to_json()})
    else:
        _print_report(report, opened.label)
        for notice in knowledge.notices:
            print_note(notice)
        if classes is None and any(finding.kind == "names another" for finding in report.findings):
            print_note("if it serves several tasks: --classes TASK looks at those of one alone")
    if strict and report.faults:
        raise typer.Exit(EXIT_STEP_FAILED)


def _print_report(report: KnowledgeReport, label: str) -> None:
    from molspace_cli.amounts import counted

    n_findings = counted(len(report.findings), "finding")
    print_table(
        f"{report.name}   lab: {label}   {counted(report.n_rows, 'row')}, {n_findings}",
        ("finding", "count", "of", "what"),
        [
            (finding.kind, str(finding.count), str(finding.total), finding.message)
            for finding in report.findings
        ],
    )
    for finding in report.findings:
        for example in finding.examples[:3]:
            print_note(f"{finding.kind}: {_shown(example)}")
    if not report.texts:
        return
    print_table(
        "length and diversity",
        ("of", "texts", "tokens", "most", "distinct 1", "distinct 2", "overlap"),
        [
            (
                texts.what,
                str(texts.n),
                f"{texts.mean_tokens:.1f}",
                str(texts.max_tokens),
                f"{texts.distinct_1:.3f}",
                f"{texts.distinct_2:.3f}",
                f"{texts.overlap:.3f}",
            )
            for texts in report.texts
        ],
    )


def _shown(example: Mapping[str, Any]) -> str:
    """Return ``id dog/3, category dog: a dog beside a cat (names cat)``."""
    facts = dict(example)
    text = facts.pop("description", None)
    names = facts.pop("names", None) or facts.pop("categories", None)
    head = ", ".join(f"{key} {value}" for key, value in facts.items())
    parts = [part for part in (head, text) if part is not None and part != ""]
    return ": ".join(parts) + (f" ({', '.join(names)})" if names else "")


# --- merge and export ------------------------------------------------------------------


@app.command("merge")
def merge(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="A B...",
            autocompletion=complete.knowledge,
            help="Knowledge bases of the lab, or parquet files.",
            show_default=False,
        ),
    ],
    out: knowledge_import.Out,
    overwrite: Overwrite = False,
    lab: options.Lab = None,
    seed: options.Seed = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Put knowledge bases together, and print the new one's path.

    Categories of one name become one, and rows that are the same are kept once. An item in two
    categories, or items of two corpora of one modality, are refused.

    Examples:
      molspace kb merge birds.parquet frogs.parquet --out animals.parquet
    """
    from reactions.knowledge.base import KnowledgeTable
    from reactions.knowledge.exporting import check_knowledge_out
    from reactions.knowledge.files import SUFFIX, write_knowledge
    from reactions.knowledge.merging import merge_knowledge

    check_knowledge_out(out, overwrite=overwrite, formats=(SUFFIX,))
    opened = opening.open_lab(lab, seed=seed, quiet=quiet, online=False)
    merged = merge_knowledge([opened.knowledge(name) for name in names])
    table = KnowledgeTable(str(out), merged.rows, merged.metadata)
    write_knowledge(out, table.rows(), merged.metadata)
    told = (
        (merged.n_same, "rows that an earlier one is letter for letter, kept once"),
        (merged.n_renamed, "rows of categories with a new id, as theirs was taken"),
        (merged.n_shared_categories, "categories of several of them, now one each"),
    )
    say_made(
        table,
        out,
        [*(f"{what}: {n:,}" for n, what in told if n), *merged.remarks],
        "kb_merge",
        quiet=quiet,
        as_json=as_json,
        facts={
            "same": merged.n_same,
            "renamed": merged.n_renamed,
            "shared_categories": merged.n_shared_categories,
        },
    )


@app.command("export")
def export(
    name: Name,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Its ending says the format: csv, jsonl, parquet.  [default: jsonl on stdout]",
        ),
    ] = None,
    overwrite: Overwrite = False,
    lab: options.Lab = None,
    seed: options.Seed = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Write a knowledge base as csv, jsonl or parquet, and print the file's path.

    Csv and jsonl hold the rows alone; prompts, models and the items' corpora are in parquet.

    Examples:
      molspace kb export birds.parquet --out birds.csv
    """
    from molspace_cli.amounts import counted
    from reactions.core.errors import UsageError
    from reactions.knowledge.exporting import check_knowledge_out, export_knowledge, json_lines
    from reactions.knowledge.files import SUFFIX

    if out is not None:
        check_knowledge_out(out, overwrite=overwrite)
    elif as_json:
        raise UsageError("--json goes with --out", why="stdout is the rows, as JSON Lines")
    opened = opening.open_lab(lab, seed=seed, quiet=quiet, online=False)
    knowledge = opened.knowledge(name)
    if not quiet:
        for notice in knowledge.notices:
            say(f"note: {notice}")
    if out is None:
        for line in json_lines(knowledge.rows()):
            print_text(line)
        return
    n = export_knowledge(knowledge, out)
    if as_json:
        print_json("kb_export", {"name": name, "path": str(out), "rows": n})
        return
    if not quiet:
        say(f"{out}: {counted(n, 'row')}")
        if out.suffix.lower() != SUFFIX:
            say("note: prompts, models and the items' corpora are not in it; in parquet they are")
    print_path(out)
