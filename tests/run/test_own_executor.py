"""An executor of another package: the example, installed, makes what the built-in one makes."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from media_files import put
from toy import contents

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "own_executor"
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
    """What installing the package leaves: its metadata, and the module."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    lines = []
    for group, points in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in points.items())]
    info = tmp_path / "site" / "molspace_processes-0.1.0.dist-info"
    put(info / "entry_points.txt", "\n".join(lines) + "\n")
    put(info / "METADATA", "Metadata-Version: 2.1\nName: molspace-processes\nVersion: 0.1.0\n")
    put(info.parent / "molspace_processes.py", (EXAMPLE / "molspace_processes.py").read_text())
    return info.parent


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
