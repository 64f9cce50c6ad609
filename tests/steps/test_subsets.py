"""Which subsets of its modalities a mixture has a projector for."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactions.core.errors import UsageError
from reactions.core.settings import MAX_SUBSETS, ReactionSettings
from reactions.steps.subsets import subset_name, subsets

FIVE = ("audio", "depth", "image", "text", "touch")


def test_the_papers_seven_subsets_in_its_order():
    names = [subset_name(subset) for subset in subsets(["audio", "image", "text"])]
    assert names == ["T", "V", "A", "TV", "TA", "VA", "TVA"]
    for order in itertools.permutations(["audio", "image", "text"]):
        assert subsets(order) == subsets(["audio", "image", "text"])
    assert ("audio", "text") in subsets(["text", "audio"])  # members sorted: they enter keys


def test_other_modalities_are_spelled_out():
    assert [subset_name(s) for s in subsets(["depth", "text"])] == ["T", "depth", "depth+text"]
    assert len(subsets(["audio", "depth", "image", "text"])) == 15
    assert subsets(["depth"]) == [("depth",)]


def test_five_modalities_and_more():
    assert len(subsets(FIVE)) == 31
    assert len(subsets([f"m{i}" for i in range(10)])) == MAX_SUBSETS
    with pytest.raises(UsageError, match="11 modalities have 2047 subsets") as caught:
        subsets([f"m{i}" for i in range(11)])
    assert "singles+all" in caught.value.fix


def test_each_alone_and_all_together():
    names = [subset_name(subset) for subset in subsets(FIVE, "singles+all")]
    assert names == ["T", "V", "A", "depth", "touch", "audio+depth+image+text+touch"]
    assert subsets(["text"], "singles+all") == [("text",)]
    assert len(subsets([f"m{i}" for i in range(40)], "singles+all")) == 41


@given(st.sets(st.sampled_from(FIVE), min_size=1), st.data())
def test_named_subsets_are_kept_in_the_order_of_all(anchors, data):
    all_subsets = subsets(sorted(anchors))
    rest = data.draw(st.lists(st.sampled_from(all_subsets), unique=True))
    listed = list(dict.fromkeys([tuple(sorted(anchors)), *rest]))
    settings = ReactionSettings(subsets=data.draw(st.permutations(listed)))
    assert subsets(sorted(anchors), settings.subsets) == [s for s in all_subsets if s in listed]


def test_an_unknown_modality():
    with pytest.raises(UsageError, match="no modality 'adio' to train on") as caught:
        subsets(["audio", "text"], (("adio",), ("audio", "text")))
    assert "did you mean 'audio'" in caught.value.fix


def test_a_modality_that_is_left_out():
    with pytest.raises(UsageError, match=r"reaction\.subsets leaves text out") as caught:
        subsets(["audio", "image", "text"], (("audio",), ("audio", "image")))
    assert '["text"]' in caught.value.fix


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ("single+all", r"reaction\.subsets is 'single\+all'"),
        ([], r"reaction\.subsets is an empty list"),
        ([["audio"], []], r"reaction\.subsets has an empty subset"),
        ([["audio", "audio"]], r"reaction\.subsets names a modality twice"),
        ([["audio", "text"], ["text", "audio"]], r"the subset \['audio', 'text'\] twice"),
        (["audio"], r"reaction\.subsets is \['audio'\]"),
        ([["audio", 3]], r"reaction\.subsets is \[\['audio', 3\]\]"),
        (3, r"reaction\.subsets is 3"),
        ([[f"m{i}"] for i in range(MAX_SUBSETS + 1)], "1024 subsets"),
    ],
)
def test_what_no_lab_file_may_say(value, what):
    with pytest.raises(UsageError, match=what):
        ReactionSettings(subsets=value)
