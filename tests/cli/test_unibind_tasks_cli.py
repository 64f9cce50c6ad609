"""``molspace eval`` of UniBind's sets, in their published layouts, as a person runs it."""

import fcntl
import json
import os
import re
import struct
import subprocess
import sys
import termios
import unicodedata

import pytest
import unibind_sets as sets
from in_process import runner
from media_files import put

from reactions.eval.registry import Folders, find_set

MOLSPACE = [sys.executable, "-m", "molspace_cli"]
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def on_a_terminal(folder, *arguments, columns=80):
    """Run a command whose stdout and stderr are a terminal, and return the lines that it shows."""
    ours, terminal_end = os.openpty()
    fcntl.ioctl(terminal_end, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR")}
    environment |= {"TERM": "xterm"}
    process = subprocess.Popen(
        [*MOLSPACE, *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=terminal_end,
        stderr=terminal_end,
    )
    os.close(terminal_end)
    screen = b""
    while True:
        try:
            block = os.read(ours, 1 << 16)
        except OSError:  # the other end is closed
            break
        if not block:
            break
        screen += block
    os.close(ours)
    assert process.wait(timeout=120) == 0, screen.decode()
    return _ESCAPE.sub("", screen.decode()).replace("\r\n", "\n")


def width(text):
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(folder, monkeypatch, capsys):
    """Run a command and return its exit code and what it wrote to stdout and stderr."""

    return runner(monkeypatch, capsys)


@pytest.mark.parametrize(
    ("task", "write", "space", "n"),
    [
        ("ucf101", sets.ucf101, "ImageBind", 11_213),
        ("msrvtt", sets.msrvtt, "ImageBind", 2990),
        ("modelnet40", sets.modelnet40, "PointBind", 2468),
        ("nimagenet", sets.nimagenet, "ImageBind", 50_000),
    ],
)
def test_a_set_in_a_terminal_of_80_columns(folder, task, write, space, n):
    write(folder / "sets" / task)
    screen = on_a_terminal(folder, "eval", "--task", task, "--space", space, "--data", "sets")
    tables = [line for line in screen.splitlines() if line[:1] in "┏┃┡│└"]
    assert tables
    assert max(map(width, tables)) <= 80
    assert "* accuracy" in screen
    assert f"published set: {n}" in screen
    assert 'prompt: "a photo of a {class}."' in screen


def test_crops_are_scored_and_told(folder, run):
    sets.llvip(folder / "sets/LLVIP")
    code, out, err = run(
        "eval", "--task", "llvip", "--space", "ImageBind", "--data", "sets", "--json"
    )
    assert code == 0, err
    (record,) = json.loads(out)["results"]
    assert (record["n"], record["expected"], record["n_other"]) == (6, 15_809, 2)
    assert "llvip: 3 people and 3 backgrounds are cut out" in record["notices"]
    assert "note: llvip: backgrounds are ours: of the published set, with 7,931 people" in err


def test_hits_by_class_are_another_score(folder, run):
    sets.ncaltech101_images(folder / "sets/ncaltech101")
    command = ("eval", "--task", "ncaltech101_images", "--space", "EventBind", "--data", "sets")
    records = []
    for hit in ("pair", "class"):
        code, out, err = run(*command, "--hit", hit, "--json")
        assert code == 0, err
        (record,) = json.loads(out)["results"]
        records.append(record)
        assert record["hit"] == hit
        assert [name for name in record["metrics"] if name.startswith("mean")] == [
            f"mean R@{k}" for k in (1, 5, 10, 20)
        ]
    pair, alike = (record["metrics"] for record in records)
    assert all(pair[name] <= alike[name] for name in pair)
    assert pair != alike
    code, out, _ = run(*command)
    assert code == 0
    assert "hit: pair" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--task", "modelnet4", "--data", "sets"), "did you mean 'modelnet40'"),
        (("--task", "unibnd", "--data", "sets"), "did you mean 'unibind'"),
        (("--task", "coco", "--hit", "clas"), "did you mean 'class'"),
        (("--task", "coco", "--hit", "class"), "its items have none"),
        (("--task", "esc50", "--hit", "class"), "leave --hit out"),
        (("--task", "ucf101", "--space", "CLAP_g"), "needs video, which this space does not embed"),
        (("--task", "places365", "--data", "sets"), "no data for task 'places365'"),
        (("--task", "places365", "--data", "sets"), "categories_places365.txt"),
    ],
)
def test_slips_are_explained(folder, run, arguments, words):
    (folder / "sets").mkdir()
    if "--space" not in arguments:
        arguments = (*arguments, "--space", "ImageBind")
    code, _, err = run("eval", *arguments)
    assert code in (2, 3)
    assert words in err
    assert "Traceback" not in err


