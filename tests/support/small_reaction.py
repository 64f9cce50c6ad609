"""A reaction of seconds by the command line, on any executor: what it made, byte for byte."""

import json
import os

from command_line import molspace
from lab_files import mini_lab
from media_files import put
from toy import contents

LAB = mini_lab(90, 60, hidden_dim=16, cr_epochs=1, batch_size=32, shard_rows=40)


def react(folder, executor="local", device="cpu", site=""):
    """Run it into a store of its own.

    Args:
        folder: where the lab file, the store and the bundle are written.
        executor: what ``--executor`` names.
        device: what ``--device`` names.
        site: folder where packages are installed for it.

    Returns:
        The digest of the bundle, what the store holds, and the lines of stderr.
    """
    put(folder / "molspace.toml", LAB)
    result = molspace(
        *("react", "ImageBind + Cr(CLAP_m, data=TVA)", "--executor", executor),
        *("--device", device, "--yes", "--quiet", "--json"),
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(site),
            "OMP_NUM_THREADS": "1",  # else the order of sums depends on the workers
            "XDG_DATA_HOME": str(folder / "data"),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "MOLSPACE_CACHE": str(folder / "store"),
        },
        timeout_s=300,
    )
    assert result.returncode == 0, result.stderr
    digest = json.loads(result.stdout)["digest"]
    return digest, contents(folder / "store"), result.stderr.splitlines()
