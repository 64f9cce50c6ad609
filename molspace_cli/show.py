"""``molspace show``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from molspace_cli import complete, options
from molspace_cli.console import print_json, print_note, print_table
from molspace_cli.current import say_current
from molspace_cli.quality import remarks, row_line, tables


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
    from reactions.products.bundle import load_bundle
    from reactions.products.bundle_dir import current_bundle
    from reactions.products.tree import effective_factors

    directory: str | Path | None = bundle
    if directory is None:
        current = current_bundle(naming="molspace show")
        directory = current.directory
        say_current(current.directory, current.reason)
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
        (
            f"space {spec['name']}",
            f"{spec['dim']} dimensions, licence {spec['licence'] or '?'}"
            + (", less its modality means" if spec.get("centre") else ""),
        )
        for spec in found.record["spaces"]
    ]
    if origin := found.record.get("imported"):
        n = len(origin["files"])
        rows.append(("imported from", f"{origin['from']}, {n} file{'s' if n > 1 else ''}"))
    else:
        rows += [
            (f"rows {count['modality']}", row_line([count]).removeprefix(f"{count['modality']} "))
            for count in found.record.get("rows", ())
        ] or [("rows", "not recorded by the version that made it")]
        rows += _projectors(found.record.get("projectors", ()))
    report = found.record.get("quality")
    if report is None:
        rows.append(("held back", "nothing: not measured when it was made"))
    rows.append(("digest", found.digest))
    print_table(f"bundle (lab: {found.lab})", ("field", "value"), rows)
    if report is not None:
        for table in tables(report):
            print_table(*table)
        for remark in remarks(report):
            print_note(remark.strip())


def _projectors(projectors: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Say what projectors were trained with, those with equal numbers in one line."""
    subsets: dict[tuple[str, str], list[str]] = {}
    for one in projectors:
        numbers = (
            f"hidden width {one['hidden_dim']}, batch {one['batch_size']}, "
            f"{one['epochs']} epochs" + (" (chosen by rows)" if one["chosen"] else "")
        )
        subsets.setdefault((one["pair"], numbers), []).append(one["subset"])
    return [
        (f"trained {pair}", f"{', '.join(names)}: {numbers}")
        for (pair, numbers), names in subsets.items()
    ]
