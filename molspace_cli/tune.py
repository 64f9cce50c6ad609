"""``molspace tune``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from molspace_cli import complete, options
from molspace_cli.confirm import agree_to_cells, checked_first, confirm
from molspace_cli.console import print_json, print_note, print_path, print_table, say
from molspace_cli.current import say_bundle
from molspace_cli.evaluate import WITHIN_S, Beside
from molspace_cli.groups import grouped
from molspace_cli.space_argument import named_space
from molspace_cli.sweep import GridOptions

if TYPE_CHECKING:
    from reactions.core.types import Space
    from reactions.experiments.choosing import Choice
    from reactions.experiments.choosing.tune import Contender
    from reactions.products.bundles.bundle import Bundle
    from reactions.products.target import Target
    from reactions.session import Session

_FRONTIER = 8
"""Settings of the frontier that are shown."""


@named_space
@grouped
def tune(
    objective: Annotated[
        str,
        typer.Option(
            "--objective",
            metavar="SUM",
            help="What to tune for: audio-text, esc50, '0.5*audio-text + audio-image'.",
            show_default=False,
        ),
    ],
    bundle: Annotated[
        str | None,
        typer.Argument(
            metavar="BUNDLE|EXPR",
            autocompletion=complete.targets,
            help="What to tune.  [default: the bundle of the last react in this folder and lab]",
            show_default=False,
        ),
    ] = None,
    *,
    keep: Annotated[
        list[str] | None,
        typer.Option(
            "--keep",
            metavar="LEAST",
            help="What must be kept: 'image-text >= base - 0.5' (base: what the last reaction's "
            "experts were added to; own: the bundle as it is), 'esc50 >= 85'. Repeatable.",
        ),
    ] = None,
    tried: GridOptions,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Where the tuned bundle goes."),
    ] = None,
    beside: Beside = None,
    running: options.RunOptions,
    as_json: options.Json = False,
) -> None:
    """Choose a bundle's factors, and experts, on data that it is not scored on.

    Sweeps the settings on scenes of their own (mini lab) or on half of each evaluation set, chooses
    by ten-fold cross-validation, scores the choice, the bundle's own factors and the paper's
    settings on the rest, and writes a bundle with the chosen factors.

    Examples:
      molspace tune my-bundle --objective "audio-text + image-text"
      molspace tune --objective audio-text --keep 'image-text >= base - 0.5'
    """
    from reactions.core.errors import UsageError
    from reactions.experiments.choosing import tune as choose
    from reactions.experiments.choosing.tune import read_goal
    from reactions.products.target import Target

    def fits(space: Space) -> None:
        tried.plan(space)
        read_goal(session, Target("this product", space, session.lab.label), objective, keep or [])

    session = running.open(command="tune", has_rows=True)
    quiet = running.quiet
    confirm_run = partial(confirm, session, yes=running.yes, quiet=quiet)
    target = session.target(
        bundle, naming="molspace tune", confirm=checked_first(fits, confirm_run)
    )
    if target.bundle is None:
        raise UsageError(f"{target.name} is a space by itself", why="it has no factors to choose")
    fits(target.space)
    say_bundle(target, quiet=quiet)
    grid_options = tried if _says_something(tried) else _usual(target.space)
    planned = grid_options.plan(target.space)
    _, _, tasks = read_goal(session, target, objective, keep or [])
    agree_to_cells(planned.size, len(tasks), yes=running.yes)
    choice = choose(
        *(session, target, planned.grid(), objective, keep or []),
        seed=session.lab.seed,
        baselines=beside is not False,
        within_s=None if beside else WITHIN_S,
        confirm=confirm_run,
    )
    if not quiet:
        for notice in choice.notices:
            say(f"note: {notice}")
    _track(session, target, choice)
    directory = _write(target.bundle, choice, out, session.lab.seed)
    if as_json:
        lab = session.label(target)
        print_json("tune", {"lab": lab, "bundle": str(directory), **_record(choice)})
        return
    _print(choice, session.label(target))
    print_path(directory)


def _track(session: Session, target: Target, choice: Choice) -> None:
    """Report the scores of the contenders, on data that nothing was chosen by."""
    from reactions.products.bundles.current import product_name
    from reactions.run.events import RowStarted, TaskScored

    common = {"space": target.name, "lab": session.label(target), "seed": session.lab.seed}
    for contender in choice.contenders:
        if contender.scores:
            session.events(RowStarted(contender.name))
        for task, score in contender.scores.items():
            record = {**common, "task": task, "metrics": {"score": score}}
            session.events(TaskScored(product_name(target.space), record))


def _says_something(tried: GridOptions) -> bool:
    return any((tried.sigma, tried.lambda_, tried.experts))


def _usual(space: Space) -> GridOptions:
    """Return what is tried where nothing is given: tenths of the last stage's factors."""
    from reactions.core.types import Fusion, Tuned

    while isinstance(space, Tuned):
        space = space.base
    assert isinstance(space, Fusion), "a bundle's product has stages"
    # By name: experts, and those within experts, may share different modalities.
    shared = sorted({modality for expert in space.experts for modality, _ in expert.factors})
    steps = "0:1:0.1" if len(shared) <= 2 else "0:1:0.25"
    texts = [",".join(f"{modality}={steps}" for modality in shared) or steps]
    return GridOptions(sigma=texts) if space.op == "cr" else GridOptions(lambda_=texts)


