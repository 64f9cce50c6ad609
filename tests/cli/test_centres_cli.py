"""``eval --centres``, ``infer --classify`` and the import of centres, as a user types them."""

import json
import pickle

import numpy as np
import pytest
import torch
from in_process import runner

from reactions.labs.lab_file import load_lab

EVAL = ("eval", "--space", "ImageBind", "--task", "imagenet", "--seed", "26")
KINDS = 50


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def run(store, tmp_path, monkeypatch, capsys):
    """Run a command with a cache that the tests of this file share."""
    monkeypatch.setenv("MOLSPACE_CACHE", str(store))
    monkeypatch.chdir(tmp_path)

    return runner(monkeypatch, capsys, stdin=b"")


def test_what_describes_classes_is_a_row_each(run):
    code, out, err = run(*EVAL, "--centres", "kb")
    assert code == 0, err
    title, heading, *rows = [line.split("\t") for line in out.splitlines()]
    assert title == ["# imagenet   ImageBind"]
    assert heading == ["classes described by", "accuracy (%)", "centres better by [95 %]"]
    names = [row[0] for row in rows if not row[0].startswith("#")]
    assert names == [
        "central 50, mean (kb)",
        "CLIP's template",
        "the task's prompts",
        "CLIP's 7 templates",
        "the class name",
        "names and synonyms",
    ]
    facts = next(row[0] for row in rows if row[0].startswith("# lab: mini"))
    assert "descriptions: 2,500 of 50,000" in facts
    first_row, other = float(rows[0][1]), float(rows[1][1])
    gain, low, high = (float(part.strip("[],")) for part in rows[1][2].split())
    assert gain == pytest.approx(first_row - other, abs=0.011)
    assert low < gain < high


def test_the_same_command_again_runs_nothing(run):
    run(*EVAL, "--centres", "kb")
    code, _, err = run(*EVAL, "--centres", "kb")
    assert code == 0
    assert "nothing to run" in err


def test_json_carries_centres_rows_and_differences(run):
    code, out, _ = run(*EVAL, "--centres", "kb", "--json", "-q", "--rule", "top-10", "--k", "30")
    assert code == 0
    (record,) = json.loads(out)["results"]
    assert record["prompts"] == []
    centres = record["centres"]
    assert (centres["kb"], centres["k"], centres["selection"]) == ("kb", 30, "central")
    assert (centres["rule"], centres["m"], centres["zero_shot"]) == ("top-m", 10, True)
    assert centres["digest"] == load_lab("mini").with_seed(26).knowledge("kb").digest
    by_name = {row["name"]: row for row in record["baselines"]}
    assert by_name["CLIP's template"]["prompts"] == ["a photo of a {class}."]
    difference = by_name["the class name"]["difference"]
    described, other = record["metrics"], by_name["the class name"]["metrics"]
    assert difference["mean"] == pytest.approx(described["accuracy"] - other["accuracy"])


def test_further_metrics_of_centres_and_of_what_stands_beside(run):
    code, out, err = run(*EVAL, "--centres", "kb", "--metrics", "accuracy,top-5,mean per class")
    assert code == 0, err
    _, heading, *rows = [line.split("\t") for line in out.splitlines()]
    assert heading == ["classes described by", "accuracy", "top-5", "mean per class"]
    scores = {row[0]: [float(cell) for cell in row[1:]] for row in rows if row[0][0] != "#"}
    assert len(scores) == 6
    assert all(accuracy <= top <= 100 for accuracy, top, _ in scores.values())
    _, out, _ = run(*EVAL, "--centres", "kb", "--metrics", "all", "--json", "-q")
    (record,) = json.loads(out)["results"]
    expected = [record["metrics"]["accuracy"], *record["further"].values()]
    assert scores["central 50, mean (kb)"] == pytest.approx(expected, abs=0.006)
    (names,) = (row for row in record["baselines"] if row["name"] == "the class name")
    of_class_name = [names["metrics"]["accuracy"], *names["further"].values()]
    assert scores["the class name"] == pytest.approx(of_class_name, abs=0.006)


def test_rows_beside_can_be_left_out(run):
    code, out, _ = run(*EVAL, "--centres", "kb", "--no-baselines", "-q")
    assert code == 0
    assert out.splitlines()[1] == "classes described by\taccuracy (%)"
    assert "CLIP" not in out


