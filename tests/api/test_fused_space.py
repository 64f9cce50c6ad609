"""What a FusedSpace does beside embedding: models stay loaded, results are those of the library."""

import gc
import json
import logging
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bundles import record_of, tensors_of
from fakes import headline
from fused_toys import fused_toy
from PIL import Image

import reactions
from reactions import Waveform, session
from reactions.core.errors import (
    MissingError,
    MolspaceError,
    UsageError,
)
from reactions.experiments.sweep import make_grid, sweep
from reactions.planning.centres import ClassCentres
from reactions.products.bundles.bundle import write_bundle
from reactions.products.tree import Adjustment
from reactions.run import executor
from reactions.run.events import PlanStarted
from reactions.run.local import LocalExecutor

# --- models stay loaded ---


def test_evaluating_uses_what_embedding_has_loaded(fused, loaded):
    fused.embed(text=["a"], audio=[Waveform(np.zeros(8, np.float32), 16_000)])
    assert len(loaded) == 4
    fused.evaluate("esc50")
    assert len(loaded) == 4
    fused.evaluate(["imagenet", "audiocaps"], sigma=0.2)
    fused.sweep("coco", sigma=[0, 1])
    assert len(loaded) == 4


def test_embedding_uses_what_evaluating_has_loaded(fused, loaded):
    fused.evaluate("esc50")
    n = len(loaded)
    assert n == len(set(loaded)) > 0
    fused.evaluate("urbansound8k")
    fused.embed(text=["a"])
    assert len(loaded) == len(set(loaded)) == 4


def test_closing_frees_what_evaluating_loaded(fused, loaded):
    fused.evaluate("esc50")
    n = len(loaded)
    fused.close()
    fused.evaluate("urbansound8k")
    assert len(loaded) > n


def test_lending_changes_no_result_and_no_key(fused, trained, tmp_path):
    """A session without what is loaded finds everything, and finds it equal."""
    fused.embed(text=["a"])
    scores = fused.evaluate("esc50,coco", sigma=0.3)
    fresh = replace(fused._session, encoders=None)
    ran = []
    unshared = replace(fresh, events=ran.append)
    tasks = unshared.lab.parse_tasks("esc50,coco")
    results = unshared.evaluate(fused._target, tasks, Adjustment(sigma={"": 0.3}))
    assert PlanStarted(steps=0, hits=2) in ran
    assert [dict(s.metrics) for s in scores] == [r.record["metrics"] for r in results]
    reopened = fused_toy(trained, tmp_path / "apart")
    others = replace(reopened._session, encoders=None).evaluate(
        reopened._target, tasks, Adjustment(sigma={"": 0.3})
    )
    assert [r.record["metrics"] for r in others] == [r.record["metrics"] for r in results]


def test_other_executors_get_what_can_be_sent(fused, monkeypatch):
    loaders = []

    class Elsewhere(LocalExecutor):
        def __init__(self, store, **options):
            loaders.append(options["load_encoder"])
            super().__init__(store, **options)

    monkeypatch.setitem(executor._FACTORIES, "elsewhere", Elsewhere)
    fused._session = replace(fused._session, executor="elsewhere")
    fused.evaluate("esc50")
    assert loaders == [session.load_encoder]


def test_searching_and_classifying_load_nothing_twice(fused, loaded, tmp_path):
    fused.index(tmp_path / "idx", text=["a", "b"])
    fused.search(tmp_path / "idx", text=["a"])
    fused.search(tmp_path / "idx", text=["b"], sigma=0.1)
    fused.similarity(text=["a"], image=[np.zeros((2, 2, 3), np.uint8)])
    assert len(loaded) == len(set(loaded)) == 4


def test_nothing_keeps_a_space_that_is_dropped(trained, tmp_path, loaded):
    """Encoders may hold gigabytes: they go with the last name, not when garbage is collected."""
    fused = fused_toy(trained, tmp_path / "toy")
    fused.embed(text=["a"])
    fused.evaluate("esc50")
    parts = weakref.ref(fused._parts)
    gc.disable()
    try:
        del fused
        assert parts() is None
    finally:
        gc.enable()


