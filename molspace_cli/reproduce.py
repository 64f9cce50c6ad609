"""``molspace reproduce``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from molspace_cli import findings, options, unibind, unibind_curve
from molspace_cli.confirm import agree_to_cells, confirm
from molspace_cli.console import print_json, print_path, say
from molspace_cli.groups import grouped
from molspace_cli.helptexts import EXAMPLES
from molspace_cli.paper_figure import print_figure
from molspace_cli.paper_table import print_paper_table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from reactions.experiments.paper.table import SpaceRow
    from reactions.experiments.surfaces import MeasuredFigure
    from reactions.session import Session

app = typer.Typer(
    rich_markup_mode=None, help="The experiments of FreeBind and UniBind.", no_args_is_help=True
)


@app.callback()
def _group() -> None:
    """The experiments of FreeBind and UniBind."""


Rows = Annotated[
    str | None,
    typer.Option(
        "--rows",
        metavar="NAME,...",
        help="Only these rows, by the names that the table prints, such as ImageBind.",
    ),
]
Bundles = Annotated[
    list[str] | None,
    typer.Option(
        "--bundle",
        metavar="ROW=DIR",
        help="A bundle that stands for a row, by the name that the table prints, such as "
        "C-MCR=DIR in Tables 3 and 4 (molspace import cmcr). Repeatable.",
    ),
]

Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="DIR",
        help="Write figureN.png, .svg, .parquet and .csv there, in place of earlier ones.",
    ),
]
Grid = Annotated[
    str,
    typer.Option("--grid", metavar="VALUES", help="Values of both factors: 0:1:0.1, 0/0.5/1."),
]

_MISSING = "Exits with 3 if the lab has nothing that could be measured."
_ABOUT = {
    "table3": """FreeBind's Table 3, zero-shot classification: ours beside the paper's figure.

    Trains the reactions of its Table 2 that are not trained yet and scores them on ESC-50,
    AudioSet and ImageNet.""",
    "table4": """FreeBind's Table 4, zero-shot retrieval: ours beside the paper's figure.

    Trains the reactions of its Table 2 that are not trained yet and scores them on AudioCaps,
    Clotho, VGG-SS, FlickrNet, COCO and Flickr30K.""",
    "table5": """FreeBind's Table 5, displacement or combination of InternVL: ours beside it.

    Its caption gives both (0.9, 0.9). A combined InternVL is remapped, so we read that as sigma
    (0.1, 0.1), as footnote 2 says of Table 6; the caption to the letter is a row of its own.""",
    "table6": """FreeBind's Table 6, routes of complex reactions: ours beside the paper's figure.

    "Only Seq." does not say which factors its three displacements have. We read the versatile
    setting as the CLAPs' lambda (0.5, 0.1); two other readings are rows of their own.""",
    "table7": """FreeBind's Table 7, one CLAP or both: ours beside the paper's figure.

    One product with both; the experts are chosen when it is used, as --experts does.""",
    "table8": """FreeBind's Table 8, single projectors and their mixture: ours beside it.

    Each projector is trained on one subset of the pseudo data, as data=TVA does.""",
    "table9": """FreeBind's Table 9, recipes of projectors: ours beside the paper's figure.

    recipe=cmcr, recipe=exmcr and the paper's own, in combination and in displacement.""",
}


def _example(name: str, options: str = "--rows ImageBind") -> str:
    command = f"molspace reproduce {name}"
    return f"    {EXAMPLES}\n      {command}\n      {command} {options}"


def _add_table(name: str, about: str) -> None:
    @app.command(name, help=f"{about} {_MISSING}\n\n{_example(name)}")
    @grouped
    def table(
        rows: Rows = None,
        bundle: Bundles = None,
        *,
        running: options.RunOptions,
        as_json: options.Json = False,
    ) -> None:
        _measure(name, rows, bundle, running, as_json)


for _name, _about in _ABOUT.items():
    _add_table(_name, _about)

_SURFACES = {
    "figure3": """FreeBind's Figure 3: what CLAPs add to the tuned InternVL_IB, by their sigma.""",
    "figure4": """FreeBind's Figure 4: what CLAPs add to InternVL_IB, by their sigma.""",
    "figure5": """FreeBind's Figure 5: what CLAPs add to ImageBind, by their sigma.""",
    "figure6": """FreeBind's Figure 6: what displacing ImageBind gains, by InternVL's lambda.""",
}
_SURFACE = """

    Points of mean R@1 over the space without them, for audio-text, audio-image and image-text."""


def _add_figure(name: str, about: str) -> None:
    shown = _example(name, f"--out {name} --grid 0:1:0.25")

    @app.command(name, help=f"{about}{_SURFACE} {_MISSING}\n\n{shown}")
    @grouped
    def figure(
        out: Out = None,
        grid: Grid = "0:1:0.1",
        *,
        running: options.RunOptions,
        as_json: options.Json = False,
    ) -> None:
        _measure_figure(name, out, grid, running, as_json)


for _name, _about in _SURFACES.items():
    _add_figure(_name, _about)


