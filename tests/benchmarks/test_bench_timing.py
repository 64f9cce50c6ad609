"""The runner of the benchmarks: order, ratios, and what is written."""

import argparse
import json
import time

import pytest
import timing
import torch
from timing import Table, Timings, alternate, figure, machine, publish


def test_contenders_alternate_after_warming_up():
    calls = []
    timings = alternate(
        {name: lambda name=name: calls.append(name) for name in "ABC"}, rounds=2, warmup=1
    )
    assert calls == list("ABC" * 3)
    assert all(len(times) == 2 for times in timings.rounds.values())


def test_a_ratio_is_taken_within_a_round():
    # The machine slowed down threefold in the second round, and A is always twice as fast.
    timings = Timings({"A": [1.0, 3.0, 1.5], "B": [2.0, 6.0, 3.0]})
    assert timings.seconds("A") == 1.5
    assert timings.speed("A", "B") == 2.0
    assert timings.speed("B", "A") == 0.5


def test_a_table_is_published_as_markdown_and_json(tmp_path, capsys):
    table = Table(
        "Sizes", ("name", "rows", "time"), [("a", 65536, 0.123456), ("b", 1, None)], ["n"]
    )
    path = tmp_path / "out.json"
    publish([table], argparse.Namespace(json=path, device="cpu"), extra={"lab": "none"})
    printed = capsys.readouterr().out
    assert "| a | 65,536 | 0.12 |\n| b | 1 |  |" in printed
    record = json.loads(path.read_text())
    assert record["tables"][0]["rows"] == [["a", 65536, 0.123456], ["b", 1, None]]
    assert record["machine"]["torch"] == machine()["torch"]
    assert record["machine"]["lab"] == "none"
    assert record["date"]
    assert record["command"].startswith("python ")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (1234.5, "1,234"), (12.34, "12.3"), (1.234, "1.23"), (2.3e-5, "2.3e-05")],
)
def test_figures_have_three_digits_or_so(value, text):
    assert figure(value) == text


def test_one_thread_is_timed_by_what_it_computes(monkeypatch):
    threads = []
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    monkeypatch.setattr(timing, "_read", time.perf_counter)
    options = timing.parser("x")
    options.add_argument("--one-thread", action=timing.OneThread)
    options.parse_args(["--one-thread"])
    assert threads == [1]
    assert timing._read is time.thread_time