# --- evaluate ---


def test_scores_are_the_sessions(fused):
    scores = fused.evaluate("esc50, audiocaps", sigma={"CLAP_m": 0.5}, ties="lenient")
    tasks = fused._session.lab.parse_tasks("esc50,audiocaps")
    chosen = Adjustment(sigma={"CLAP_m": 0.5})
    expected = fused._session.evaluate(fused._target, tasks, chosen, ties="lenient")
    assert [score.record for score in scores] == [result.record for result in expected]
    assert scores["esc50"].value == expected[0].record["metrics"]["accuracy"]
    assert scores["esc50"].arrays.keys() == expected[0].arrays.keys()
    assert len(scores) == 2
    assert scores[1].task == "audiocaps"
    with pytest.raises(UsageError, match="no score of 'esc5'") as caught:
        scores["esc5"]
    assert "esc50" in caught.value.fix


def test_a_table_has_a_row_a_metric_and_the_lab(fused):
    scores = fused.evaluate("esc50", baselines=True)
    frame = scores.to_dataframe()
    assert frame.attrs["lab"] == scores.lab == "mini (tiny)"
    assert list(frame["task"].unique()) == ["esc50"]
    [main] = frame[frame["main"]].to_dict("records")
    assert main["value"] == scores["esc50"].value
    assert main["sum of cosines"] == pytest.approx(
        scores.baselines[1].results["esc50"].record["metrics"]["accuracy"]
    )
    assert "lab: mini (tiny)" in repr(scores)
    assert "lab: mini (tiny)" in scores._repr_html_()
    body = json.loads(json.dumps(scores.to_json()))
    assert body["lab"] == "mini (tiny)"
    assert [row["name"] for row in body["results"][0]["baselines"]][1] == "sum of cosines"


def test_what_a_group_leaves_out_is_said(fused, caplog):
    fused._session.lab.absent["coco"] = MissingError("no data for coco", why="not there")
    caplog.set_level(logging.WARNING, "reactions")
    scores = fused.evaluate("freebind")
    notes = "\n".join(scores.notices)
    assert "coco is left out: no data for coco: not there" in notes
    assert "coco is left out" in caplog.text
    assert "coco" not in [score.task for score in scores]
    with pytest.raises(MissingError, match="no data for coco"):
        fused.evaluate("coco")  # which was asked for by name


def test_a_group_of_which_nothing_is_left(fused, caplog):
    for task in ("esc50", "imagenet", "audiocaps", "clotho", "vggss", "flickrnet", "coco"):
        fused._session.lab.absent[task] = MissingError(f"no data for {task}")
    for name in ("flickr30k", "audioset"):
        fused._session.lab.absent[name] = MissingError(f"no data for {name}")
    with pytest.raises(MissingError, match="no task is left"):
        fused.evaluate("freebind")
    assert "esc50 is left out: no data for esc50" in caplog.text