@app.command("all")
@grouped
def everything(
    bundle: Bundles = None,
    out: Out = None,
    grid: Grid = "0:1:0.1",
    *,
    running: options.RunOptions,
    as_json: options.Json = False,
) -> None:
    """FreeBind's Tables 3 to 9 and Figures 3 to 6, in one run.

    One estimate and one question for all; what tables and figures share is trained once, and a
    run that was stopped goes on where it was. Figures are written, with --out, as they are ready.
    Exits with 3 if the lab has nothing that could be measured.

    Examples:
      molspace reproduce all --out figures --yes
    """
    from reactions.experiments.whole import measure_all

    _need(out)
    _agree_to(grid, len(_SURFACES), running)
    session = running.open(command="reproduce all", has_rows=True)
    quiet = running.quiet
    results = measure_all(
        session,
        bundles=_bundles(bundle),
        grid=grid,
        confirm=partial(confirm, session, yes=running.yes, quiet=quiet),
        events=session.events,
        ready=lambda figure: _write_early(figure, out, quiet),
    )
    if as_json:
        print_json("all", results.to_json())
    else:
        for table in results.tables:
            print_paper_table(table)
        for figure in results.figures:
            print_figure(figure)
    if results.is_empty:
        _refuse_nothing(session)


app.command("findings")(findings.findings)
app.command("unibind-findings")(unibind.unibind_findings)
app.command("unibind-curve")(unibind_curve.unibind_curve)
app.command("unibind-table2")(unibind.unibind_table2)
app.command("unibind-zero-shot")(unibind.unibind_zero_shot)


def _measure_figure(
    name: str, out: Path | None, grid: str, running: options.RunOptions, as_json: bool
) -> None:
    from reactions.experiments.paper.figures import FIGURES
    from reactions.experiments.surfaces import measure_figure

    _need(out)
    _agree_to(grid, 1, running)
    session = running.open(command=f"reproduce {name}", has_rows=True)
    quiet = running.quiet
    results = measure_figure(
        FIGURES[name],
        session,
        grid,
        confirm=partial(confirm, session, yes=running.yes, quiet=quiet),
        started=_announced(session, quiet),
    )
    paths = _write(results, out)
    if as_json:
        print_json(name, results.to_json())
    elif paths:
        for path in paths:
            print_path(path)
    else:
        print_figure(results)
    if not results.surfaces:
        _refuse_nothing(session)


def _need(out: Path | None) -> None:
    """Check before anything runs that figures can be written."""
    if out is not None:
        from reactions.core.local_files import writable_folder
        from reactions.experiments.drawing import need_drawing

        need_drawing()
        writable_folder(out, "figures", "name another folder with --out")


def _agree_to(grid: str, n_figures: int, running: options.RunOptions) -> None:
    """Ask before figures of very many settings."""
    from reactions.experiments.paper.figures import FAMILIES
    from reactions.experiments.sweep.texts import read_values

    n_cells = n_figures * len(read_values("--grid", grid)) ** 2
    agree_to_cells(n_cells, sum(map(len, FAMILIES.values())), yes=running.yes)


def _write(figure: MeasuredFigure, out: Path | None) -> tuple[Path, ...]:
    if out is None or not figure.surfaces:
        return ()
    from reactions.experiments.drawing import write_figure

    return write_figure(figure, out)


def _write_early(figure: MeasuredFigure, out: Path | None, quiet: bool) -> None:
    for path in _write(figure, out):
        if not quiet:
            say(f"wrote {path}")


def _announced(session: Session, quiet: bool) -> Callable[[SpaceRow], None]:
    from reactions.experiments.measured import definition

    def announce(row: SpaceRow) -> None:
        if not quiet:
            formula = definition(row)
            say(f"lab: {session.lab.label}   {row.name}{f' = {formula}' if formula else ''}")

    return announce


def _measure(
    name: str,
    rows: str | None,
    bundle: list[str] | None,
    running: options.RunOptions,
    as_json: bool,
) -> None:
    from reactions.experiments.paper.table import parse_rows
    from reactions.experiments.paper.tables import TABLES
    from reactions.experiments.reproduce import measure

    table = TABLES[name]
    chosen_rows, bundles = parse_rows(rows, table.rows), _bundles(bundle)
    session = running.open(command=f"reproduce {name}", has_rows=True)
    quiet = running.quiet
    results = measure(
        table,
        session,
        chosen_rows,
        bundles=bundles,
        confirm=partial(confirm, session, yes=running.yes, quiet=quiet),
        started=_announced(session, quiet),
    )
    if as_json:
        print_json(name, results.to_json())
    else:
        print_paper_table(results)
    if not results.n_measured:
        _refuse_nothing(session)


def _bundles(texts: list[str] | None) -> Mapping[str, Path]:
    """Read ``ROW=DIR``, several times.

    Raises:
        UsageError: a text has no name or no directory, or a name comes twice.
    """
    from reactions.core.errors import UsageError
    from reactions.core.local_files import expand_user

    bundles: dict[str, Path] = {}
    for text in texts or ():
        name, _, path = (part.strip() for part in text.partition("="))
        if not name or not path:
            raise UsageError(
                f"--bundle '{text}' is not ROW=DIR",
                why="it takes a row of the table and the directory of a bundle",
                fix='--bundle "ROW=DIR", with a name that the table prints in its first column',
            )
        if name in bundles:
            raise UsageError(f"--bundle names '{name}' twice", fix="leave one of them out")
        bundles[name] = expand_user(Path(path))
    return bundles


def _refuse_nothing(session: Session) -> None:
    from reactions.core.errors import MissingError

    raise MissingError(
        f"nothing could be measured on lab '{session.lab.name}'",
        why="it lacks the spaces, or the evaluation sets, of all rows",
        fix="molspace spaces list   and   molspace data list   say what is there",
    )
