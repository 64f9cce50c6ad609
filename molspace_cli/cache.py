"""``molspace cache``."""

from __future__ import annotations

import math
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from molspace_cli import options
from molspace_cli.amounts import counted, duration
from molspace_cli.console import human_bytes, is_terminal, print_json, print_table, say
from molspace_cli.groups import grouped
from molspace_cli.plan import planned_states
from molspace_cli.react import Expression

if TYPE_CHECKING:
    from reactions.store import Store
    from reactions.store.maintenance import EntryInfo

app = typer.Typer(
    rich_markup_mode=None,
    help="Results of earlier runs, which are not computed again.",
    no_args_is_help=True,
)


def _refuse_absent(store: Store) -> None:
    """Refuse a place without a store if the user named it: it may be mistyped.

    Raises:
        MissingError: ``MOLSPACE_CACHE`` names it. The default place is made by the first run.
    """
    from reactions.core.errors import MissingError
    from reactions.core.paths import CACHE_VARIABLE

    remote = store.layout.is_remote
    if os.environ.get(CACHE_VARIABLE) and not store.is_there():
        if not remote and store.root.is_dir():
            return  # made for the results to come
        raise MissingError(
            f"there is no store at {store.address}",
            why=f"{CACHE_VARIABLE} names it, and there is no "
            + ("store.json, which the first run writes" if remote else "such folder"),
            fix=f"check {CACHE_VARIABLE}; a run that writes results makes the store",
            path=store.address,
        )


@app.command("ls")
def list_entries(as_json: options.Json = False) -> None:
    """List the entries, their sizes and when they were last used.

    Examples:
      molspace cache ls
    """
    from datetime import datetime

    from reactions.store import Store

    store = Store()
    _refuse_absent(store)
    entries = store.ls()
    if as_json:
        print_json("cache", {"root": store.address, "entries": [_entry(e) for e in entries]})
        return

    def when(moment: datetime) -> str:
        return moment.astimezone().strftime("%Y-%m-%d %H:%M")

    if not store.is_there():
        say(f"{store.address}: nothing cached yet")
        return
    columns: dict[str, list[str]] = {
        "key": [entry.key[:12] for entry in entries],
        "kind": [entry.kind for entry in entries],
        "label": [entry.label for entry in entries],
        "size": [human_bytes(entry.size_bytes) for entry in entries],
        "made": [when(entry.created) for entry in entries],
        "took": ["?" if entry.seconds is None else duration(entry.seconds) for entry in entries],
        "used": [when(entry.last_used) for entry in entries],
    }
    if is_terminal():  # whose lines are short: labels begin with the kind
        del columns["kind"], columns["made"], columns["took"]
    size = human_bytes(sum(entry.size_bytes for entry in entries))
    count = _entries(len(entries))
    print_table(
        f"{store.address}: {count}, {size}",
        tuple(columns),
        list(zip(*columns.values(), strict=True)),
    )


@app.command("explain")
@grouped
def explain(
    expression: Expression,
    *,
    planning: options.PlanOptions,
    as_json: options.Json = False,
) -> None:
    """Say for each step of a reaction whether it is in the cache, and if not, why.

    A result whose rows were made by different devices is named, and what encoders left out of
    items, such as the ends of long texts. --json has devices and counts of all.

    Examples:
      molspace cache explain "ImageBind + Cr(CLAP_m)"
    """
    from reactions.modalities.noticed import left_out_sentences
    from reactions.run.counts import counts_of
    from reactions.store.made_by import mixture
    from reactions.store.maintenance import made_by

    session, planned, reasons = planned_states(expression, planning)
    _refuse_absent(session.store)
    devices = made_by(session.store.layout, [key for key in reasons if reasons[key] == "hit"])
    left_out = counts_of(
        session.store, [step for step in planned.steps() if reasons[step.key] == "hit"]
    )
    rows = [(step.label, step.key[:12], reasons[step.key]) for step in planned.steps()]
    if as_json:
        body: list[dict[str, Any]] = [
            {
                "label": step.label,
                "key": step.key[:12],
                "state": reasons[step.key],
                "made_by": [part.to_json() for part in devices.get(step.key, ())],
                "items_cut": left_out[step.key].in_words() if step.key in left_out else None,
            }
            for step in planned.steps()
        ]
        print_json("explain", {"lab": session.lab.label, "steps": body})
        return
    print_table(f"lab: {session.lab.label}", ("step", "key", "state"), rows)
    for step in planned.steps():
        if mixed := mixture(devices.get(step.key, ())):
            say(f"'{step.label}' was made by devices that can round differently: {mixed}")
        for text in left_out_sentences(left_out[step.key]) if step.key in left_out else ():
            say(f"'{step.label}': {text}")


