"""A lab of one's own from the first look to a score, as a user types it; then what goes wrong."""

import json
import re
import signal
from pathlib import Path

import numpy as np
import pytest

# The light environment has neither; the encoders need them.
pytest.importorskip("ftfy")
pytest.importorskip("tokenizers")
pytest.importorskip("transformers.models.clap.modeling_clap", exc_type=(ImportError, RuntimeError))

from paper_lab import BAD_IMAGES, BAD_SOUNDS, EXPRESSION, LAB, Machine, build
from safetensors.numpy import load_file

pytestmark = pytest.mark.slow

TASKS = "esc50,audiocaps,coco,imagenet"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return build(tmp_path_factory.mktemp("lab"))


@pytest.fixture(scope="module")
def molspace(root, tmp_path_factory):
    """The machine on which the reaction was run once."""
    machine = Machine(root, tmp_path_factory.mktemp("home"))
    first = machine("react", EXPRESSION, *machine.given)
    assert first.returncode == 0, first.stderr
    machine.env["MESSAGES"], machine.env["BUNDLE"] = first.stderr, first.stdout.strip()
    return machine


@pytest.fixture
def other(root, tmp_path):
    """A machine with the same files on which nothing has run yet."""
    return Machine(root, tmp_path)


def fails(result, code, *words):
    """Check that a command failed as a user's mistake should."""
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    for word in words:
        assert word in result.stderr, result.stderr


# --- the way of the data ---------------------------------------------------------------


def test_looking_before_running(other):
    result = other("spaces", "list", *other.given)
    assert result.stdout.startswith("# lab: paper (tiny)")
    assert re.search(r"ImageBind\t24\taudio, image, text\timage\tCC-BY-NC-SA-4.0", result.stdout)
    assert result.stdout.count("no weights on this machine") == 5  # PointBind's among them
    body = json.loads(other("spaces", "info", "CLIP", "--json").stdout)
    assert (body["dim"], body["adapter"]) == (24, "hf")
    plan = json.loads(other("plan", EXPRESSION, *other.given, "--json").stdout)
    assert plan["lab"] == "paper (tiny)"
    assert not (other.root / "cache").exists()


def test_nothing_is_opened_before_the_user_agrees(other):
    other.env["XDG_DATA_HOME"] += "-of-somebody-else"
    for command in (("react", EXPRESSION, *other.given), ("spaces", "doctor", "CLIP")):
        fails(other(*command), 2, "is not allowed", "molspace lab allow")


def test_doctor_examines_a_space(other):
    result = other("spaces", "doctor", "CLIP")
    assert "unit norms\timage\tok" in result.stdout
    assert "Traceback" not in result.stderr


def test_react_says_what_it_leaves_out_and_lists_it(molspace):
    messages = molspace.env["MESSAGES"]
    assert messages.startswith("lab: paper (tiny)") or "\nlab: paper (tiny)" in messages
    assert "mini" not in messages
    for modality, bad, names in (
        ("audio", BAD_SOUNDS, {"cut.wav", "empty.wav", "junk.flac"}),
        ("image", BAD_IMAGES, {"cut.png", "empty.png", "junk.jpg"}),
    ):
        note = re.search(rf"note: {modality} corpus: {bad} of (\d+) items.*all: (\S+)", messages)
        assert note, messages
        listed = map(json.loads, Path(note[2]).read_text().splitlines())
        assert {Path(entry["id"]).name for entry in listed} == names


def test_again_executes_nothing(molspace):
    second_run = molspace("react", EXPRESSION, *molspace.given)
    assert second_run.returncode == 0
    assert second_run.stdout.strip() == molspace.env["BUNDLE"]
    assert "steps to run" not in second_run.stderr


def test_eval_counts_what_was_found(molspace):
    result = molspace("eval", "--task", TASKS, *molspace.given)
    assert result.returncode == 0, result.stderr
    for n, expected in ((4, 2000), (2, 964), (2, 5000), (4, 50000)):
        assert f"n: {n}   published set: {expected}" in result.stdout
    assert result.stdout.count("# lab: paper (tiny) ") == 4
    assert "mini" not in result.stdout
    second_run = molspace("eval", "--task", TASKS, *molspace.given)
    assert second_run.stdout == result.stdout
    assert "steps to run" not in second_run.stderr


