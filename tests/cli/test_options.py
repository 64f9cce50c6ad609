import pytest

from molspace_cli.factors import adjustment
from reactions.core.errors import UsageError


def test_factors_in_order_by_name_and_for_one_expert():
    adjusted = adjustment(["0.5,0.1", "CLAP_m:0.8,0.5", "X:audio=1,text=0"], ["0.9"], None)
    assert adjusted.sigma == {
        "": (0.5, 0.1),
        "CLAP_m": (0.8, 0.5),
        "X": {"audio": 1.0, "text": 0.0},
    }
    assert adjusted.lambda_ == {"": (0.9,)}
    assert adjusted.experts is None


def test_experts_are_a_set_and_blanks_are_nothing():
    assert adjustment(None, None, "CLAP_m, CLAP_g,").experts == {"CLAP_m", "CLAP_g"}


@pytest.mark.parametrize("text", ["", "a", "0.5;0.1", "audio=", "audio=x,text=1", "0.5,text=1"])
def test_what_is_not_a_factor_is_refused(text):
    with pytest.raises(UsageError, match="not a list of factors"):
        adjustment([text], None, None)


def test_the_same_expert_twice_is_refused():
    with pytest.raises(UsageError, match="twice for CLAP_m"):
        adjustment(["CLAP_m:1", "CLAP_m:0"], None, None)


@pytest.mark.parametrize("text", ["", ",", " , "])
def test_no_expert_at_all_is_a_mistake_of_the_shell(text):
    with pytest.raises(UsageError, match="names none"):
        adjustment(None, None, text)
