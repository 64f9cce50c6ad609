"""``molspace kb show``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from molspace_cli import complete, opening, options
from molspace_cli.console import is_terminal, print_json, print_note, print_table

if TYPE_CHECKING:
    from reactions.knowledge.base import Description, KnowledgeBase
    from reactions.knowledge.summary import KnowledgeSummary
    from reactions.labs.lab import Lab

_SHOWN_CATEGORIES = 20
"""Rows of the table of categories that a terminal shows."""

_SHOWN_VALUES = 8
"""Models, prompts and so on that are counted on a terminal and in a pipe."""


def show(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME|FILE]",
            autocompletion=complete.knowledge,
            help="A knowledge base of the lab, or a parquet file; without it, the lab's are "
            "listed.",
            show_default=False,
        ),
    ] = None,
    category: Annotated[
        str,
        typer.Option(
            "--category", metavar="NAME", help="Whose rows are shown.  [default: the first]"
        ),
    ] = "",
    examples: Annotated[
        int, typer.Option("--examples", "-n", metavar="N", min=0, help="Rows that are shown.")
    ] = 5,
    lab: options.Lab = None,
    seed: options.Seed = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Count a knowledge base by source, modality, model, prompt and category; show examples.

    Examples:
      molspace kb show
      molspace kb show kb --category dog -n 10
    """
    from reactions.core.errors import UsageError
    from reactions.knowledge.summary import summarise

    opened = opening.open_lab(lab, seed=seed, quiet=quiet, online=False)
    if name == "":
        raise UsageError(
            "the name of the knowledge base is empty",
            why="perhaps a variable of the shell that is not set",
            fix="give it a value, or leave it out",
        )
    if name is None:
        if category:
            raise UsageError("--category goes with a knowledge base", fix="molspace kb show NAME")
        _list(opened, as_json=as_json)
        return
    knowledge = opened.knowledge(name)
    summary = summarise(knowledge, category, examples)
    if as_json:
        print_json("kb", {**identified(knowledge, opened), **summary.to_json()})
        return
    _print_counts(knowledge, summary, opened)
    _print_examples(summary.examples)
    for notice in knowledge.notices:
        print_note(notice)


def identified(knowledge: KnowledgeBase, lab: Lab) -> dict[str, object]:
    """Return what the JSON of every command says of a knowledge base."""
    from dataclasses import asdict

    return {
        "lab": lab.label,
        "name": knowledge.name,
        "digest": knowledge.digest,
        "metadata": asdict(knowledge.metadata),
        "notices": list(knowledge.notices),
    }


def _list(lab: Lab, *, as_json: bool) -> None:
    """List the knowledge bases of a lab; one that cannot be opened is a row with its problem."""
    from reactions.core.errors import MolspaceError

    entries: list[dict[str, object]] = []
    for name, source in lab.knowledge_bases.items():
        place = "the mini world" if source.path is None else str(source.path)
        entry: dict[str, object] = {"name": name, "from": place, "problem": "", "fix": ""}
        try:
            knowledge = lab.knowledge(name)
        except MolspaceError as error:
            entry |= {"problem": error.what, "fix": error.fix}
        else:
            entry |= {
                "rows": len(knowledge),
                "categories": len(knowledge.categories),
                "modalities": list(knowledge.modalities),
                "digest": knowledge.digest,
            }
        entries.append(entry)
    if as_json:
        print_json("kb_list", {"lab": lab.label, "knowledge_bases": entries})
        return
    print_table(
        f"lab: {lab.label}",
        ("name", "rows", "categories", "items of", "from"),
        [
            (
                str(entry["name"]),
                str(entry.get("rows", "-")),
                str(entry.get("categories", "-")),
                ", ".join(map(str, modalities)) or "-"
                if isinstance(modalities := entry.get("modalities", []), list)
                else "-",
                str(entry["from"]),
            )
            for entry in entries
        ],
    )
    for entry in entries:
        if entry["problem"]:
            print_note(f"{entry['name']}: {entry['problem']}")
            print_note(f"  fix: {entry['fix']}")
    if not entries:
        print_note(f"lab '{lab.name}' has no knowledge base")
        print_note('  fix: [kb.NAME] with path = "FILE.parquet", or --lab mini')


def _print_counts(knowledge: KnowledgeBase, summary: KnowledgeSummary, lab: Lab) -> None:
    from molspace_cli.amounts import counted

    metadata = knowledge.metadata
    counts = (
        ("source", summary.sources, ""),
        ("modality", summary.modalities, "(categories)"),
        ("model", summary.models, "(not named)"),
        ("prompt", summary.prompts, "(not named)"),
    )
    print_table(
        f"{knowledge.name}   lab: {lab.label}   {counted(summary.n_rows, 'row')}",
        ("what", "value", "rows"),
        [
            (what, value or nothing, str(n))
            for what, values, nothing in counts
            for value, n in _commonest(values)
        ],
    )
    for what, values, _ in counts:
        if (n_hidden := len(values) - _SHOWN_VALUES) > 0:
            print_note(f"and {n_hidden:,} more {what}s: all of them with --json")
    print_note(f"data set: {metadata.dataset or 'not named'}; token limit {metadata.token_limit}")
    for model in metadata.models:
        facts = " ".join(filter(None, (model.name, model.revision, model.licence)))
        print_note(f"model: {facts}")
    for modality, corpus in metadata.items.items():
        print_note(f"{modality} items: {corpus.corpus or 'not named'}")
    if metadata.dropped:
        reasons = ", ".join(f"{n:,} {reason}" for reason, n in metadata.dropped.items())
        print_note(f"left out when it was made: {reasons}")
    shown = summary.categories[: _SHOWN_CATEGORIES if is_terminal() else None]
    n = len(summary.categories)
    print_table(
        "1 category" if n == 1 else f"{n:,} categories",
        ("category", "descriptions", "names", "items"),
        [
            (c.category, str(c.descriptions), str(c.names), str(sum(c.items.values())))
            for c in shown
        ],
    )
    if n_hidden := n - len(shown):
        print_note(f"and {n_hidden:,} more: all of them in a pipe, or with --json")


def _commonest(values: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return values with their rows, the commonest first, as many as are shown."""
    return sorted(values.items(), key=lambda entry: -entry[1])[:_SHOWN_VALUES]


def _print_examples(rows: Sequence[Description]) -> None:
    if rows:
        print_table(
            f"examples of '{rows[0].category}'",
            ("id", "source", "description"),
            [(row.id, row.modality or row.source, row.description) for row in rows],
        )
