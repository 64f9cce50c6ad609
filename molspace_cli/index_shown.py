"""What commands about indexes share: which index, how it is opened, what is said of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from molspace_cli import complete

if TYPE_CHECKING:
    from reactions.products.target import Target
    from reactions.search.index import SearchIndex
    from reactions.search.record import IndexRecord
    from reactions.session import Session

Directory = Annotated[
    Path, typer.Argument(metavar="INDEX", help="The index's folder.", show_default=False)
]
BundlePath = Annotated[
    str | None,
    typer.Option(
        "--bundle",
        metavar="DIR",
        autocompletion=complete.bundles,
        help="Where the bundle lies that made the index.  [default: where it lay then]",
    ),
]


def open_index(
    directory: Path, bundle: str | None, lab: str | None
) -> tuple[Session, Target, SearchIndex]:
    """Open an index, with the product that made it."""
    from molspace_cli.opening import open_session
    from reactions.search.index import SearchIndex
    from reactions.search.searcher import target_of

    session = open_session(lab, quiet=True)
    target = target_of(session, directory, bundle)
    return session, target, SearchIndex(directory, target)


def about(index: SearchIndex) -> str:
    """Say what an index has."""
    counts = ", ".join(f"{n:,} {m}" for m, n in index.counts.items()) or "nothing"
    lab = f", lab: {index.record.lab}" if index.record.lab else ""
    return f"it has {counts}{lab}"


def notes(record: IndexRecord) -> Iterator[str]:
    """Say what a search cannot choose."""
    if record.fixed:
        yield (
            f"{', '.join(record.fixed)}: fixed as trained, because a projector follows; "
            "a search chooses the others"
        )


def facts(index: SearchIndex) -> dict[str, object]:
    """Return what JSON says of an index."""
    record = index.record
    return {
        "path": str(index.directory),
        "expression": record.name,
        "lab": record.lab,
        "counts": dict(index.counts),
        "kinds": dict(index.kinds),
        "free": list(record.free),
        "fixed": list(record.fixed),
    }
