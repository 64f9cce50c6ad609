"""Plans of any size in a process that may open few files: 256 is what macOS grants."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent

PRELUDE = f"""
    import resource, sys
    from pathlib import Path
    sys.path[:0] = [{str(TESTS)!r}, {str(TESTS / "run")!r}]
    import numpy as np
    import reactions.run.device  # what is imported later opens files, too
    from bundles import record_of
    from fakes import headline
    from toy import executor
    from reactions.bundle import load_bundle, write_bundle
    from reactions.graph import Artifact
    from reactions.steps.assemble import assemble
    from reactions.steps.step import make_step
    from reactions.store import Store, shards
    store = Store(Path(sys.argv[1]) / "cache")
    # The standard streams and what the interpreter has open, and then 40 more.
    taken = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 16
    resource.setrlimit(resource.RLIMIT_NOFILE, (taken + 40, taken + 40))
"""


def run(code, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PRELUDE) + textwrap.dedent(code), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("small", [0, 1 << 20], ids=["mapped", "read whole"])
def test_many_heads_are_assembled_with_few_files_open(tmp_path, small):
    """24 heads of 5 tensors each: 120 files, and 24 entries in use at once."""
    code = f"""
        shards._SMALL_BYTES = {small}

        def train(seed):
            def make(context, inputs, start, stop):
                tensors = {{f"{{i}}.weight": np.full((2, 3), seed + i) for i in range(5)}}
                return Artifact(tensors, {{"loss": [0.5]}})
            return make_step("train", f"head {{seed}}", {{"seed": seed}}, (), make)

        heads = [[(f"S{{i}}", train(10 * mix + i)) for i in range(4)] for mix in range(6)]
        step = assemble(record_of(headline()), heads)
        for again in range(2):
            artifact = executor(store).run([step])[step.key]
            arrays = {{name: rows[:].copy() for name, rows in artifact.arrays.items()}}
            assert len(arrays) == 120
            assert arrays["5.S3.4.weight"][0, 0] == 53 + 4
        write_bundle(Path(sys.argv[1]) / "bundle", record_of(headline()), arrays)
    """
    run(code, tmp_path)


def test_arrays_of_many_shards_are_read_with_few_files_open(tmp_path):
    code = """
        shards._SMALL_BYTES = 0

        def rows(seed):
            def make(context, inputs, start, stop):
                return Artifact({"x": np.arange(start, stop)[:, None] + seed})
            return make_step("embed", f"rows {seed}", {"seed": seed}, (), make,
                             n_rows=50, shard_rows=1)

        steps = [rows(seed) for seed in range(4)]
        found = executor(store).run(steps)
        for step in steps:  # all of them stay in use
            assert np.array_equal(found[step.key].arrays["x"][:].ravel(),
                                  np.arange(50) + step.preimage["params"]["seed"])
    """
    run(code, tmp_path)
