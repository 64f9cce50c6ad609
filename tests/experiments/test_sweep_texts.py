import pytest

from reactions.core.errors import UsageError
from reactions.experiments.sweep.texts import read_factors, read_subsets, read_values

EXPERTS = ["CLAP_m", "CLAP_g", "open_clip:ViT-B-32", "hf:a/b:1"]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("0.5", (0.5,)),
        ("0:1:0.5", (0.0, 0.5, 1.0)),
        ("0:0.9:0.3", (0.0, 0.3, 0.6, 0.9)),
        ("0.5:0.5:0.3", (0.5,)),
        ("0.1:0.3:0.1", (0.1, 0.2, 0.3)),
        ("0/0.25/1", (0.0, 0.25, 1.0)),
        ("1/0:0.2:0.1/0.1", (0.0, 0.1, 0.2, 1.0)),
        (" .5 ", (0.5,)),
        ("0:1e-1:5e-2", (0.0, 0.05, 0.1)),
    ],
)
def test_values_are_those_of_decimal_arithmetic(text, values):
    assert read_values("--sigma", text) == values


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0:1", "has no step"),
        ("0/0.5:1", "'0.5:1' has no step"),
        ("0:1:0.3", "does not meet its end"),
        ("0:1:2", "does not meet its end"),
        ("", "not a list of factors"),
        ("a", "not a list of factors"),
        ("0:1:0.1:2", "not a list of factors"),
        ("0:2:0.5", "the factor 2 is outside 0 to 1"),
        ("-0.1", "the factor -0.1 is outside 0 to 1"),
        ("0:1:0", "holds no value"),
        ("1:0:0.1", "holds no value"),
        ("0:1:-0.1", "holds no value"),
        ("0:1:0.000001", "holds 1,000,001 values"),
        ("nan", "not a list of factors"),
    ],
)
def test_what_is_no_factor_is_refused(text, message):
    with pytest.raises(UsageError, match=message) as caught:
        read_values("--sigma", text)
    assert "--sigma" in caught.value.what


@pytest.mark.parametrize(
    ("text", "expert", "values"),
    [
        ("0:1:0.5,0.1", "", ((0.0, 0.5, 1.0), (0.1,))),
        ("CLAP_m:0:1:0.5,0.1", "CLAP_m", ((0.0, 0.5, 1.0), (0.1,))),
        ("open_clip:ViT-B-32:0.5", "open_clip:ViT-B-32", ((0.5,),)),
        # The name ends in a number: it is known, so what follows it are the factors.
        ("hf:a/b:1:0:1:0.5", "hf:a/b:1", ((0.0, 0.5, 1.0),)),
    ],
)
def test_an_experts_name_is_told_from_a_range(text, expert, values):
    (factors,) = read_factors("--sigma", [text], EXPERTS)
    assert (factors.expert, factors.values, factors.named) == (expert, values, None)


def test_modalities_may_be_named():
    (factors,) = read_factors("--sigma", ["CLAP_g:audio=0:1:0.5,text=0.1/0.2"], EXPERTS)
    assert factors.expert == "CLAP_g"
    assert factors.named == {"audio": (0.0, 0.5, 1.0), "text": (0.1, 0.2)}


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["CLAP_x:0:1:0.5"], "no expert 'CLAP_x'"),
        (["CLAP_x:audio=0.5"], "no expert 'CLAP_x'"),
        (["CLAP_x:0:1"], "no expert 'CLAP_x'"),
        (["0:1"], "'0:1' has no step"),
        (["CLAP_m:audio=0:1"], "'0:1' has no step"),
        (["0.5", "0.6"], "given twice"),
        (["CLAP_m:0.5", "CLAP_m:0.6"], "given twice for CLAP_m"),
        (["audio=0.5,0.1"], "'0.1' has no name"),
        (["audio=0.5,audio=0.1"], "audio is given twice"),
        (["CLAP_m:x"], "not a list of factors"),
    ],
)
def test_texts_that_cannot_be_meant_are_refused(texts, message):
    with pytest.raises(UsageError, match=message):
        read_factors("--sigma", texts, EXPERTS)


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("0:1:0.3", ["0:1:0.5", "0:1:0.25", "0:0.9:0.3"]),
        ("0:1:2", ["0:1:1"]),
        ("0.1:0.35:0.1", ["0.1:0.35:0.125", "0.1:0.35:0.0625", "0.1:0.3:0.1"]),
    ],
)
def test_ranges_that_meet_their_end_are_proposed(text, near):
    with pytest.raises(UsageError) as caught:
        read_values("--sigma", text)
    assert caught.value.fix.split("   or   ") == near
    for proposal in near:
        start, end, _ = proposal.split(":")
        values = read_values("--sigma", proposal)
        assert (values[0], values[-1]) == (float(start), float(end))


def test_a_misspelt_expert_is_answered_with_near_ones():
    with pytest.raises(UsageError) as caught:
        read_factors("--sigma", ["clap_m:0.5"], EXPERTS)
    assert "did you mean 'CLAP_m'?" in caught.value.fix


def test_subsets_of_experts():
    names = ["A", "B", "C"]
    subsets = read_subsets(["all-subsets"], names)
    assert [len(subset) for subset in subsets] == [1, 1, 1, 2, 2, 2, 3]
    assert read_subsets(["A,B", "B , A", "C"], names) == [{"A", "B"}, {"C"}]
    assert read_subsets(["C", "all-subsets"], names)[0] == {"C"}
    with pytest.raises(UsageError, match="no expert 'a'") as caught:
        read_subsets(["a"], names)
    assert "did you mean 'A'?" in caught.value.fix
    with pytest.raises(UsageError, match="names none"):
        read_subsets([" , "], names)
    with pytest.raises(UsageError, match="2,047 subsets"):
        read_subsets(["all-subsets"], [f"e{i}" for i in range(11)])
