"""The commands, registered. Each module imports the library when it runs, not before."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any

import typer
import typer.main

from molspace_cli import cache as stored
from molspace_cli import (
    data,
    env,
    evaluate,
    export,
    hub,
    importing,
    index,
    infer,
    knowledge,
    lab,
    mteb,
    plan,
    react,
    report,
    reproduce,
    search,
    serve,
    show,
    spaces,
    sweep,
    tune,
)
from molspace_cli.helptexts import prepare
from molspace_cli.verbosity import add_options

app = typer.Typer(
    name="molspace",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: importing rich would take a third of its time
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Fuse pre-trained multimodal embedding spaces with one-line reactions.",
    # A paragraph of its own: whole at 80 columns, where it can be copied, wrapped below.
    epilog='Start with:\n\nmolspace react "ImageBind + Dr(InternVL) | Cr(CLAP_m) & Cr(CLAP_g)"',
)


def _version(is_asked: bool) -> None:
    if is_asked:
        from importlib.metadata import version

        print(f"molspace {version('molspace')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Fuse pre-trained multimodal embedding spaces with one-line reactions."""


app.command("react")(react.react)
app.command("eval")(evaluate.evaluate)
app.command("infer")(infer.infer)
app.add_typer(index.app, name="index")
app.command("search")(search.search)
app.command("serve")(serve.serve)
app.command("plan")(plan.plan)
app.command("show")(show.show)
app.command("sweep")(sweep.sweep)
app.command("mteb")(mteb.mteb)
app.command("tune")(tune.tune)
app.command("report")(report.report)
app.add_typer(spaces.app, name="spaces")
app.add_typer(data.app, name="data")
app.add_typer(knowledge.app, name="kb")
app.add_typer(lab.app, name="lab")
app.add_typer(stored.app, name="cache")
app.add_typer(reproduce.app, name="reproduce")
app.add_typer(importing.app, name="import")
app.command("env")(env.env)
app.command("export")(export.export)
app.command("push")(hub.push)
app.command("pull")(hub.pull)


@cache
def root_command() -> Any:
    """Return ``molspace`` as click's group, with the options that all commands have; made once."""
    root = typer.main.get_command(app)
    add_options(root)
    return prepare(root)
