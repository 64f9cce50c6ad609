"""Which corpora join an expert to its base, where nothing is said: the papers' and the expert's."""

from dataclasses import replace

import pytest
from fakes import CG, CM, IB, VL, changed, cr, dr, headline, spec
from planning import SETTINGS, corpora, lab, plan

from reactions.core.types import Leaf
from reactions.data.corpora import IdCorpus
from reactions.planning.corpora import candidates

FURTHER = ("event", "point", "thermal", "video")
WIDE = changed(
    IB,
    modalities=tuple(sorted({*IB.modalities, *FURTHER})),
    preprocessing=(*IB.spec.preprocessing, *((m, f"{m}-1") for m in FURTHER)),
    tower_digests=(("point", "e" * 64), ("thermal", "f" * 64)),
    derived=(("event", "unibind"), ("video", "frames-8")),
)
POINTS = Leaf(spec("PointExpert", 7, "image", "point"))


def wide_corpora():
    return corpora(**{m: IdCorpus(m, m, [f"{m}{k}" for k in range(9)]) for m in FURTHER})


def trained(planned):
    """Keys of all but the bundle's record, which says what the spaces embed."""
    return [step.key for step in planned.steps() if step.kind != "assemble"]


@pytest.mark.parametrize("holdout", [0.0, 0.5])
def test_the_headline_trains_what_it_trained_when_its_base_embeds_more(holdout):
    settings = replace(SETTINGS, holdout=holdout)
    before = plan(laboratory=lab(settings=settings))
    wide = cr(dr(WIDE, VL), CM, CG)
    assert trained(plan(wide, lab(wide_corpora(), settings=settings))) == trained(before)
    assert trained(plan(wide, lab(settings=settings))) == trained(before)


def test_a_small_corpus_without_a_part_does_not_keep_rows_from_being_held_back():
    settings = replace(SETTINGS, holdout=0.4)
    large_corpora = corpora(1000)
    with_few = {**large_corpora, "event": IdCorpus("event", "event", ["one"])}
    first = plan(cr(WIDE, CM), lab(large_corpora, settings=settings))
    second = plan(cr(WIDE, CM), lab(with_few, settings=settings))
    assert trained(first) == trained(second)
    assert all(count.held_out for count in second.rows)


def test_what_is_left_out_is_told_once():
    further_corpora = dict.fromkeys(FURTHER)
    notices = plan(cr(dr(WIDE, VL), CM, CG), lab(wide_corpora(), corpora=further_corpora)).notices
    (reported,) = [n for n in notices if "no part in training" in n]
    assert reported.startswith("event, point, thermal, video: no part in training with ")
    assert all(name in reported for name in ("InternVL", "CLAP_m", "CLAP_g"))
    assert not any("no part" in notice for notice in plan().notices)


def test_what_has_no_corpus_is_not_told_of():
    assert not any("no part" in n for n in plan(cr(dr(WIDE, VL), CM), lab()).notices)


def test_the_experts_modalities_take_part():
    planned = plan(cr(WIDE, POINTS), lab(wide_corpora()))
    assert {projector.subset for projector in planned.projectors} >= {"T", "point"}
    assert {row.modality for row in planned.rows} == {"audio", "image", "point", "text"}
    assert candidates(cr(WIDE, POINTS)) == ("audio", "image", "point", "text")


def test_data_may_name_any_corpus():
    planned = plan(cr(WIDE, POINTS, anchors=("event", "point")), lab(wide_corpora()))
    assert {row.modality for row in planned.rows} == {"audio", "event", "image", "point", "text"}
    assert [projector.subset for projector in planned.projectors] == ["event+point"]


def test_plain_reactions_have_no_other_candidates_than_before():
    for pair in (dr(IB, VL), cr(IB, CM)):
        assert candidates(pair) == pair.modalities
    assert headline().modalities == ("audio", "image", "text")
