import pytest
import typer

from molspace_cli import react
from reactions.errors import StoreError
from reactions.graph import Cost
from reactions.workbench import LONG_BYTES, LONG_FLOPS, Outlook


@pytest.fixture
def answers(monkeypatch):
    """A person at a terminal; what they are asked and what they say."""
    asked: list[str] = []
    says = [True]
    monkeypatch.setattr(react, "_somebody_is_there", lambda: True)
    monkeypatch.setattr(typer, "confirm", lambda text, **_: asked.append(text) or says[0])
    return asked, says


def outlook(flops=0.0, size_bytes=0, free_bytes=10**13):
    return Outlook(3, Cost(flops=flops, size_bytes=size_bytes), free_bytes)


def test_short_runs_ask_nothing(answers):
    react.consider(outlook(LONG_FLOPS, LONG_BYTES), yes=False)
    assert answers[0] == []


@pytest.mark.parametrize("long", [outlook(2 * LONG_FLOPS), outlook(0, 2 * LONG_BYTES)])
def test_long_runs_ask_unless_told_not_to(answers, long, capsys):
    asked, says = answers
    react.consider(long, yes=True)
    assert asked == []
    react.consider(long, yes=False)
    assert asked == ["go on?"]
    assert "3 steps" in capsys.readouterr().err
    says[0] = False
    with pytest.raises(typer.Exit) as caught:
        react.consider(long, yes=False)
    assert caught.value.exit_code == 130


def test_in_a_script_nobody_is_asked(answers, monkeypatch):
    monkeypatch.undo()
    assert not react._somebody_is_there()
    monkeypatch.setattr(typer, "confirm", None)
    react.consider(outlook(2 * LONG_FLOPS), yes=False)
    assert answers[0] == []


def test_what_does_not_fit_on_the_disk_is_refused(answers):
    with pytest.raises(StoreError, match="do not fit on the disk"):
        react.consider(outlook(size_bytes=2, free_bytes=1), yes=True)
