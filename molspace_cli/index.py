"""``molspace index``."""

from __future__ import annotations

import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from molspace_cli import index_upkeep, options
from molspace_cli.amounts import LinesDue
from molspace_cli.confirm import checked_first, confirm
from molspace_cli.console import human_bytes, print_json, print_path, print_table, say
from molspace_cli.default_command import DefaultGroup
from molspace_cli.groups import grouped
from molspace_cli.index_inputs import named_inputs, read_items, refuse_others
from molspace_cli.index_shown import Directory, about, facts, notes
from molspace_cli.infer_report import plain
from molspace_cli.input_notes import InputNotes, unread_stdin
from molspace_cli.input_tables import InputTableOptions
from molspace_cli.space_argument import named_space

if TYPE_CHECKING:
    from collections.abc import Callable

    from reactions.data.manifest import Problem

app = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    cls=DefaultGroup,
    help="Indexes of items, to be searched at any factors: molspace index BUNDLE FILES --out DIR.",
)

_SHOWN_PROBLEMS = 20


@app.callback()
def _group() -> None:
    """Indexes of items, to be searched at any factors: molspace index BUNDLE FILES --out DIR."""


@app.command("build")
@named_space
@grouped
def build(
    space: Annotated[str, options.target_argument("What embeds the items.")],
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="INPUT",
            help="What is indexed, as for infer: files, folders of them, tars, tables, "
            "addresses, quoted patterns, .jsonl or .txt files of lines, - for stdin.",
            show_default=False,
        ),
    ] = None,
    corpus: Annotated[
        list[str] | None,
        typer.Option(
            "--corpus",
            metavar="NAME",
            help="Index a corpus of the lab: a modality of [corpora], TASK, or TASK:SPLIT. "
            "Repeatable.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="DIR", help="The index; items are added to one that is there."
        ),
    ] = None,
    text: Annotated[
        bool, typer.Option("--text", help="Take all arguments and lines as texts.")
    ] = False,
    modality: Annotated[
        str | None,
        typer.Option(
            "--modality", metavar="NAME", help="What all files hold, whatever their endings."
        ),
    ] = None,
    prefix: Annotated[
        str,
        typer.Option(
            "--prefix",
            metavar="NAME",
            help="Put NAME/ before the ids that tars, tables and lines give: keys of shards repeat "
            "from set to set.",
            show_default=False,
        ),
    ] = "",
    dtype: Annotated[
        Literal["float32", "float16"] | None,
        typer.Option(
            "--dtype",
            help="How a new index stores numbers: float16 takes half the room.  [default: float32]",
            show_default=False,
        ),
    ] = None,
    kind: Annotated[
        str,
        typer.Option(
            "--kind",
            metavar="auto|flat|ivf-pq|hnsw",
            help="How it is searched: every row (flat), or approximately, by FAISS, what is found "
            "being compared exactly. auto: ivf-pq from 50,000 rows of a modality.",
        ),
    ] = "auto",
    *,
    tables: InputTableOptions,
    running: options.InferOptions,
    as_json: options.Json = False,
) -> None:
    """Embed items once, to be searched at any factors.

    Items that an index has already, by id and contents, are not embedded again; those whose
    contents changed take the place of what was there. A run that was stopped goes on.

    Examples:
      molspace index my-bundle photos/ sounds/ --out my-index
      molspace index my-bundle --corpus image --corpus text --out my-index
      molspace index my-bundle birds/*.tar --prefix birds --out my-index
      molspace index ImageBind captions.txt --out captions-index
    """
    from reactions.core.errors import EXIT_STEP_FAILED, UsageError, did_you_mean
    from reactions.core.extras import install_extra
    from reactions.core.file_digests import DigestCache
    from reactions.core.interrupts import on_interrupt
    from reactions.core.paths import cache_root
    from reactions.core.text_lines import NOT_UTF8, RECODE
    from reactions.search.approximate import LEAST_ROWS, check_kind, is_installed
    from reactions.search.atom_rows import AtomEmbedder
    from reactions.search.build import add_items
    from reactions.search.files import check_directory
    from reactions.session import load_encoder

    if out is None:
        commands = [command.name for command in app.registered_commands if command.name]
        near = [] if Path(space).exists() else did_you_mean(space, commands, limit=1)
        fix = "".join(f"did you mean 'molspace index {name}'?   or " for name in near)
        raise UsageError("an index needs a place", fix=f"{fix}--out DIR")
    if not inputs and not corpus:
        raise UsageError("nothing to index", fix="give files or folders, or --corpus NAME")
    check_directory(out)
    check_kind(kind)
    reading = tables.reading(inputs or ())
    taken_as, places, contents = named_inputs(
        inputs or [], text=text, modality=modality, as_tables=reading.is_given
    )
    session, quiet = running.open(command="index"), running.quiet
    named_corpora = {name: session.lab.named_corpus(name) for name in corpus or ()}
    fits = partial(refuse_others, corpora=named_corpora, taken_as=taken_as)
    confirm_run = partial(confirm, session, yes=running.yes, quiet=quiet)
    target = session.target(space, confirm=checked_first(fits, confirm_run))
    fits(target.space)
    embedder = AtomEmbedder(target, load_encoder=load_encoder, device=session.parts(target).device)
    noted = InputNotes(quiet)
    for notice in target.notices:
        noted.note(notice)
    if notice := unread_stdin(inputs or (), getattr(sys.stdin, "buffer", None)):
        noted.note(notice)
    for holding in contents:
        noted.held(holding)
    items = read_items(
        session,
        embedder,
        places,
        named_corpora,
        taken_as=taken_as,
        reading=reading,
        noted=noted,
    )
    problems: list[Problem] = []

    def problem(entry: Problem) -> None:
        problems.append(entry)
        noted.skipped(entry.message)
        if len(problems) <= _SHOWN_PROBLEMS:
            where = f"line {entry.line_number}" if entry.line_number else f"'{plain(entry.id)}'"
            say(f"skipped {where}: {entry.message}")

    with on_interrupt(f"rows that {out} has are kept; the same command goes on"):
        done = add_items(
            out,
            target,
            embedder,
            items,
            digests=DigestCache(cache_root()),
            dtype=dtype,
            kind=kind,
            prefix=prefix,
            on_problem=problem,
            on_progress=_embedded(quiet),
        )
    index = done.index
    if not quiet:
        added = ", ".join(f"{n:,} {m}" for m, n in sorted(done.added.items())) or "nothing"
        also = [f"{sum(done.replaced.values()):,} replaced" if done.replaced else ""]
        also += [f"{done.kept:,} there already" if done.kept else ""]
        also += [f"{done.skipped:,} skipped" if done.skipped else ""]
        also += [f"{done.outdated:,} of them taken out: not as they were" if done.outdated else ""]
        say("; ".join(filter(None, [f"added {added}", *also, about(index)])))
        if why := noted.reasons():
            say(f"  why: {why}")
    if any(skipped.message == NOT_UTF8 for skipped in problems):
        say(f"  fix: {RECODE}")
    for note in [*notes(index.record), *done.notices]:
        noted.note(note)
    for modality, own_kind in index.kinds.items():
        if kind not in ("auto", own_kind):
            noted.note(f"{modality} is searched row by row: too few rows for {kind}")
    is_large = max(index.counts.values(), default=0) >= LEAST_ROWS
    if kind == "auto" and is_large and not is_installed():
        noted.note(f"every row is compared; {install_extra('search')} for approximate kinds")
    if as_json:
        print_json(
            "index",
            {
                **facts(index),
                "added": dict(done.added),
                "replaced": dict(done.replaced),
                "kept": done.kept,
                "skipped": done.skipped,
                "outdated": done.outdated,
                **noted.to_json(),
                "problems": [
                    {"line": p.line_number or None, "id": p.id, "message": p.message}
                    for p in problems[:_SHOWN_PROBLEMS]
                ],
            },
        )
    else:
        print_path(out)
    if done.skipped:
        raise typer.Exit(EXIT_STEP_FAILED)


