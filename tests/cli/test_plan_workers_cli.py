"""``molspace plan --workers`` and ``--shards``."""

import json
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import pytest
from in_process import runner

from reactions.steps.embed import EmbedLeaf

REACTION = "ImageBind + Cr(CLAP_m)"


@pytest.fixture
def molspace(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MOLSPACE_CACHE", str(tmp_path / "store"))

    command = runner(monkeypatch, capsys)

    def run(*arguments):
        code, out, err = command(*arguments)
        return SimpleNamespace(returncode=code, stdout=out, stderr=err)

    return run


def test_shards_are_tasks_for_other_schedulers(molspace):
    body = json.loads(molspace("plan", REACTION, "--shards", "--json").stdout)
    assert body["schema"].startswith("molspace.shards/")
    plan = json.loads(molspace("plan", REACTION, "--json").stdout)
    keys = [step["key"] for step in plan["steps"]]
    assert {task["key"] for task in body["tasks"]} == set(keys)
    for step in plan["steps"]:
        rows = [task["rows"] for task in body["tasks"] if task["key"] == step["key"]]
        if rows != [None]:
            assert rows[0][0] == 0
            assert all(a[1] == b[0] for a, b in pairwise(rows))
    waiting = {key for task in body["tasks"] for key in task["waits_for"]}
    assert waiting <= set(keys)
    assert not any(task["done"] for task in body["tasks"])


def test_workers_are_simulated(molspace):
    line = ["plan", REACTION, "--workers", "8,1", "--pace", "1e10"]
    body = json.loads(molspace(*line, "--json").stdout)
    single, eight = body["runs"]
    assert (single["workers"], eight["workers"]) == (1, 8)
    assert single["busy"] == pytest.approx(1.0)
    assert body["at_least_s"] <= eight["seconds"] < single["seconds"]
    assert sum(step["seconds"] for step in body["chain"]) == pytest.approx(body["at_least_s"])
    assert (body["recorded"], body["flops_per_s"]) == (0, 1e10)
    result = molspace(*line)
    assert "lab: mini" in result.stdout
    assert "no number of workers takes less than" in result.stderr
    assert "not counted: loading encoders" in result.stderr


def test_what_is_counted_is_said(molspace, monkeypatch):
    """An encoder of unknown operations would count as free, silently."""
    line = ["plan", REACTION, "--workers", "1", "--pace", "1e10"]
    body = json.loads(molspace(*line, "--json").stdout)
    assert body["uncounted"] == []
    assert body["kinds"]["embed"] > 0
    assert sum(body["kinds"].values()) == body["steps"]
    flops = EmbedLeaf.cost.func
    monkeypatch.setattr(EmbedLeaf, "cost", property(lambda s: replace(flops(s), flops=0.0)))
    result = molspace(*line)
    assert f"({body['kinds']['embed']} embed, " in result.stderr
    assert "not counted either: 5 steps of CLAP_m, ImageBind, whose operations" in result.stderr
    assert len(json.loads(molspace(*line, "--json").stdout)["uncounted"]) == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--workers", "0"], "--workers: '0' is not a list of numbers"),
        (["--workers", "two"], "--workers: 'two' is not a list"),
        (["--workers", "2", "--shards"], "do not go together"),
        (["--shards", "--draw", "dot"], "do not go together"),
        (["--anew"], "--anew is about --workers"),
        (["--pace", "1e9"], "--pace is about --workers"),
    ],
)
def test_what_does_not_go_together(molspace, options, message):
    result = molspace("plan", REACTION, *options)
    assert result.returncode == 2
    assert message in result.stderr
