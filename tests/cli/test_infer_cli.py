"""``molspace infer`` from end to end, with a stand-in for an encoder."""

import json
import re
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from in_process import runner
from media_files import image_bytes, put_tar
from PIL import Image
from safetensors.numpy import load_file

from molspace_cli import infer as infer_module
from molspace_cli import infer_report
from reactions.encoders import registry

DIM = 4
LAB = """
[lab]
name = "own"
[spaces.toy]
adapter = "looked_up"
source = "toy"
dim = 4
modalities = ["image", "text"]
"""
TEXTS = ["1", "2", "3", "naïve 東京"]
IMAGES = ["dog.png", "cat"]


@pytest.fixture
def own_lab(tmp_path, monkeypatch):
    """A folder with a lab, a space named ``toy``, and the default bundle out of reach."""
    random = np.random.default_rng(0)
    (tmp_path / "toy").mkdir()
    for modality, ids in (("text", TEXTS), ("image", IMAGES)):
        np.save(tmp_path / "toy" / f"{modality}.npy", random.normal(size=(len(ids), DIM)))
        (tmp_path / "toy" / f"{modality}.ids.json").write_text(json.dumps(ids))
    monkeypatch.setitem(registry.ADAPTERS, "looked_up", "looked_up:load")
    (tmp_path / "molspace.toml").write_text(LAB)
    for name in ("dog.png", "tiger.png"):
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(own_lab, monkeypatch, capsys):
    return runner(monkeypatch, capsys, "infer", "--space", "toy", stdin=b"")


def row(modality: str, item_id: str) -> np.ndarray:
    ids = TEXTS if modality == "text" else IMAGES
    embedding = np.load(f"toy/{modality}.npy")[ids.index(item_id)]
    return embedding / np.linalg.norm(embedding)


QUERIES = '{"id": "cat", "image": "dog.png"}\nrain\n{"id": "naïve 東京", "text": "x"}\n'.encode()


