"""Projectors of one mixture, and of parallel experts, start apart; nothing else moves a seed."""

from dataclasses import replace

import pytest
from fakes import CG, CM, IB, VL, changed, cr, dr
from planning import SETTINGS, corpora, lab, plan

from reactions.data.corpora import TextCorpus


def seeds(space, laboratory=None):
    """Label of each train step to the seed that it hands to training."""
    seed_by_label = {}
    for step in plan(space, laboratory).steps():
        if step.kind == "train":
            seed_by_label[step.label] = step.own_seed
    return seed_by_label


CG = changed(CG, dim=CM.spec.dim)  # equal widths: only the weights tell the experts apart


def test_parallel_experts_of_equal_widths_start_apart():
    seed_by_label = seeds(cr(IB, CM, CG))
    assert len(seed_by_label) == 14
    assert len(set(seed_by_label.values())) == 14


def test_an_expert_starts_alike_alone_and_beside_another():
    alone, together = seeds(cr(IB, CG)), seeds(cr(IB, CM, CG))
    assert alone.items() <= together.items()


@pytest.mark.parametrize(
    "laboratory",
    [
        lab(settings=replace(SETTINGS, precision="exact")),
        lab(settings=replace(SETTINGS, dtype="float16")),
        lab(settings=replace(SETTINGS, cr_epochs=7)),
        lab(corpora(text=TextCorpus("others", ["a", "b", "c"]))),
    ],
    ids=["precision", "dtype", "epochs", "corpus"],
)
def test_seeds_do_not_follow_what_is_trained_on(laboratory):
    space = cr(IB, CM, CG)
    assert seeds(space, laboratory) == seeds(space)


def test_seeds_do_not_follow_names():
    renamed = seeds(cr(IB, changed(CM, name="mine")))
    assert sorted(renamed.values()) == sorted(seeds(cr(IB, CM)).values())


def test_seeds_follow_the_labs_seed_the_operator_and_the_weights():
    seeds_used = set(seeds(cr(IB, VL)).values())
    assert seeds_used.isdisjoint(seeds(cr(IB, VL), lab(seed=1)).values())
    assert seeds_used.isdisjoint(seeds(dr(IB, VL)).values())
    assert seeds_used.isdisjoint(seeds(cr(IB, changed(VL, weights_digest="f" * 64))).values())