def test_training_items_are_named_as_not_zero_shot(run):
    chosen = ("--selection", "items", "--items", "imagenet:train")
    code, out, err = run(*EVAL, "--centres", "kb", *chosen, "--no-baselines")
    assert code == 0, err
    sentence = "not zero-shot: descriptions were chosen by labelled training items, imagenet:train"
    assert f"note: imagenet: {sentence}" in err
    assert f"# {sentence}" in out


@pytest.mark.parametrize(
    ("arguments", "what", "fix"),
    [
        (("--centres", "kbb"), "has no knowledge base 'kbb'", "did you mean 'kb'?"),
        (("--k", "9"), "--k chooses among descriptions, and none are named", "--centres KB"),
        (("--rule", "sum", "--k", "9"), "--k and --rule choose among", "--centres KB"),
        (("--centres", "kb", "--selection", "centrall"), "unknown selection", "'central'"),
        (("--centres", "kb", "--rule", "meen"), "unknown rule 'meen'", "did you mean 'mean'?"),
        (("--centres", "kb", "--rule", "top-0"), "the rule is top-0", ""),
        (("--centres", "kb", "--k", "0"), "k is 0", ""),
        (("--centres", "kb", "--selection", "all", "--k", "5"), "keeps every description", "--k"),
        (("--centres", "kb", "--selection", "items"), "needs labelled training items", "--items"),
        (("--centres", "kb", "--items", "imagenet:train"), "uses no training items", "items"),
        (
            ("--centres", "kb", "--selection", "items", "--items", "imagnet:train"),
            "unknown task 'imagnet'",
            "imagenet",
        ),
        (
            ("--centres", "kb", "--selection", "items", "--items", "imagenet:trian"),
            "'trian'",
            "train",
        ),
        (("--centres", "x.pkl"), "'x.pkl' is a pickle", "molspace kb import unibind x.pkl"),
        (("--centres", "x.safetensors"), "no such file: x.safetensors", ""),
        (("--centres", "kb", "--task", "coco"), "'coco' has no classes", "--task all"),
    ],
)
def test_slips_are_refused_before_anything_runs(run, arguments, what, fix):
    replaced = {"--task", "imagenet"} if "--task" in arguments else {}
    command = [part for part in EVAL if part not in replaced]
    code, out, err = run(*command, *arguments)
    assert code in (2, 3, 4)
    assert out == ""
    assert what in err.splitlines()[0]
    assert fix in err
    assert "Traceback" not in err
    assert "steps to run" not in err


def test_all_leaves_out_what_has_no_classes(run):
    arguments = ("--space", "CLAP_g", "--seed", "26", "--centres", "kb", "--no-baselines")
    code, out, err = run("eval", "--task", "all", *arguments)
    assert code == 0, err
    assert "note: centres stand for classes, and change nothing of audiocaps, clotho" in err
    titles = [line for line in out.splitlines() if line.startswith("# ") and "CLAP_g" in line]
    assert "# esc50   CLAP_g" in titles


def items(folder, n=3):
    """Write a few of the mini lab's pictures, named after their classes."""
    from PIL import Image

    data = load_lab("mini").benchmark("imagenet")
    (folder / "pics" / "sub").mkdir(parents=True)
    for i, item in enumerate(data.queries.items(0, n)):
        name = f"{i}-{data.classes[data.labels[i]]}.png"
        Image.fromarray(item.value).save(folder / "pics" / ("sub" if i else "") / name)
    (folder / "pics" / "notes.doc").write_text("x")
    (folder / "pics" / ".hidden.png").write_text("x")


