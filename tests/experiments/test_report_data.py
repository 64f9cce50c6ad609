"""What a report shows, before it is drawn."""

import fakes
import numpy as np
import pytest
from report_lab import Numbers, report_of, tiny_session, use_fakes
from toy_steps import make_step

from reactions.core.errors import MissingError, UsageError
from reactions.core.extras import install_extra
from reactions.core.step import Artifact, Cost
from reactions.core.types import leaves
from reactions.dsl import check, parse
from reactions.eval.bootstrap import bootstrap_mean, recall_by_item
from reactions.eval.registry import get_task
from reactions.eval.task_data import ClassificationData, RetrievalData
from reactions.experiments.paper.spaces import DR, FACTORS, PUBLISHED, TUNED, sequence
from reactions.experiments.report import maps
from reactions.experiments.report.costs import by_kind, step_costs
from reactions.experiments.report.drawing import BOX_WIDTH, draw_reaction
from reactions.experiments.report.figures import loss_groups
from reactions.experiments.report.maps import check_method, flatten, gap, map_samples, pair_samples
from reactions.experiments.report.product_report import record_losses
from reactions.experiments.report.scores import interval, paper_product
from reactions.experiments.report.surfaces import axis_text, surface, swept_modalities
from reactions.planning.plan import Plan
from reactions.store import Store

SPACE = fakes.headline()
RECORD = {"mixtures": [{"subsets": ["A", "T"]}, {"subsets": ["A"]}, {"subsets": ["A"]}]}


# --- scores --------------------------------------------------------------------------


def test_intervals_draw_items_not_captions():
    task, owner = get_task("audiocaps"), np.arange(20) // 2
    forward = np.random.default_rng(0).integers(1, 9, 20)
    backward = np.random.default_rng(1).integers(1, 9, 10)
    data = RetrievalData(Numbers("l", "audio", 10), Numbers("r", "text", 20), owner)
    arrays = {"rank_forward": forward[:, None], "rank_backward": backward[:, None]}

    def percent(values):
        return tuple(100 * value for value in values)

    assert interval(task, "mean R@5", arrays, data) == percent(
        bootstrap_mean(recall_by_item(forward, backward, owner, 5))
    )
    assert interval(task, "text->audio R@1", arrays, data) == percent(
        bootstrap_mean(forward <= 1, clusters=owner)
    )
    assert interval(task, "audio->text R@10", arrays, data) == percent(
        bootstrap_mean(backward <= 10)
    )


def test_a_folds_accuracy_has_no_interval():
    data = ClassificationData(Numbers("q", "audio", 4), np.zeros(4, int), ("a", "b"))
    arrays = {"correct": np.array([[True], [True], [False], [True]])}
    measured = interval(get_task("esc50"), "accuracy", arrays, data)
    assert measured.mean == 75
    assert measured.low < 75 < measured.high
    assert interval(get_task("esc50"), "fold_1", arrays, data) is None


def product(text):
    return check(parse(text), PUBLISHED, factors=FACTORS).space


@pytest.mark.parametrize(
    ("text", "name", "figure"),
    [
        ("ImageBind + Dr(InternVL) | Cr(CLAP_m) & Cr(CLAP_g)", "InternVL_IB++ Ver.", 88.30),
        ("ImageBind + Dr(InternVL) | Cr(CLAP_g) & Cr(CLAP_m)", "InternVL_IB++ Ver.", 88.30),
        ("ImageBind + Dr(InternVL)", "InternVL_IB", 66.05),
        (
            "ImageBind + Cr(CLAP_m, sigma=(0.8, 0.5)) & Cr(CLAP_g, sigma=(0.8, 0.5))",
            "ImageBind++ AT E.",
            92.80,
        ),
    ],
)
def test_the_papers_products_have_its_figures(text, name, figure):
    published, why = paper_product(product(text))
    assert (published.name, published.of("esc50")["accuracy"], why) == (name, figure, "")


@pytest.mark.parametrize(
    ("text", "remark"),
    [
        ("ImageBind + Cr(InternVL, sigma=0.1)", ""),
        ("ImageBind + Cr(InternVL, sigma=0.9)", "another reading of the paper's row: the caption"),
        (sequence(0.5, 0.1), ""),
        (sequence(0.5, 0.9), "another reading of the paper's row: the versatile setting"),
        (sequence(0.9, 0.9), "another reading of the paper's row: the displacement's 0.9"),
        (TUNED, ""),
        (f"{DR} | Ft(audio~image, heads=only)", "Ft(audio~image) tuned the projectors alone"),
    ],
)
def test_what_is_not_quite_the_papers_product_says_so(text, remark):
    published, _ = paper_product(product(text))
    assert published.figures
    assert len(published.remarks) == bool(remark)
    assert remark in "".join(published.remarks)


def test_other_products_have_none_and_say_why():
    published, why = paper_product(product("ImageBind + Dr(InternVL, lambda=(0.7, 0.9))"))
    assert published is None
    assert why.startswith("the paper has this reaction with other factors: InternVL_IB")
    assert paper_product(product("CLAP_m + Dr(CLAP_g)")) == (
        None,
        "the product is none of the paper's",
    )