@app.command("verify")
def verify(
    repair: Annotated[
        bool, typer.Option("--repair", help="Put damaged entries out of the way.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Read every file of the cache and compare its digest.

    Examples:
      molspace cache verify --repair
    """
    from reactions.core.errors import EXIT_STEP_FAILED
    from reactions.store import Store

    store = Store()
    _refuse_absent(store)
    problems = list(store.verify(repair=repair))
    n_damaged = len({p.path for p in problems if not p.is_repaired})
    if as_json:
        body = [
            {"key": p.key[:12], "label": p.label, "problem": p.what, "repaired": p.is_repaired}
            for p in problems
        ]
        repaired = repair and not n_damaged
        print_json("verify", {"root": store.address, "problems": body, "repaired": repaired})
    elif problems:
        rows = [(p.key[:12], p.label, p.what) for p in problems]
        print_table(store.address, ("key", "label", "problem"), rows)
    else:
        outcome = "no damage found" if store.is_there() else "nothing cached yet"
        say(f"{store.address}: {outcome}")
    if n_damaged:
        if repair:
            entries = "1 damaged entry" if n_damaged == 1 else f"{n_damaged} damaged entries"
            say(f"{entries} could not be put aside: may {store.address} be written to?")
        raise typer.Exit(EXIT_STEP_FAILED)


@app.command("gc")
def gc(
    older_than_days: Annotated[
        float | None,
        typer.Option("--older-than", metavar="DAYS", min=0, help="Entries not used for so long."),
    ] = None,
    max_gb: Annotated[
        float | None,
        typer.Option(
            "--max-size", metavar="GB", min=0, help="The least recently used, down to a size."
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All entries.")] = False,
    copies: Annotated[
        bool,
        typer.Option("--copies", help="Only this machine's copies of results behind a URL."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be removed.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Remove what killed runs left behind and, if asked, entries; bundles stay.

    What a running process uses is never removed. Half-written bundles and embeddings are looked
    for among the default bundles and in the working folder.

    With --older-than or --all, what was remembered of scanned corpora goes too: it is made
    again when they are next used.

    With --copies, nothing behind the URL is touched: copies go by the same options, and are
    fetched again when they are read.

    Examples:
      molspace cache gc --older-than 30 --dry-run
      molspace cache gc --max-size 20
      molspace cache gc --copies --max-size 5
    """
    from reactions.core.paths import cache_root, data_root
    from reactions.data.scan_cache import TableCache
    from reactions.products import leftovers
    from reactions.store import Store

    _refuse_endless("--older-than", older_than_days)
    _refuse_endless("--max-size", max_gb)
    store = Store()
    if copies:  # which may outlive their store
        _prune_copies(store, older_than_days, max_gb, everything, dry_run, as_json)
        return
    _refuse_absent(store)
    freed = store.gc(
        keep=set() if everything else None,
        older_than_s=None if older_than_days is None else older_than_days * 86_400,
        max_bytes=None if max_gb is None else int(max_gb * 1e9),
        dry_run=dry_run,
    )
    places: list[Path] = []
    with suppress(OSError):  # the working folder may be gone
        places.append(Path.cwd())
    paths, left_bytes = leftovers.sweep(data_root(), tuple(places), dry_run=dry_run)
    scans = scan_bytes = 0
    if everything or older_than_days is not None:
        age_s = 0.0 if everything else 86_400 * (older_than_days or 0.0)
        # What is prepared of data sets lies in folders, as tables do.
        for place in ("corpora", "datasets/prepared"):
            n, n_bytes = TableCache(cache_root() / place).prune(older_than_s=age_s, dry_run=dry_run)
            scans, scan_bytes = scans + n, scan_bytes + n_bytes
    if as_json:
        print_json(
            "gc",
            {
                "root": store.address,
                "dry_run": dry_run,
                "size_bytes": freed.size_bytes + scan_bytes + left_bytes,
                "scans": scans,
                "entries": [_entry(entry) for entry in freed.entries],
                "debris": [
                    *(store.layout.name(path) for path in freed.debris),
                    *map(str, paths),
                ],
                "in_use": [_entry(entry) for entry in freed.in_use],
            },
        )
        return
    verb = "would free" if dry_run else "freed"
    say(
        f"{store.address}: {verb} {human_bytes(freed.size_bytes + scan_bytes + left_bytes)}: "
        f"{_entries(len(freed.entries))}, {counted(len(freed.debris) + len(paths), 'leftover')}"
        + (f", {scans} scans of corpora" if scans else "")
    )
    if freed.in_use:
        say(f"kept {len(freed.in_use)} entries that a running process uses")


def _prune_copies(
    store: Store,
    older_than_days: float | None,
    max_gb: float | None,
    everything: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Remove this machine's copies of a store behind a URL.

    Raises:
        UsageError: the store is a folder, or nothing says which copies go.
    """
    from reactions.core.errors import UsageError

    place = store.layout.place
    if not store.layout.is_remote:
        raise UsageError(
            f"--copies: the cache at {store.address} is a folder",
            why="only of a cache behind a URL are there copies on this machine",
            fix="leave --copies out",
        )
    if older_than_days is None and max_gb is None and not everything:
        raise UsageError(
            "--copies does not say which copies go",
            fix="--copies --all, --copies --max-size GB or --copies --older-than DAYS",
        )
    older_than_s = None if older_than_days is None else older_than_days * 86_400
    n_files, size_bytes = place.prune_copies(
        older_than_s=0.0 if everything else older_than_s,
        max_bytes=None if max_gb is None else int(max_gb * 1e9),
        dry_run=dry_run,
    )
    if as_json:
        body = {"root": str(store.root), "dry_run": dry_run, "size_bytes": size_bytes}
        print_json("copies", {**body, "copies": n_files})
        return
    verb = "would free" if dry_run else "freed"
    copied = "1 copy" if n_files == 1 else f"{n_files:,} copies"
    say(f"{store.root}: {verb} {human_bytes(size_bytes)}: {copied}")


def _refuse_endless(option: str, value: float | None) -> None:
    """Refuse a number that is infinite or NaN."""
    from reactions.core.errors import UsageError

    # Python, and so typer, reads 'inf' and 'nan' as numbers.
    if value is not None and not math.isfinite(value):
        raise UsageError(f"{option}: '{value}' is not a number that can be used", fix=f"{option} 5")


def _entries(n: int) -> str:
    return "1 entry" if n == 1 else f"{n} entries"


def _entry(info: EntryInfo) -> dict[str, Any]:
    return {
        "key": info.key,
        "kind": info.kind,
        "label": info.label,
        "size_bytes": info.size_bytes,
        "created": info.created.isoformat(),
        "last_used": info.last_used.isoformat(),
        "seconds": info.seconds,
    }
