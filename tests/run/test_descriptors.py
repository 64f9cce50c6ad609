"""Plans of any size in a process that may open few files: 256 is what macOS grants."""

import textwrap

import pytest
from processes import finish, run_code

PRELUDE = """
    import resource, sys
    from pathlib import Path
    import numpy as np
    import reactions.run.device  # what is imported later opens files, too
    from bundles import record_of
    from fakes import headline
    from toy import executor
    from reactions.products.bundles.bundle import load_bundle, write_bundle
    from reactions.core.step import Artifact
    from reactions.steps.assemble import Assemble
    from toy_steps import make_step
    from reactions.store import Store, arrays
    store = Store(Path(sys.argv[1]) / "cache")
    # The standard streams and what the interpreter has open, and then 40 more.
    taken = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 16
    resource.setrlimit(resource.RLIMIT_NOFILE, (taken + 40, taken + 40))
"""


def run(code, tmp_path):
    place = f"import sys\nsys.argv[1:] = [{str(tmp_path)!r}]\n"
    out, _ = finish(run_code(place + textwrap.dedent(PRELUDE) + textwrap.dedent(code)))
    return out


@pytest.mark.parametrize("small", [0, 1 << 20], ids=["mapped", "read whole"])
def test_many_heads_are_assembled_with_few_files_open(tmp_path, small):
    """24 heads of 5 tensors each: 120 files, and 24 entries in use at once."""
    code = f"""
        arrays._SMALL_BYTES = {small}

        def train(seed):
            def make(context, inputs, start, stop):
                tensors = {{f"{{i}}.weight": np.full((2, 3), seed + i) for i in range(5)}}
                return Artifact(tensors, {{"loss": [0.5]}})
            return make_step("train", f"head {{seed}}", {{"seed": seed}}, (), make)

        heads = [{{f"S{{i}}": train(10 * mix + i) for i in range(4)}} for mix in range(6)]
        step = Assemble(record=record_of(headline()), mixtures=heads)
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
        arrays._SMALL_BYTES = 0

        def rows(seed):
            def make(context, inputs, start, stop):
                return Artifact({"x": np.arange(start, stop)[:, None] + seed})
            return make_step("embed", f"rows {seed}", {"seed": seed}, (), make,
                             n_rows=50, shard_rows=1)

        steps = [rows(seed) for seed in range(4)]
        artifacts = executor(store).run(steps)
        for step in steps:  # all of them stay in use
            assert np.array_equal(artifacts[step.key].arrays["x"][:].ravel(),
                                  np.arange(50) + step.preimage["params"]["seed"])
    """
    run(code, tmp_path)


@pytest.mark.parametrize("kind", ["npy", "safetensors"])
def test_a_folder_of_many_files_of_embeddings_is_read_with_few_of_them_open(tmp_path, kind):
    code = f"""
        from safetensors.numpy import save_file
        from reactions.encoders.precomputed.files import open_embeddings
        from reactions.encoders.precomputed.tables import Joined

        parts = []
        for i in range(100):
            rows = np.full((3, 4), i, np.float32)
            path = Path(sys.argv[1]) / f"image_{{i:03}}.{kind}"
            np.save(path, rows) if "{kind}" == "npy" else save_file({{"embeddings": rows}}, path)
            parts.append(open_embeddings(path, "image"))
        table = Joined(Path(sys.argv[1]), parts)
        assert np.array_equal(table.read(np.arange(300))[:, 0], np.repeat(np.arange(100), 3))
        kept = [table.read(np.array([3 * i])) for i in range(20)]
        assert kept[19][0, 0] == 19
    """
    run(code, tmp_path)


def test_a_corpus_of_many_archives_is_read_with_few_of_them_open(tmp_path):
    """Scanned, and taken from what the scan left; then one member of each is read."""
    code = """
        import io, os, tarfile
        from reactions.core.storage import Blob, entry_of
        from reactions.data.sources.tar_index import index_shards
        from reactions.data.scan_cache import TableCache

        root = Path(sys.argv[1])
        shards = []
        for i in range(60):
            path = root / f"{i:03}.tar"
            with tarfile.open(path, "w") as tar:
                info = tarfile.TarInfo(f"{i}.txt")
                info.size = 5
                tar.addfile(info, io.BytesIO(b"hello"))
            os.utime(path, (1, 1))
            shards.append(entry_of(path))
        cache = TableCache(root / "tables")
        for again in range(2):
            tables = list(index_shards(shards, tables=cache))
            for shard, table in zip(shards, tables, strict=True):
                offset, size = (int(table.numbers(name)[0]) for name in ("offset", "size"))
                assert Blob(shard.url, offset, size).read() == b"hello"
    """
    run(code, tmp_path)
