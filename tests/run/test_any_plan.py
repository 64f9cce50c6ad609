"""Any plan, on any number of workers: every step once, in order, and the same bytes."""

import collections
import tempfile
import threading
import weakref
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from toy import SPEC, Held, assert_sound, contents, executor
from toy_steps import make_step

from reactions.core.step import Artifact
from reactions.run import events as ev
from reactions.store import Store


@st.composite
def plans(draw):
    """Steps as (inputs, rows or None, shard rows, encoder, shares); and targets."""
    described = []
    for position in range(draw(st.integers(1, 8))):
        inputs = draw(st.sets(st.integers(0, position - 1), max_size=3)) if position else set()
        rows = draw(st.none() | st.integers(0, 5))
        encoder = "" if inputs or rows is None else draw(st.sampled_from(["", "a", "b", "c"]))
        shares = draw(st.sampled_from(["", "", "s", "t"]))
        described.append((sorted(inputs), rows, draw(st.integers(1, 3)), encoder, shares))
    return described, draw(st.sets(st.integers(0, len(described) - 1), min_size=1))


class Recorder:
    """Makes steps of descriptions, and notes what ran and what each thread holds."""

    def __init__(self, described):
        self.calls = collections.Counter()
        self.loads = collections.Counter()
        self.held = collections.Counter()
        self.steps = []
        for position, description in enumerate(described):
            self.steps.append(self.step(position, *description))

    def load(self, spec, device):
        self.loads[threading.get_ident(), spec.name] += 1
        return self.hold("encoder")

    def hold(self, resource):
        thread_and_resource = threading.get_ident(), resource
        assert self.held[thread_and_resource] == 0  # never two at a time on one device
        self.held[thread_and_resource] += 1
        holder = Held()
        weakref.finalize(holder, self.held.subtract, [thread_and_resource])
        return holder

    def step(self, position, inputs, rows, shard_rows, encoder, shares):
        sources = [(str(i), self.steps[i]) for i in inputs]
        spec = replace(SPEC, name=encoder, weights_digest=encoder * 64)

        def run(context, inputs_given, start, stop):
            self.calls[position, start, stop] += 1
            for name, step in sources:
                n = 1 if step.n_rows is None else step.n_rows
                assert np.array_equal(inputs_given[name].arrays["x"][:], values(int(name), 0, n))
            if encoder:
                context.encoder(spec)
            if shares:
                context.shared(lambda: self.hold("shared"))
            thread = threading.get_ident()
            assert self.held[thread, "encoder"] == bool(encoder)
            assert self.held[thread, "shared"] == bool(shares)
            context.progress(stop - start, stop - start, "items")
            return Artifact({"x": values(position, start, stop)})

        params = {"position": position, "space": spec.identity("text") if encoder else None}
        kind = "embed" if encoder else "collect"
        return make_step(
            kind,
            str(position),
            params,
            sources,
            run,
            n_rows=rows,
            shard_rows=shard_rows,
            shares=shares,
            space=spec if encoder else None,
        )


def values(position, start, stop):
    return np.arange(start, stop, dtype=np.float64)[:, None] + 100 * position


@settings(max_examples=30)
@given(plans(), st.integers(2, 4))
def test_any_plan_runs_once_in_order_and_gives_the_same_bytes(plan, workers):
    described, chosen = plan
    needed, contents_by_store = set(chosen), []
    for position in reversed(range(len(described))):
        needed.update(described[position][0] if position in needed else ())
    shards = collections.Counter()
    for position in needed:
        _, rows, size, *_ = described[position]
        for start in range(0, rows or 1, size) if rows is not None else [0]:
            shards[position, start, 1 if rows is None else min(rows, start + size)] += 1
    for device in ("cpu", ",".join(["cpu"] * workers)):
        recorder, events = Recorder(described), []
        # Nothing is killed here, so nothing has to reach the disk.
        with tempfile.TemporaryDirectory() as folder, mock.patch("os.fsync"):
            store = Store(Path(folder))
            targets = [recorder.steps[position] for position in sorted(chosen)]
            artifacts = executor(store, events, device=device, load_encoder=recorder.load).run(
                targets
            )
            assert artifacts.keys() == {step.key for step in targets}
            assert_sound(store)
            contents_by_store.append(contents(store.root))
        assert recorder.calls == shards
        assert set(recorder.loads.values()) <= {1}
        assert Held.alive == 0
        assert replace(events[0], expected=()) == ev.PlanStarted(len(needed), 0)
        costs = {step.key: ev.Expected(step.key, step.kind, 0.0) for step in recorder.steps}
        needed_keys = {recorder.steps[position].key for position in needed}
        assert set(events[0].expected) == {costs[key] for key in needed_keys}
        assert len(events[0].expected) == len(needed)
        assert events[-1].executed == len(needed)
        for position, step in enumerate(recorder.steps):
            reported = [e for e in events if getattr(e, "key", "") == step.key]
            if position not in needed:
                assert reported == []
                continue
            assert isinstance(reported[0], ev.StepStarted)
            assert isinstance(reported[-1], ev.StepFinished)
            counts = [e.done for e in reported[1:-1]]
            assert counts == sorted(counts)
    assert contents_by_store[0] == contents_by_store[1]
    assert len(contents_by_store[0]) > len(needed)
