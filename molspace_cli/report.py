"""``molspace report``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from molspace_cli import complete, options
from molspace_cli.confirm import confirm
from molspace_cli.console import human_bytes, print_json, print_path, say
from molspace_cli.current import say_bundle
from molspace_cli.groups import grouped
from molspace_cli.space_argument import named_space

if TYPE_CHECKING:
    from reactions.experiments.report.product_report import Omission
    from reactions.planning.plan import Plan
    from reactions.products.target import Target
    from reactions.session import Session

_LEFT_OUT = " is left out"


@named_space
@grouped
def report(
    bundle: Annotated[
        str | None,
        typer.Argument(
            metavar="BUNDLE|EXPR",
            autocompletion=complete.targets,
            help="A bundle's directory, or a reaction.  [default: the last one made in this "
            "folder, or in the nearest above]",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The page to write.")] = Path(
        "report.html"
    ),
    task: Annotated[
        str,
        typer.Option(
            "--task",
            metavar="TASK[,TASK...]|GROUP",
            autocompletion=complete.tasks,
            help="What to score it on; groups (freebind, unibind, own, all) take what it can do "
            "and the lab has data for.",
        ),
    ] = "freebind,own",
    drawn_by: Annotated[
        Literal["pca", "umap", "tsne"],
        typer.Option(
            "--map",
            case_sensitive=False,
            help="How the map is drawn: exact PCA, or UMAP or t-SNE (extra map).",
        ),
    ] = "pca",
    cached: Annotated[
        bool, typer.Option("--cached", help="Compute nothing: show what the cache has.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing file.")
    ] = False,
    *,
    running: options.RunOptions,
    as_json: options.Json = False,
) -> None:
    """Write a page about a product: scores, factors to move, curves, maps, costs.

    One HTML file that needs no network. What cannot be shown is named, in the page and here.

    Examples:
      molspace report
      molspace report my-bundle --task esc50,coco --out report.html
    """
    from reactions.experiments.report.gather import gather
    from reactions.experiments.report.maps import check_method
    from reactions.experiments.report.page import (
        SECTIONS,
        check_packages,
        check_place,
        render,
        write,
    )

    check_place(out, overwrite=overwrite)
    check_packages()
    check_method(drawn_by)
    session, quiet = running.open(command="report"), running.quiet
    confirm_run = partial(confirm, session, yes=running.yes, quiet=quiet)
    tasks = session.lab.parse_tasks(task)
    target = _target(session, bundle, cached=cached, running=running)
    say_bundle(target, quiet=quiet)
    gathered = gather(session, target, tasks, method=drawn_by, cached=cached, confirm=confirm_run)
    write(out, render(gathered, method=drawn_by), overwrite=overwrite)
    size_bytes = out.stat().st_size
    for what, why, fix in summed(gathered.lacks):
        say(f"missing: {what}" + (f": {why}" if why else ""))
        if fix and not quiet:
            say(f"  fix: {fix}")
    if as_json:
        print_json(
            "report",
            {
                "path": str(out.absolute()),
                "size_bytes": size_bytes,
                "expression": gathered.bundle.expression,
                "lab": gathered.lab,
                "sections": list(SECTIONS),
                "tasks": [score.task.name for score in gathered.scores],
                "missing": [asdict(lack) for lack in gathered.lacks],
            },
        )
        return
    if not quiet:
        say(f"lab: {gathered.lab}   {human_bytes(size_bytes)}")
    print_path(out)


def summed(lacks: Sequence[Omission]) -> list[tuple[str, str, str]]:
    """Return what is missing, why, and the fix; tasks left out for one reason together.

    Args:
        lacks: in the order of the page.
    """
    rows: dict[tuple[str, str, str], list[str]] = {}
    for lack in lacks:
        name = lack.what.removesuffix(_LEFT_OUT)
        is_task = name != lack.what
        rows.setdefault(("" if is_task else lack.what, lack.why, lack.fix), []).append(name)
    return [(what or _left_out(names), why, fix) for (what, why, fix), names in rows.items()]


def _left_out(names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"{names[0]}{_LEFT_OUT}"
    return f"{len(names)} tasks are left out, {', '.join(names)}"


def _target(
    session: Session, reference: str | None, *, cached: bool, running: options.RunOptions
) -> Target:
    """Find the product; with ``cached`` a reaction that is not trained is refused.

    Raises:
        MissingError: it would have to be trained.
    """
    from reactions.core.errors import MissingError

    def look(plan: Plan) -> None:
        if cached and session.estimate(plan).steps:
            raise MissingError(
                f"'{reference}' is not trained yet",
                why="--cached computes nothing",
                fix="molspace react first   or   leave --cached out",
            )
        confirm(session, plan, yes=running.yes, quiet=running.quiet)

    return session.target(reference, naming="molspace report", confirm=look)