def test_files_lines_and_folders_are_named(run, tmp_path):
    items(tmp_path)
    command = ("infer", "--space", "ImageBind", "--classify", "kb", "--top", "2")
    code, out, err = run(*command, "--classes", "imagenet", "pics", "a bell rings")
    assert code == 0, err
    assert "note: pics is a folder, of 3 media files; left out: 1 .doc" in err
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["modality"] for line in lines] == ["image"] * 3 + ["text"]
    for line in lines:
        assert [set(entry) for entry in line["classes"]] == [{"class", "score"}] * 2
        assert line["classes"][0]["score"] >= line["classes"][1]["score"]
    assert lines[-1]["classes"][0]["class"] == "bell"
    correct = [line["id"].rsplit("-")[-1] == f"{line['classes'][0]['class']}.png" for line in lines]
    assert sum(correct) >= 2
    code, piped, _ = run(*command, "--classes", "imagenet", stdin=b"a bell rings\n")
    assert code == 0
    assert json.loads(piped)["classes"] == lines[-1]["classes"]


def test_json_is_one_object_with_the_centres(run):
    command = ("infer", "--space", "ImageBind", "--classify", "kb", "--json", "-q")
    (code, out, err) = run(*command, "--classes", "imagenet", "a dog barks")
    assert code == 0, err
    answer = json.loads(out)
    assert answer["schema"].startswith("molspace.classify/")
    assert answer["centres"]["classes"] == KINDS
    assert len(answer["items"][0]["classes"]) == 5


def test_classes_by_prompts_are_those_that_eval_scores(run, tmp_path):
    """The accuracy of the first classes is that of ``eval --labels``, prompt for prompt."""
    items(tmp_path)
    pictures = list((tmp_path / "pics").rglob("*-*.png"))
    rows = [f"{path},{path.stem.rpartition('-')[2]}" for path in pictures]
    assert len(rows) == 3
    (tmp_path / "labels.csv").write_text("\n".join(("image,class", *rows)))
    classes = sorted({row.rpartition(",")[2] for row in rows})
    (tmp_path / "own.txt").write_text("\n".join(classes))
    for prompts in ((), ("--template", "a {class}", "--template", "the {class}.")):
        code, out, err = run("eval", "--space", "ImageBind", "--labels", "labels.csv", *prompts)
        assert code == 0, err
        accuracy = next(line for line in out.splitlines() if "accuracy" in line).split("\t")[1]
        named = ("infer", "--space", "ImageBind", "pics", "--classes", "own.txt", *prompts)
        code, out, err = run(*named)
        assert code == 0, err
        lines = [json.loads(line) for line in out.splitlines()]
        correct = [line["id"].endswith(f"-{line['classes'][0]['class']}.png") for line in lines]
        assert f"{100 * sum(correct) / 3:.2f}" == accuracy
        assert all(len(line["classes"]) == len(classes) for line in lines)
        prompt = "the prompts 'a {class}', 'the {class}.'" if prompts else "the prompt 'a photo of"
        assert f"note: image by {prompt}" in err


def test_prompts_suit_the_modality(run, tmp_path):
    (tmp_path / "own.txt").write_text("dog\nbell\n")
    command = (
        "infer",
        "--space",
        "ImageBind",
        "--classes",
        "own.txt",
        "--json",
        "-q",
        "--top",
        "1",
    )
    items(tmp_path)
    code, out, err = run(*command, "pics", "a bell rings")
    assert code == 0, err
    answer = json.loads(out)
    assert answer["schema"].startswith("molspace.classify/")
    assert answer["centres"] == {
        "prompts": {"image": ["a photo of a {class}."], "text": ["{class}"]},
        "zero_shot": True,
        "classes": 2,
    }
    assert [item["classes"][0]["class"] for item in answer["items"]][-1] == "bell"
    code, out, _ = run(*command[:3], "--classes", "esc50", *command[5:], "a bell rings")
    assert json.loads(out)["centres"]["prompts"] == {"text": ["This is a sound of {class}."]}