def test_a_group_names_what_it_leaves_out(folder, run):
    sets.places365(folder / "sets/places365")
    sets.modelnet40(folder / "sets/modelnet40")
    put(folder / "sets/ucf101/ucfTrainTestlist/classInd.txt", "1 Archery\n")
    code, out, err = run(
        *("eval", "--task", "unibind", "--space", "ImageBind", "--data", "sets", "--json")
    )
    assert code == 0, err
    assert [record["task"] for record in json.loads(out)["results"]] == ["places365"]
    assert "modelnet40" in next(line for line in err.splitlines() if "cannot do" in line)
    assert "note: llvip is left out: no data for task 'llvip'" in err


def test_the_nine_and_the_thirteen_are_groups(folder, run):
    sets.urbansound8k(folder / "sets/urbansound8k")
    options = ("--space", "ImageBind", "--data", "sets", "--json")
    code, out, _ = run("eval", "--task", "unibind", *options)
    assert code == 0
    (record,) = json.loads(out)["results"]
    assert record["task"] == "urbansound8k"
    # fold_0 is fold 1, and there are clips of folds 1, 5 and 10.
    assert list(record["metrics"]) == ["accuracy", "fold_0", "fold_4", "fold_9"]
    code, _, err = run("eval", "--task", "freebind", *options)
    assert code == 3
    assert "no task is left" in err


def test_data_list_counts_them(folder, run):
    sets.rgbt(folder / "sets/kaist")
    code, out, err = run("data", "list", "--data", "sets", "--json")
    assert code == 0, err
    entries = {entry["name"]: entry for entry in json.loads(out)["data"]}
    assert (entries["rgbt"]["found"], entries["rgbt"]["expected"]) == (4, 10_000)
    assert "no data for task 'ucf101'" in entries["ucf101"]["problem"]


def test_a_part_is_described_trained_on_and_judged_by_the_others(folder, run):
    sets.ncaltech101(folder / "sets/ncaltech101", n=6)
    part = find_set("ncaltech101", Folders(root=folder / "sets")).split("train")
    rows = ["id,category,description,source"]
    rows += [f",{name},number {k} of all {name}s,LLM" for name in part.classes for k in range(3)]
    rows += [
        f"{item.id},{part.classes[label]},a {part.classes[label]} as {item.id},MLLM"
        for item, label in zip(part.queries.items(0, 99), part.labels, strict=True)
    ]
    put(folder / "rows.csv", sets.lines(*rows))
    code, _, err = run(
        *("kb", "import", "table", "rows.csv", "--corpus", "ncaltech101:train"),
        *("--modality", "event", "--data", "sets", "--out", "rows.parquet"),
    )
    assert code == 0, err
    code, out, err = run(
        *("eval", "--task", "ncaltech101", "--data", "sets", "--no-baselines", "--json"),
        *("--space", "ImageBind + Lcl(rows.parquet, epochs=1)", "--device", "cpu"),
    )
    assert code == 0, err
    (record,) = json.loads(out)["results"]
    assert record["setting"] == "fine-tuned"
    assert "ncaltech101:train" in json.dumps(record["trained_on"])
    assert record["n"] + len(part.labels) == 5 * 6
