"""From events to boards: tags, what is cached, rows, and trackers that fail."""

import pytest

from reactions.run import events as ev
from reactions.tracking.follower import Tracking, tracking

NOON = 1_800_000_000.0
STEP = ("k1", "train", "train A + Cr(B) on TVA")
STARTED = ev.ReactionStarted("A-B", "A + Cr(B)", "mini", 3)


class FakeBoard:
    def __init__(self, name, facts, fails_at=None):
        self.run, self.group, self.facts = name.run, name.group, dict(facts)
        self.curves, self.texts, self.closed = {}, {}, []
        self._fails_at = fails_at

    def scalar(self, tag, value, position):
        if position == self._fails_at:
            raise OSError("no space left on device")
        self.curves.setdefault(tag, []).append((position, value))

    def text(self, tag, text):
        self.texts[tag] = text

    def close(self, *, complete):
        self.closed.append(complete)


class FakeTracker(list):
    fails_at = None

    def open(self, name, facts):
        self.append(FakeBoard(name, facts, self.fails_at))
        return self[-1]


@pytest.fixture
def tracker():
    return FakeTracker()


@pytest.fixture
def warnings():
    return []


@pytest.fixture
def follow(tracker, warnings):
    """Follow events to the end of a command."""

    def follow(*events, **options):
        tracks = Tracking(
            tracker, **{"command": "react", **options}, warn=warnings.append, clock=lambda: NOON
        )
        for event in events:
            tracks(event)
        tracks.close()
        return tracker

    return follow


def scored(task="esc50", lab="mini", space="A + Cr(B)", **factors):
    record = {
        "task": task,
        "space": space,
        "lab": lab,
        "seed": 3,
        "n": 40,
        "main": "accuracy",
        "ties": "strict",
        "metrics": {"accuracy": 50.0, "fold_0": 25.0},
        "experts": None,
        "factors": factors,
    }
    return ev.TaskScored("A-B", record)


def test_losses_and_scores_of_a_command_are_on_one_board(follow):
    (board,) = follow(
        STARTED,
        ev.PlanStarted(2, 0),
        ev.StepStarted(*STEP),
        ev.StepMeasured(*STEP, "loss", 5.0, 1),
        ev.StepMeasured(*STEP, "loss", 4.0, 2),
        ev.PlanFinished(2, 1.0),
        ev.ReactionFinished((ev.Curve(*STEP, "loss", (5.0, 4.0)),)),
        scored(**{"sigma B": {"audio": 0.5, "text": 0.1}}),
        command="eval",
    )
    assert board.curves == {
        "train/A + Cr(B)/loss on TVA": [(1, 5.0), (2, 4.0)],
        "score/esc50/accuracy": [(0, 50.0)],
        "score/esc50/fold_0": [(0, 25.0)],
    }
    assert board.facts == {"command": "eval", "expression": "A + Cr(B)", "lab": "mini", "seed": 3}
    assert board.run.startswith("A-B-2027011")
    assert board.group == ""
    assert set(board.texts) == {"score/esc50"}  # nothing was cached
    assert "sigma B: audio 0.5, text 0.1" in board.texts["score/esc50"]
    assert board.closed == [True]


def test_losses_of_earlier_runs_are_written_and_marked(follow):
    other = ("k2", "train", "train A + Cr(B) on T")
    (board,) = follow(
        STARTED,
        ev.StepMeasured(*STEP, "loss", 4.0, 2),  # resumed: its first epoch was another run's
        ev.ReactionFinished(
            (ev.Curve(*STEP, "loss", (5.0, 4.0)), ev.Curve(*other, "loss", (7.0, 6.0)))
        ),
    )
    assert sorted(board.curves["train/A + Cr(B)/loss on TVA"]) == [(1, 5.0), (2, 4.0)]
    assert board.curves["train/A + Cr(B)/loss on T"] == [(1, 7.0), (2, 6.0)]
    assert "- train/A + Cr(B)/loss on TVA: 1 of 2 points" in board.texts["cached"]
    assert "- train/A + Cr(B)/loss on T: 2 of 2 points" in board.texts["cached"]