def test_hits_by_class(fused):
    with pytest.raises(MolspaceError):
        fused.evaluate("audiocaps", hit="class")  # its items have no classes
    with pytest.raises(UsageError, match="hits by pair"):
        fused.evaluate("esc50", hit="pair")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f: f.evaluate("esc5"), "unknown task"),
        (lambda f: f.evaluate([]), "no task given"),
        (lambda f: f.evaluate([3]), "3 is not a name"),
        (lambda f: f.evaluate("esc50", ties="strickt"), "ties is 'strickt'"),
        (lambda f: f.evaluate("esc50", hit="clas"), "hit is 'clas'"),
        (lambda f: f.evaluate("esc50", sigma=2.0), "outside 0 to 1"),
        (lambda f: f.evaluate("esc50", experts=["CLAP"]), "CLAP"),
        (lambda f: f.evaluate("esc50", k=3, rule="sum"), "k and rule belong to centres"),
        (lambda f: f.evaluate("esc50", centres="kb", rule="summ"), "unknown rule"),
        (lambda f: f.evaluate("esc50", centres="kb", baselines=True), "leave out baselines, or"),
        (lambda f: f.evaluate("coco", centres="kb"), "has no classes"),
        (lambda f: f.evaluate(), "no task given"),
        (lambda f: f.evaluate("esc50", columns={"audio": "wav"}), "say how a table is read"),
        (lambda f: f.evaluate(labels="a.csv", templates="a {class}"), "templates takes a list"),
        (lambda f: f.evaluate(pairs="a.csv", labels="a.csv", ids="id"), "of one table"),
        (lambda f: f.evaluate(pairs="gone.csv"), "no table at"),
        (lambda f: f.evaluate("esc50", by_id=True), "say how a table is read"),
        (lambda f: f.evaluate(pairs="a.csv", by_id=3), "by_id is 3"),
        (lambda f: f.evaluate(pairs="a.csv", by_id=["image", 3]), "by_id is"),
        (lambda f: f.sweep("esc50", sigma=[2]), "sigma"),
        (lambda f: f.sweep("esc50", sigma=[[1]]), "sigma"),
        (lambda f: f.sweep("esc50", sigma={"CLAP": [1]}), "CLAP"),
        (lambda f: f.sweep("esc50", experts=[["CLAP"]]), "CLAP"),
        (lambda f: f.embed(text=["a"], sigma="0.5"), "a factor is '0.5'"),
        (lambda f: f.embed(text=["a"], lambda_={"InternVL": (None, 1)}), "a factor is None"),
        (lambda f: f.classify("kb", text=["a"], top="3"), "top is '3'"),
        (lambda f: f.similarity(np.eye(6)).best(1.5), "k is 1.5"),
        (lambda f: f.classify("kb"), "nothing to classify"),
        (lambda f: f.classify("kb", text=["a"], top=0), "top is 0"),
        (lambda f: f.classify(text=["a"]), "no classes to choose from"),
        (lambda f: f.classify(classes=["a"], text=["a"], templates="a {class}"), "takes a list"),
        (lambda f: f.classify(classes=["a"], text=["a"], templates=["a"]), "names no class"),
        (lambda f: f.classify("kb", text=["a"], templates=["a {class}"]), "in two ways"),
        (lambda f: f.similarity(), "0 things"),
        (lambda f: f.similarity(text=["a"], image=[], audio=[]), "3 things"),
        (lambda f: f.similarity(np.eye(6), sigma=0.5), "no effect"),
        (lambda f: f.similarity(np.eye(6, dtype=object)), "of the type object"),
        (lambda f: f.search("nowhere"), "nowhere"),
        (lambda f: f.search("nowhere", text=["a"]), "nowhere"),
        (lambda f: f.index("idx"), "nothing to index"),
        (lambda f: f.index("idx", text=["a"], dtype="float64"), "dtype is 'float64'"),
        (lambda f: f.index("idx", corpora="smell"), "smell"),
    ],
)
def test_arguments_that_are_refused(fused, loaded, call, message):
    with pytest.raises(MolspaceError, match=message):
        call(fused)
    assert loaded == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: s.embed(text=["a"], sigma={"CLAP_x": 0.5}), "sigma: 'CLAP_x' is not a shared"),
        (lambda s: s.embed(text=["a"], sigma=[0.5] * 9), "sigma: 9 factors for"),
        (lambda s: s.embed(text=["a"], experts=["CLAP_x"]), "experts: no expert 'CLAP_x'"),
        (lambda s: s.embed(text=["a"], lambda_=3), "lambda_: the factor 3 for"),
        (lambda s: s.sweep("esc50", sigma="0:2:1"), "sigma"),
        (lambda s: s.sweep("esc50", sigma="x"), "sigma"),
        (lambda s: s.sweep("esc50", lambda_="0:1:0"), "lambda_"),
        (lambda s: s.sweep("esc50", experts=["CLAP_x"]), "experts"),
        (lambda s: s.evaluate("esc50", metrics="R@7"), "metrics"),
        (lambda s: s.evaluate("esc50", centres="kb", rule="sun"), "rule"),
        (lambda s: s.evaluate("esc50", centres="kb", selection="itms"), "selection"),
        (lambda s: s.evaluate("esc50", centres="kb", k=0), "k"),
        (lambda s: s.evaluate(pairs="nowhere.csv"), "nowhere.csv"),
        (lambda s: s.classify("kb", text=["a"], rule="top-0"), "rule"),
        (lambda s: reactions.react("ImageBind + Cr(CLAP_m)", device="gpu"), "device"),
        (lambda s: reactions.react("ImageBind + Cr(CLAP_m)", executor="loacl"), "executor"),
        (lambda s: reactions.plan("ImageBind + Cr(CLAP_m)", precision="exat"), "precision"),
    ],
)
def test_errors_name_arguments_not_options(fused, call, message):
    with pytest.raises(reactions.MolspaceError) as caught:
        call(fused)
    assert message in caught.value.what
    assert not any(f"--{name}" in str(caught.value) for name in OPTIONS), str(caught.value)