def test_stdin_to_a_file_whose_path_is_all_of_stdout(run, own_lab):
    code, out, err = run(stdin=QUERIES)
    assert (code, out) == (0, "embeddings.safetensors\n")
    assert "embedded 3 of 3: 1 image, 2 text, in 4 dimensions, lab: own" in err
    expected = [row("image", "cat"), row("text", "2"), row("text", "naïve 東京")]
    # Computed in double precision here, in single there.
    rows = load_file("embeddings.safetensors")["embeddings"]
    np.testing.assert_allclose(rows, expected, atol=1e-6)
    lines = (own_lab / "embeddings.items.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["cat", "2", "naïve 東京"]


def test_json_lines_on_stdout(run, own_lab):
    code, out, _ = run("--format", "jsonl", "--batch-size", "1", stdin=b"a\nb\n")
    records = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [(r["id"], r["modality"], r["lab"]) for r in records] == [
        ("1", "text", "own"),
        ("2", "text", "own"),
    ]
    np.testing.assert_allclose(records[1]["embedding"], row("text", "2"), atol=1e-6)
    assert not list(own_lab.glob("embeddings*"))


def test_skipped_items_are_reported_and_decide_the_exit_code(run):
    stdin = b"a\nnone.png\n\xff\n" + b'{"id": "x\\u001b[31m", "text": "y"}\nb\n'
    code, out, err = run("--out", "e.npy", "--quiet", stdin=stdin)
    assert (code, out) == (4, "e.npy\n")
    assert np.load("e.npy").shape == (1, DIM)  # b is item 5, which the space lacks
    reported = [line for line in err.splitlines() if line.startswith("skipped")]
    assert reported[0].startswith("skipped line 2: no such file: ")
    assert reported[1] == "skipped line 3: not UTF-8"
    assert reported[2].startswith(r"skipped 'x\x1b[31m': no text embedding for 1 of 1 items")
    assert reported[4].startswith("skipped 4 of 5: first: no such file")
    assert len(reported) == 5


def test_no_more_problems_are_shown_than_anyone_reads(run):
    code, _, err = run(stdin=b"a\n" + b"\xff\n" * 100)
    assert code == 4
    assert err.count("not UTF-8\n") == 20 + 1  # and the sum
    assert "skipped 100 of 101" in err


def test_nothing_embedded_is_an_error_without_a_file(run, own_lab):
    code, out, err = run("tiger.png", "--out", "e.npy")
    assert (code, out) == (4, "")
    assert "error: nothing done: no item could be embedded" in err
    assert not list(own_lab.glob("e.*"))
    assert not list(own_lab.glob(".molspace*"))


def test_arguments_of_mixed_kinds_compared(run):
    code, out, _ = run("--compare", "naïve 東京", "dog.png", "1")
    assert code == 0
    header, columns, cells = out.splitlines()
    assert header.startswith("# cosines: image x text")
    assert "lab: own" in header
    assert columns.split("\t") == ["image / text", "naïve 東京", "1"]
    cosines = [row("image", "dog.png") @ row("text", i) for i in ("naïve 東京", "1")]
    assert cells == "\t".join(["dog.png", *(f"{cosine:.4f}" for cosine in cosines)])


def test_a_terminal_gets_short_names_and_as_many_columns_as_fit(run, own_lab, monkeypatch):
    monkeypatch.setattr(infer_module, "is_terminal", lambda: True)
    monkeypatch.setattr(
        infer_module.shutil, "get_terminal_size", lambda: SimpleNamespace(columns=60)
    )
    (own_lab / "toy" / "image.ids.json").write_text(json.dumps([f"{own_lab}/dog.png", "cat"]))
    (own_lab / "toy" / "text.ids.json").write_text(json.dumps(["a", "b", "c", "w" * 80]))
    _, out, _ = run("--compare", f"{own_lab}/dog.png", "w" * 80, "a", "b", "c")
    header, columns, cells = out.splitlines()
    assert header.endswith("2 of 4 columns; --json has all")
    assert columns.split("\t") == ["image / text", "w" * 13 + "…", "a"]
    assert cells.startswith("dog.png\t")


def test_a_table_cell_stays_a_cell(run, own_lab):
    odd = "a\tb\nc"
    (own_lab / "toy" / "text.ids.json").write_text(json.dumps([odd, *TEXTS[1:]]))
    _, out, _ = run("--compare", odd)
    assert out.splitlines()[1:] == ["text / text\ta\\tb\\nc", "a\\tb\\nc\t1.0000"]


def test_comparison_as_json(run):
    code, out, _ = run("--compare", "--json", stdin=QUERIES + b"unknown\n")
    report = json.loads(out)
    assert code == 4
    assert report["schema"] == "molspace.compare/1"
    assert (report["lab"], report["dim"], report["expression"]) == ("own", DIM, "toy")
    [table] = report["tables"]
    assert table["rows"] == [{"id": "cat", "label": "cat"}]
    assert table["columns"][0] == {"id": "2", "label": "rain"}
    assert table["cosines"][0][0] == pytest.approx(row("image", "cat") @ row("text", "2"), abs=1e-6)
    assert report["embedded"] == {"image": 1, "text": 2}
    assert report["skipped"] == 1
    assert report["problems"][0]["id"] == "4"


def test_summary_as_json(run):
    code, out, _ = run("--json", "--out", "e.npy", stdin=b"a\n")
    summary = json.loads(out)
    assert (code, summary["schema"], summary["path"]) == (0, "molspace.infer/1", "e.npy")
    assert summary["files"] == ["e.npy", "e.items.jsonl", "e.json"]


def test_json_counts_what_is_left_out_as_the_messages_do(run, own_lab):
    (own_lab / "all").mkdir()
    for name in ("dog.png", "tiger.png"):
        shutil.copy(own_lab / name, own_lab / "all" / name)
    for name in ("a.md", "b.md", "c.csv"):
        (own_lab / "all" / name).touch()
    put_tar(own_lab / "s.tar", {"cat.png": image_bytes(), "cat.json": "{}", "odd": "x"})
    (own_lab / "lines.txt").write_text("1\nno.png\n\0\nb.png\n")
    command = ("all", "s.tar", "lines.txt", "--out", "e.npy")
    code, out, err = run(*command, "--json")
    summary = json.loads(out)
    assert code == 4
    assert summary["left_out"] == 5
    assert summary["inputs"] == [
        {
            "input": "all",
            "kind": "folder",
            "taken": {"files": 2},
            "left_out": {".md": 2, ".csv": 1},
        },
        {
            "input": "s.tar",
            "kind": "tar",
            "taken": {"image": 1},
            "left_out": {".json": 1, "without an ending": 1},
        },
    ]
    assert sum(summary["skipped_why"].values()) == summary["skipped"] == 5
    assert summary["skipped_why"]["no such file: …"] == 2
    assert any(why.startswith("the line holds a NUL byte") for why in summary["skipped_why"])
    notes = [line.removeprefix("note: ") for line in err.splitlines() if line.startswith("note: ")]
    # What encoders cut is beside the notices, as of every command.
    assert notes == [*summary["notices"], "what toy left out of 2 items is not known"]
    assert "all is a folder, of 2 media files; left out: 2 .md, 1 .csv" in notes
    assert re.search("\n  why: .*2: no such file", err)
    out, err = run(*command, "--json", "--overwrite", "--quiet")[1:]
    assert json.loads(out) == summary
    assert "note: " not in err


@pytest.mark.parametrize("stdin", [None, b"", b"\n\n"])
def test_no_input_in_a_lab_without_samples(run, stdin, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    code, out, err = run(stdin=stdin)
    assert (code, out) == (2, "")
    assert "error: no input" in err
    assert "molspace infer < queries.jsonl" in err


def test_no_input_in_a_lab_with_samples(run, monkeypatch):
    from reactions.core.types import Item
    from reactions.labs.lab import Lab

    samples = [Item("1", "text", "rain"), Item("cat", "image", None), Item("s", "audio", None)]
    monkeypatch.setattr(Lab, "sample_items", lambda self: samples)
    code, out, err = run()
    assert code == 0
    assert "no input: embedding the lab's 2 sample items" in err  # toy has no audio
    assert out.startswith("# cosines: image x text")
    monkeypatch.setattr(sys, "stdin", None)
    code, out, _ = run("--out", "e.npy", stdin=None)
    assert (code, out) == (0, "e.npy\n")
    for arguments in (("--out", "f.npy"), ("--format", "jsonl")):
        code, out, err = run(*arguments, stdin=b"")
        assert (code, out) == (2, "")
        assert "error: no input\n  why: no arguments, and stdin is empty\n" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--compare", "--out", "e.npy"), "--compare writes no file"),
        (("--json", "--format", "jsonl"), "both want stdout"),
        (("--out", "e.bin"), "cannot tell the format"),
        (("--out", "-", "--format", "npy"), "cannot write npy to stdout"),
        (("--sigma", "0.5"), "--sigma has no effect"),
        (("q.jsonl", "--out", "q.jsonl"), "is an input"),
        (("--device", "abacus"), "unknown device"),
    ],
)
def test_usage_errors_come_before_anything_is_read(run, own_lab, arguments, message):
    (own_lab / "q.jsonl").write_text("rain\n")
    code, out, err = run(*arguments, stdin=b"a\n")
    assert (code, out) == (2, "")
    assert message in err
    assert (own_lab / "q.jsonl").read_text() == "rain\n"


