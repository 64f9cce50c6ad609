"""``molspace lab``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from molspace_cli import options
from molspace_cli.console import say

app = typer.Typer(
    rich_markup_mode=None,
    help="The embedded mini lab: its media and its encoders.",
    no_args_is_help=True,
)

Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Where to write.")]


@app.command("sample")
def sample(out: Out) -> None:
    """Write the mini lab's sample items: PNG, WAV and text files, and a manifest.

    The manifest's path is printed; infer reads it, and a lab file can name it as a corpus.
    """
    from reactions.labs import mini

    say("lab: mini (procedural media)")
    print(mini.write_sample(out))


@app.command("train")
def train(
    out: Out,
    seed: Annotated[int, typer.Option("--seed", help="Of the world, weights and order.")] = 0,
    quiet: options.Quiet = False,
) -> None:
    """Train the mini lab's four encoders again; up to 20 minutes on two cores.

    Prints the path of a lab file that extends the mini lab with them.
    """
    from reactions.labs.mini.lab_file import write_lab_file
    from reactions.labs.mini.training import train as train_encoders

    if not quiet:
        say("lab: mini (stand-ins for the published encoders)")
    train_encoders(out, seed=seed, progress=(lambda line: None) if quiet else say)
    print(write_lab_file(out))