def test_values_follow_arguments_as_in_python(fused):
    with pytest.raises(reactions.MolspaceError) as caught:
        fused.evaluate("esc50", centres="kb", selection="items")
    assert caught.value.fix == "items=TASK:SPLIT, such as items=imagenet:train"
    with pytest.raises(reactions.MolspaceError) as caught:
        fused.sweep("esc50", sigma={"CLAP_x": "0:1:0.5"})
    assert "(for one expert: sigma=NAME:0:1:0.5)" in caught.value.fix


OPTIONS = ("sigma", "lambda", "experts", "metrics", "rule", "selection", "k", "items", "pairs")


def test_centres_stand_for_classes(fused, monkeypatch):
    """Which descriptions and how they score is passed on; the rest is the library's own."""
    calls = []

    def stand_in(session, target, tasks, centres, adjustment, *, ties, further):
        assert not further
        calls.append((tasks, centres, adjustment, ties))
        return session.evaluate(target, tasks, adjustment, ties=ties)

    monkeypatch.setattr("reactions.api.operations.evaluate_centres", stand_in)
    monkeypatch.setattr("reactions.api.operations.open_source", lambda lab, name: f"opened {name}")
    scores = fused.evaluate("esc50", centres="kb", k=7, rule="top-3", sigma=0.5)
    assert len(scores) == 1
    [(tasks, centres, _, ties)] = calls
    assert isinstance(centres, ClassCentres)
    assert (centres.source, centres.options.k, centres.options.m) == ("opened kb", 7, 3)
    assert ([task.name for task in tasks], ties) == (["esc50"], "strict")
    noted = fused.evaluate("freebind", centres="kb")
    assert any("change nothing of" in note and "coco" in note for note in noted.notices)


# --- tables ---


@pytest.fixture
def on_disk(tmp_path, loaded, monkeypatch):
    """A space whose lab reads tables, and two tables."""
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("black", "grey", "white")):
        Image.new("L", (4, 4), number * 120).save(tmp_path / f"{name}.png")
    (tmp_path / "pairs.csv").write_text(
        "picture,caption\nblack.png,night\ngrey.png,fog\ngrey.png,rain\nwhite.png,snow\n"
    )
    (tmp_path / "labels.csv").write_text(
        "file,shade\nblack.png,dark\ngrey.png,dark\nwhite.png,light\n"
    )
    space = headline()
    bundle_path = write_bundle(tmp_path / "b", record_of(space), tensors_of(space))
    return reactions.load(bundle_path, lab="mini", device="cpu")


