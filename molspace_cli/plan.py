"""``molspace plan``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from molspace_cli import options
from molspace_cli.console import human_bytes, human_flops, print_json, print_table, print_text, say
from molspace_cli.groups import grouped
from molspace_cli.quality import row_line
from molspace_cli.react import Expression, plan_of

if TYPE_CHECKING:
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
    planning: options.PlanOptions,
    as_json: options.Json = False,
) -> None:
    """Show the steps of a reaction: which are done, why not, and what the rest costs.

    Loads no weights and needs no GPU.

    Examples:
      molspace plan "ImageBind + Cr(CLAP_m)"
      molspace plan "ImageBind + Cr(CLAP_m)" --draw mermaid > plan.mmd
    """
    from reactions.planning import drawing
    from reactions.planning.plan import plan_json, total_cost

    session, planned, reasons = planned_states(expression, planning)
    if draw:
        print_text(drawing.draw(planned, reasons, form=draw))
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
    if as_json:
        print_json(
            "plan",
            {
                "expression": planned.checked.expression,
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
    say(f"trains on: {row_line([count.to_json() for count in planned.rows])}")
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


def planned_states(
    expression: str, planning: options.PlanOptions
) -> tuple[Session, ReactionPlan, dict[Digest, str]]:
    """Plan a reaction, and say of each step ``"hit"``, or why its result is not there."""
    session = planning.open(quiet=True)
    planned = plan_of(session, expression)
    return session, planned, session.store.explain_all(planned.steps())
