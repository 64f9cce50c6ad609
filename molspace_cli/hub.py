"""``molspace push`` and ``molspace pull``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from molspace_cli import options
from molspace_cli.console import human_bytes, print_json, print_path, print_text, say
from molspace_cli.current import make_current
from molspace_cli.infer_report import plain
from molspace_cli.space_argument import named_space

Repo = Annotated[
    str,
    typer.Argument(
        metavar="ORG/NAME", help="A model repository on the Hugging Face hub.", show_default=False
    ),
]


@named_space
def push(
    bundle: options.Bundle,
    repo: Repo,
    results: Annotated[
        Path | None,
        typer.Option(
            "--results", metavar="FILE.json", help="What eval --json wrote, for the model card."
        ),
    ] = None,
    datasets: Annotated[
        list[str] | None,
        typer.Option(
            "--trained-on",
            metavar="ORG/NAME",
            help="A data set of the hub that it was trained on, for the model card; repeatable.",
        ),
    ] = None,
    private: Annotated[
        bool, typer.Option("--private", help="Make the repository private, if it is new.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Print the model card and what would be sent; send nothing."
        ),
    ] = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Send a bundle to the hub, with a model card, and print the commit's address.

    The card names the reaction, the spaces with their licences, and the results. No weights
    of spaces are sent, nor where they lie on this machine.

    Examples:
      molspace push my-bundle ORG/NAME --dry-run
      molspace push my-bundle ORG/NAME --private --results scores.json
      molspace push my-bundle ORG/NAME --trained-on ORG/SOUNDS
    """
    from reactions.exchange.hub import check_repo
    from reactions.exchange.hub import push as send
    from reactions.exchange.results import read_results
    from reactions.products.bundles.bundle import load_bundle

    check_repo(repo)
    loaded = load_bundle(bundle)
    scores = () if results is None else read_results(results, loaded.expression)
    pushed = send(
        loaded, repo, results=scores, datasets=datasets or (), private=private, dry_run=dry_run
    )
    if as_json:
        print_json(
            "push",
            {
                "repo": pushed.repo,
                "url": pushed.url,
                "sent": not dry_run,
                "files": [
                    {"name": name, "size_bytes": size} for name, size in pushed.files.items()
                ],
                "card": pushed.card,
            },
        )
        return
    if not quiet:
        listed = ", ".join(f"{name} ({human_bytes(size)})" for name, size in pushed.files.items())
        say(f"{'would send' if dry_run else 'sent'} to {pushed.repo}: {listed}")
    print_text(pushed.card if dry_run else pushed.url, end="" if dry_run else "\n")


def pull(
    repo: Repo,
    revision: Annotated[
        str,
        typer.Option(
            "--revision", metavar="REVISION", help="Commit, tag or branch.  [default: main]"
        ),
    ] = "",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="The bundle's directory.")
    ] = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Download a bundle from the hub, verify it, and print its path.

    A repository that holds code beside a bundle is refused; other files are not downloaded.
    The bundle becomes the one that eval and infer use in this folder.

    Examples:
      molspace pull ORG/NAME
      molspace pull ORG/NAME --revision v1 --out my-bundle
    """
    from reactions.exchange.hub import pull as fetch

    pulled = fetch(repo, revision=revision, out=out)
    make_current(pulled.bundle.path)
    if not quiet:
        say(f"{repo} at {pulled.commit}: {pulled.bundle.expression}   lab: {pulled.bundle.lab}")
        if pulled.ignored:
            more = f" and {len(pulled.ignored) - 3} more" if len(pulled.ignored) > 3 else ""
            names = ", ".join(plain(name) for name in pulled.ignored[:3])
            say(f"note: not of the bundle, and not downloaded: {names}{more}")
    if as_json:
        print_json(
            "pull",
            {
                "repo": repo,
                "commit": pulled.commit,
                "bundle": str(pulled.bundle.path),
                "expression": pulled.bundle.expression,
                "lab": pulled.bundle.lab,
                "digest": pulled.bundle.digest,
                "ignored": list(pulled.ignored),
            },
        )
    else:
        print_path(pulled.bundle.path)
