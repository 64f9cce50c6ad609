"""What is said of a knowledge base that a command has written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from molspace_cli.amounts import counted
from molspace_cli.console import print_json, print_path, say

if TYPE_CHECKING:
    from reactions.knowledge.base import KnowledgeTable


def say_made(
    table: KnowledgeTable,
    path: Path,
    remarks: Sequence[str],
    kind: str,
    *,
    quiet: bool,
    as_json: bool,
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Print the path of a knowledge base on stdout, and its counts and remarks on stderr.

    Args:
        table: what was written.
        path: where.
        remarks: a sentence each.
        kind: of the JSON.
        quiet: say nothing on stderr.
        as_json: print all of it as JSON instead.
        facts: more of the JSON.
    """
    from reactions.knowledge.base import count_sources

    sources = count_sources(table.rows())
    if as_json:
        body = {
            "path": str(path),
            "digest": table.digest,
            "rows": len(table),
            "sources": sources,
            "categories": len(table.categories),
            "modalities": list(table.modalities),
            "dropped": dict(table.metadata.dropped),
            "remarks": list(remarks),
            **(facts or {}),
        }
        print_json(kind, body)
        return
    if not quiet:
        rows = ", ".join(f"{n:,} {source}" for source, n in sources.items())
        n = len(table.categories)
        categories = f"{n:,} categories" if n != 1 else "1 category"
        say(f"{path}: {counted(len(table), 'row')} ({rows}) of {categories}")
        for remark in remarks:
            say(f"note: {remark}")
    print_path(path)
