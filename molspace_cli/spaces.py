"""``molspace spaces``."""

from __future__ import annotations

import typer

from molspace_cli import options
from molspace_cli.console import print_json, print_table

app = typer.Typer(
    rich_markup_mode=None, help="The spaces a lab knows by name.", invoke_without_command=True
)


@app.callback()
def _default(
    context: typer.Context, lab: options.Lab = None, as_json: options.Json = False
) -> None:
    """List the spaces a lab knows by name; any quoted folder of embeddings is one, too."""
    if context.invoked_subcommand is None:
        list_spaces(lab, as_json)


@app.command("list")
def list_spaces(lab: options.Lab = None, as_json: options.Json = False) -> None:
    """List the spaces a lab knows by name."""
    from dataclasses import asdict

    from reactions.labs.reading import load_lab

    found = load_lab(lab)
    specs = list(found.catalogue)
    if as_json:
        print_json("spaces", {"lab": found.label, "spaces": [asdict(spec) for spec in specs]})
        return
    print_table(
        f"lab: {found.label}",
        ("space", "dim", "modalities", "hub", "licence", "revision"),
        [
            (s.name, str(s.dim), ", ".join(s.modalities), s.hub or "-", s.licence, s.revision)
            for s in specs
        ],
    )