# --- drawing and losses --------------------------------------------------------------


def test_a_drawing_has_every_space_and_reaction_once_and_nothing_overlaps():
    drawing = draw_reaction(SPACE, RECORD)
    spaces = [box for box in drawing.boxes if box.kind == "space"]
    assert sorted(box.title for box in spaces) == sorted(leaf.label for leaf in leaves(SPACE))
    assert [box.title for box in drawing.boxes if box.kind != "space"] == [
        "Dr: displacement",
        "Cr: combination",
    ]
    assert len({(box.x, box.y) for box in drawing.boxes}) == len(drawing.boxes) == 6
    assert all(box.x + BOX_WIDTH <= drawing.width for box in drawing.boxes)
    assert all(line.start[0] < line.end[0] for line in drawing.lines)
    words = {line.words for line in drawing.lines}
    assert words == {
        ("2 projectors",),
        ("\u03bb image 0.9, text 0.9",),
        ("1 projector", "\u03c3 audio 0.5, text 0.1"),
        (),
    }
    projected = [line.is_projected for line in drawing.lines]
    assert projected == [True, False, False, True, True]


def test_losses_are_grouped_by_pair_and_what_is_no_loss_is_dropped():
    record = {
        **RECORD,
        "losses": {"0.T": [2.0, 1.0], "0.A": [3, 2], "2.A": [1.0], "part.7": [0.5]}
        | {"part.0": [0.1], "0.V": ["<b>"]},
        "parts": [{"about": {"modality": "audio", "paired": "image"}}],
    }
    groups = loss_groups(record, SPACE)
    assert [(g["title"], [c["name"] for c in g["curves"]]) for g in groups] == [
        ("ImageBind + Dr(InternVL)", ["A", "T"]),
        ("(ImageBind + Dr(InternVL)) + Cr(CLAP_g)", ["A"]),
        ("part.7", ["tuned"]),
        ("Ft(audio~image)", ["tuned"]),
    ]
    assert record_losses({"losses": [1, 2]}) == record_losses({}) == {}
    assert record_losses({"losses": {"a": [float("nan")], "b": [True], "c": []}}) == {}


# --- map and gap ---------------------------------------------------------------------


def test_pca_is_exact_and_its_signs_are_settled():
    rows = fakes.unit_rows(60, 9, 0)
    places, shares = flatten(rows)
    centred = rows.astype(np.float64) - rows.mean(axis=0, dtype=np.float64)
    values = np.linalg.eigvalsh(np.cov(centred.T, bias=True))[::-1]
    np.testing.assert_allclose(places.var(axis=0), values[:2], rtol=1e-6)
    np.testing.assert_allclose(shares, values[:2] / values.sum(), rtol=1e-6)
    mirrored, _ = flatten(rows @ np.linalg.qr(np.random.default_rng(0).normal(size=(9, 9)))[0])
    np.testing.assert_allclose(np.abs(mirrored), np.abs(places), atol=1e-5)
    recomputed, _ = flatten(rows.copy())
    np.testing.assert_array_equal(recomputed, places)


def test_a_gap_is_the_distance_of_means():
    left, right = fakes.unit_rows(40, 5, 0), fakes.unit_rows(40, 5, 1)
    measured = gap(left, right)
    cosines = left.astype(np.float64) @ right.T.astype(np.float64)
    unpaired = cosines[~np.eye(40, dtype=bool)]
    assert measured.distance == pytest.approx(np.linalg.norm(left.mean(0) - right.mean(0)), 1e-5)
    assert measured.paired == pytest.approx(np.diagonal(cosines).mean(), abs=1e-6)
    assert measured.unpaired == pytest.approx(unpaired.mean(), abs=1e-6)
    same = gap(left, left)
    assert (same.distance, round(same.paired, 6)) == (0, 1)


def test_classes_that_several_sets_have_come_first(monkeypatch):
    monkeypatch.setattr(maps, "CLASSES", 2)
    monkeypatch.setattr(maps, "ITEMS_A_CLASS", 3)
    sounds = ClassificationData(
        Numbers("s", "audio", 40), np.arange(40) % 4, ("owl", "Sea Waves", "rain", "cat")
    )
    images = ClassificationData(
        Numbers("i", "image", 40), np.arange(40) % 4, ("sea_waves", "tench", "owl", "crane")
    )
    samples = map_samples([(get_task("esc50"), sounds), (get_task("imagenet"), images)])
    assert [(s.task, s.name, s.modality, len(s.rows)) for s in samples] == [
        ("esc50", "queries", "audio", 6),
        ("esc50", "prompts", "text", 2),
        ("imagenet", "queries", "image", 6),
        ("imagenet", "prompts", "text", 2),
    ]
    for sample in samples:
        assert set(sample.labels) == {"owl", "Sea Waves"}
        assert sample.rows.tolist() == sorted(sample.rows.tolist())
    for row, label in zip(samples[2].rows, samples[2].labels, strict=True):
        assert label == {0: "Sea Waves", 2: "owl"}[row % 4]
    templates = len(get_task("imagenet").templates)
    assert samples[3].rows.tolist() == [0, 2 * templates]