def test_infer_embeds_and_counts_what_it_skips(molspace, tmp_path):
    out = tmp_path / "rows.safetensors"
    sounds, images = "data/corpora/sounds", "data/corpora/images"
    good = ["a dog", f"{images}/more/cmyk.jpg", f"{images}/moving.gif", f"{sounds}/one_sample.wav"]
    result = molspace("infer", *good, f"{sounds}/cut.wav", "--out", str(out), *molspace.given)
    assert result.returncode == 4
    assert "skipped 1 of 5" in result.stderr
    assert "lab: paper (tiny)" in result.stderr
    rows = np.concatenate(list(load_file(out).values()))
    assert rows.shape == (4, 24)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)


def test_other_weights_than_the_labs_are_never_passed_over(other):
    fails(other("plan", EXPRESSION, *other.given, "--weights", "CLIP=nowhere"), 3, "nowhere")
    fails(other("plan", EXPRESSION, "--weights", "CLAPg=x.pt"), 3, "did you mean 'CLAP_g'?")


# --- what goes wrong -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "right", "code", "word"),
    [
        ("nmae", "name", 2, "lab.nmae"),
        ("hiden_dim", "hidden_dim", 2, "'hidden_dim'"),
        ("corpora.txet", "corpora.text", 2, "'text'"),
        ("max_bda", "max_bad", 2, "'max_bad'"),
        ("urii", "uri", 2, "did you mean 'uri'?"),
        ("imagebnd:", "imagebind:", 3, "did you mean 'imagebind:'"),
        ("captionz.txt", "captions.txt", 3, "captionz.txt"),
        ("max_bad = 0.1", "max_bad = 0.5", 4, "raise max_bad (now 0.1)"),
        ("imagebind:weights/clap/cut.pt", "imagebind:weights/imagebind_tiny.safetensors", 4, "has"),
    ],
)
def test_slips_in_the_lab_file(other, tmp_path, wrong, right, code, word):
    path = other.root / f"{tmp_path.name}.toml"
    path.write_text(LAB.replace(right, wrong, 1))
    fails(other("plan", "ImageBind + Cr(CLIP)", "--lab", str(path)), code, "error: ", word)


def test_damaged_corpora(other, tmp_path):
    for name, text, word in (
        ("captions.csv", "", "captions.csv"),
        ("captions.csv", "caption\n", "captions.csv"),
    ):
        (tmp_path / name).write_text(text)
        path = tmp_path / "molspace.toml"
        path.write_text(
            LAB.replace("$MOLSPACE_DATA/corpora/captions.txt", f"{tmp_path}/{name}")
            .replace(":weights/", f":{other.root}/weights/")
            .replace("./weights/", f"{other.root}/weights/")
        )
        fails(other("plan", "ImageBind + Cr(CLIP)", "--lab", str(path)), 4, "error: ", word)


@pytest.mark.parametrize("signal_sent", [signal.SIGKILL, signal.SIGINT])
def test_stopped_in_the_middle_it_goes_on_there(molspace, other, signal_sent):
    with other.start("react", EXPRESSION, *other.given, pause_at="[9/") as running:
        running.wait_for_pause()
        running.send_signal(signal_sent)
        _, messages = running.communicate()
    assert running.returncode == (-9 if signal_sent == signal.SIGKILL else 130)
    assert b"Traceback" not in messages
    resumed = other("react", EXPRESSION, *other.given)
    assert resumed.returncode == 0, resumed.stderr
    assert re.search(r" [1-9]\d* results from the cache", resumed.stderr)
    same = load_file(Path(molspace.env["BUNDLE"]) / "projectors.safetensors")
    tensors = load_file(Path(resumed.stdout.strip()) / "projectors.safetensors")
    assert tensors.keys() == same.keys()
    for name in same:
        np.testing.assert_array_equal(tensors[name], same[name])


def test_two_at_once_make_the_same_bundle(molspace, other):
    command = ("react", "ImageBind + Cr(CLAP_g)", *other.given)
    with other.start(*command) as first, other.start(*command) as two:
        outputs = [running.communicate() for running in (first, two)]
    assert [first.returncode, two.returncode] == [0, 0], outputs
    assert outputs[0][0] == outputs[1][0]
    assert b"Traceback" not in outputs[0][1] + outputs[1][1]


def test_a_cache_that_cannot_be_written(other, tmp_path):
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "cache"):
        result = other("react", "ImageBind + Cr(CLIP)", MOLSPACE_CACHE=str(place))
        fails(result, 2, "error: MOLSPACE_CACHE: ", str(place), "fix: name a folder")