def test_pairs_of_ones_own(on_disk):
    scores = on_disk.evaluate(pairs="pairs.csv", metrics=["MRR", "median rank"])
    [score] = scores
    assert (score.task, score.n) == ("pairs", 3)
    assert "mean MRR" in score.further
    metrics = set(scores.to_dataframe()["metric"])
    assert {"mean R@1", "mean MRR", "text->image median rank"} <= metrics
    assert "mean nDCG@10" not in metrics
    assert any("picture" in notice for notice in scores.notices)  # the column that was guessed
    both = on_disk.evaluate("esc50", pairs="pairs.csv", metrics="all")
    assert [task_scores.task for task_scores in both] == ["esc50", "pairs"]
    with pytest.raises(UsageError, match="no metric 'MRX'"):
        on_disk.evaluate(pairs="pairs.csv", metrics="MRX")


def test_labels_of_ones_own(on_disk):
    templates = ["a photo of something {class}."]
    scores = on_disk.evaluate(
        labels=Path("labels.csv"), columns={"image": "file", "class": "shade"}, templates=templates
    )
    [score] = scores
    assert (score.main, score.n) == ("accuracy", 3)
    assert score.record["prompts"] == templates
    with pytest.raises(UsageError, match="holds the classes"):
        on_disk.evaluate(labels="labels.csv")


# --- sweep ---


def test_a_sweep_is_the_librarys(fused):
    swept = fused.sweep("esc50", sigma=[0, 0.5, 1], experts="all-subsets")
    space = fused._target.space
    grid = make_grid(space, sigma="0/0.5/1", experts="all-subsets")
    tasks = fused._session.lab.parse_tasks("esc50")
    expected = sweep(fused._session, fused._target, tasks, grid)
    assert swept.table.rows == expected.rows
    frame = swept.to_dataframe()
    assert len(frame) == len(swept) == len(expected.rows)
    assert frame["score"].max() == swept.best("esc50")["score"]
    assert swept.own("esc50") == expected.defaults[0]
    assert "lab: mini (tiny)" in swept._repr_html_()
    assert "flattered" in repr(swept)
    assert json.loads(json.dumps(swept.to_json()))["lab"] == "mini (tiny)"
    for name in ("best", "own"):
        with pytest.raises(UsageError, match="no scores of 'esc5'"):
            getattr(swept, name)("esc5")
    with pytest.raises(UsageError, match="no metric"):
        swept.best("esc50", "acuracy")


def test_grids_are_given_in_several_ways(fused):
    def axes(**grid):
        return dict(fused.sweep("esc50", **grid).table.axes)

    both = {"sigma audio": (0.0, 0.5), "sigma text": (0.0, 0.5)}
    for grid in ("0/0.5", [0, 0.5], (0.0, 0.5), ["0/0.5"], np.array([0.0, 0.5])):
        assert axes(sigma=grid) == both
    assert axes(sigma={"audio": [0, 0.5], "text": "0:0.5:0.5"}) == both
    assert axes(sigma={"audio": 0.5}) == {"sigma audio": (0.5,)}
    assert axes(sigma={"CLAP_m": 1e-5}) == {
        "sigma CLAP_m audio": (1e-5,),
        "sigma CLAP_m text": (1e-5,),
    }
    assert axes(sigma={"CLAP_m": {"audio": 1}}) == {"sigma CLAP_m audio": (1.0,)}
    assert axes(lambda_=0.3) == {"lambda image": (0.3,), "lambda text": (0.3,)}
    subsets = fused.sweep("esc50", experts=[["CLAP_m"], ["CLAP_m", "CLAP_g"]])
    assert [row["experts"] for row in subsets.table.rows] == ["CLAP_m", "CLAP_g,CLAP_m"]


# --- progress ---


def test_progress_is_shown_where_it_is_asked_for(fused, tmp_path, capsys):
    fused.evaluate("esc50", progress=False)
    fused.index(tmp_path / "a", text=["a"], progress=False)
    assert capsys.readouterr().err == ""
    fused.evaluate("imagenet", progress=True)
    assert "done in" in capsys.readouterr().err


def test_a_space_in_a_notebook(fused):
    page = fused._repr_html_()
    assert "ImageBind + Dr(InternVL) | Cr(CLAP_m) &amp; Cr(CLAP_g)" in page
    assert "lab: mini (tiny)" in page
    assert "sigma CLAP_m" in page
