"""``molspace cache``."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from buckets import in_memory
from lab_files import mini_lab, write
from toy_steps import make_step
from typer.testing import CliRunner

from molspace_cli.app import app
from molspace_cli.options import PlanOptions
from molspace_cli.plan import planned_states
from reactions.core.errors import MissingError, MolspaceError, UsageError
from reactions.core.left_out import LeftOut, longer_than
from reactions.core.step import Artifact
from reactions.store import Store
from reactions.store.made_by import Hardware


def step(seed):
    return make_step("train", f"toy {seed}", {"seed": seed}, (), lambda *_: Artifact({}))


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("MOLSPACE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    store = Store()
    for seed in range(2):
        store.put(step(seed), Artifact({"x": np.ones((2, 2))}))
    return store


def run(*arguments):
    return CliRunner().invoke(app, ["cache", *map(str, arguments)])


def break_entry(store):
    key = step(0).key
    (store.root / "entries" / key[:2] / key / "0.npy").unlink()


def test_verify_exits_with_0_only_where_nothing_is_damaged_any_more(store, monkeypatch):
    assert run("verify").exit_code == 0
    break_entry(store)
    assert run("verify").exit_code == 4
    with monkeypatch.context() as patch:

        def refuse(self, target):
            raise OSError(30, "Read-only file system")

        patch.setattr(Path, "rename", refuse)
        result = run("verify", "--repair")
        assert result.exit_code == 4
        assert "1 damaged entry could not be put aside" in result.stderr
        body = json.loads(run("verify", "--repair", "--json").stdout)
        assert body["repaired"] is False
        assert [problem["repaired"] for problem in body["problems"]] == [False]
    assert run("verify", "--repair").exit_code == 0
    assert run("verify").exit_code == 0


def test_gc_looks_beside_the_store_too(store, tmp_path):
    leftover = tmp_path / "data" / "molspace" / "bundles" / ".molspace-new.abcdefgh"
    leftover.mkdir(parents=True)
    output = tmp_path / f".molspace-{'0' * 32}"
    output.write_bytes(b"123")
    for path in (leftover, output):
        os.utime(path, (0, 0))
    body = json.loads(run("gc", "--dry-run", "--json").stdout)
    assert set(body["debris"]) == {str(leftover), str(output)}
    assert body["size_bytes"] == 3
    result = run("gc")
    assert "0 entries, 2 leftovers" in result.stderr
    assert not leftover.exists()
    assert not output.exists()
    output.write_bytes(b"123")
    os.utime(output, (0, 0))
    assert "0 entries, 1 leftover" in (messages := run("gc").stderr)
    assert "leftovers" not in messages


def test_gc_in_a_folder_that_is_gone(store, tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert run("gc").exit_code == 0


def of_folders(tmp_path):
    """Return four rows, and a reaction of two folders of embeddings that hold them."""
    rows = np.eye(4, dtype=np.float32)
    for name, modalities in (("A", ("text", "image")), ("B", ("text", "audio"))):
        (tmp_path / name).mkdir()
        for modality in modalities:
            np.save(tmp_path / name / f"{modality}.npy", rows)
    return rows, '"./A" + Cr("./B")'


def rows_of(start):
    return np.eye(4, dtype=np.float32)[start : start + 2]


def test_explain_names_results_of_mixed_devices(store, tmp_path):
    rows, reaction = of_folders(tmp_path)
    (first, *_) = planned_states(reaction, PlanOptions())[1].steps()
    shards = store.partial(first)
    for start, name in ((0, "H100"), (2, "A100")):
        shard = Artifact({"x": rows[start : start + 2]})
        store.add_shard(shards, start, start + 2, shard, hardware=Hardware("cuda", name))
    assert store.complete(shards)
    result = run("explain", reaction)
    warning = f"'{first.label}' was made by devices that can round differently"
    assert f"{warning}: cuda H100 (2 rows), cuda A100 (2 rows)" in result.stderr
    body = json.loads(run("explain", reaction, "--json").stdout)
    by_label = {entry["label"]: entry["made_by"] for entry in body["steps"]}
    assert [(m["name"], m["rows"]) for m in by_label.pop(first.label)] == [
        ("H100", [0, 2]),
        ("A100", [2, 4]),
    ]
    assert not any(by_label.values())


def test_explain_names_what_was_left_out_of_items(store, tmp_path):
    _, reaction = of_folders(tmp_path)
    (first, *_) = planned_states(reaction, PlanOptions())[1].steps()
    shards = store.partial(first)
    counted = LeftOut(first.space.name, first.corpus.modality, 2, {longer_than("77 tokens"): 1})
    for start, left_out in ((0, counted), (2, None)):
        shard = Artifact({"x": rows_of(start)}, left_out=left_out)
        store.add_shard(shards, start, start + 2, shard)
    assert store.complete(shards)
    messages = " ".join(run("explain", reaction).stderr.split())
    assert f"longer than {first.space.name}'s 77 tokens; the rest of it is ignored" in messages
    assert "(2 more not counted)" in messages
    body = json.loads(run("explain", reaction, "--json").stdout)
    by_label = {entry["label"]: entry["items_cut"] for entry in body["steps"]}
    cut = by_label.pop(first.label)
    assert (cut["items"], cut["found"][0]["items"], cut["not_counted"]) == (2, 1, 2)
    assert not any(by_label.values())


def test_explain_of_an_earlier_version_says_that_nothing_was_counted(store, tmp_path):
    lab, reaction = str(write(mini_lab(4, 4), tmp_path / "small.toml")), "ImageBind + Cr(CLAP_m)"
    (first, *_) = planned_states(reaction, PlanOptions(lab=lab))[1].steps()
    store.put(first, Artifact({"x": np.eye(4, dtype=np.float32)}))
    messages = " ".join(run("explain", reaction, "--lab", lab).stderr.split())
    assert "was not counted" in messages
    body = json.loads(run("explain", reaction, "--lab", lab, "--json").stdout)
    (cut,) = [entry["items_cut"] for entry in body["steps"] if entry["label"] == first.label]
    assert (cut["items"], cut["found"], cut["not_counted"]) == (0, [], 4)


def test_explain_says_that_folders_of_embeddings_leave_nothing_out(store, tmp_path):
    _, reaction = of_folders(tmp_path)
    (first, *_) = planned_states(reaction, PlanOptions())[1].steps()
    store.put(first, Artifact({"x": np.eye(4, dtype=np.float32)}))
    body = json.loads(run("explain", reaction, "--json").stdout)
    (cut,) = [entry["items_cut"] for entry in body["steps"] if entry["label"] == first.label]
    assert (cut["items"], cut["found"], cut.get("not_counted", 0)) == (4, [], 0)


def test_explain_takes_what_plan_takes(store, tmp_path):
    _, reaction = of_folders(tmp_path)
    body = json.loads(run("explain", reaction, "--json").stdout)
    assert body["steps"]
    assert all(entry["state"].startswith("no earlier ") for entry in body["steps"])
    result = run("explain", reaction, "--weights", f"CLAP_m={tmp_path / 'B'}")
    assert isinstance(result.exception, UsageError)
    assert "CLAP_m" in str(result.exception)
    result = run("explain", reaction, "--data", tmp_path / "nowhere")
    assert isinstance(result.exception, MolspaceError)
    assert "nowhere" in str(result.exception) or "--data" in str(result.exception)


# --- behind a URL ---


@pytest.fixture
def bucket(store, monkeypatch):
    address = in_memory(monkeypatch)
    monkeypatch.setenv("MOLSPACE_CACHE", address)
    remote = Store()
    for seed in range(2):
        remote.put(step(seed), Artifact({"x": np.ones((2, 2))}))
    return remote


def test_the_commands_say_where_the_results_lie(bucket):
    body = json.loads(run("ls", "--json").stdout)
    assert body["root"] == bucket.address
    assert [entry["label"] for entry in body["entries"]] == ["toy 0", "toy 1"]
    assert f"{bucket.address}: no damage found" in run("verify").stderr
    bucket.layout.place._objects.write("quarantine/x/0.npy", b"x")
    body = json.loads(run("gc", "--json").stdout)
    assert body["debris"] == [f"{bucket.address}/quarantine/x"]
    assert f"{bucket.address}: freed" in run("gc", "--all").stderr
    assert bucket.ls() == []


def test_copies_go_and_results_stay(bucket):
    would = run("gc", "--copies", "--all", "--dry-run")
    assert (would.exit_code, would.stdout) == (0, "")
    assert "would free 160 B: 1 copy" in would.stderr  # both results have the same rows
    body = json.loads(run("gc", "--copies", "--max-size", "0", "--json").stdout)
    assert (body["schema"], body["copies"]) == ("molspace.copies/1", 1)
    assert "freed 0 B: 0 copies" in run("gc", "--copies", "--all").stderr
    assert len(bucket.ls()) == 2
    assert bucket.lookup(step(0).key).arrays["x"][:].tolist() == [[1, 1], [1, 1]]


def test_copies_are_refused_where_there_are_none_or_none_are_meant(store, monkeypatch):
    with pytest.raises(UsageError, match="is a folder"):
        run_raising("gc", "--copies", "--all")
    monkeypatch.setenv("MOLSPACE_CACHE", in_memory(monkeypatch))
    with pytest.raises(UsageError, match="does not say which"):
        run_raising("gc", "--copies")


@pytest.mark.parametrize("line", ["ls", "gc --all", "verify", "explain CLAP_m+Cr(ImageBind)"])
def test_a_place_that_is_named_and_has_no_store_is_refused(line, monkeypatch, tmp_path):
    for address in (str(tmp_path / "mistyped"), in_memory(monkeypatch)):
        monkeypatch.setenv("MOLSPACE_CACHE", address)
        with pytest.raises(MissingError, match=f"there is no store at {address}") as refused:
            run_raising(*line.split())
        assert "MOLSPACE_CACHE" in refused.value.fix
    assert not (tmp_path / "mistyped").exists()


def test_where_nothing_was_cached_yet_is_no_error(monkeypatch, tmp_path):
    monkeypatch.setenv("MOLSPACE_CACHE", str(tmp_path))  # a folder that was made beforehand
    assert "nothing cached yet" in run("ls").stderr
    monkeypatch.delenv("MOLSPACE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "never"))
    for line in ("ls", "verify"):
        result = run(line)
        assert (result.exit_code, result.stdout) == (0, "")
        assert "nothing cached yet" in result.stderr
    assert run("gc").exit_code == 0
    assert json.loads(run("ls", "--json").stdout)["entries"] == []


def run_raising(*arguments):
    result = run(*arguments)
    raise result.exception
