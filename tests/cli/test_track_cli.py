"""``--track`` as a user types it, on a small copy of the mini lab."""

import json
import os
from pathlib import Path

import command_line
import pytest
from boards import boards
from lab_files import mini_lab
from toy import contents

import reactions

EXPRESSION = "ImageBind + Cr(CLAP_m, data=T)"
SMALL = mini_lab(350, 250, hidden_dim=32, batch_size=64, cr_epochs=3, shard_rows=100)
CURVE = "train/ImageBind + Cr(CLAP_m)/loss on T"


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """A machine on which the reaction was run once, with and without tracking."""
    root = tmp_path_factory.mktemp("machine")
    (root / "molspace.toml").write_text(SMALL)
    env = {**os.environ, "MOLSPACE_CACHE": str(root / "cache"), "XDG_DATA_HOME": str(root / "data")}
    tracked = molspace(root, env, "react", EXPRESSION, "--track", "boards", "--json")
    assert tracked.returncode == 0, tracked.stderr
    plain = molspace(
        root,
        {**env, "MOLSPACE_CACHE": str(root / "cache 2")},
        *("react", EXPRESSION, "--json", "--out", "plain"),
    )
    assert plain.returncode == 0, plain.stderr
    return root, env, json.loads(tracked.stdout), json.loads(plain.stdout)


def molspace(root, env, *arguments):
    return command_line.molspace(*arguments, env=env, cwd=root)


def test_what_is_tracked_is_what_was_trained(machine):
    root, _, report, _ = machine
    (board,) = [board for board in boards(root / "boards") if board.facts["command"] == "react"][:1]
    record = json.loads(Path(report["bundle"], "bundle.json").read_text())
    (losses,) = record["losses"].values()
    assert list(board.curves) == [CURVE]
    assert board.curves[CURVE] == [(i, pytest.approx(loss)) for i, loss in enumerate(losses, 1)]
    assert board.name.startswith("ImageBind-CLAP_m-2")
    assert board.facts["lab"] == "mini (small)"
    assert board.facts["expression"] == EXPRESSION
    assert "cached" not in board.texts
    assert board.status == 1


def test_tracking_changes_neither_keys_nor_results(machine):
    root, _, tracked, plain = machine
    assert tracked["digest"] == plain["digest"]
    untracked, with_ = contents(root / "cache 2"), contents(root / "cache")
    assert untracked
    assert untracked.items() <= with_.items()


def test_a_second_run_has_a_board_of_its_own_with_the_cached_losses(machine):
    root, env, *_ = machine
    before = {board.name for board in boards(root / "boards")}
    result = molspace(root, env, "react", EXPRESSION, "--track", "boards")
    assert result.returncode == 0, result.stderr
    (new,) = [board for board in boards(root / "boards") if board.name not in before]
    (first,) = [board for board in boards(root / "boards") if board.name == min(before)]
    assert new.curves == first.curves
    assert f"- {CURVE}: 3 of 3 points" in new.texts["cached"]


def test_scores_are_tracked_and_stdout_stays_json(machine):
    root, env, *_ = machine
    run = molspace(
        root, env, "eval", "--task", "esc50", "--sigma", "0.8,0.5", "--track", "scores", "--json"
    )
    assert run.returncode == 0, run.stderr
    (result,) = json.loads(run.stdout)["results"]
    (board,) = boards(root / "scores")
    assert board.curves == {
        f"score/esc50/{metric}": [(0, pytest.approx(value))]
        for metric, value in result["metrics"].items()
    }
    assert "sigma CLAP_m: audio 0.8, text 0.5" in board.texts["score/esc50"]
    assert (board.facts["lab"], board.facts["seed"]) == ("mini (small)", 0)


def test_rows_of_a_table_lie_in_one_folder(machine):
    root, env, *_ = machine
    result = molspace(
        *(root, env, "reproduce", "table3", "--rows", "ImageBind,CLAP_m", "--track", "table"),
    )
    assert result.returncode == 0, result.stderr
    groups = {board.name.partition("/")[::2] for board in boards(root / "table")}
    assert {row for _, row in groups} == {"ImageBind", "CLAP_m"}
    assert len({group for group, _ in groups}) == 1
    for board in boards(root / "table"):
        assert board.name.startswith("table3-2")
        assert "score/esc50/accuracy" in board.curves


def test_rows_of_a_figure_lie_in_one_folder(machine):
    root, env, *_ = machine
    result = molspace(root, env, "reproduce", "figure5", "--grid", "0.5", "--track", "figure")
    assert result.returncode == 0, result.stderr
    groups = {board.name.partition("/")[::2] for board in boards(root / "figure")}
    assert {row for _, row in groups} == {"ImageBind", "ImageBind++", "CLAP_g"}
    (group,) = {group for group, _ in groups}
    assert group.startswith("figure5-2")


def test_sweeps_and_what_was_tuned_for_are_tracked(machine):
    root, env, *_ = machine
    factors = ("--sigma", "0/0.5,0.1")
    result = molspace(root, env, *("sweep", "--task", "esc50", *factors, "--track", "sweep"))
    assert result.returncode == 0, result.stderr
    (board,) = boards(root / "sweep")
    assert "score/esc50/accuracy" in board.curves
    assert board.facts["command"] == "sweep"
    result = molspace(
        *(root, env, "tune", "--objective", "esc50", *factors, "--track", "tune", "--out", "tuned")
    )
    assert result.returncode == 0, result.stderr
    rows = {board.facts["row"]: board for board in boards(root / "tune")}
    assert {"chosen", "own"} <= set(rows)
    assert all(list(board.curves) == ["score/esc50/score"] for board in rows.values())


def test_a_place_that_cannot_be_is_refused_before_anything_runs(machine):
    root, env, *_ = machine
    for place, code, words in [
        ("molspace.toml", 4, "a file has this name"),
        ("wandbb:x", 2, "did you mean 'wandb:x'?"),
        ("", 2, "--track is empty"),
    ]:
        result = molspace(root, env, "react", EXPRESSION, "--seed", "5", "--track", place)
        assert (result.returncode, result.stdout) == (code, "")
        assert words in result.stderr
        assert "steps to run" not in result.stderr


def test_python_tracks_too(machine, monkeypatch):
    root, env, *_ = machine
    monkeypatch.chdir(root)
    for name in ("MOLSPACE_CACHE", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, env[name])
    fused = reactions.react(
        EXPRESSION, lab="molspace.toml", device="cpu", track=root / "python", progress=False
    )
    assert fused.expression == EXPRESSION
    (board,) = boards(root / "python")
    assert len(board.curves[CURVE]) == 3
    assert board.facts["command"] == "react"