def _embedded(quiet: bool) -> Callable[[int], None]:
    """Return what says every ten seconds how many items are embedded."""
    lines = LinesDue()
    lines.are_due("index", time.monotonic())

    def on_progress(n: int) -> None:
        if not quiet and lines.are_due("index", time.monotonic()):
            say(f"embedded {n:,}")

    return on_progress


@app.command("info")
@grouped
def info(
    directory: Directory,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read every file and compare its digest.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Say what an index holds, and which factors a search may choose.

    Examples:
      molspace index info my-index
      molspace index info my-index --verify --json
    """
    from reactions.search import approximate, files
    from reactions.search.record import read_record

    record = read_record(directory)
    counts = {
        m: sum(s.n for s in record.segments if s.modality == m) - len(record.deleted.get(m, ()))
        for m in sorted({s.modality for s in record.segments})
    }
    size_bytes = sum(size for s in record.segments for size, _ in s.files.values())
    deleted = sum(map(len, record.deleted.values()))
    n_gone, starts = 0, dict.fromkeys(counts, 0)
    for segment in record.segments:
        opened = files.open_segment(directory, record, segment)
        out = set(record.deleted.get(segment.modality, ()))
        for number, item in enumerate(opened.items(), start=starts[segment.modality]):
            n_gone += number not in out and item.is_gone
        starts[segment.modality] += segment.n
    for modality in record.approximations:
        approximate.open_covered(directory, record, modality)
    verified = None
    if verify:
        verified = files.verify(directory, record) + approximate.verify(directory, record)
    kinds = {m: entry.kind for m, entry in record.approximations.items()}
    size_bytes += sum(entry.size_bytes for entry in record.approximations.values())
    if as_json:
        body = record.to_json()
        for key in ("segments", "deleted", "schema", "approximations"):
            del body[key]
        facts = {
            "counts": counts,
            "deleted": deleted,
            "gone": n_gone,
            "size_bytes": size_bytes,
            "kinds": kinds,
        }
        print_json("index-info", {"path": str(directory), **body, **facts, "verified": verified})
        return
    print_table(
        f"{directory}   lab: {record.lab}" if record.lab else str(directory),
        ("field", "value"),
        [
            ("made with", record.name),
            ("bundle", record.bundle or "- (a space by itself)"),
            *((m, f"{n:,} items") for m, n in counts.items()),
            ("deleted", f"{deleted:,} rows, until molspace index compact"),
            *(
                [("gone", f"{n_gone:,} files: molspace index remove INDEX --gone")]
                if n_gone
                else []
            ),
            *(("search", f"{m}: {kinds.get(m, 'flat: every row')}") for m in counts),
            ("factors to choose", ", ".join(record.free) or "none"),
            ("factors that are fixed", ", ".join(record.fixed) or "none"),
            ("size", f"{human_bytes(size_bytes)}, {record.dtype}"),
            *([("verified", human_bytes(verified))] if verified is not None else []),
        ],
    )


app.command("remove")(index_upkeep.remove)
app.command("dedupe")(index_upkeep.dedupe)
app.command("compact")(index_upkeep.compact)
