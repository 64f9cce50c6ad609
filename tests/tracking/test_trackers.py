"""Which tracker a place means, and what is found out before anything runs."""

import importlib.util
import os
import subprocess
import sys
import textwrap
import time

import pytest
from boards import boards
from installed import install, installing

from reactions.core.errors import MissingError, StoreError, UsageError
from reactions.core.extras import install_extra
from reactions.tracking.board import BoardName
from reactions.tracking.trackers import open_tracker

FACTS = {"command": "react", "lab": "mini", "seed": 7}


# --- files of TensorBoard --------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "tensorboard:"])
def test_a_folder_gets_event_files(tmp_path, prefix):
    board = open_tracker(f"{prefix}{tmp_path}/new/folder").open(BoardName("A-B-1"), FACTS)
    board.scalar("train/A on T/loss", 2.5, 1)
    board.scalar("train/A on T/loss", float("nan"), 2)
    board.text("cached", "none")
    board.close(complete=True)
    (recorded,) = boards(tmp_path / "new/folder")
    assert recorded.name == "A-B-1"
    ((_, first), (_, second)) = recorded.curves["train/A on T/loss"]
    assert first == 2.5
    assert second != second
    assert recorded.texts == {"run": "command: react  \nlab: mini  \nseed: 7", "cached": "none"}
    assert recorded.facts == FACTS
    assert recorded.status == 1  # STATUS_SUCCESS


def test_equal_names_do_not_mix_and_odd_ones_become_folders(tmp_path):
    tracker = open_tracker(str(tmp_path))
    for name in [
        BoardName("a"),
        BoardName("a"),
        BoardName("seed 1: x/y\n", "t:4"),
        BoardName(".."),
    ]:
        tracker.open(name, FACTS).close(complete=False)
    assert [board.name for board in boards(tmp_path)] == [
        "a",
        "a (2)",
        "run",
        "t-4/seed 1- x-y",
    ]
    assert {board.status for board in boards(tmp_path)} == {2}  # STATUS_FAILURE


def test_a_killed_run_leaves_what_it_measured(tmp_path):
    code = f"""
        import time
        from reactions.tracking.board import BoardName
        from reactions.tracking.trackers import open_tracker
        board = open_tracker({str(tmp_path)!r}).open(BoardName("a"), {FACTS!r})
        for epoch in range(1, 4):
            board.scalar("loss", 1 / epoch, epoch)
        time.sleep(120)  # as a long step would; the writer's own thread writes
    """
    running = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)])
    try:
        # The writer's thread may write the first of the three alone.
        while running.poll() is None and not any(
            len(board.curves["loss"]) == 3 for board in boards(tmp_path) if board.curves
        ):
            time.sleep(0.05)
    finally:
        running.kill()
    assert running.wait() == -9
    (recorded,) = boards(tmp_path)
    assert [position for position, _ in recorded.curves["loss"]] == [1, 2, 3]
    assert recorded.facts == FACTS
    assert recorded.status is None


def test_files_need_no_torch(tmp_path):
    code = (
        "import sys\nfrom reactions.tracking.board import BoardName\n"
        "from reactions.tracking.trackers import open_tracker\n"
        f"open_tracker({str(tmp_path)!r}).open(BoardName('a'), {{}}).close(complete=True)\n"
        "assert 'torch' not in sys.modules and 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=300)


def test_a_place_that_cannot_be_written_is_an_error_at_once(tmp_path):
    (tmp_path / "file").touch()
    for place, why in [
        ("file", "a file has this name"),
        ("file/x", "a part of the path is a file"),
    ]:
        with pytest.raises(StoreError) as caught:
            open_tracker(str(tmp_path / place))
        assert caught.value.why == why
    with pytest.raises(StoreError, match="for what is tracked"):
        open_tracker(str(tmp_path / ("x" * 300)))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_an_error_at_once(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError):
        open_tracker(str(tmp_path))


# --- names -----------------------------------------------------------------------------


def test_a_misspelt_tracker_is_answered_with_near_ones():
    with pytest.raises(UsageError, match="unknown tracker 'wandbb'") as caught:
        open_tracker("wandbb:project")
    assert caught.value.fix == (
        "did you mean 'wandb:project'?   or for a folder of this name: --track ./wandbb:project"
    )


@pytest.mark.parametrize("place", ["s3://bucket/runs", "https://example.org/x"])
def test_remote_folders_are_refused(place):
    with pytest.raises(UsageError, match="cannot write to") as caught:
        open_tracker(place)
    assert "copy the folder afterwards" in caught.value.fix


@pytest.mark.parametrize("place", ["trackio:", "trackio: ", "wandb:", "wandb:me/", "wandb:a?b"])
def test_a_project_has_to_be_named(place):
    with pytest.raises(UsageError) as caught:
        open_tracker(place)
    assert "PROJECT" in caught.value.fix


@pytest.mark.parametrize(
    ("place", "package", "fix"),
    [
        ("folder", "tensorboard", install_extra("track")),
        ("trackio:p", "trackio", "pip install trackio"),
        ("wandb:p", "wandb", "pip install wandb"),
    ],
)
def test_a_package_that_is_missing_is_named(tmp_path, monkeypatch, place, package, fix):
    monkeypatch.chdir(tmp_path)
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *more: None if name == package else find_spec(name),
    )
    for name in list(sys.modules):
        if name.partition(".")[0] == package:
            monkeypatch.delitem(sys.modules, name)
    with pytest.raises(MissingError) as caught:
        open_tracker(place)
    assert caught.value.why == f"{package} is not installed"
    assert caught.value.fix == fix
    assert not (tmp_path / "folder").exists()


OWN = """
class Tracker:
    def __init__(self, place):
        if not place:
            1 / 0
        self.place = place
    def open(self, name, facts): ...
"""


def test_a_package_adds_a_tracker(tmp_path, monkeypatch):
    with installing(tmp_path / "site", monkeypatch) as site:
        install(site, "own_board", {"molspace.trackers": {"own": "own_board:Tracker"}}, OWN)
        assert open_tracker("own:anything://at all").place == "anything://at all"
        with pytest.raises(UsageError, match="cannot use the tracker 'own'") as caught:
            open_tracker("own:")
        assert "ZeroDivisionError" in caught.value.why
        install(site, "other_board", {"molspace.trackers": {"wandb": "own_board:Tracker"}})
        with pytest.raises(UsageError, match="several trackers are called 'wandb'"):
            open_tracker("wandb:p")
