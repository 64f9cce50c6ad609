"""trackio and wandb: the real one where it is installed, else what we ask of it."""

import sys
from types import SimpleNamespace

import pytest

from reactions.core.errors import MissingError
from reactions.tracking.board import BoardName
from reactions.tracking.trackers import open_tracker

FACTS = {"command": "react", "lab": "mini", "seed": 7}


# --- trackio ---------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # it imports much; none of it is ours
def test_trackio_keeps_runs_on_this_machine(tmp_path, monkeypatch, capsys):
    pytest.importorskip("trackio")
    from trackio.sqlite_storage import SQLiteStorage

    for module in ("trackio", "trackio.utils", "trackio.sqlite_storage"):
        monkeypatch.setattr(f"{module}.TRACKIO_DIR", tmp_path / "runs")
    tracker = open_tracker("trackio:molspace")
    for name in ("a", "b"):
        board = tracker.open(BoardName(name, "table4-1"), FACTS)
        board.scalar("train/A on T/loss", 2.5, 1)
        board.scalar("train/A on T/loss", 1.5, 2)
        board.text("cached", "none")
        board.close(complete=True)
    assert SQLiteStorage.get_runs("molspace") == ["a", "b"]
    logs = SQLiteStorage.get_logs("molspace", "a")
    curve = {log["step"]: log[tag] for log in logs for tag in log if tag.startswith("train/")}
    assert curve == {1: 2.5, 2: 1.5}
    config = SQLiteStorage.get_run_config("molspace", "a")
    assert FACTS.items() <= config.items()
    assert (config["_Group"], config["_Username"]) == ("table4-1", None)
    assert capsys.readouterr().out == ""


def test_trackio_is_not_sent_away_offline(monkeypatch):
    monkeypatch.setenv("TRACKIO_SPACE_ID", "me/space")
    monkeypatch.setenv("MOLSPACE_OFFLINE", "1")
    with pytest.raises(MissingError, match="would send runs away") as caught:
        open_tracker("trackio:p")
    assert "TRACKIO_SPACE_ID=me/space" in caught.value.why


# --- wandb -----------------------------------------------------------------------------


class FakeRun:
    def __init__(self, options):
        self.options, self.points, self.summary = options, [], {}
        self.metrics, self.exit_code = {}, None

    def define_metric(self, pattern, step_metric):
        self.metrics[pattern] = step_metric

    def log(self, point):
        self.points.append(point)

    def finish(self, exit_code):
        print("wandb: bye")
        self.exit_code = exit_code


@pytest.fixture
def wandb(monkeypatch):
    """A package that records what it is asked for; ``key`` is whether somebody is logged in."""
    fake = SimpleNamespace(runs=[], logins=0, key=True)

    def login():
        fake.logins += 1
        if not fake.key:
            raise RuntimeError("no API key\nconfigured")

    def init(**options):
        print("wandb: hello")
        fake.runs.append(FakeRun(options))
        return fake.runs[-1]

    fake.login, fake.init = login, init
    monkeypatch.setitem(sys.modules, "wandb", fake)
    for name in ("WANDB_MODE", "MOLSPACE_OFFLINE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    return fake


def test_wandb_gets_points_with_their_positions(wandb, capsys):
    board = open_tracker("wandb:me/molspace").open(BoardName("a", "table4-1"), FACTS)
    board.scalar("train/A on T/loss", 2.5, 1)
    board.text("cached", "none")
    board.close(complete=False)
    (run,) = wandb.runs
    assert wandb.logins == 1
    options = run.options
    assert (options["entity"], options["project"]) == ("me", "molspace")
    assert (options["name"], options["group"], options["config"]) == ("a", "table4-1", FACTS)
    assert "mode" not in options
    assert run.points == [{"train/A on T/loss": 2.5, "position": 1}]
    assert run.metrics == {"*": "position"}
    assert run.summary == {"cached": "none"}
    assert run.exit_code == 1
    streams = capsys.readouterr()
    assert streams.out == ""
    assert streams.err == "wandb: hello\nwandb: bye\n"


def test_offline_wandb_stays_on_this_machine(wandb, monkeypatch):
    monkeypatch.setenv("MOLSPACE_OFFLINE", "1")
    open_tracker("wandb:molspace").open(BoardName("a"), FACTS)
    assert wandb.runs[0].options["mode"] == "offline"
    assert wandb.logins == 0


def test_without_a_login_nothing_begins(wandb, monkeypatch):
    wandb.key = False
    with pytest.raises(MissingError, match="cannot use wandb:molspace") as caught:
        open_tracker("wandb:molspace")
    assert caught.value.why == "no API key configured"
    monkeypatch.setenv("WANDB_MODE", "offline")
    open_tracker("wandb:molspace")