def test_pairs_are_an_item_and_an_answer_of_its_own(monkeypatch):
    monkeypatch.setattr(maps, "PAIRS", 4)
    owner = np.array([1, 1, 0, 2, 3, 4, 0, 5])
    data = RetrievalData(Numbers("l", "audio", 6), Numbers("r", "text", 8), owner)
    left, right = pair_samples(get_task("audiocaps"), data)
    assert len(left.rows) == 4
    assert owner[right.rows].tolist() == left.rows.tolist()
    assert pair_samples(get_task("esc50"), None) is None


def test_a_map_that_cannot_be_drawn_is_refused_before_anything_is_computed(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    check_method("pca")
    with pytest.raises(MissingError, match="cannot draw a map by umap") as caught:
        check_method("umap")
    assert install_extra("map") in caught.value.fix


@pytest.mark.parametrize("method", ["umap", "tsne"])
def test_maps_of_neighbours_are_seeded(method):
    pytest.importorskip({"umap": "umap", "tsne": "sklearn"}[method], reason="needs the extra map")
    rows = fakes.unit_rows(40, 6, 0)
    places, shares = flatten(rows, method)
    assert places.shape == (40, 2)
    assert shares == ()
    np.testing.assert_array_equal(flatten(rows, method)[0], places)


# --- surfaces ------------------------------------------------------------------------


def sweep_rows(axes, tasks, figure):
    (a, b), values = axes, [0.0, 0.5, 1.0]
    return [
        {"task": task, a: x, b: y, "accuracy": figure(x, y)}
        for task in tasks
        for y in values
        for x in values
    ]


def test_cells_are_arranged_by_their_factors():
    axes = {"sigma audio": (0.0, 0.5, 1.0), "sigma text": (0.0, 0.5, 1.0)}
    rows = sweep_rows(tuple(axes), ["esc50"], lambda x, y: 10 * x + y)
    factor_surface = surface(SPACE, "sigma", axes, rows, {"esc50": ["accuracy"]})
    table = np.reshape(factor_surface.tables["esc50"]["accuracy"], (3, 3))
    assert table[1].tolist() == [5.0, 5.5, 6.0]  # audio 0.5; the last axis is text
    assert [(axis.modality, axis.default) for axis in factor_surface.axes] == [
        ("audio", 0.5),
        ("text", 0.1),
    ]
    assert factor_surface.has_defaults
    assert set(factor_surface.fixed) == {"lambda InternVL"}
    body = factor_surface.to_json()
    assert [axis["label"] for axis in body["axes"]] == ["\u03c3 audio", "\u03c3 text"]


def test_a_cell_that_is_not_there_is_an_error():
    axes = {"sigma audio": (0.0, 0.5, 1.0), "sigma text": (0.0, 0.5, 1.0)}
    rows = sweep_rows(tuple(axes), ["esc50"], lambda x, y: x)[:-1]
    with pytest.raises(LookupError):
        surface(SPACE, "sigma", axes, rows, {"esc50": ["accuracy"]})


def test_axes_are_the_shared_modalities_and_coarser_where_there_are_many():
    assert swept_modalities(SPACE, "sigma") == ("audio", "text")
    assert swept_modalities(SPACE, "lambda") == ("image", "text")
    assert swept_modalities(fakes.dr(fakes.IB, fakes.VL), "sigma") == ()
    assert axis_text(("audio", "text")) == "audio=0:1:0.1,text=0:1:0.1"
    assert axis_text(("a", "b", "c")) == "a=0:1:0.25,b=0:1:0.25,c=0:1:0.25"


# --- costs ---------------------------------------------------------------------------


def test_costs_tell_what_the_store_has_and_count_a_shared_pass_once(tmp_path):
    cost = Cost(flops=10, shared_flops=8, size_bytes=3)
    steps = [
        make_step(
            "collect",
            f"column {seed}",
            {"seed": seed},
            (),
            lambda *_: Artifact({"x": np.ones((2, 1))}),
            together="one pass",
            cost=cost,
        )
        for seed in (0, 1)
    ]
    store = Store(tmp_path)
    store.put(steps[0], Artifact({"x": np.ones((2, 1))}), seconds=1.5)
    costs = step_costs(Plan(tuple(steps)), store)
    collected = [cost for cost in costs if cost.kind == "collect"]
    assert [cost.flops for cost in collected] == [10, 2]
    assert [cost.is_stored for cost in collected] == [True, False]
    assert [cost.seconds for cost in collected] == [1.5, None]
    assert collected[1].size_bytes == 3
    total = next(kind for kind in by_kind(costs) if kind.kind == "collect")
    assert (total.steps, total.flops, total.timed) == (2, 12, 1)


def test_a_space_alone_is_refused(tmp_path, monkeypatch):
    use_fakes(monkeypatch)
    with pytest.raises(UsageError, match="'CLAP_m' is a space, not a reaction"):
        report_of(tiny_session(tmp_path), "CLAP_m")
