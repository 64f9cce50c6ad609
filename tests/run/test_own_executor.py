"""An executor of another package: the example, installed, makes what the built-in one makes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from installed import install_example
from media_files import put
from toy import contents

ROOT = Path(__file__).parents[2]
LAB = """
[lab]
extends = "mini"
[reaction]
hidden_dim = 16
cr_epochs = 1
batch_size = 32
shard_rows = 40
[corpora]
text = { world = 90 }
image = { world = 60 }
audio = { world = 60 }
"""


@pytest.fixture
def site(tmp_path):
    install_example(tmp_path / "site", ROOT / "examples" / "own_executor")
    return tmp_path / "site"


@pytest.mark.slow
def test_the_example_makes_what_the_local_executor_makes(site, tmp_path):
    put(tmp_path / "molspace.toml", LAB)
    made = {}
    for executor in ("local", "processes"):
        own = tmp_path / executor
        line = ["react", "ImageBind + Cr(CLAP_m)", "--executor", executor, "--device", "cpu,cpu"]
        done = subprocess.run(
            [sys.executable, "-m", "molspace_cli", *line, "--yes", "--quiet", "--json"],
            cwd=tmp_path,
            env={
                **os.environ,
                "PYTHONPATH": f"{site}{os.pathsep}{ROOT}",
                "OMP_NUM_THREADS": "1",  # else the order of sums depends on the workers
                "XDG_DATA_HOME": str(own / "data"),
                "XDG_CACHE_HOME": str(own / "cache"),
                "MOLSPACE_CACHE": str(own / "store"),
            },
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        made[executor] = json.loads(done.stdout)["digest"], contents(own / "store")
    assert made["local"] == made["processes"]
    assert len(made["local"][1]) > 10
