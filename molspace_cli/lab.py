"""``molspace lab``."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated

import typer

from molspace_cli import options
from molspace_cli.console import print_json, print_path, say

app = typer.Typer(
    rich_markup_mode=None,
    help="Trust in a folder's own lab file; their schema; the mini lab's media and encoders.",
    no_args_is_help=True,
)

Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Where to write.")]


Own = Annotated[
    Path | None,
    typer.Argument(
        metavar="FILE", help="A lab file.  [default: ./molspace.toml]", show_default=False
    ),
]


@app.command("allow")
def allow(file: Own = None, as_json: options.Json = False) -> None:
    """Agree to a folder's molspace.toml as it is, after a list of what it names.

    A lab file that is found by itself, in the working folder, is used without a question only
    where it names nothing but local embeddings and media. Anything that would be fetched,
    imported or run (remote places, models, adapters of packages) needs this once, and again
    when the file changes. A lab that --lab names needs nothing.

    Examples:
      molspace lab allow
    """
    from reactions.labs import trust
    from reactions.labs.lab_file import read_chain

    files = read_chain(_own_lab(file, "allow"))
    mentions = trust.mentions(files)
    trust.allow(files)
    if as_json:
        body = {"path": str(files[0].path), "names": [mention.to_json() for mention in mentions]}
        print_json("lab_allow", body)
        return
    for line in trust.listing(mentions):
        say(f"names {line}")
    say(f"allowed until it changes: {files[0].path}")


@app.command("deny")
def deny(file: Own = None, as_json: options.Json = False) -> None:
    """Undo `lab allow`: the file is not used unless `--lab` names it, whatever it holds.

    Examples:
      molspace lab deny
    """
    from reactions.labs import trust

    path = _own_lab(file, "deny")
    trust.deny(path)
    if as_json:
        print_json("lab_deny", {"path": str(path)})
        return
    say(f"denied: {path}")


def _own_lab(file: Path | None, command: str) -> Path:
    """Return the lab file that is meant: the working folder's, if none is named.

    Raises:
        MissingError: it is not there.
    """
    from reactions.core.errors import MissingError
    from reactions.core.local_files import is_file
    from reactions.labs.lab_file import OWN_LAB, find_lab

    if file is None and not is_file(Path(OWN_LAB)):
        raise MissingError(
            f"there is no {OWN_LAB} in this folder",
            why="agreements are for lab files that are found by themselves",
            fix=f"go to its folder, or name it: molspace lab {command} FILE",
        )
    return find_lab(str(file or OWN_LAB))


@app.command("schema")
def schema() -> None:
    """Print the JSON Schema of lab files, for editors that complete and check TOML.

    Save it beside a lab file, and write as the file's first line: #:schema ./lab.schema.json

    Examples:
      molspace lab schema > lab.schema.json
    """
    import json

    from reactions.labs.schema import json_schema

    typer.echo(json.dumps(json_schema(), indent=2))


@app.command("show")
def show(lab: options.Lab = None, as_json: options.Json = False) -> None:
    """Print what a lab holds: spaces, corpora, pairs, knowledge bases, evaluation sets.

    Examples:
      molspace lab show
      molspace lab show --lab paper --json
    """
    from molspace_cli import opening
    from molspace_cli.console import print_table
    from reactions.labs.contents import contents

    opened = opening.open_lab(lab)
    holdings = contents(opened)
    if as_json:
        body = {"lab": opened.label, "path": str(opened.path), "seed": opened.seed}
        print_json("lab", {**body, "holds": [entry.to_json() for entry in holdings]})
        return
    print_table(
        f"lab: {opened.label}   seed: {opened.seed}",
        ("kind", "name", "holds"),
        [(entry.kind, entry.name, entry.holds) for entry in holdings],
    )


@app.command("sample")
def sample(out: Out) -> None:
    """Write the mini lab's sample items: PNG, WAV and text files, and a manifest.

    The manifest's path is printed; infer reads it, and a lab file can name it as a corpus. The
    same scenes as events, heat, depth, points and video are listed in senses.jsonl beside it.

    Examples:
      molspace lab sample --out sample
    """
    from reactions.labs import mini
    from reactions.labs.mini.sample_items import SENSES
    from reactions.labs.mini.sample_senses import can_write_videos

    _make_folder(out)
    say("lab: mini (procedural media)")
    manifest = mini.write_sample(out)
    say(f"other senses: {manifest.with_name(SENSES)}")
    if not can_write_videos():
        from reactions.core.extras import install_extra

        say(f"no videos: PyAV is not installed  fix: {install_extra('media')}")
    print_path(manifest)


@app.command("train")
def train(
    out: Out,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", min=0, help="Of the world, weights and order.")
    ] = 0,
    spaces: Annotated[
        str, typer.Option("--spaces", metavar="NAMES", help="Of encoders; all of them if left out.")
    ] = "",
    quiet: options.Quiet = False,
) -> None:
    """Train the mini lab's encoders again; up to 30 minutes on two cores.

    Prints the path of a lab file that extends the mini lab with them.

    Examples:
      molspace lab train --out weights --spaces CLAP_m
    """
    from molspace_cli.progress import epochs, progress
    from reactions.labs.mini.recipes import chosen_recipes
    from reactions.labs.mini.training import train as train_encoders
    from reactions.labs.mini.write_lab_file import write_lab_file
    from reactions.run.events import Expected, PlanFinished, PlanStarted, PlanStopped

    recipes = chosen_recipes(spaces)
    _make_folder(out)
    if not quiet:
        say("lab: mini (stand-ins for the published encoders)")
    began_s = time.monotonic()
    events = progress(quiet=quiet)
    # Scenes are drawn, embedded and learned from once an epoch. No speed is known, so these
    # operations only divide the time among the encoders.
    work = {
        name: float(sum(stage.scenes * stage.epochs for stage in recipe.stages))
        for name, recipe in recipes.items()
    }
    expected = tuple(Expected(name, "train", scenes * 1e9) for name, scenes in work.items())
    events(PlanStarted(len(expected), 0, expected))
    try:
        train_encoders(out, seed=seed, progress=epochs(events), recipes=recipes)
    except BaseException:
        events(PlanStopped())
        raise
    events(PlanFinished(len(expected), time.monotonic() - began_s))
    print_path(write_lab_file(out))


def _make_folder(out: Path) -> None:
    """Make the folder to write to, before anything is computed.

    Raises:
        StoreError: it cannot be made, or not written to.
    """
    from reactions.core.errors import StoreError

    try:
        out.mkdir(parents=True, exist_ok=True)
        why = "" if os.access(out, os.W_OK) else "you have no permission to write there"
    except OSError as error:
        why = error.strerror or str(error)
    if why:
        raise StoreError(f"cannot write to {out}", why=why, fix="another folder: --out DIR")
