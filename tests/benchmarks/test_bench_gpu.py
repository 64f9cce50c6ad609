"""One command for whoever has a GPU: what it runs, when it stops, and what it writes."""

import json
import time
from argparse import Namespace

import gpu
import pytest
import torch
from gpu import Part, missing, run, run_all, write
from gpu_report import Outcome, place_of
from timing import Budget, Table, about, machine, publish

from reactions.core.kept_choices import KeptChoices

TABLES = """
import argparse, sys
sys.path.insert(0, "benchmarks")
from timing import Table, parser, publish
columns = ("contender", "TFLOP/s", "of the peak", "relative error")
rows = [("naive", 1.0, None, 1e-6), ("**molspace, fast**", 70.0, "70 %", 3e-4)]
publish([Table("Soft retrieval", columns, rows)], parser("x").parse_args())
"""
DIES = "import sys; print('it broke'); sys.exit(7)"
HANGS = "print('so far', flush=True)\nwhile True: pass"


def part(code, share=0.5, **options):
    return Part("a part", ("-c", code), share, **options)


@pytest.fixture(scope="module")
def retrieval():
    return run(part(TABLES), "cpu", 60)


def test_a_part_brings_its_tables(retrieval):
    assert (retrieval.code, retrieval.ended) == (0, "ended")
    assert retrieval.record["tables"][0]["title"] == "Soft retrieval"


def test_a_part_that_fails_keeps_its_last_lines():
    outcome = run(part(DIES, writes_tables=False), "cpu", 60)
    assert (outcome.code, outcome.tail) == (7, "it broke")
    assert "exit status 7" in outcome.ended


def test_a_part_is_stopped_when_its_time_is_up():
    outcome = run(part(HANGS, writes_tables=False), "cpu", 1.0)
    assert outcome.code is None
    assert "time was up" in outcome.ended
    assert outcome.record is None


def test_no_part_goes_on_beyond_the_end(capsys):
    (outcome,) = run_all([part(DIES)], "cpu", 540, end=time.monotonic() - 1)
    assert "left out" in outcome.tail
    assert "left out" in capsys.readouterr().err


def test_all_parts_fit_the_time():
    assert sum(part.share for part in gpu.PARTS) <= 0.96
    for gpu_part in gpu.PARTS:
        script = gpu_part.arguments[0]
        assert script == "-m" or (gpu.ROOT / script).exists()


def test_the_report_of_a_gpu_of_any_name(tmp_path, retrieval):
    facts = machine("cpu") | {"gpu": "Stand-In GPU (80 GB)/x", "cuda": "13.0"}
    place = place_of(facts["gpu"])
    assert place.name == "Stand-In-GPU-80-GB-x.md"
    assert place.parent.name == "results"
    table = Table("Measured", ("what", "of the paper's rows", "TFLOP", "seconds", "TFLOP/s"), [
        ("pseudo-pairs, Dr(InternVL)", "4.1 %", 10.0, 0.1, 50.0),
        ("projectors, Dr(InternVL)", "0.2 %", 10.0, 0.1, 40.0),
    ])  # fmt: skip
    record = tmp_path / "record.json"
    publish([table], Namespace(json=record, device="cpu"))
    outcomes = [
        Outcome("tests", "python -m pytest -m gpu", 30.0, 1, "FAILED a_test"),
        retrieval,
        Outcome("paper_scale", "python x", 9.0, 0, "", json.loads(record.read_text())),
    ]
    choice = {"fastest": "triton", "ms": {"eager": 2.0, "triton": 1.0}, "left_out": {"x": "broke"}}
    KeptChoices("kernels", facts["gpu"]).keep("weights, torch 9", choice)
    out = tmp_path / "deep" / "report.md"
    write(out, facts, {"float16": 1e14, "bfloat16": 8e13}, outcomes)
    text = out.read_text()
    assert text.startswith("# Stand-In GPU (80 GB)/x\n")
    assert "CUDA 13.0" in text
    assert "| float16 | 100 |" in text
    assert "| tests | 30.0 | failed, exit status 1 |" in text
    assert "FAILED a_test" in text
    assert "| Soft retrieval | **molspace, fast** | 70.0 | 70 % | 0.0003 |" in text
    assert "| Soft retrieval | naive | " not in text
    assert "| pseudo-pairs, Dr(InternVL), paper_scale | molspace, fast | 50.0 | 50 % |" in text
    assert "| projectors, Dr(InternVL), paper_scale | molspace, fast | 40.0 | 50 % |" in text
    assert about(facts) in text
    assert "| weights, torch 9 | eager | 2.00 | agrees |" in text
    assert "| weights, torch 9 | triton | 1.00 | taken |" in text
    assert "| weights, torch 9 | x |  | broke |" in text


def test_the_products_are_measured(monkeypatch):
    import retrieval_contenders

    def small(dtype, device):
        x = torch.ones(64, 64, dtype=dtype)
        return retrieval_contenders.Peak(64, 1, lambda: x @ x)

    monkeypatch.setattr(retrieval_contenders.Peak, "of", small)
    assert gpu.measured_peaks("cpu")["float32"] > 0


@pytest.mark.parametrize(
    ("device", "words"), [("cpu", "--device cpu"), ("cuda:0", "CUDA"), ("cuda:99", "CUDA")]
)
def test_without_a_gpu_it_says_so(device, words, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert words in missing(device)
    monkeypatch.setattr("sys.argv", ["gpu.py", "--device", device])
    with pytest.raises(SystemExit) as stopped:
        gpu.main()
    assert stopped.value.code == gpu.NO_DEVICE
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"error: no GPU '{device}'\n  why: ")
    assert "\n  fix: " in captured.err


@pytest.mark.parametrize(
    ("codes", "status", "words"),
    [
        ((0, 0), 0, ""),
        ((0, None), 0, "note: not ended in their time: train"),
        ((None, 0), 1, "error: failed: tests"),
        ((0, 1), 1, "error: failed: train"),
    ],
)
def test_the_exit_status_says_whether_all_held(codes, status, words, tmp_path, monkeypatch, capsys):
    names = ("tests", "train")
    outcomes = [gpu.Outcome(n, n, 1.0, code, "") for n, code in zip(names, codes, strict=True)]
    monkeypatch.setattr(gpu, "missing", lambda device: None)
    monkeypatch.setattr(gpu, "machine", lambda device: {"gpu": "X"})
    monkeypatch.setattr(gpu, "measured_peaks", lambda device: {})
    monkeypatch.setattr(gpu, "run_all", lambda *_: outcomes)
    monkeypatch.setattr(gpu, "write", lambda *_: None)
    monkeypatch.setattr("sys.argv", ["gpu.py", "--out", str(tmp_path / "x.md")])
    if status:
        with pytest.raises(SystemExit) as stopped:
            gpu.main()
        assert stopped.value.code == status
    else:
        gpu.main()
    captured = capsys.readouterr()
    assert captured.out == f"{tmp_path / 'x.md'}\n"
    assert words in captured.err


def test_tables_are_made_until_the_time_is_up(capsys):
    titles = []

    def tables():
        for title in ("one", "two"):
            titles.append(title)
            yield Table(title, ("x",), [(1,)])

    publish(tables(), Namespace(json=None, device="cpu", within=-1.0))
    assert titles == ["one"]
    assert "seconds were up" in capsys.readouterr().out
    publish(tables(), Namespace(json=None, device="cpu", within=None))
    assert titles == ["one", "one", "two"]


def test_what_takes_too_long_does_not_fit():
    assert Budget(None).fits(1e9)
    assert Budget(1000.0).fits(1.0)
    assert not Budget(1000.0).fits(1001.0)
