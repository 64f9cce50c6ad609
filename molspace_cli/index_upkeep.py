"""``molspace index remove``, ``dedupe`` and ``compact``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from molspace_cli import options
from molspace_cli.console import print_json, print_path, print_table, say
from molspace_cli.groups import grouped
from molspace_cli.index_shown import BundlePath, Directory, about, facts, open_index
from molspace_cli.infer_report import plain


@grouped
def remove(
    directory: Directory,
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="ID...", help="Of the items.", show_default=False),
    ] = None,
    modality: Annotated[
        str | None,
        typer.Option("--modality", metavar="NAME", help="Of the items.  [default: any]"),
    ] = None,
    gone: Annotated[
        bool, typer.Option("--gone", help="Those whose files are not there any more.")
    ] = False,
    bundle: BundlePath = None,
    *,
    lab: options.Lab = None,
    as_json: options.Json = False,
) -> None:
    """Take items out of an index; `molspace index compact` then frees their room.

    Examples:
      molspace index remove my-index photos/cat.png
      molspace index remove my-index 17 18 --modality text
      molspace index remove my-index --gone
    """
    from reactions.core.errors import UsageError
    from reactions.core.file_names import as_stored
    from reactions.core.local_files import whole_path
    from reactions.search.build import remove_items

    if bool(ids) == gone:
        raise UsageError(
            "ids and --gone are given" if gone else "nothing to take out",
            fix="--gone alone" if gone else "give ids of items, or --gone",
        )
    _, target, index = open_index(directory, bundle, lab)
    numbers: dict[str, list[int]] = {}
    # An item without an id of its own has its whole path for one.
    names = {
        name: typed
        for typed in ids or ()
        for path in (Path(typed).absolute(), whole_path(as_stored(Path(typed))))
        for name in (typed, str(path))
    }
    missing = set(ids or ())
    for searched in index.searched(modality):
        for number, item in index.items(searched):
            if item.id in names or (gone and item.is_gone):
                numbers.setdefault(searched, []).append(number)
            if item.id in names:
                missing.discard(names[item.id])
    if missing:
        some = ", ".join(sorted(missing)[:3])
        what = f"no {modality or 'item'} with the id {some}"
        raise UsageError(what, why=about(index), fix="molspace search, which prints ids")
    index = remove_items(directory, target, numbers)
    removed = sum(map(len, numbers.values()))
    if as_json:
        print_json("index-remove", {"removed": removed, **facts(index)})
    else:
        say(f"removed {removed:,}; {about(index)}")
        print_path(directory)


@grouped
def dedupe(
    directory: Directory,
    near: Annotated[
        float | None,
        typer.Option(
            "--near",
            metavar="COSINE",
            help="Also items whose cosine with an earlier one is at least this.",
        ),
    ] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Take them out; the first of each group stays.")
    ] = False,
    bundle: BundlePath = None,
    *,
    lab: options.Lab = None,
    as_json: options.Json = False,
) -> None:
    """List items that are there twice: with equal contents, or nearly the same.

    Examples:
      molspace index dedupe my-index
      molspace index dedupe my-index --near 0.99 --apply
    """
    from reactions.search.build import remove_items
    from reactions.search.duplicates import duplicates

    _, target, index = open_index(directory, bundle, lab)
    groups = list(duplicates(index, near=near))
    numbers: dict[str, list[int]] = {}
    for group in groups:
        numbers.setdefault(group.modality, []).extend(n for n, _, _ in group.others)
    n_again = sum(map(len, numbers.values()))
    if apply and n_again:
        index = remove_items(directory, target, numbers)
    if as_json:
        listed = [
            {
                "modality": group.modality,
                "kept": group.kept[1].id,
                "others": [{"id": item.id, "cosine": round(c, 6)} for _, item, c in group.others],
            }
            for group in groups
        ]
        removed = n_again if apply else 0
        print_json("index-dedupe", {"groups": listed, "removed": removed, **facts(index)})
        return
    rows = [
        (group.modality, plain(group.kept[1].id), plain(item.id), f"{cosine:.4f}")
        for group in groups
        for _, item, cosine in group.others
    ]
    print_table(f"{n_again:,} again", ("modality", "kept", "again", "cosine"), rows)
    if n_again:
        say(f"removed {n_again:,}" if apply else "nothing was removed: --apply takes them out")


@grouped
def compact(directory: Directory, bundle: BundlePath = None, *, lab: options.Lab = None) -> None:
    """Free the room of items that were taken out.

    Examples:
      molspace index compact my-index
    """
    from reactions.search import build

    _, target, index = open_index(directory, bundle, lab)
    removed = build.compact(directory, target)
    say(f"freed {removed:,} row{'s' if removed != 1 else ''}")
    for modality, entry in index.record.approximations.items():
        if not index.counts[modality]:
            say(
                f"note: {modality} has no rows left, and is no longer searched by {entry.kind}: "
                f"molspace index with --kind {entry.kind}, when there are some"
            )
    print_path(directory)
