"""Plans of closed forms: no seed, no numbers, and what few pairs mean."""

from dataclasses import replace

import numpy as np
import pytest
from fakes import CG, CM, IB, VL, Context, cr, dr, run
from planning import SETTINGS, corpora, lab, plan

from reactions.steps.fit_map import FitMap

PRODUCT = cr(dr(IB, VL, recipe="procrustes"), CM, CG, recipe="procrustes")


def fits(planned):
    return [step for step in planned.steps() if step.kind == "fit"]


def keys(planned):
    return {step.key for step in fits(planned)}


def test_one_map_joins_each_expert():
    planned = plan(PRODUCT)
    steps = fits(planned)
    assert all(isinstance(step, FitMap) for step in steps)
    assert [step.label for step in steps] == [
        "fit ImageBind + Dr(InternVL) on TVA",
        "fit (ImageBind + Dr(InternVL)) + Cr(CLAP_m) on TVA",
        "fit (ImageBind + Dr(InternVL)) + Cr(CLAP_g) on TVA",
    ]
    assert not [step for step in planned.steps() if step.kind == "train"]
    assert [projector.to_json() for projector in planned.projectors] == [
        {"pair": step.label[len("fit ") : -len(" on TVA")], "subset": "TVA", "rows": 36}
        for step in steps
    ]


def test_neither_seed_nor_settings_of_training_change_a_key():
    expected = keys(plan(PRODUCT))
    others = [
        lab(seed=7),
        lab(settings=replace(SETTINGS, hidden_dim=9, batch_size=4, dr_epochs=3, cr_epochs=9)),
        lab(settings=replace(SETTINGS, learning_rate=0.5, info_nce_temperature=0.3)),
    ]
    for other in others:
        assert keys(plan(PRODUCT, other)) == expected
    assert keys(plan(PRODUCT, lab(corpora(13)))).isdisjoint(expected)
    assert not keys(plan(dr(IB, VL, recipe="procrustes", anchors=("text",)))) & expected


def test_what_is_collected_is_shared_with_the_papers_recipe():
    collected = [
        {step.key for step in plan(dr(IB, VL, **options)).steps() if step.kind == "collect"}
        for options in ({}, {"recipe": "procrustes"})
    ]
    assert collected[0] == collected[1] != set()


def test_estimates_are_those_of_what_is_made():
    for step in fits(plan(PRODUCT)):
        artifact = run(step, Context())
        assert step.cost.size_bytes == sum(4 * rows.size for rows in artifact.arrays.values())
        assert step.cost.flops > 0 < step.cost.memory_bytes
        assert artifact.meta["pairs"] == 36
        assert artifact.meta["loss"] == []
        assert all(rows.dtype == np.float32 for rows in artifact.arrays.values())


@pytest.mark.parametrize(("n", "is_reported"), [(4, True), (12, False)])
def test_fewer_pairs_than_dimensions_are_told(n, is_reported):
    space = dr(IB, VL, recipe="procrustes", anchors=("audio",))
    notices = [notice for notice in plan(space, lab(corpora(n))).notices if "dimensions" in notice]
    assert notices == (
        [
            "ImageBind + Dr(InternVL): 2 pseudo-pairs of image, text fix at most 4 of 6 "
            "dimensions; the map leaves the others out"
        ]
        if is_reported
        else []
    )
