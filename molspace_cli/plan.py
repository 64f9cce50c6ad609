"""``molspace plan``."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from molspace_cli import options
from molspace_cli.console import human_bytes, human_flops, print_json, print_table, print_text, say
from molspace_cli.quality import row_line
from molspace_cli.react import Expression, read_expression


def plan(
    expression: Expression,
    draw: Annotated[
        Literal["mermaid", "dot"] | None,
        typer.Option("--draw", help="Print a drawing instead: Mermaid, or Graphviz's dot."),
    ] = None,
    lab: options.Lab = None,
    data: options.Data = None,
    weights: options.Weights = None,
    trust: options.Trust = None,
    seed: options.Seed = None,
    precision: options.Precision = None,
    online: options.Online = False,
    as_json: options.Json = False,
) -> None:
    """Show the steps of a reaction: which are done, why not, and what the rest costs.

    Loads no weights and needs no GPU.
    """
    from reactions.planning import drawing
    from reactions.planning.planner import plan_json, total_cost

    session = options.open_session(
        lab,
        seed=seed,
        precision=precision,
        quiet=True,
        data=data,
        weights=weights,
        trust=trust,
        online=online,
    )
    checked = session.check(read_expression(expression))
    options.refuse_unused_weights(session, checked.space)
    planned = session.plan(checked)
    reasons = session.store.explain_all(planned.steps())
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
                "expression": checked.expression,
                "lab": session.lab.label,
                "seed": session.lab.seed,
                "notices": list(planned.notices),
                "rows": [count.to_json() for count in planned.rows],
                "projectors": [one.to_json() for one in planned.projectors],
                "to_do": totals,
                "steps": steps,
            },
        )
        return
    for notice in planned.notices:
        say(f"note: {notice}")
    say(f"trains on: {row_line([count.to_json() for count in planned.rows])}")
    print_table(
        f"lab: {session.lab.label}   {checked.expression}",
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
