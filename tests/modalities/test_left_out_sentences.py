"""What encoders left out of items, in sentences."""

from reactions.core import left_out
from reactions.core.left_out import LeftOut, longer_than
from reactions.modalities import noticed

CUT = longer_than("77 tokens")


def sentences(*parts):
    for i, part in enumerate(parts):
        left_out.report([part], f"key {i}")
    return noticed.take()


def test_of_many_and_of_one():
    assert sentences(LeftOut("CLIP", "text", 4096, {CUT: 31})) == [
        "31 of 4,096 texts are longer than CLIP's 77 tokens; the rest of each is ignored"
    ]
    assert sentences(LeftOut("CLIP", "text", 2, {CUT: 1})) == [
        "1 of 2 texts is longer than CLIP's 77 tokens; the rest of it is ignored"
    ]
    assert sentences(LeftOut("CLIP", "text", 2, {CUT: 0})) == []


def test_results_add_up_and_what_was_not_counted_is_no_0():
    (text,) = sentences(
        LeftOut("CLIP", "text", 10, {CUT: 2}), LeftOut("CLIP", "text", 0, {}, n_uncounted=5)
    )
    assert text.startswith("2 of 10 texts are longer")
    assert text.endswith("(5 more not counted)")
    old = [LeftOut(name, "text", 0, {}, n_uncounted=1000) for name in ("CLIP", "CLAP")]
    assert sentences(*old) == ["what CLIP, CLAP left out of 2,000 items is not known"]
    (text,) = sentences(LeftOut("CLIP", "text", 10, {CUT: 0}, n_uncounted=5))
    assert text == "what CLIP left out of 5 texts was not counted"
