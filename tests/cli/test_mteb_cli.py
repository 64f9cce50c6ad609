"""``molspace mteb``: names, refusals, results where mteb keeps them."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from in_process import runner
from indexed import load_fake, target_at

from reactions import session

pytestmark = pytest.mark.filterwarnings("ignore")  # of mteb, datasets and scikit-learn


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MTEB_CACHE", str(tmp_path / "shared"))
    monkeypatch.setattr(session, "load_encoder", load_fake)
    target_at(tmp_path / "bundle")

    return runner(monkeypatch, capsys, "mteb", "bundle")


def test_without_mteb_the_fix_installs_it(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "mteb", None)
    code, out, err = run("--tasks", "STS12", "--out", "o")
    assert (code, out) == (3, "")
    assert "mteb" in err.partition("fix: pip install")[2]


@pytest.fixture
def tasks(monkeypatch):
    """Tasks whose data are in memory, under the names of mteb's registry."""
    pytest.importorskip("mteb", reason="the extra mteb is not installed")
    from mteb_tasks import classification, metadata, retrieval, table, with_data

    registry = importlib.import_module("mteb.get_tasks")._TASKS_REGISTRY

    def register(task):
        monkeypatch.setitem(registry, task.metadata.name, lambda: task)

    pictures = [np.full((4, 4, 3), 20 * i, np.uint8) for i in range(4)]
    texts = table(text=[f"picture {i}" for i in range(4)])
    partners = {i: [i] for i in range(4)}
    both = ["text", "image"]
    register(retrieval("MadeFound", texts, table(image=pictures), partners, both, "t2i"))
    register(classification("MadeProbe", "image", pictures, [0, 1, 0, 1]))
    from datasets import Dataset, DatasetDict
    from mteb.abstasks import AbsTaskClassification, AbsTaskSTS

    about = metadata("MadeAbsent", "Classification", "accuracy", ["text"], "t2c")
    absent = with_data(AbsTaskClassification, about, None)
    absent.data_loaded = False

    def load_data(**kwargs):
        raise ConnectionError("no such host")

    absent.load_data = load_data
    register(absent)
    silent = with_data(
        AbsTaskClassification,
        metadata("MadeSilent", "Classification", "accuracy", ["audio"], "a2c"),
        None,
    )
    silent.data_loaded = False

    def load_sounds(**kwargs):
        # What datasets says.
        raise ImportError("To support decoding audio data, please install 'torchcodec'.")

    silent.load_data = load_sounds
    register(silent)
    scores = {"sentence1": ["a", "b"], "sentence2": ["c", "d"], "score": [0.5, 0.5]}
    alike = metadata("MadeAlike", "STS", "cosine_spearman", ["text"], "t2t")
    register(with_data(AbsTaskSTS, alike, DatasetDict({"test": Dataset.from_dict(scores)})))
    clips = metadata("MadeClips", "Classification", "accuracy", ["text", "video"], "v2c")
    register(with_data(AbsTaskClassification, clips, None))


def test_results_lie_where_mteb_keeps_them(run, tasks):
    code, out, err = run("--tasks", "MadeFound,MadeProbe", "--out", "o", "--json")
    assert code == 0, err
    report = json.loads(out)
    assert report["schema"] == "molspace.mteb/1"
    assert report["lab"].startswith("mini")
    assert report["settings"] == {"lab": report["lab"]}
    assert [result["task"] for result in report["results"]] == ["MadeFound", "MadeProbe"]
    for result in report["results"]:
        stored = json.loads(Path(result["file"]).read_text())
        assert stored["task_name"] == result["task"]
        assert stored["scores"]["test"][0]["main_score"] == pytest.approx(result["score"])
    code, out, _ = run("--tasks", "MadeFound", "--tasks", "MadeProbe", "--out", "o", "-q")
    _, columns, *rows, note = out.splitlines()
    assert columns.split("\t") == ["task", "type", "metric", "%"]
    assert [float(row.split("\t")[3]) for row in rows] == [
        pytest.approx(100 * result["score"], abs=0.006) for result in report["results"]
    ]
    assert note.startswith(f"# lab: {report['lab']}   model: {report['model']}   results: o")


