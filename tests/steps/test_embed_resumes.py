"""Embedding a corpus with a real encoder, in shards, into a store; killed in the middle."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from reactions.encoders import registry
from reactions.encoders.tower import TowerEncoder
from reactions.labs import lab_file, mini
from reactions.run.local import LocalExecutor
from reactions.steps.embed import EmbedLeaf
from reactions.store import Store

N, SHARD = 200, 48


def step_and_encoder(modality="audio", dtype="float16"):
    spec = lab_file.load_lab("mini").catalogue.by_name("CLAP_g")
    corpus = mini.corpus(modality, n=N, seed=0)
    step = EmbedLeaf(space=spec, corpus=corpus, dtype=dtype, shard_rows=SHARD)
    return step, registry.load(spec), corpus


def run(store, step):
    executor = LocalExecutor(store, device="cpu", load_encoder=registry.load)
    return executor.run([step])[step.key].arrays["embeddings"]


def die_in_the_third_shard(root):
    """Run by another process."""
    forward = TowerEncoder.forward

    def fatal(self, modality, inputs):
        fatal.calls += 1
        if fatal.calls == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return forward(self, modality, inputs)

    fatal.calls = 0
    TowerEncoder.forward = fatal
    run(Store(Path(root)), step_and_encoder()[0])


@pytest.mark.parametrize("modality", ["audio", "text"])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_what_is_stored(tmp_path, modality, dtype):
    step, encoder, corpus = step_and_encoder(modality, dtype)
    rows = run(Store(tmp_path / "store"), step)
    expected = encoder.embed(modality, corpus.items(0, N))
    assert (rows.dtype, rows.shape) == (np.dtype(dtype), (N, encoder.spec.dim))
    # Batches of another size sum in another order; half precision keeps three digits.
    tolerance = 1e-5 if dtype == "float32" else 1e-3
    np.testing.assert_allclose(rows[:], expected, atol=tolerance)


def test_a_killed_run_resumes_at_the_shard(tmp_path, monkeypatch):
    root = tmp_path / "store"
    code = (
        "import sys; sys.path.append('../support'); import test_embed_resumes as t; "
        "t.die_in_the_third_shard(sys.argv[1])"
    )
    process = subprocess.run(
        [sys.executable, "-c", code, str(root)],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
    )
    assert process.returncode == -signal.SIGKILL, process.stderr
    step, encoder, corpus = step_and_encoder()
    batch_sizes = []
    forward = TowerEncoder.forward

    def counted(self, modality, inputs):
        batch_sizes.append(len(inputs))
        return forward(self, modality, inputs)

    monkeypatch.setattr(TowerEncoder, "forward", counted)
    rows = run(Store(root), step)
    assert batch_sizes == [SHARD, SHARD, N - 4 * SHARD]  # the first two were finished
    monkeypatch.undo()
    np.testing.assert_allclose(rows[:], encoder.embed("audio", corpus.items(0, N)), atol=1e-3)