def test_ctrl_c_leaves_no_file(run, own_lab, monkeypatch):
    def interrupted(self, batches):
        yield next(batches)
        raise KeyboardInterrupt

    monkeypatch.setattr(infer_report.Report, "follow", interrupted)
    code, out, err = run("--out", "e.npy", stdin=b"a\nb\n")
    assert (code, out) == (130, "")
    assert "interrupted; e.npy was not written" in err
    assert not list(own_lab.glob("e.*"))
    assert not list(own_lab.glob(".molspace*"))


@pytest.mark.parametrize(
    ("arguments", "files"),
    [
        ((), ["embeddings.safetensors", "embeddings.items.jsonl"]),
        (("--out", "e.npy"), ["e.npy", "e.items.jsonl", "e.json"]),
        (("--out", "e.jsonl"), ["e.jsonl"]),
    ],
)
def test_files_are_replaced_only_where_that_is_asked_for(run, own_lab, arguments, files):
    assert run(*arguments, stdin=b"a\n")[0] == 0
    before = {file: (own_lab / file).read_bytes() for file in files}
    code, out, err = run(*arguments, stdin=b"a\nb\n")
    assert (code, out) == (2, "")
    assert f"error: '{files[0]}' already exists" in err
    assert "fix: --overwrite to replace it, or another --out" in err
    assert {file: (own_lab / file).read_bytes() for file in files} == before
    code, _, err = run(*arguments, "--overwrite", stdin=b"a\nb\n")
    assert code == 0
    assert f"replaced {', '.join(files)}" in err
    assert (own_lab / files[0]).read_bytes() != before[files[0]]


def test_slow_streams_report_their_pace_in_plain_lines(run, monkeypatch):
    ticks = iter(range(0, 1000, 6))
    clock = SimpleNamespace(monotonic=lambda: next(ticks))
    monkeypatch.setattr(infer_report, "time", clock)
    _, _, err = run("--batch-size", "1", stdin=b"a\nb\nc\n")
    assert "2 items, 0/s\n" in err
    assert "1 items" not in err
