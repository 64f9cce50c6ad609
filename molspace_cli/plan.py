"""``molspace plan``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from molspace_cli import options
from molspace_cli.console import human_bytes, human_flops, print_json, print_table, print_text, say
from molspace_cli.groups import grouped
from molspace_cli.plan_workers import print_shards, print_workers, worker_counts
from molspace_cli.quality import training_line
from molspace_cli.react import Expression, plan_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reactions.core.step import Step
    from reactions.core.types import Digest
    from reactions.planning.plan import ReactionPlan
    from reactions.session import Session


@grouped
def plan(
    expression: Expression,
    draw: Annotated[
        Literal["mermaid", "dot"] | None,
        typer.Option("--draw", help="Print a drawing instead: Mermaid, or Graphviz's dot."),
    ] = None,
    *,
    shards: Annotated[
        bool,
        typer.Option("--shards", help="List what is left by rows, as workers take it."),
    ] = False,
    workers: Annotated[
        str | None,
        typer.Option(
            "--workers",
            metavar="N,...",
            help="Simulate runs with so many workers: how long, and what bounds it.",
        ),
    ] = None,
    pace: Annotated[
        float | None,
        typer.Option(
            "--pace",
            metavar="FLOP/S",
            min=1.0,
            help="Of one worker, for --workers.  [default: measured on this machine]",
        ),
    ] = None,
    anew: Annotated[
        bool,
        typer.Option("--anew", help="With --workers: as though nothing were done yet."),
    ] = False,
    planning: options.PlanOptions,
    as_json: options.Json = False,
) -> None:
    """Show the steps of a reaction: which are done, why not, and what the rest costs.

    Loads no weights and needs no GPU.

    Examples:
      molspace plan "ImageBind + Cr(CLAP_m)"
      molspace plan "ImageBind + Cr(CLAP_m)" --draw mermaid > plan.mmd
      molspace plan "ImageBind + Cr(CLAP_m)" --shards --json > tasks.json
      molspace plan "ImageBind + Cr(CLAP_m)" --workers 1,8,64
    """
    from reactions.planning import drawing
    from reactions.planning.plan import plan_json, total_cost

    counts = _asked_forms(draw, shards, workers, pace, anew)
    session, planned, reasons = planned_states(expression, planning)
    if draw:
        print_text(drawing.draw(planned, reasons, form=draw))
        return
    if shards or counts:
        work_left = _left(session, planned, anew=anew)
        expression = planned.checked.expression
        if shards:
            print_shards(session, expression, work_left, as_json=as_json)
        else:
            print_workers(
                *(session, expression, work_left, counts),
                flops_per_s=pace,
                is_anew=anew,
                as_json=as_json,
            )
        return
    steps = [{**step, "state": reasons[step["key"]]} for step in plan_json(planned)]
    todo = [step for step in steps if step["state"] != "hit"]
    cost = total_cost(step for step in planned.steps() if reasons[step.key] != "hit")
    totals = {
        "steps": len(steps),
        "hits": len(steps) - len(todo),
        "flops": cost.flops,
        "size_bytes": cost.size_bytes,
        "memory_bytes": cost.memory_bytes,
    }
    bundle = session.bundle_of(planned)
    if as_json:
        print_json(
            "plan",
            {
                "expression": planned.checked.expression,
                "bundle": str(bundle.path) if bundle else None,
                "lab": session.lab.label,
                "seed": session.lab.seed,
                "notices": list(planned.notices),
                "rows": [count.to_json() for count in planned.rows],
                "projectors": [projector.to_json() for projector in planned.projectors],
                "to_do": totals,
                "steps": steps,
            },
        )
        return
    for notice in planned.notices:
        say(f"note: {notice}")
    say(training_line(planned))
    print_table(
        f"lab: {session.lab.label}   {planned.checked.expression}",
        ("step", "state", "compute", "stores", "memory"),
        [
            (
                str(step["label"]),
                str(step["state"]),
                human_flops(step["flops"]),
                human_bytes(step["size_bytes"]),
                human_bytes(step["memory_bytes"]),
            )
            for step in steps
        ],
    )
    say(
        f"to do: {len(todo)} of {len(steps)} steps, {human_flops(totals['flops'])}, "
        f"{human_bytes(totals['size_bytes'])} stored, "
        f"at most {human_bytes(totals['memory_bytes'])} of arrays in memory"
    )
    if bundle and todo:
        say(f"the bundle is there, so that react runs nothing: {bundle.path}")


def _asked_forms(
    draw: str | None, shards: bool, workers: str | None, pace: float | None, anew: bool
) -> list[int]:
    """Return the numbers of workers that are asked for.

    Raises:
        UsageError: options do not go together.
    """
    from reactions.core.errors import UsageError

    forms = [
        name
        for name, value in (("--draw", draw), ("--shards", shards), ("--workers", workers))
        if value
    ]
    if len(forms) > 1:
        raise UsageError(f"{forms[0]} and {forms[1]} do not go together", fix="give one of them")
    for name, value in (("--pace", pace), ("--anew", anew)):
        if value and not workers:
            raise UsageError(f"{name} is about --workers, which is not given", fix="--workers 1,8")
    return [] if workers is None else worker_counts(workers)


def _left(session: Session, planned: ReactionPlan, *, anew: bool) -> Sequence[Step]:
    """Return the steps that a run would make, in the order in which it hands them out."""
    from reactions.core.step import Artifact
    from reactions.run.schedule import schedule

    def lookup(key: Digest) -> Artifact | None:
        return Artifact({}) if not anew and session.store.has(key) else None

    return schedule(planned.targets, lookup).pending


def planned_states(
    expression: str, planning: options.PlanOptions
) -> tuple[Session, ReactionPlan, dict[Digest, str]]:
    """Plan a reaction, and say of each step ``"hit"``, or why its result is not there."""
    session = planning.open(quiet=True)
    planned = plan_of(session, expression)
    return session, planned, session.store.explain_all(planned.steps())
