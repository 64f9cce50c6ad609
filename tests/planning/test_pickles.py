"""Steps and what they are made of are plain data: another process runs them from their pickles."""

import pickle

import pytest
from lab_files import mini_lab
from processes import finish, run_code
from small_sets import load_small_lab

from reactions.eval.registry import parse_tasks
from reactions.session import Session
from reactions.store import Store

HEADLINE = "ImageBind + Dr(InternVL) | Cr(CLAP_m) & Cr(CLAP_g)"
SMALL = mini_lab(
    90, 60, hidden_dim=16, batch_size=32, dr_epochs=1, cr_epochs=1, holdout=0.2, shard_rows=50
)
IN_ANOTHER_PROCESS = """
import pickle
from pathlib import Path
import numpy as np
from fakes import Context
from reactions.core.hashing import canonical
from reactions.encoders.registry import load

ran = 0
context = Context(lambda spec: load(spec, "cpu"))
for path in sorted(Path({folder!r}).iterdir()):
    step, inputs, expected = pickle.loads(path.read_bytes())
    n, size = step.n_rows, step.shard_rows
    shards = [(0, 1)] if n is None else [(a, min(n, a + size)) for a in range(0, n, size)]
    made = [step.run(context, inputs, start, stop) for start, stop in shards]
    assert canonical(made[0].meta) == canonical(expected.meta), step.label
    assert made[0].arrays.keys() == expected.arrays.keys(), step.label
    for name, rows in expected.arrays.items():
        own = np.concatenate([artifact.arrays[name][:] for artifact in made])
        assert np.array_equal(own, rows[:]), (step.label, name)
    ran += 1
print(ran)
"""


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    path = folder / "small.toml"
    path.write_text(SMALL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(folder / "data"))
        session = Session(load_small_lab(path), Store(folder / "cache"), device="cpu")
        bundle = session.react(session.check(HEADLINE), out=folder / "bundle", current=False)
    session.bundle = bundle
    return session


def run_from_pickles(session, plan, folder):
    """Run each step of a plan in a new process, given its inputs from the store."""
    artifacts = session.run(plan.targets)
    folder.mkdir()
    for number, step in enumerate(plan.steps()):
        inputs = {name: session.store.lookup(source.key) for name, source in step.inputs}
        expected = artifacts.get(step.key) or session.store.lookup(step.key)
        data = pickle.dumps((step, inputs, expected))
        (folder / f"{number:03}").write_bytes(data)
    out, _ = finish(run_code(IN_ANOTHER_PROCESS.format(folder=str(folder))))
    return int(out)


def test_every_step_of_a_reaction_runs_from_its_pickle(session, tmp_path):
    plan = session.plan(session.check(HEADLINE))
    kinds = {step.kind for step in plan.steps()}
    assert kinds == {"embed", "mean", "collect", "train", "quality", "assemble"}
    assert run_from_pickles(session, plan, tmp_path / "steps") == len(list(plan.steps()))


def test_every_step_of_an_evaluation_runs_from_its_pickle(session, tmp_path):
    target = session.target(session.bundle.path)
    plan = session.scores(target, parse_tasks("freebind"))
    assert run_from_pickles(session, plan, tmp_path / "steps") == len(list(plan.steps()))
