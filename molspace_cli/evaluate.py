"""``molspace eval``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from molspace_cli import options
from molspace_cli.console import print_json, print_note, print_table, say


def evaluate(
    task: Annotated[
        str,
        typer.Option(
            "--task",
            metavar="TASK[,TASK...]|all",
            help="esc50, audioset, audiocaps, clotho, vggss, flickrnet, coco, flickr30k, "
            "imagenet; all takes those the space can do.",
            show_default=False,
        ),
    ],
    space: options.SpaceRef = None,
    sigma: options.Sigma = None,
    lambda_: options.Lambda = None,
    experts: options.Experts = None,
    lab: options.Lab = None,
    data: options.Data = None,
    weights: options.Weights = None,
    trust: options.Trust = False,
    seed: options.Seed = None,
    precision: options.Precision = None,
    device: options.Device = "auto",
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Score a space on tasks: zero-shot classification and retrieval in both directions."""
    from reactions.eval.tasks import parse_tasks

    tasks = parse_tasks(task)
    chosen = options.adjustment(sigma, lambda_, experts)
    bench = options.workbench(
        lab,
        seed=seed,
        precision=precision,
        device=device,
        quiet=quiet,
        data=data,
        weights=weights,
        trust=trust,
    )
    target = bench.target(space)
    if task.strip().casefold() == "all":
        fit = [t for t in tasks if {t.query, t.other} <= set(target.space.modalities)]
        if len(fit) < len(tasks) and not quiet:
            left_out = ", ".join(t.name for t in tasks if t not in fit)
            say(f"note: {target.name} cannot do {left_out}")
        tasks = tuple(fit)
    results = [result.record for result in bench.evaluate(target, tasks, chosen)]
    if not quiet:
        for notice in (text for record in results for text in record["notices"]):
            say(f"note: {notice}")
    if as_json:
        print_json("eval", {"lab": results[0]["lab"] if results else "", "results": results})
        return
    for record in results:
        _print(record)


def _print(record: Mapping[str, Any]) -> None:
    metrics = record["metrics"]
    facts = [f"lab: {record['lab']}", f"n: {record['n']}"]
    if record["expected"] and record["expected"] != record["n"]:
        facts.append(f"published set: {record['expected']}")
    if record["experts"] is not None:
        facts.append("experts: " + ", ".join(record["experts"]))
    for name, values in record["factors"].items():
        facts.append(name + ": " + ", ".join(f"{m} {v:g}" for m, v in values.items()))
    if record["prompts"]:
        more = len(record["prompts"]) - 1
        facts.append(f'prompt: "{record["prompts"][0]}"' + (f" and {more} more" if more else ""))
    rows = [
        (("* " if name == record["main"] else "") + name, f"{value:.2f}")
        for name, value in metrics.items()
    ]
    print_table(f"{record['task']}   {record['space']}", ("metric", "%"), rows)
    print_note("   ".join(facts))
