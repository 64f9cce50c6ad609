"""``molspace eval --pairs`` and ``--labels``, and ``--metrics``."""

import json

import numpy as np
import pytest
from embedding_folder import write
from in_process import runner


@pytest.fixture
def molspace(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)

    run = runner(monkeypatch, capsys)
    assert run("lab", "sample", "--out", "sample")[0] == 0
    names = ["1-whistle", "2-accordion", "3-typewriter", "4-clock", "5-cello", "6-trumpet"]
    pairs = [f"sample/audio/{n}.wav,a {n[2:]}" for n in names]
    (tmp_path / "pairs.csv").write_text("\n".join(["audio,caption", *pairs]) + "\n")
    labels = [f"sample/image/{n}.png,{n[2:]}" for n in names]
    (tmp_path / "labels.csv").write_text("\n".join(["file,label", *labels]) + "\n")
    return run


EVAL = ("eval", "--space", "ImageBind", "--json")


def test_pairs(molspace):
    code, out, err = molspace(*EVAL, "--pairs", "pairs.csv")
    assert code == 0, err
    (result,) = json.loads(out)["results"]
    assert (result["task"], result["n"]) == ("pairs", 6)
    assert set(result["metrics"]) >= {"text->audio R@1", "audio->text R@5", "mean R@1"}
    assert set(result["further"]) >= {"mean MRR", "mean nDCG@10", "mean mAP"}
    assert "[tasks.pairs]" in err
    assert "text: the column caption" in err


def test_labels_and_chosen_metrics(molspace):
    code, out, err = molspace("eval", "--space", "ImageBind", "--labels", "labels.csv")
    assert code == 0, err
    assert "* accuracy\t" in out
    assert "lab: mini" in out
    options = ("--metrics", "top-5,mean per class")
    code, out, _ = molspace("eval", "--space", "ImageBind", "--labels", "labels.csv", *options)
    assert code == 0
    assert "top-5\t" in out
    assert "mean per class\t" in out
    assert "accuracy" not in out
    _, out, _ = molspace("eval", "--space", "ImageBind", "--pairs", "pairs.csv", "--metrics", "R@1")
    assert "mean R@1\t" in out
    assert "R@10" not in out


def test_metrics_of_a_published_task_leave_its_usual_score_alone(molspace):
    code, out, _ = molspace(*EVAL, "--task", "clotho")
    usual = json.loads(out)["results"][0]
    code, out, _ = molspace(*EVAL, "--task", "clotho", "--metrics", "all")
    result = json.loads(out)["results"][0]
    assert code == 0
    assert "further" not in usual
    assert result["metrics"] == usual["metrics"]
    # Five captions an item: by the best of them, and by all.
    further = result["further"]
    assert further["text->audio MRR"] == pytest.approx(further["text->audio mAP"])
    assert further["audio->text mAP"] < further["audio->text MRR"]


@pytest.mark.parametrize(
    ("arguments", "message", "fix"),
    [
        ((), "nothing to score on", "--pairs FILE"),
        (("--pairs", "pair.csv"), "no table at", "correct the path"),
        (("--pairs", "labels.csv"), "hold 2 modalities", "--columns"),
        (("--task", "esc50", "--columns", "a=b"), "say how a table is read", "--pairs FILE"),
        (("--pairs", "pairs.csv", "--metrics", "MRS"), "no metric 'MRS'", "did you mean 'MRR'"),
        (("--task", "esc50", "--metrics", "MRR", "--centres", "kb"), "no metric 'MRR'", "top-5"),
    ],
)
def test_mistakes(molspace, arguments, message, fix):
    code, out, err = molspace("eval", "--space", "ImageBind", *arguments)
    assert code in (2, 3)
    assert out == ""
    assert message in err
    assert fix in err


def test_ids_of_embeddings_need_no_file(molspace, tmp_path):
    axes = np.eye(4, dtype=np.float32)
    write(tmp_path / "clip", "image", axes, ids=list("wxyz"))
    write(tmp_path / "clip", "text", axes, ids=["a", "b", "cat", "dog"])
    (tmp_path / "ids.csv").write_text("image_id,caption_id,class\nw,a,\nx,b,\n")
    arguments = ("eval", "--space", '"./clip"', "--by-id", "--json")
    code, out, err = molspace(*arguments, "--pairs", "ids.csv")
    assert code == 0, err
    (result,) = json.loads(out)["results"]
    assert (result["n"], result["metrics"]["mean R@1"]) == (2, 100.0)
    assert "by_id = true" in err
    (tmp_path / "named.csv").write_text("image_id,class\ny,cat\nz,dog\n")
    code, out, err = molspace(*arguments, "--labels", "named.csv")
    assert json.loads(out)["results"][0]["metrics"] == {"accuracy": 100.0}
    code, out, err = molspace(*arguments, "--labels", "named.csv", "--id", "class")
    assert (code, out) == (2, "")
    assert "--id says nothing about ids of embeddings" in err
    code, _, err = molspace("eval", "--space", "ImageBind", "--task", "esc50", "--by-id")
    assert code == 2
    assert "--pairs FILE" in err


def test_what_is_mistyped_is_refused_before_anything_is_said(molspace):
    table = ("eval", "--space", "ImageBind", "--pairs", "pairs.csv")
    for typo in (("--metrics", "R@7"), ("--sigma", "0.5"), ("--experts", "CLAP_x")):
        code, out, err = molspace(*table, *typo)
        assert (code, out) == (2, "")
        assert err.startswith("error: --"), err
