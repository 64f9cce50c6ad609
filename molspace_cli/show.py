"""``molspace show``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from molspace_cli import complete, options
from molspace_cli.console import print_json, print_table, say


def show(
    bundle: Annotated[
        str | None,
        typer.Argument(
            metavar="BUNDLE",
            autocompletion=complete.bundles,
            help="A bundle's directory.  [default: the last one made in this folder, or in the "
            "nearest above]",
            show_default=False,
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Verify a bundle and say what it is."""
    from reactions.bundle import load_bundle
    from reactions.shelf import current_bundle
    from reactions.spaces.tree import effective_factors

    directory: str | Path | None = bundle
    if directory is None:
        current = current_bundle()
        directory = current.directory
        say(f"bundle: {directory} ({current.reason})")
    found = load_bundle(directory)
    if as_json:
        print_json("bundle", {"path": str(found.path), **found.record})
        return
    seed = found.record["lab"]["seed"]
    rows = [
        ("path", str(found.path)),
        ("reaction", found.expression),
        ("lab", found.lab if seed is None else f"{found.lab}, seed {seed}"),
        ("embeds", f"{', '.join(found.space.modalities)} in {found.space.dim} dimensions"),
    ]
    rows += [
        (name, ", ".join(f"{modality} {value:g}" for modality, value in values.items()))
        for name, values in effective_factors(found.space).items()
    ]
    rows += [
        (f"space {spec['name']}", f"{spec['dim']} dimensions, licence {spec['licence'] or '?'}")
        for spec in found.record["spaces"]
    ]
    if origin := found.record.get("imported"):
        n = len(origin["files"])
        rows.append(("imported from", f"{origin['from']}, {n} file{'s' if n > 1 else ''}"))
    rows.append(("digest", found.digest))
    print_table(f"bundle (lab: {found.lab})", ("field", "value"), rows)
