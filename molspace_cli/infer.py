"""``molspace infer``."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, Literal

import typer

from molspace_cli import options
from molspace_cli.classify import ClassifyOptions, Named
from molspace_cli.confirm import checked_first, confirm
from molspace_cli.console import is_terminal, print_json, print_path, print_table, say
from molspace_cli.current import say_bundle
from molspace_cli.groups import grouped
from molspace_cli.infer_report import Report, described_weights, plain
from molspace_cli.input_notes import InputNotes, unread_stdin
from molspace_cli.input_tables import InputTableOptions

if TYPE_CHECKING:
    from reactions.core.types import Item, Space
    from reactions.data.manifest import Problem
    from reactions.inference.place_contents import PlaceContents
    from reactions.inference.similarity import Similarities

_LABEL_WIDTH = 40


@grouped
def infer(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="INPUT",
            help="Texts, image and sound files, folders of them, tars, tables (.parquet, .csv, "
            ".tsv, .json), folders that datasets saved, addresses "
            '(https://, s3://, hf://), quoted patterns ("photos/**/*.jpg"), .jsonl '
            "or .txt files of lines, or - for stdin, "
            'which is also read when there is none. A line is a text, a path, or {"id": "rain", '
            '"audio": "rain.wav"}; paths start at the folder of the file of lines.',
            show_default=False,
        ),
    ] = None,
    text: Annotated[
        bool,
        typer.Option(
            "--text",
            help="Take all arguments and lines as texts, also those that look like paths.",
        ),
    ] = False,
    modality: Annotated[
        str | None,
        typer.Option(
            "--modality",
            metavar="NAME",
            help="Take all arguments and lines as files of this modality, whatever their endings.",
            show_default=False,
        ),
    ] = None,
    embeddings: Annotated[
        list[str] | None,
        typer.Option(
            "--embeddings",
            metavar="SPACE=FOLDER|FOLDER",
            help="Take these embeddings in place of what a space's encoder would give; a folder "
            "alone has a folder a space. Repeatable.",
        ),
    ] = None,
    *,
    tables: InputTableOptions,
    used: options.TargetOptions,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Where to write; - is stdout.  [default: embeddings.safetensors; "
            "jsonl goes to stdout]",
            show_default=False,
        ),
    ] = None,
    format: Annotated[
        Literal["safetensors", "npy", "parquet", "lance", "jsonl"] | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="safetensors, npy, parquet, lance or jsonl.  [default: the extension of --out]",
            show_default=False,
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
    compare: Annotated[
        bool, typer.Option("--compare", help="Print similarity tables; write no file.")
    ] = False,
    named: ClassifyOptions,
    described: options.DescriptionOptions,
    batch_size: Annotated[
        int, typer.Option("--batch-size", metavar="N", min=1, help="Items embedded at once.")
    ] = 256,
    running: options.InferOptions,
    as_json: options.Json = False,
) -> None:
    """Embed texts, images, sounds and other media, compare them, or name their classes.

    Prints the path of the file it wrote. What looks like a path is never embedded as a text:
    such arguments are refused and such lines left out, unless --text is given. What a file holds
    its ending says (.png an image, .mp4 a video); --modality says it where endings do not, as of
    depth maps and events. An item that
    cannot be embedded is reported and left out, and the exit code is then 4. With no input at all
    the mini lab's sample items are compared.

    Examples:
      molspace infer "a low hum" rain.wav --compare
      molspace infer --sigma 0.5,0.1 < queries.jsonl
      molspace infer photos/ "more/**/*.jpg" --out photos.safetensors
      molspace infer photos.csv --columns image=path --where split=test
      molspace infer https://example.org/shard-{0000..0003}.tar --out s.npy
      molspace infer photos/ --classes birds.txt --top 3
      molspace infer --embeddings CLAP_m=clap/ --embeddings ImageBind=ib/
    """
    from reactions.core.errors import EXIT_STEP_FAILED, UsageError
    from reactions.core.interrupts import on_interrupt
    from reactions.core.local_files import exists as is_there
    from reactions.inference import inputs as inference
    from reactions.inference import outputs, writers
    from reactions.inference.arguments import names_as_texts, near_names, refuse_paths
    from reactions.inference.places import named_places
    from reactions.inference.projecting import given_folders
    from reactions.inference.similarity import compare as compared
    from reactions.inference.stream import embed_stream
    from reactions.modalities.text import TEXT
    from reactions.products.tree import fit_adjustment

    if compare and (out or format):
        raise UsageError("--compare writes no file", fix="drop it, or --out and --format")
    named.check(described, writes=bool(out or format), compares=compare)
    classifies = named.is_given
    path, chosen_format = outputs.choose_output(out, format)
    if path is None and as_json:
        raise UsageError("--json and embeddings both want stdout", fix="--out FILE")
    if text and modality:
        raise UsageError("--text says what --modality says", fix="give one of them")
    if embeddings and (inputs or text or modality):
        raise UsageError(
            "--embeddings and other input",
            why="the items are those of the folders",
            fix="leave the other input out, or embed it by itself",
        )
    reading = tables.reading(inputs or ())
    taken_as = TEXT.name if text else modality
    literal = taken_as == TEXT.name
    contents: list[PlaceContents] = []
    if not literal:
        inputs, contents = named_places(inputs or (), taken_as)
    if taken_as is None:
        refuse_paths(inputs or (), as_tables=reading.is_given)
    stdin = _binary(sys.stdin)
    if not (inputs or embeddings or out or format) and (stdin is None or stdin.isatty()):
        compare = not classifies  # the samples: nothing is written, nothing can be in the way
    # A pipe that brought nothing to a file or a stream of rows did not ask for samples.
    must_have_input = bool(out or format) and stdin is not None and not stdin.isatty()
    shows = compare or classifies
    files = () if shows or path is None else outputs.files_of(path, chosen_format)
    outputs.refuse_overwriting(files, () if literal else inputs or (), stdin)
    if not overwrite:
        outputs.refuse_replacing(files)
    replaced = [str(file) for file in files if is_there(file)]
    adjustment = used.adjustment()
    session, quiet = running.open(), running.quiet
    classification = named.open(session.lab, described)
    confirm_run = partial(confirm, session, yes=running.yes, quiet=quiet)

    def fits(space: Space) -> None:
        fit_adjustment(space, adjustment)
        inference.check_embedded(taken_as, space.modalities)

    target = session.target(used.space, confirm=checked_first(fits, confirm_run))
    fits(target.space)
    say_bundle(target, quiet=quiet)
    notes = InputNotes(quiet)
    for notice in target.notices:
        notes.note(notice)
    if (inputs or embeddings) and (notice := unread_stdin(inputs or (), stdin)):
        notes.note(notice)
    for holding in contents:
        notes.held(holding)
    for notice in near_names(inputs or ()) if taken_as is None else ():
        notes.note(notice)
    for notice in names_as_texts(inputs or ()) if literal else ():
        notes.note(notice)
    naming: Named | None = None
    if classification is not None:
        classifier = classification.classifier(
            session, target, adjustment, confirm=confirm_run, quiet=quiet
        )
        naming = Named(classifier, classification.top, as_json=as_json)
    entries: Iterable[Item | Problem]
    if embeddings:
        folders = given_folders(embeddings, target, adjustment, digests=session.lab.digests)
        embedder = session.embedder(target, adjustment, given=folders.specs)
        entries, samples = folders.items(), 0
        for notice in folders.notices:
            notes.note(notice)
    else:
        embedder = session.embedder(target, adjustment)
        entries, samples = inference.choose_items(
            inputs or (),
            stdin,
            modalities=target.space.modalities,
            samples=None if must_have_input else session.lab.sample_items,
            by_id=embedder.by_id,
            taken_as=taken_as,
            tables=session.lab.tables,
            reading=reading,
            on_held=notes.held,
        )
    if embedder.by_id and not embeddings:
        *first, last = sorted(embedder.by_id)
        listed = " and ".join([", ".join(first), last] if first else [last])
        notes.note(
            f"{listed} items are looked up by the ids that the "
            "input gives, in folders of embeddings; texts and files are not read"
        )
    if samples:
        if not quiet:
            say(f"no input: embedding the lab's {samples} sample items")
        compare = compare or not (classifies or out or format)

    about = writers.describe(target, adjustment)
    bundle = {"bundle": str(target.bundle.path) if target.bundle else None}
    to_terminal = path is None and not shows and is_terminal()
    with (
        on_interrupt(
            f"{path} was not written" if files else "embeddings are not kept" if shows else ""
        ),
        Report(
            notes, quiet, live=not to_terminal, literal=literal, is_said=modality is not None
        ) as report,
    ):
        batches = report.follow(
            embed_stream(
                embedder,
                entries,
                batch_items=batch_size,
                on_problem=report.problem,
                read_ahead=inference.reading_never_waits(inputs or (), stdin),
            )
        )
        if naming is not None:
            for items, rows in batches:
                naming.add(items, rows)
        elif compare:
            similarities = compared(batches)
        else:
            stdout = _binary(sys.stdout)
            with writers.open_writer(
                path, chosen_format, about, stdout=stdout, overwrite=overwrite
            ) as writer:
                for items, rows in batches:
                    writer.write(items, rows)
    report.finish(about)
    if replaced and not quiet:
        say(f"replaced {', '.join(replaced)}")
    if naming is not None:
        facts = {**_facts(about), **bundle, **report.to_json()}
        naming.finish(about, facts, as_json=as_json)
    elif compare and as_json:
        print_json(
            "compare",
            {**_facts(about), **bundle, "tables": _json(similarities), **report.to_json()},
        )
    elif compare:
        for table in similarities:
            _print(table, about)
    elif as_json:
        names = [str(file) for file in files]
        written = {"path": names[0], "files": names}
        print_json("infer", {**written, **_facts(about), **bundle, **report.to_json()})
    elif path is not None:
        print_path(path)
    if report.skipped:
        raise typer.Exit(EXIT_STEP_FAILED)


def _print(table: Similarities, about: Mapping[str, Any]) -> None:
    from reactions.inference.similarity import label

    title = [
        f"cosines: {table.left} x {table.right}",
        *([f"lab: {about['lab']}"] if about["lab"] else []),
    ]
    title += filter(None, [described_weights(about)])
    # In a pipe all columns go out whole; a terminal gets as many as it can show.
    narrow = is_terminal()

    def heading(item: Item, width: int) -> str:
        text = label(item)
        if not narrow:
            return plain(text)
        return plain(item.value.name if _is_path(item) else text, width)

    columns = [heading(item, 14) for item in table.columns]
    shown = len(columns)
    if narrow:
        shown = max(1, (shutil.get_terminal_size().columns - _LABEL_WIDTH // 2) // 17)
    if shown < len(columns):
        title.append(f"{shown} of {len(columns)} columns; --json has all")
    print_table(
        "   ".join(title),
        (f"{table.left} / {table.right}", *columns[:shown]),
        [
            (heading(item, _LABEL_WIDTH), *(f"{cosine:.4f}" for cosine in row[:shown]))
            for item, row in zip(table.rows, table.cosines.tolist(), strict=True)
        ],
    )


def _json(tables: Sequence[Similarities]) -> list[dict[str, Any]]:
    from reactions.inference.similarity import label

    def named(items: Sequence[Item]) -> list[dict[str, str]]:
        return [{"id": item.id, "label": label(item)} for item in items]

    return [
        {
            "left": table.left,
            "right": table.right,
            "rows": named(table.rows),
            "columns": named(table.columns),
            "cosines": [[round(cosine, 6) for cosine in row] for row in table.cosines.tolist()],
        }
        for table in tables
    ]


def _facts(about: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in about.items() if key != "format"}


def _binary(stream: Any) -> IO[bytes] | None:
    """Return the bytes behind a standard stream, or None if it is closed."""
    if stream is None or stream.closed:
        return None
    # Not there where something else stands in for the stream.
    buffer: IO[bytes] | None = getattr(stream, "buffer", None)
    return buffer


def _is_path(item: Item) -> bool:
    return isinstance(item.value, Path) and item.id.endswith(item.value.name)
