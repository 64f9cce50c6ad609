"""Plans as drawings: Mermaid for Markdown, dot for Graphviz."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from reactions.planning.plan import Plan


def draw(plan: Plan, states: Mapping[str, str], *, form: Literal["mermaid", "dot"]) -> str:
    """Draw a plan, inputs above what needs them; steps that are done look so.

    Args:
        plan: what to draw.
        states: step key to ``"hit"``, or the reason of a miss.
        form: ``"mermaid"`` or ``"dot"``.
    """
    steps = list(plan.steps())
    name = {step.key: f"s{index}" for index, step in enumerate(steps)}
    edges = [(name[child.key], name[step.key]) for step in steps for _, child in step.inputs]
    edges = list(dict.fromkeys(edges))
    done = {step.key for step in steps if states.get(step.key) == "hit"}
    if form == "mermaid":
        lines = ["flowchart TD"]
        lines += [
            f'  {name[step.key]}["{_mermaid(step.label)}"]' + (":::hit" if step.key in done else "")
            for step in steps
        ]
        lines += [f"  {start} --> {end}" for start, end in edges]
        lines.append("  classDef hit fill:#d8f0d8,stroke:#4a8a4a")
        return "\n".join(lines)
    lines = ["digraph plan {", "  node [shape=box, style=filled, fillcolor=white];"]
    for step in steps:
        fill = ", fillcolor=palegreen" if step.key in done else ""
        lines.append(f'  {name[step.key]} [label="{_dot(step.label)}"{fill}];')
    lines += [f"  {start} -> {end};" for start, end in edges]
    return "\n".join([*lines, "}"])


def _mermaid(text: str) -> str:
    # Mermaid writes entities with # in place of &.
    return text.replace("&", "#amp;").replace('"', "#quot;")


def _dot(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