def _write(bundle: Bundle, choice: Choice, out: Path | None, seed: int) -> Path:
    from reactions.core.hashing import digest
    from reactions.experiments.choosing.retuned import write_retuned
    from reactions.products.tree import fit_adjustment

    contender = choice.chosen
    record = {
        "objective": choice.objective.text,
        "keep": [keep.text for keep in choice.keeps],
        "data": dict(choice.data.origins),
        "seed": seed,
        "settings": choice.n_settings,
        "factors": dict(contender.cell.values),
        "experts": None if contender.cell.experts is None else list(contender.cell.experts),
    }
    key = digest("tuned", {**record, "from": bundle.digest})[:12]
    directory = out or bundle.path.parent / f"{bundle.path.name}-tuned-{key}"
    adjustment = fit_adjustment(bundle.space, contender.cell.adjustment)
    return write_retuned(bundle, adjustment, directory, record)


def _record(choice: Choice) -> dict[str, Any]:
    from reactions.eval.baselines import baselines_json

    tasks = list(choice.chosen.scores)
    return {
        "objective": {"text": choice.objective.text, "tasks": dict(choice.objective.tasks)},
        "keep": [keep.text for keep in choice.keeps],
        "base": choice.base_name,
        "data": dict(choice.data.origins),
        "settings": choice.n_settings,
        "expected": choice.expected and choice.expected.to_json(),
        "contenders": [_contender(contender) for contender in choice.contenders],
        "baselines": {task: baselines_json(choice.baselines, task) for task in tasks},
        "notices": list(choice.notices),
    }


def _contender(contender: Contender) -> dict[str, Any]:
    return {
        "name": contender.name,
        "factors": dict(contender.cell.values),
        "experts": contender.cell.experts,
        "tuning": dict(contender.tuning),
        "scores": dict(contender.scores),
        "objective": contender.objective,
    }


def _print(choice: Choice, lab: str) -> None:
    from reactions.eval.baselines import lacking

    axes = list(
        dict.fromkeys(axis for contender in choice.contenders for axis in contender.cell.values)
    )
    with_scores = [contender for contender in choice.contenders if contender.scores]
    frontier = [contender for contender in choice.contenders if not contender.scores]
    shown = [*with_scores, *frontier[:_FRONTIER]]
    # Columns that say the same in every row would make the table too wide for a terminal.
    with_experts = any(contender.cell.experts is not None for contender in shown)
    keep_columns = [f"keep {number}" for number in range(1, 1 + len(choice.keeps))]
    print_table(
        f"where it was chosen: points of {choice.objective.text}, with standard errors",
        ("setting", *axes, *(["experts"] * with_experts), "objective", "loss", *keep_columns),
        [_tuning_cells(contender, axes, with_experts) for contender in shown],
    )
    facts = [f"lab: {lab}", f"{choice.n_settings} settings"]
    if len(frontier) > _FRONTIER:
        facts.append(f"{_FRONTIER} of {len(frontier)} on the frontier")
    print_note("   ".join(facts))
    for name, keep in zip(keep_columns, choice.keeps, strict=True):
        base = f", base being {choice.base_name}" if keep.reference == "base" else ""
        print_note(
            f"{name}: points above the least value of {keep.text}{base}; !: not kept one standard "
            "error down"
        )
    if choice.expected is not None:
        print_note(
            f"chosen without the items it is scored on: {choice.expected.mean:.2f} "
            f"± {choice.expected.error:.2f}"
        )
    origins: dict[str, list[str]] = {}
    for task, origin in choice.data.origins.items():
        origins.setdefault(origin, []).append(task)
    for origin, tasks_of_it in origins.items():
        print_note(f"{', '.join(tasks_of_it)}: chosen on {origin}")
    tasks = list(choice.chosen.scores)
    print_table(
        "on data that nothing was chosen by, %",
        ("setting", *tasks, "objective"),
        [
            (
                contender.name,
                *(f"{contender.scores[task]:.2f}" for task in tasks),
                f"{contender.objective:.2f}",
            )
            for contender in with_scores
        ],
    )
    print_note(f"lab: {lab}")
    for baseline in choice.baselines:
        cells = [
            f"{task} {baseline.results[task].record['metrics'][main]:.2f}"
            for task in tasks
            if task in baseline.results and (main := baseline.results[task].record["main"])
        ]
        if cells:
            print_note(
                f"training-free, {baseline.name}, at the chosen factors: {'   '.join(cells)}"
            )
    for line in dict.fromkeys(line for task in tasks for line in lacking(choice.baselines, task)):
        print_note(line)
    for task in tasks:
        if sentence := _beaten(choice, task):
            print_note(f"{task}: {sentence}")


def _beaten(choice: Choice, task: str) -> str:
    from reactions.eval.baselines import beaten

    for baseline in choice.baselines:
        if task in baseline.results:
            main = baseline.results[task].record["main"]
            scores = {main: choice.chosen.scores[task]}
            return beaten({"task": task, "main": main, "metrics": scores}, choice.baselines)
    return ""


def _tuning_cells(contender: Contender, axes: list[str], with_experts: bool) -> list[str]:
    values: Mapping[str, float] = contender.cell.values
    tuning, experts = contender.tuning, contender.cell.experts
    return [
        contender.name,
        *(f"{values[axis]:g}" if axis in values else "-" for axis in axes),
        *(["all" if experts is None else ",".join(experts)] * with_experts),
        _figure(tuning["objective"]),
        _figure(tuning["loss"]),
        *(
            _figure(keep["margin"], signed=True)
            + ("" if keep["margin"]["mean"] - keep["margin"]["standard_error"] >= -1e-9 else " !")
            for keep in tuning["kept"]
        ),
    ]


def _figure(figure: Mapping[str, float], *, signed: bool = False) -> str:
    mean = f"{figure['mean'] + 0.0:+.2f}" if signed else f"{figure['mean'] + 0.0:.2f}"
    return f"{mean} ±{figure['standard_error']:.2f}"