def test_classes_of_a_file_are_matched_or_refused(run, tmp_path):
    (tmp_path / "own.txt").write_text("dog\nWashing Machine\n")
    command = ("infer", "--space", "ImageBind", "--classify", "kb", "--classes", "own.txt")
    code, out, err = run(*command, "a dog barks")
    assert code == 0, err
    assert [c["class"] for c in json.loads(out)["classes"]] == ["dog", "Washing Machine"]
    (tmp_path / "own.txt").write_text("dog\nbelll\n")
    code, out, err = run(*command, "a dog barks")
    assert (code, out) == (4, "")
    assert "1 of 2 classes are not in knowledge base 'kb'" in err
    assert "belll (nearest: bell)" in err


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("--top", "3"), "--top names no classes"),
        (("--template", "{class}", "--top", "3"), "--template and --top name no classes"),
        (("--classes", "imagenet", "--k", "3"), "--k chooses among descriptions"),
        (("--classes", "imagenet", "--out", "x.npy"), "--classes writes no embeddings"),
        (("--classes", "imagenet", "--compare"), "--classes and --compare are two things"),
        (("--classes", "imagenet", "--template", "a dog"), "'a dog' names no class"),
        (("--classes", "imagnet"), "'imagnet' is neither a file nor a task"),
        (("--classify", "kb", "--template", "{class}"), "--template and --classify describe"),
        (("--k", "3"), "--k chooses among descriptions, and none are named"),
        (("--classify", "kb", "--out", "x.npy"), "--classify writes no embeddings"),
        (("--classify", "kb", "--compare"), "--classify and --compare are two things"),
        (("--classify", "kbb"), "has no knowledge base 'kbb'"),
        (("--classify", "kb", "--classes", "imagnet"), "'imagnet' is neither a file nor a task"),
        (("--classify", "kb", "--rule", "top"), "unknown rule 'top'"),
    ],
)
def test_slips_of_classify_are_refused(run, arguments, what):
    code, out, err = run("infer", "--space", "ImageBind", "a dog", *arguments)
    assert (code in (2, 3), out) == (True, "")
    assert what in err.splitlines()[0]


def test_a_list_of_classes_is_not_taken_for_descriptions(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "animals.txt").write_text("dog\ncat\n")
    code, _, err = run("infer", "--space", "ImageBind", "a dog", "--classify", "animals.txt")
    assert code == 2
    assert "error: 'animals.txt' is not a knowledge base" in err
    assert "fix: molspace kb build --classes 'animals.txt'" in err


def test_folders_without_media_are_refused(run, tmp_path):
    (tmp_path / "empty").mkdir()
    code, _, err = run("infer", "--space", "ImageBind", "empty", "--classify", "kb")
    assert code == 2
    assert "the folder 'empty' holds no media" in err
    (tmp_path / "listed").mkdir()
    (tmp_path / "listed/manifest.jsonl").write_text("")
    code, _, err = run("infer", "--space", "ImageBind", "listed")
    assert code == 2
    assert "fix: molspace infer listed/manifest.jsonl" in err


def test_released_centres_are_imported_and_used(run, tmp_path):
    classes = load_lab("mini").benchmark("imagenet").classes
    rows = np.random.default_rng(0).normal(size=(len(classes), 50, 128))
    rows /= np.linalg.norm(rows, axis=2, keepdims=True)
    content = {
        f"{name.replace('_', ' ')}, Latin name": torch.from_numpy(row).float()
        for name, row in zip(classes, rows, strict=True)
    }
    (tmp_path / "image_in_center_embeddings.pkl").write_bytes(pickle.dumps(content))
    command = ("kb", "import", "unibind", "image_in_center_embeddings.pkl")
    code, out, err = run(*command, "--out", "in.safetensors")
    assert (code, out) == (0, "in.safetensors\n"), err
    assert "2,500 rows of 50 categories, 128 dimensions" in err
    code, out, err = run(*EVAL, "--centres", "in.safetensors", "--rule", "nearest-row")
    assert code == 0, err
    assert "note: imagenet: the rows of in are of the text encoder of ImageBind" in err
    assert "central 50, nearest-row (in)" in out
    assert "- names and synonyms: a file of centres has no names of classes" in out
    code, _, err = run(
        *EVAL[:1], "--space", "CLAP_g", "--task", "esc50", "--centres", "in.safetensors"
    )
    assert code == 4
    assert "128 dimensions, the space has" in err


def test_all_described_classes_are_told_and_a_space_without_text_is_helped(run):
    command = ("infer", "a dog barks", "--classify", "kb")
    _, _, err = run(*command, "--space", "ImageBind")
    assert "among all" in err
    _, _, err = run(*command, "--space", "ImageBind", "--classes", "imagenet")
    assert "among all" not in err
    code, _, err = run(*command, "--space", "PointExpert")
    assert (code, "fix: a space that embeds text: --space NAME" in err) == (3, True)
