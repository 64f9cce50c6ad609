"""``molspace mteb``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from molspace_cli import factors, options
from molspace_cli.confirm import checked_first, confirm
from molspace_cli.console import is_terminal, print_json, print_note, print_table, say
from molspace_cli.groups import grouped
from molspace_cli.space_argument import named_space

if TYPE_CHECKING:
    from reactions.core.errors import MolspaceError
    from reactions.core.types import Space


@named_space
@grouped
def mteb(
    bundle: Annotated[str, options.target_argument("What is scored.")],
    tasks: Annotated[
        list[str],
        typer.Option(
            "--tasks",
            metavar="NAME,...",
            help="Tasks of mteb and benchmarks ('MIEB(lite)'), of which those are left out that "
            "the space cannot do. Repeatable.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Where mteb keeps results.  [default: $MTEB_CACHE, else ~/.cache/mteb; none for "
            "the mini lab]",
            show_default=False,
        ),
    ] = None,
    sigma: options.Sigma = None,
    lambda_: options.Lambda = None,
    experts: options.Experts = None,
    batch_size: Annotated[
        int, typer.Option("--batch-size", metavar="N", min=1, help="Items that mteb hands over.")
    ] = 32,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Run again what mteb has results of.")
    ] = False,
    *,
    running: options.InferOptions,
    as_json: options.Json = False,
) -> None:
    """Score a space with the tasks of mteb: MTEB, MIEB and MAEB.

    Results lie where mteb keeps them, under the bundle's name and digest; those of other factors
    lie apart. What it has is not run again. A task that fails is reported, the others are run, and
    the exit code is then 4, or 3 where data were missing. Data sets come from the hub.

    Examples:
      molspace mteb my-bundle --tasks ESC50,UrbanSound8KT2ARetrieval
      molspace mteb my-bundle --tasks "MIEB(lite)" --sigma 0.8,0.5 --json
      molspace mteb ImageBind --tasks ESC50ZeroShot --out scores
    """
    from reactions.api.mteb_model import MODALITIES, MtebModel, labels_of
    from reactions.api.mteb_runs import (
        MtebScore,
        find_tasks,
        fitting_tasks,
        result_cache,
        run_tasks,
    )
    from reactions.core.interrupts import on_interrupt
    from reactions.products.tree import embedded_by, fit_adjustment

    adjustment = factors.adjustment(sigma, lambda_, experts)
    named = find_tasks(tasks)

    def check(space: Space) -> None:
        fit_adjustment(space, adjustment=adjustment)
        embedded = embedded_by(space, adjustment)
        fitting_tasks(named, [name for name in MODALITIES if name in embedded])
        result_cache(labels_of(session.lab.label, space), out)

    session, quiet = running.open(command="mteb"), running.quiet
    target = session.target(
        bundle,
        naming="molspace mteb",
        confirm=checked_first(check, partial(confirm, session, yes=running.yes, quiet=quiet)),
    )
    model = MtebModel(session.embedder(target, adjustment), adjustment)
    mteb_tasks, notes = fitting_tasks(named, model.modalities)
    cache = result_cache(labels_of(target.lab, target.space), out)
    failures: dict[str, MolspaceError] = {}

    def failed(task: str, error: MolspaceError) -> None:
        failures[task] = error
        if len(mteb_tasks) > 1:
            say(f"error: {error}")

    scores: list[MtebScore] = []
    with on_interrupt(f"scores of finished tasks are kept in {cache.cache_path}"):
        for score in run_tasks(
            model,
            mteb_tasks,
            cache,
            batch_size=batch_size,
            overwrite=overwrite,
            progress=not quiet and is_terminal(),
            on_failure=failed,
        ):
            scores.append(score)
    if len(mteb_tasks) == 1 and failures:
        raise next(iter(failures.values()))
    notes += [
        f"{score.task}: mteb gives no number for {score.main}, as where all of its values are equal"
        for score in scores
        if not score.is_number
    ]
    if not quiet:
        for notice in (*target.notices, *notes, *model.notices):
            say(f"note: {notice}")
    meta = model.mteb_model_meta
    if as_json:
        print_json(
            "mteb",
            {
                "lab": model.lab,
                "expression": target.name,
                "bundle": str(target.bundle.path) if target.bundle else None,
                "model": meta.name,
                "revision": meta.revision,
                "settings": meta.experiment_kwargs or {},
                "notices": [*notes, *model.notices],
                "results": [score.to_json() for score in scores],
                "failed": [{"task": task, **e.to_json()} for task, e in failures.items()],
            },
        )
    elif scores:
        rows = [
            (
                *(score.task, score.kind, score.main),
                f"{100 * score.value:.2f}" if score.is_number else "-",
            )
            for score in scores
        ]
        print_table(f"mteb   {target.name}", ("task", "type", "metric", "%"), rows)
        facts = [f"lab: {model.lab}"] if model.lab else []
        settings = meta.experiment_kwargs or {}
        facts += [f"{name}: {text}" for name, text in settings.items() if name != "lab"]
        print_note("   ".join([*facts, f"model: {meta.name}", f"results: {cache.cache_path}"]))
    if failures:
        raise typer.Exit(max(error.exit_code for error in failures.values()))