def test_what_is_there_is_not_run_again(run, tasks, monkeypatch):
    assert run("--tasks", "MadeFound", "--out", "o")[0] == 0

    def fail(spec, device):
        raise AssertionError("an encoder is loaded")

    monkeypatch.setattr(session, "load_encoder", fail)
    assert run("--tasks", "MadeFound", "--out", "o")[0] == 0
    assert run("--tasks", "MadeFound", "--out", "o", "--overwrite")[0] == 4
    assert run("--tasks", "MadeFound", "--out", "o", "--sigma", "0.3")[0] == 4


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--tasks", "ESC5", "--out", "o"), 2, "did you mean 'ESC50'"),
        (("--tasks", "qqqqqqqqqq", "--out", "o"), 2, "mteb available-tasks"),
        (("--tasks", "MadeFound,MadeClips", "--out", "o"), 2, "cannot do MadeClips"),
        (("--tasks", "MadeClips", "--out", "o"), 2, "MadeClips needs video"),
        (("--tasks", "my_task.py", "--out", "o"), 2, "code is never loaded by its path"),
        (("--tasks", " , ", "--out", "o"), 2, "no task is named"),
        (("--tasks", "MadeFound"), 2, "results of the mini lab are not written"),
        (("--tasks", "MadeFound", "--out", "shared"), 2, "mteb submits what lies in"),
        (("--tasks", "MadeFound", "--out", "clone/results"), 2, "is a copy of"),
        (("--tasks", "MadeFound", "--out", "bundle/bundle.json"), 4, "cannot write to"),
        (("--tasks", "MadeAbsent", "--out", "o"), 3, "the data of MadeAbsent cannot be loaded"),
        (("--tasks", "MadeSilent", "--out", "o"), 3, "fix: pip install torchcodec"),
        (("--tasks", "MadeFound", "--out", "o", "--sigma", "3"), 2, "outside 0 to 1"),
    ],
)
def test_mistakes_are_refused(run, tasks, tmp_path, arguments, code, message):
    (tmp_path / "clone" / ".git").mkdir(parents=True)
    remote = "[remote]\n\turl = https://github.com/embeddings-benchmark/results\n"
    (tmp_path / "clone" / ".git" / "config").write_text(remote)
    actual_code, out, err = run(*arguments)
    assert (actual_code, out) == (code, ""), err
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--tasks", "ESC5", "--out", "o"), "did you mean 'ESC50'"),
        (("--tasks", "MadeClips", "--out", "o"), "MadeClips needs video"),
        (("--tasks", "MadeFound"), "results of the mini lab are not written"),
        (("--tasks", "MadeFound", "--out", "o", "--sigma", "3"), "outside 0 to 1"),
    ],
)
def test_mistakes_are_refused_before_a_reaction_is_trained(
    run, tasks, monkeypatch, capsys, arguments, message
):
    def fail(self, steps):
        raise AssertionError("steps are run")

    monkeypatch.setattr(session.Session, "run", fail)
    command = runner(monkeypatch, capsys, "mteb", "ImageBind + Cr(CLAP_m)")
    code, out, err = command(*arguments)
    assert (code, out) == (2, ""), err
    assert message in err


def test_a_score_that_is_no_number_is_said_to_be_none(run, tasks):
    code, out, err = run("--tasks", "MadeAlike", "--out", "o", "--json")
    assert code == 0, err
    report = json.loads(out)
    assert report["results"][0]["score"] is None
    assert "MadeAlike: mteb gives no number for cosine_spearman" in report["notices"][0]
    assert run("--tasks", "MadeAlike", "--out", "o")[1].splitlines()[2].endswith("\t-")


def test_a_task_that_fails_leaves_the_others(run, tasks):
    code, out, err = run("--tasks", "MadeAbsent,MadeFound", "--out", "o", "--json")
    assert code == 3
    assert "no such host" in err
    report = json.loads(out)
    assert [result["task"] for result in report["results"]] == ["MadeFound"]
    assert [result["task"] for result in report["failed"]] == ["MadeAbsent"]


def test_of_a_benchmark_what_cannot_be_done_is_left_out_and_named(run, tasks, monkeypatch):
    import mteb

    members = [mteb.get_task("MadeFound"), mteb.get_task("MadeClips")]
    benchmark = mteb.Benchmark(name="Made(eng, v1)", tasks=members)
    right = mteb.get_benchmark

    def get_benchmark(name):
        return benchmark if name == benchmark.name else right(name)

    monkeypatch.setattr(mteb, "get_benchmark", get_benchmark)
    code, out, err = run("--tasks", "Made(eng, v1)", "--out", "o", "--json")
    assert code == 0, err
    report = json.loads(out)
    assert [result["task"] for result in report["results"]] == ["MadeFound"]
    assert "1 of 2 tasks need what the space does not embed" in err
    assert any("MadeClips" in notice for notice in report["notices"])
