"""``molspace kb``."""

from __future__ import annotations

import typer

from molspace_cli import knowledge_build

app = typer.Typer(
    rich_markup_mode=None,
    help="Knowledge bases: descriptions of classes and items, made, looked at and checked.",
    no_args_is_help=True,
)


@app.callback()
def _group() -> None:
    """Knowledge bases: descriptions of classes and items, made, looked at and checked."""


app.command("build")(knowledge_build.build)
app.command("describe")(knowledge_build.describe)
