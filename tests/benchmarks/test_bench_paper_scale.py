"""What the paper-scale benchmark plans, and that its parts run the plan's own steps."""

import paper_scale
import pytest
from paper_scale import batches, collect, done_flops, pass_flops, scaled, train

TINY = 1e-5  # 23 texts, 13 images, 18 sounds


@pytest.fixture(scope="module")
def full_scale():
    return scaled(1.0)


def test_the_paper_needs_26500_steps_for_seven_projectors_and_five_epochs(full_scale):
    heads = full_scale.of("train", 0)
    assert len(heads) == 7
    assert sum(map(batches, heads)) == pytest.approx(26_500, rel=1e-3)
    # Each of T, V, A is in four of seven subsets.
    rows = 4 * 5 * sum(paper_scale.PAPER_ROWS.values())
    assert sum(map(batches, heads)) == pytest.approx(rows / 4096, rel=1e-3)


def test_shared_similarities_are_counted_once(full_scale):
    texts, images, sounds = (paper_scale.PAPER_ROWS[m] for m in ("text", "image", "audio"))
    (shared_pass,) = [
        g
        for g in full_scale.passes(0)
        if len(g) == 2 and g[0].n_rows == sounds and g[0].inputs[1][1].n_rows == images
    ]
    assert pass_flops(shared_pass) == 2.0 * sounds * images * (1024 + 1024 + 768)
    assert full_scale.flops("collect", 0) == sum(map(pass_flops, full_scale.passes(0)))
    assert texts > sounds


def test_both_clap_experts_share_the_passes_of_their_base(full_scale):
    sizes = sorted(len(group) for group in full_scale.passes(1))
    assert sizes == [1, 1, 2, 2, 2, 2, 3, 3]
    assert sum(sizes) == len(full_scale.of("collect", 1))


def test_operations_grow_as_rows_squared_for_collecting_and_as_rows_for_training(full_scale):
    half = scaled(0.5)
    for stage in (0, 1):
        assert full_scale.flops("collect", stage) / half.flops("collect", stage) == pytest.approx(4)
        assert full_scale.flops("train", stage) / half.flops("train", stage) == pytest.approx(2)


@pytest.mark.parametrize("stage", [0, 1])
def test_parts_run_the_steps_of_the_plan(stage):
    plan = scaled(TINY, epochs=1)
    ran = collect(plan, stage, TINY, "cpu")
    assert ran.flops == plan.flops("collect", stage)
    assert ran.seconds > 0
    last = plan.of("train", stage)[-1:]
    assert train(last, TINY, "cpu").flops == pytest.approx(last[0].cost.flops)


def test_rows_left_over_by_whole_batches_are_not_counted():
    head = scaled(1e-3, epochs=2).of("train", 0)[-1]  # 5,430 pairs: one batch of 4,096
    assert batches(head) == 2
    assert done_flops(head) == pytest.approx(head.cost.flops * 4096 / 5430)


def test_a_whole_that_fits_is_measured_and_one_that_does_not_is_run_in_two_parts(monkeypatch):
    sizes = []

    def fake(plan, stage, scale, device):
        sizes.append(scale)
        flops = plan.flops("collect", stage)
        return paper_scale.Measured(scale, flops, flops / 1e12)

    monkeypatch.setattr(paper_scale, "collect", fake)
    monkeypatch.setattr(paper_scale, "free_bytes", lambda device: 1 << 40)
    assert [part.scale for part in paper_scale.measure("collect", 0, "cpu", 2e5)] == [1.0]
    small, large = paper_scale.measure("collect", 0, "cpu", 100)
    assert large.seconds == pytest.approx(70, rel=0.01)
    assert small.seconds == pytest.approx(17.5, rel=0.01)
    monkeypatch.setattr(paper_scale, "free_bytes", lambda device: 1 << 30)
    assert all(part.scale < 0.1 for part in paper_scale.measure("collect", 0, "cpu", 2e5))