def test_two_steps_of_one_label_have_a_curve_each(follow):
    second_step = ("k2", *STEP[1:])
    (board,) = follow(
        STARTED,
        ev.StepMeasured(*STEP, "loss", 5.0, 1),
        ev.StepMeasured(*second_step, "loss", 7.0, 1),
        ev.StepMeasured(*STEP, "loss", 4.0, 2),
    )
    assert board.curves == {
        "train/A + Cr(B)/loss on TVA": [(1, 5.0), (2, 4.0)],
        "train/A + Cr(B)/loss on TVA (2)": [(1, 7.0)],
    }


def test_rows_and_parts_have_boards_of_their_own_in_one_group(follow, tracker):
    follow(
        ev.PartStarted(1, 2, "seed 10: ImageBind"),
        ev.RowStarted("ImageBind"),
        scored(),
        ev.PartStarted(2, 2, "seed 11: ImageBind"),
        STARTED,
        scored(),
        ev.PartsFinished(),
        ev.RowStarted("ImageBind++ Ver."),
        scored(),
        command="reproduce findings",
        group="findings",
    )
    assert [board.run for board in tracker] == [
        "seed 10: ImageBind",
        "seed 11: ImageBind",
        "ImageBind++ Ver.",
    ]
    assert {board.group for board in tracker} == {tracker[0].group}
    assert tracker[0].group.startswith("findings-2027011")
    assert [board.facts["row"] for board in tracker] == [board.run for board in tracker]
    assert [board.closed for board in tracker] == [[True]] * 3


def test_another_score_of_a_task_does_not_overwrite_the_first(follow, tracker):
    follow(scored(), scored("coco"), scored(space="A"), command="eval")
    assert [sorted(board.texts) for board in tracker] == [
        ["score/coco", "score/esc50"],
        ["score/esc50"],
    ]
    assert [board.facts["expression"] for board in tracker] == ["A + Cr(B)", "A"]


def test_spaces_do_not_mix(follow, tracker):
    curve = ev.Curve(*STEP, "loss", (7.0,))
    follow(scored(space="A"), scored("coco", space="B"), STARTED, ev.ReactionFinished((curve,)))
    assert [board.facts["expression"] for board in tracker] == ["A", "B", "A + Cr(B)"]
    assert [sorted(board.texts) for board in tracker] == [
        ["score/esc50"],
        ["score/coco"],
        ["cached"],
    ]


def test_nothing_to_track_opens_no_board(follow, tracker):
    follow(STARTED, ev.PlanStarted(0, 1), ev.PlanFinished(0, 0.0), ev.ReactionFinished(()))
    assert tracker == []


def test_a_run_that_stops_is_not_complete(follow, tracker):
    follow(STARTED, ev.StepMeasured(*STEP, "loss", 5.0, 1), ev.PlanStopped())
    assert [board.closed for board in tracker] == [[False]]


def test_a_tracker_that_fails_is_a_warning_and_ends_nothing(follow, tracker, warnings):
    tracker.fails_at = 2
    points = [ev.StepMeasured(*STEP, "loss", 1.0 / i, i) for i in (1, 2, 3)]
    follow(STARTED, *points)
    assert warnings == ["what follows is not tracked: no space left on device"]
    assert tracker[0].curves == {"train/A + Cr(B)/loss on TVA": [(1, 1.0)]}


def test_events_are_passed_on_and_warnings_with_them(tracker):
    events, tracker.fails_at = [], 1
    with tracking(tracker, events.append, command="react") as sink:
        sink(STARTED)
        sink(ev.StepMeasured(*STEP, "loss", 5.0, 1))
    assert [type(event) for event in events] == [
        ev.ReactionStarted,
        ev.StepMeasured,
        ev.StoreWarning,
    ]


def test_boards_are_closed_however_a_command_ends(tracker):
    def command():
        with tracking(tracker, lambda event: None, command="react") as sink:
            sink(ev.StepMeasured(*STEP, "loss", 5.0, 1))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        command()
    assert tracker[-1].closed == [True]
