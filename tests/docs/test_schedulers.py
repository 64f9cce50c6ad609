"""The examples for Slurm and Kubernetes: what they start are command lines of today."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import typer.main
import yaml

from molspace_cli import verbosity
from molspace_cli.app import app

EXAMPLES = Path(__file__).parents[2] / "examples"
EXPRESSION = "ImageBind + Cr(CLAP_m)"
READ = ("MOLSPACE_CACHE", "MOLSPACE_LAB", "XDG_DATA_HOME", "SRUN_CPUS_PER_TASK")


def parsed(words):
    """Parse a command line; return the options of ``react``."""
    root = typer.main.get_command(app)
    verbosity.add_options(root)
    assert words[:2] == ["molspace", "react"]
    try:
        return root.commands["react"].make_context("molspace", words[2:]).params
    finally:
        verbosity.begin()  # closes the log that it names


def sent(folder, *arguments, **variables):
    """Run the Slurm script with an ``srun`` that writes down what it is given."""
    srun = folder / "srun"
    srun.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\nenv > srun.env\n')
    srun.chmod(0o755)
    env = {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "HOME": str(folder), **variables}
    return subprocess.run(
        ["sh", str(EXAMPLES / "slurm.sh"), *arguments],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.skipif(not shutil.which("sh"), reason="needs a shell")
def test_a_copy_of_the_array(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where the log is opened
    process = sent(tmp_path, EXPRESSION, SLURM_ARRAY_TASK_ID="3", SLURM_CPUS_PER_TASK="8")
    assert process.returncode == 0, process.stderr
    options = parsed(process.stdout.splitlines())
    assert options["expression"] == EXPRESSION
    words = process.stdout.splitlines()
    assert words[words.index("--log-file") + 1] == "log-3.jsonl"
    lines = (tmp_path / "srun.env").read_text().splitlines()
    set_here = dict(line.split("=", 1) for line in lines if line.startswith(READ))
    assert set_here == {
        "MOLSPACE_CACHE": f"{tmp_path}/molspace-cache",
        "MOLSPACE_LAB": "paper",
        "SRUN_CPUS_PER_TASK": "8",
    }


@pytest.mark.skipif(not shutil.which("sh"), reason="needs a shell")
def test_without_a_reaction_it_says_how_it_is_used(tmp_path):
    process = sent(tmp_path)
    assert (process.returncode, process.stdout) == (2, "")
    assert "usage: sbatch examples/slurm.sh EXPRESSION" in process.stderr


def test_what_slurm_is_asked_for():
    lines = (EXAMPLES / "slurm.sh").read_text().splitlines()
    options = [shlex.split(line)[1] for line in lines if line.startswith("#SBATCH ")]
    assert {"--array=1-8", "--gres=gpu:1", "--requeue"} <= set(options)
    first = next(i for i, line in enumerate(lines) if line and not line.startswith("#"))
    assert not any(line.startswith("#SBATCH") for line in lines[first:]), "Slurm stops reading"


def test_a_pod():
    job = yaml.safe_load((EXAMPLES / "k8s.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    assert job["spec"]["parallelism"] == job["spec"]["completions"] == 8
    pod = job["spec"]["template"]["spec"]
    assert pod["restartPolicy"] == "OnFailure"
    (container,) = pod["containers"]
    parsed(container["command"])
    names = {entry["name"] for entry in container["env"]}
    assert names <= set(READ)
    (mount,) = container["volumeMounts"]
    assert mount["name"] in {volume["name"] for volume in pod["volumes"]}
    for entry in container["env"]:
        assert entry["value"].startswith(mount["mountPath"])
