import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactions.core.errors import DataError
from reactions.steps.routing import PUBLISHED, Hop, derive, route

BASE = frozenset({"audio", "image", "text"})
NAMES = ["audio", "depth", "image", "point", "text", "touch"]
sides = st.frozensets(st.sampled_from(NAMES), min_size=1)


@st.composite
def cases(draw):
    """Base, expert, hub (perhaps none, perhaps not in the base) and an anchor of either."""
    base = draw(sides)
    expert = draw(sides) | {draw(st.sampled_from(sorted(base)))}
    hub = draw(st.none() | st.sampled_from([*sorted(base), "thermal"]))
    return base, expert, hub, draw(st.sampled_from(sorted(base | expert)))


def in_order(base, expert, anchor, hops):
    """Follow the hops; every query must have been filled before. Return the slots, as filled."""
    filled = [("base", anchor)] * (anchor in base) + [("expert", anchor)] * (anchor in expert)
    for hop in hops:
        assert (hop.side, hop.query) in filled
        assert hop.key in (base if hop.side == "base" else expert)
        assert hop.side in hop.fills
        assert len(set(hop.fills)) == len(hop.fills)
        filled += [(side, hop.key) for side in hop.fills]
    return filled


@pytest.mark.parametrize("key", PUBLISHED, ids=lambda k: f"{'-'.join(sorted(k[0]))} from {k[1]}")
def test_the_rule_gives_the_published_tables(key):
    expert, anchor = key
    derived = derive(BASE, expert, hub="image", anchor=anchor)
    assert {(h.side, h.query, h.key, frozenset(h.fills)) for h in derived} == {
        (h.side, h.query, h.key, frozenset(h.fills)) for h in PUBLISHED[key]
    }
    assert len(derived) == len(PUBLISHED[key])
    for hops in (derived, PUBLISHED[key]):
        in_order(BASE, expert, anchor, hops)


def test_all_six_equations_stand_in_the_table():
    pairs = [{"image", "text"}, {"audio", "text"}]
    assert set(PUBLISHED) == {(frozenset(p), a) for p in pairs for a in BASE}


@pytest.mark.parametrize("key", PUBLISHED, ids=str)
def test_published_cases_come_from_the_table(key):
    assert route(BASE, key[0], hub="image", anchor=key[1]) is PUBLISHED[key]


def test_the_table_is_only_for_bases_bound_to_images():
    for hub in (None, "text"):
        hops = route(BASE, {"audio", "text"}, hub=hub, anchor="text")
        assert hops == derive(BASE, frozenset({"audio", "text"}), hub=hub, anchor="text")
        assert hops != PUBLISHED[frozenset({"audio", "text"}), "text"]


@given(cases())
def test_every_slot_is_filled_exactly_once_and_in_order(case):
    base, expert, hub, anchor = case
    for hops in (
        derive(base, expert, hub=hub, anchor=anchor),
        route(base, expert, hub=hub, anchor=anchor),
    ):
        filled = in_order(base, expert, anchor, hops)
        slots = [("base", m) for m in base] + [("expert", m) for m in expert]
        assert sorted(filled) == sorted(slots)


@given(cases())
def test_pairs_that_are_not_bound_are_not_compared_where_there_is_a_way_round(case):
    base, expert, hub, anchor = case
    if hub in base:
        for hop in derive(base, expert, hub=hub, anchor=anchor):
            assert hop.side == "expert" or hub in (hop.query, hop.key)


@given(cases())
def test_what_fills_both_sides_is_shared_and_no_side_answers_twice(case):
    base, expert, hub, anchor = case
    for hop in derive(base, expert, hub=hub, anchor=anchor):
        if len(hop.fills) == 2:
            assert hop.key in base & expert
            # A side lends only what the other cannot know, or knows less well.
            other = "base" if hop.side == "expert" else "expert"
            lacks = anchor not in (base if other == "base" else expert)
            assert lacks or (other == "base" and hub is not None and hub not in (anchor, hop.key))


@given(cases())
def test_the_order_of_names_never_matters(case):
    base, expert, hub, anchor = case
    assert route(sorted(base), sorted(expert, reverse=True), hub=hub, anchor=anchor) == route(
        sorted(base, reverse=True), sorted(expert), hub=hub, anchor=anchor
    )


def test_a_single_shared_modality_and_nothing_else():
    assert route({"text"}, {"text"}, hub=None, anchor="text") == ()


def test_a_single_shared_modality_bridges_two_spaces():
    # C-MCR's case: CLIP (image, text) and CLAP (audio, text) meet in text.
    base, expert = {"image", "text"}, {"audio", "text"}
    assert route(base, expert, hub=None, anchor="text") == (
        Hop("expert", "text", "audio", ("expert",)),
        Hop("base", "text", "image", ("base",)),
    )
    assert route(base, expert, hub=None, anchor="image") == (
        Hop("base", "image", "text", ("base", "expert")),
        Hop("expert", "text", "audio", ("expert",)),
    )


@pytest.mark.parametrize("hub", [None, "image", "text"])
def test_an_anchor_that_only_the_expert_has(hub):
    assert route({"image", "text"}, {"audio", "text"}, hub=hub, anchor="audio") == (
        Hop("expert", "audio", "text", ("expert", "base")),
        Hop("base", "text", "image", ("base",)),
    )


def test_from_the_experts_own_anchor_the_base_goes_through_its_hub():
    hops = route(BASE, {"audio", "depth"}, hub="image", anchor="depth")
    assert hops == (
        Hop("expert", "depth", "audio", ("expert", "base")),
        Hop("base", "audio", "image", ("base",)),
        Hop("base", "image", "text", ("base",)),
    )


def test_modalities_only_the_expert_has_are_reached_through_a_shared_one():
    hops = route(BASE, {"image", "point", "text"}, hub="image", anchor="audio")
    assert hops == (
        Hop("base", "audio", "image", ("base", "expert")),
        Hop("base", "image", "text", ("base", "expert")),
        Hop("expert", "image", "point", ("expert",)),
    )


def test_without_a_hub_every_pair_is_direct():
    hops = route(BASE, {"audio", "text"}, hub=None, anchor="text")
    assert hops == (
        Hop("expert", "text", "audio", ("expert",)),
        Hop("base", "text", "audio", ("base",)),
        Hop("base", "text", "image", ("base",)),
    )


def test_a_hub_without_a_corpus_is_no_hub():
    # ImageBind with a text and an audio corpus only: nothing can go through images.
    assert route({"audio", "text"}, {"audio", "text"}, hub="image", anchor="text") == (
        Hop("expert", "text", "audio", ("expert",)),
        Hop("base", "text", "audio", ("base",)),
    )


def test_nothing_shared_is_refused():
    with pytest.raises(DataError, match="share no modality"):
        route({"image"}, {"audio", "text"}, hub=None, anchor="image")
