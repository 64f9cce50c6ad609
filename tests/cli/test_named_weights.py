"""``--weights``: what is named there is used, or refused with the fix."""

import pytest
from in_process import offline_in, runner

from reactions.core.errors import UsageError
from reactions.labs.lab_file import load_lab
from reactions.weights.locate import NamedWeights


@pytest.fixture
def molspace(tmp_path, monkeypatch, capsys):
    offline_in(tmp_path, monkeypatch)
    (tmp_path / "some.pt").write_bytes(b"weights of something")

    return runner(monkeypatch, capsys)


LINES = [
    ("plan", "ImageBind + Cr(CLAP_m)"),
    ("react", "ImageBind + Cr(CLAP_m)"),
    ("eval", "--task", "esc50", "--space", "ImageBind + Cr(CLAP_m)"),
    ("eval", "--task", "esc50", "--space", "CLAP_m"),
    ("infer", "a text", "--space", "CLAP_m", "--out", "x.npy"),
    ("spaces", "list"),
    ("spaces", "info", "CLAP_m"),
    ("spaces", "doctor", "CLAP_m"),
    ("reproduce", "table3"),
]


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize(
    ("weights", "words", "fix"),
    [
        ("CLAP_m=/nope", "there is no such file or folder", "--weights CLAP_m=PATH"),
        ("CLAP_m=" + "x" * 5000, "there is no such file or folder", "--weights CLAP_m=PATH"),
        ("CLAPm=nope.pt", "there is no such file or folder", "did you mean 'CLAP_m'?"),
        ("CLAP_m=some.pt", "--weights CLAP_m=... is not used", "leave it out"),
        ("CLAPm=some.pt", "--weights CLAPm=... is not used", "did you mean 'CLAP_m'?"),
        ("some.pt", "cannot read --weights some.pt", "--weights NAME=PATH"),
    ],
)
def test_weights_that_would_be_ignored_are_refused_by_every_command(
    molspace, line, weights, words, fix
):
    code, out, err = molspace(*line, "--weights", weights)
    missing = "no such file" in words  # weights that are not there, as everywhere
    assert (code, out) == (3 if missing else 2, "")
    assert words in err
    assert fix in err
    assert "steps to run" not in err


def test_weights_of_a_space_that_is_not_asked_for_are_refused(molspace):
    code, _, err = molspace("plan", "ImageBind + Cr(CLAP_m)", "--weights", "InternVL=some.pt")
    assert code == 2
    assert "why: what is asked for uses ImageBind, CLAP_m" in err


def test_weights_twice_for_a_space_are_refused(molspace):
    options = ("--weights", "CLAP_m=some.pt", "--weights", "CLAP_m=some.pt")
    code, _, err = molspace("plan", "ImageBind + Cr(CLAP_m)", *options)
    assert code == 2
    assert "--weights is given twice for CLAP_m" in err


def test_weights_that_are_looked_up_are_used(tmp_path):
    weights = NamedWeights({"A": tmp_path, "B": tmp_path})
    assert weights.unused() == ["A", "B"]
    assert "C" not in weights
    assert weights.get("C") is None
    assert weights.get("A") == tmp_path
    assert weights.unused() == ["B"]
    assert "B" in weights
    assert weights.unused() == []


def test_a_lab_says_which_weights_nothing_uses(tmp_path):
    lab = load_lab("paper", weights={"CLAP_g": tmp_path / "a", "Mine": tmp_path / "b"})
    lab.weights.get("CLAP_g")
    with pytest.raises(UsageError, match=r"--weights Mine=.* is not used"):
        lab.refuse_unused_weights(["ImageBind", "CLAP_g"])
    lab.weights.get("Mine")
    lab.refuse_unused_weights(["ImageBind", "CLAP_g"])
