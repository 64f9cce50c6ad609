"""``molspace plan --workers`` and ``--shards``: a plan as other schedulers see it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from molspace_cli.console import print_json, print_table, say

if TYPE_CHECKING:
    from reactions.core.step import Step
    from reactions.session import Session


def worker_counts(text: str) -> list[int]:
    """Read numbers of workers with commas between.

    Raises:
        UsageError: they are not numbers from 1 to 4096.
    """
    from reactions.core.errors import UsageError

    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() and 1 <= int(word) <= 4096 for word in words):
        raise UsageError(
            f"--workers: '{text}' is not a list of numbers from 1 to 4096", fix="--workers 1,8,64"
        )
    return sorted({int(word) for word in words})


def print_shards(
    session: Session, expression: str, steps: Sequence[Step], *, as_json: bool
) -> None:
    """Print the tasks of what is to be done: which rows of which step, and what it waits for."""
    todo = {step.key for step in steps}
    tasks: list[dict[str, Any]] = []
    for step in steps:
        finished: Sequence[tuple[int, int]] = ()
        if step.n_rows is not None:
            partial = session.store.partial(step, verify=False)
            finished = partial.finished
            rows: Sequence[tuple[int, int] | None] = sorted([*finished, *partial.missing()])
        else:
            rows = [None]
        waits_for = [source.key for _, source in step.inputs if source.key in todo]
        tasks += [
            {
                "key": step.key,
                "kind": step.kind,
                "label": step.label,
                "rows": None if part is None else list(part),
                "done": part in finished,
                "waits_for": waits_for,
                "encoder": step.space.name if step.space else "",
            }
            for part in rows
        ]
    if as_json:
        head = {"expression": expression, "lab": session.lab.label, "seed": session.lab.seed}
        print_json("shards", {**head, "store": session.store.address, "tasks": tasks})
        return
    print_table(
        f"lab: {session.lab.label}   {expression}",
        ("step", "rows", "state", "encoder", "key"),
        [
            (
                task["label"],
                "all" if task["rows"] is None else "{:,} to {:,}".format(*task["rows"]),
                "done" if task["done"] else ("waits" if task["waits_for"] else "ready"),
                task["encoder"] or "none",
                task["key"][:12],
            )
            for task in tasks
        ],
    )
    n_done = sum(task["done"] for task in tasks)
    say(
        f"{len(tasks)} tasks, {n_done} of them done: every copy of `molspace react` that shares "
        "this cache takes the next one"
    )


def print_workers(
    session: Session,
    expression: str,
    steps: Sequence[Step],
    counts: Sequence[int],
    *,
    flops_per_s: float | None,
    is_anew: bool,
    as_json: bool,
) -> None:
    """Print how long a plan takes with several numbers of workers.

    Args:
        session: whose store has recorded times.
        expression: of the plan.
        steps: to simulate.
        counts: numbers of workers.
        flops_per_s: of a worker; None for the speed of this session's devices.
        is_anew: steps that are done count, too.
        as_json: print JSON.
    """
    from collections import Counter
    from functools import cache

    from reactions.encoders.precomputed.adapter import PrecomputedAdapter
    from reactions.planning import workers as sim
    from reactions.planning.measured_costs import (
        recorded_seconds,
        seconds_by_rows,
        whole_seconds,
    )
    from reactions.planning.throughput import pace
    from reactions.run.device import resolve_devices

    recorded_s = recorded_seconds(session.store)
    recorded = whole_seconds(session.store, steps, recorded_s)
    for step in steps:
        if step.key not in recorded:  # all of its rows were taken over
            recorded_s.pop(step.key, None)
    by_rows = seconds_by_rows(session.store, steps, recorded_s)
    n_recorded = sum(step.key in recorded for step in steps)
    unknown = [step for step in steps if step.key not in recorded and step.key not in by_rows]
    # Without known operations an encoder's cost is 0; so, rightly, is that of reading embeddings.
    uncounted = [
        step
        for step in unknown
        if step.space is not None
        and step.space.adapter != PrecomputedAdapter.scheme
        and not step.cost.flops
    ]
    kinds = Counter(step.kind for step in steps)
    if flops_per_s is None and unknown:
        devices = resolve_devices(session.device)[:1]
        flops_per_s = pace(devices, session.lab.settings.precision)
    seconds = sim.step_seconds(steps, recorded | by_rows, flops_per_s or 1.0)

    def left(step: Step) -> Sequence[tuple[int, int]]:
        return session.store.partial(step, verify=False).missing()

    todo = sim.tasks(steps, seconds, sim.shards if is_anew else left)
    bound_s, chain = sim.longest_chain(steps, todo)

    @cache
    def simulated(workers: int) -> sim.Simulated:
        return sim.simulate(steps, todo, workers)

    runs = [simulated(count) for count in counts]
    enough = sim.enough(simulated, bound_s, len(todo))
    heaviest = sorted(chain, key=lambda step: -_longest(step, todo))[:3]
    if as_json:
        print_json(
            "workers",
            {
                "expression": expression,
                "lab": session.lab.label,
                "seed": session.lab.seed,
                "anew": is_anew,
                "steps": len(steps),
                "tasks": len(todo),
                "kinds": dict(kinds),
                "recorded": n_recorded,
                "by_rows": len(by_rows),
                "uncounted": [step.label for step in uncounted],
                "flops_per_s": flops_per_s,
                "runs": [
                    {"workers": run.workers, "seconds": run.seconds, "busy": run.busy}
                    for run in runs
                ],
                "at_least_s": bound_s,
                "enough_workers": enough,
                "chain": [
                    {"key": s.key, "label": s.label, "seconds": _longest(s, todo)} for s in chain
                ],
            },
        )
        return
    if not todo:
        say("nothing to simulate: the cache has all results; --anew simulates a run without them")
        return
    alone_s = simulated(1).seconds
    print_table(
        f"lab: {session.lab.label}   {expression}",
        ("workers", "time", "speed-up", "busy"),
        [
            (
                f"{run.workers:,}",
                _time(run.seconds),
                f"{alone_s / run.seconds:.1f}" if run.seconds else "1.0",
                f"{100 * run.busy:.0f} %",
            )
            for run in runs
        ],
    )
    longest = ", ".join(f"'{step.label}' {_time(_longest(step, todo))}" for step in heaviest)
    say(
        f"simulated: {len(todo)} tasks of {len(steps)} steps "
        f"({', '.join(f'{n} {kind}' for kind, n in kinds.items())}); "
        f"{n_recorded} with recorded times"
        + (f", {len(by_rows)} by the rows of other corpora" if by_rows else "")
        + (f", {len(unknown)} by operations at {flops_per_s:.3g} FLOP/s" if unknown else "")
    )
    if chain:
        say(
            f"no number of workers takes less than {_time(bound_s)}: {len(chain)} steps, one after "
            f"the other (longest: {longest})"
        )
        say(f"from {enough} workers on, twice as many save less than a tenth")
    say("not counted: loading encoders, decoding, and moving rows between machines")
    if uncounted:
        names = sorted({step.space.name for step in uncounted if step.space is not None})
        steps_are = "1 step of" if len(uncounted) == 1 else f"{len(uncounted)} steps of"
        say(
            f"not counted either: {steps_are} {', '.join(names)}, whose operations are not known "
            "(a lab file can give them: flops)"
        )


def _longest(step: Step, todo: Sequence[Any]) -> float:
    return max((task.seconds.alone for task in todo if task.step.key == step.key), default=0.0)


def _time(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.3g} s"
    if seconds < 100 * 60:
        return f"{seconds / 60:.3g} min"
    return f"{seconds / 3600:,.3g} h"
