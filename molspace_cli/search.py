"""``molspace search``."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from molspace_cli import factors, options
from molspace_cli.console import is_terminal, print_json, print_table
from molspace_cli.groups import grouped
from molspace_cli.index_shown import BundlePath, Directory
from molspace_cli.infer_report import plain
from molspace_cli.input_notes import InputNotes, unread_stdin

if TYPE_CHECKING:
    from reactions.core.types import Item
    from reactions.inference.embedder import Embedder
    from reactions.search.hits import Hit

_WIDTH = 44


def _files(modality: str) -> Any:
    return typer.Option(
        f"--{modality}", metavar="FILE", help=f"An {modality} file to search with. Repeatable."
    )


@grouped
def search(
    directory: Directory,
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="QUERY",
            help="Texts and files, as for infer; - or none for lines of stdin.",
            show_default=False,
        ),
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Option("--text", metavar="TEXT", help="A text, also one that looks like a path."),
    ] = None,
    image: Annotated[list[str] | None, _files("image")] = None,
    audio: Annotated[list[str] | None, _files("audio")] = None,
    query: Annotated[
        list[str] | None,
        typer.Option(
            "--query",
            metavar="MODALITY=FILE",
            help="A file of another modality, or with another ending: depth=a.png. Repeatable.",
        ),
    ] = None,
    into: Annotated[
        str | None,
        typer.Option("--into", metavar="MODALITY", help="Search these alone.  [default: all]"),
    ] = None,
    k: Annotated[int, typer.Option("-k", metavar="N", min=1, help="Hits of each query.")] = 10,
    exact: Annotated[
        bool, typer.Option("--exact", help="Compare every row, whatever the index's kind.")
    ] = False,
    sigma: options.Sigma = None,
    lambda_: options.Lambda = None,
    experts: options.Experts = None,
    bundle: BundlePath = None,
    *,
    running: options.InferOptions,
    as_json: options.Json = False,
) -> None:
    """Find what is nearest to a text, an image, a sound or another item, at any factors.

    The index keeps what each expert adds apart: --sigma, --lambda and --experts are chosen here,
    and hits are those of the product at these factors.

    Examples:
      molspace search my-index "a dog barking"
      molspace search my-index --image cat.png --into audio -k 5
      molspace search my-index "rain" --sigma 0.8,0.5 --json
    """
    from reactions.core.errors import DataError, UsageError
    from reactions.inference.line_stream import AS_TABLE
    from reactions.products.acting import acting_adjustment
    from reactions.search.index import SearchIndex
    from reactions.search.record import read_record
    from reactions.search.searcher import Searcher, target_of

    adjustment = factors.adjustment(sigma, lambda_, experts)
    read_record(directory)  # before anything is loaded
    session = running.open(command="search")
    target = target_of(session, directory, bundle)
    index = SearchIndex(directory, target)
    embedder = session.embedder(target)  # loads nothing yet
    noted = InputNotes(running.quiet)
    try:
        items = _queries(embedder, inputs or [], text, image, audio, query, noted.note)
    except DataError as error:
        error.fix = error.fix.removeprefix(AS_TABLE)
        raise
    if not items:
        raise UsageError("no query", fix='molspace search INDEX "a dog barking"')
    searcher = Searcher(session, target, index)
    hits_of_queries = searcher.search(items, into=into, k=k, adjustment=adjustment, exact=exact)
    if n := index.n_cancelled(into, adjustment):
        noted.note(f"{n:,} items have no embedding at these factors, and are not found")
    acting = acting_adjustment(target.space, adjustment)
    if as_json:
        queries = [
            {
                "query": _label(item),
                "id": item.id,
                "modality": item.modality,
                "hits": [h.to_json() for h in hits],
            }
            for item, hits in zip(items, hits_of_queries, strict=True)
        ]
        about = {"index": str(directory), "expression": target.name, "lab": index.record.lab}
        acting["kinds"] = {m: "flat" if exact else kind for m, kind in index.kinds.items()}
        notices = noted.to_json()["notices"]
        print_json(
            "search",
            {**about, **acting, "into": into, "k": k, "notices": notices, "queries": queries},
        )
        return
    settings = "   ".join(
        f"{name}: " + ", ".join(f"{m} {value:g}" for m, value in by_modality.items())
        for name, by_modality in acting["factors"].items()
    )
    title = "   ".join(filter(None, [f"lab: {index.record.lab}", settings]))
    if is_terminal():
        for item, hits in zip(items, hits_of_queries, strict=True):
            print_table(
                f"{plain(_label(item), _WIDTH)}   {title}",
                ("", "score", "modality", "item"),
                [_cells(hit, name) for hit, name in zip(hits, _names(hits), strict=True)],
            )
        return
    rows = [
        (_label(item), *_cells(hit, hit.item.label), hit.item.id, hit.item.source, item.id)
        for item, hits in zip(items, hits_of_queries, strict=True)
        for hit in hits
    ]
    columns = ("query", "rank", "score", "modality", "item", "id", "source", "query id")
    print_table(title, columns, rows)


def _cells(hit: Hit, name: str) -> tuple[str, str, str, str]:
    return str(hit.rank), f"{hit.score:.4f}", hit.item.modality, name


def _names(hits: Sequence[Hit]) -> list[str]:
    """Return what a terminal calls hits: files of one name in several folders by their paths."""
    counts = Counter(hit.item.label for hit in hits)
    names = []
    for hit in hits:
        item, name = hit.item, hit.item.label
        if counts[name] > 1:
            name = item.source or name
        if item.source != item.label and len(name) > _WIDTH:  # a file: its end tells it apart
            name = "…" + name[1 - _WIDTH :]
        names.append(plain(name, _WIDTH))
    return names


def _queries(
    embedder: Embedder,
    inputs: list[str],
    texts: list[str] | None,
    images: list[str] | None,
    sounds: list[str] | None,
    other_queries: list[str] | None,
    note: Callable[[str], None],
) -> list[Item]:
    """Read the queries, refusing any that cannot be read.

    Raises:
        UsageError: one cannot.
    """
    from reactions.core.errors import UsageError, suggestion
    from reactions.core.file_names import near_file
    from reactions.core.text_lines import NOT_UTF8, RECODE
    from reactions.data.manifest import Problem
    from reactions.inference.arguments import file_of_lines, near_names, refuse_paths
    from reactions.inference.inputs import read_inputs

    modalities = embedder.spec.modalities
    modality_values = [("text", value) for value in texts or ()]
    modality_values += [("image", value) for value in images or ()]
    modality_values += [("audio", value) for value in sounds or ()]
    for value in other_queries or ():
        modality, equals, path = value.partition("=")
        if not equals:
            raise UsageError(
                f"--query: '{value}' does not say of which modality it is",
                fix="--query MODALITY=FILE, such as --query depth=a.png",
            )
        modality_values.append((modality, path))
    for modality, _ in modality_values:
        if modality not in modalities:
            raise UsageError(
                f"the index's space does not embed {modality}",
                why=f"it embeds {', '.join(modalities)}",
                fix=suggestion(modality, modalities),
            )
    refuse_paths(inputs, as_text="--text TEXT")
    for notice in near_names(inputs):
        note(notice)
    stdin = getattr(sys.stdin, "buffer", None)
    arguments = [*inputs, *(value for _, value in modality_values)]
    if arguments and (notice := unread_stdin(arguments, stdin)):
        note(notice)
    if not arguments and stdin is not None and not stdin.isatty():
        inputs = ["-"]
    by_id = embedder.by_id
    read_values = [
        (value, read_inputs([value], modalities=modalities, stdin=stdin, by_id=by_id))
        for value in inputs
    ]
    read_values += [
        (value, read_inputs([value], modalities=modalities, stdin=stdin, taken_as=modality))
        for modality, value in modality_values
    ]
    items: list[Item] = []
    for value, entries in read_values:
        is_lines = value == "-" or isinstance(file_of_lines(value, Path()), Path)
        for entry in entries:
            if isinstance(entry, Problem):
                lines = "stdin" if value == "-" else f"'{value}'"
                where = f"line {entry.line_number} of {lines}" if is_lines else f"'{value}'"
                fix = RECODE if entry.message == NOT_UTF8 else ""
                if entry.message.startswith("no such file"):
                    near = near_file(value)
                    fix = f"did you mean '{near}'?" if near else "check the path"
                raise UsageError(f"cannot search with {where}", why=entry.message, fix=fix)
            if not is_lines and not entry.own_id and value.lstrip().startswith("{"):
                entry = replace(entry, id=str(len(items) + 1))
            items.append(entry)
    return items


def _label(item: Item) -> str:
    return item.value if isinstance(item.value, str) else str(item.id)
