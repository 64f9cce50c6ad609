"""The three commands as a user types them, on a small copy of the mini lab."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import command_line
import numpy as np
import pytest
from lab_files import mini_lab

EXPRESSION = "ImageBind + Dr(InternVL) | Cr(CLAP_m) & Cr(CLAP_g)"
SMALL = mini_lab(350, 250, hidden_dim=32, batch_size=64, dr_epochs=1, cr_epochs=1, shard_rows=100)


@pytest.fixture(scope="module")
def machine(tmp_path_factory) -> dict[str, str]:
    """A machine on which the reaction was run once: its environment variables."""
    root = tmp_path_factory.mktemp("machine")
    (root / "molspace.toml").write_text(SMALL)
    env = {
        **os.environ,
        "MOLSPACE_CACHE": str(root / "cache"),
        "XDG_DATA_HOME": str(root / "data"),
        "ROOT": str(root),
    }
    first = molspace(env, "react", EXPRESSION)
    assert first.returncode == 0, first.stderr
    return {**env, "BUNDLE": first.stdout.strip(), "MESSAGES": first.stderr}


def molspace(
    env: dict[str, str], *arguments: str, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    return command_line.molspace(*arguments, stdin=stdin, env=env, cwd=env["ROOT"])


def started(env: dict[str, str], *arguments: str, **options: str) -> command_line.Started:
    return command_line.Started(*arguments, env=env, cwd=env["ROOT"], **options)


def test_react_prints_the_bundle_and_only_that(machine):
    assert Path(machine["BUNDLE"], "bundle.json").is_file()
    assert "60 steps run" in machine["MESSAGES"]
    assert "lab: mini (small)" in machine["MESSAGES"]


def test_a_second_run_executes_nothing_and_loads_no_torch(machine):
    second_run = molspace(machine, "react", EXPRESSION)
    assert second_run.stdout.strip() == machine["BUNDLE"]
    assert "steps run" not in second_run.stderr
    code = (
        "import sys\nfrom molspace_cli.__main__ import main\n"
        f"sys.argv = ['molspace', 'react', '-q', {EXPRESSION!r}]\n"
        "try:\n    main()\nfinally:\n    print('torch' in sys.modules)"
    )
    process = subprocess.run(
        [sys.executable, "-c", code],
        env=machine,
        cwd=machine["ROOT"],
        capture_output=True,
        text=True,
    )
    assert process.stdout.splitlines()[-1] == "False"


def test_every_step_is_a_hit_for_plan_and_another_seed_says_why_not(machine):
    hits = json.loads(molspace(machine, "plan", EXPRESSION, "--json").stdout)
    assert {step["state"] for step in hits["steps"]} == {"hit"}
    assert hits["lab"] == "mini (small)"
    other = json.loads(molspace(machine, "plan", EXPRESSION, "--json", "--seed", "1").stdout)
    assert other["to_do"]["hits"] == 0
    states = [step["state"] for step in other["steps"] if step["kind"] == "train"]
    assert all("seed: 0 -> 1" in state for state in states)


def test_eval_takes_the_current_bundle_and_keeps_its_result(machine):
    first = molspace(machine, "eval", "--task", "audiocaps", "--json")
    assert first.returncode == 0, first.stderr
    (result,) = json.loads(first.stdout)["results"]
    assert result["lab"] == "mini (small)"
    assert result["space"] == EXPRESSION
    assert set(result["factors"]) == {"lambda InternVL", "sigma CLAP_m", "sigma CLAP_g"}
    metrics = result["metrics"]
    directions = [metrics["text->audio R@1"], metrics["audio->text R@1"]]
    assert metrics["mean R@1"] == pytest.approx(sum(directions) / 2)
    second_run = molspace(machine, "eval", "--task", "audiocaps", "--json")
    assert second_run.stdout == first.stdout
    assert "steps run" not in second_run.stderr
    # Other factors score again, but embed nothing again.
    other = molspace(machine, "eval", "--task", "audiocaps", "--sigma", "0.8,0.5", "--json")
    assert json.loads(other.stdout)["results"][0]["metrics"] != metrics
    assert "embed" not in other.stderr


def test_infer_embeds_what_lab_sample_writes(machine):
    sample = molspace(machine, "lab", "sample", "--out", "sample")
    assert sample.returncode == 0, sample.stderr
    manifest = Path(machine["ROOT"], sample.stdout.strip())
    result = molspace(machine, "infer", "--sigma", "0.5,0.1", str(manifest), "--out", "rows.npy")
    assert result.returncode == 0, result.stderr
    rows = np.load(Path(machine["ROOT"], "rows.npy"))
    assert rows.shape == (18, 96)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)


def test_infer_without_input_shows_the_sample(machine):
    result = molspace(machine, "infer", "--sigma", "0.5,0.1")
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("# cosines") == 3
    assert "lab: mini" in result.stdout


def test_python_gives_the_same_embeddings(machine, monkeypatch):
    import reactions

    fused = reactions.load(machine["BUNDLE"], device="cpu")
    # Three are trained on; the others are the base's, whose rows the bundle joins to them.
    embedded = ("audio", "depth", "event", "image", "text", "thermal", "video")
    assert (fused.dim, fused.modalities) == (96, embedded)
    embeddings = fused.embed(
        text=["a low hum", "a red bell"], image=[np.zeros((9, 7, 3), np.uint8)]
    )
    assert embeddings["text"].shape == (2, 96)
    assert embeddings["image"].shape == (1, 96)
    cli = molspace(machine, "infer", "a low hum", "--format", "jsonl")
    row = json.loads(cli.stdout)["embedding"]
    np.testing.assert_allclose(embeddings["text"][0], row, atol=1e-6)
    # Factors change what they should: sigma 0 is the bare displacement product.
    bare = fused.embed(text=["a low hum"], sigma=0.0)["text"]
    dropped = fused.embed(text=["a low hum"], experts=["InternVL"])["text"]
    np.testing.assert_allclose(bare, dropped, atol=1e-6)
    assert not np.allclose(bare, embeddings["text"][:1], atol=1e-3)


def test_folders_of_embeddings_can_be_base_and_expert(machine, tmp_path):
    rng = np.random.default_rng(0)
    latent = rng.normal(size=(3, 120, 8))
    for name, dim, modalities in (
        ("base", 24, ("audio", "image", "text")),
        ("expert", 16, ("audio", "text")),
    ):
        (tmp_path / name).mkdir()
        for modality in modalities:
            index = ("audio", "image", "text").index(modality)
            rows = latent[index] @ rng.normal(size=(8, dim)) + 0.1
            np.save(tmp_path / name / f"{modality}.npy", rows.astype(np.float32))
            ids = [f"{modality}-{i}" for i in range(120)]
            (tmp_path / name / f"{modality}.ids.txt").write_text("\n".join(ids))
    env = {**machine, "ROOT": str(tmp_path)}
    (tmp_path / "molspace.toml").write_text(
        "[reaction]\nhidden_dim = 32\nbatch_size = 32\ncr_epochs = 1\n"
        '[spaces.base]\npath = "base"\n'
    )
    result = molspace(env, "react", 'base + Cr("./expert")')
    assert result.returncode == 0, result.stderr
    query = json.dumps({"id": "text-3", "text": None})
    row = molspace(env, "infer", "--format", "jsonl", stdin=query)
    assert len(json.loads(row.stdout)["embedding"]) == 24
    # The lab has no sample: no input is a mistake there.
    assert molspace(env, "infer").returncode == 2
    # An id that the folders do not have is skipped, and the exit code says so.
    partial_run = molspace(
        env, "infer", "--format", "jsonl", stdin=query + '\n{"id": "x", "text": null}\n'
    )
    assert partial_run.returncode == 4
    assert len(partial_run.stdout.splitlines()) == 1
    # Ids that do not match are an error before anything is trained.
    (tmp_path / "expert" / "text.ids.txt").write_text("\n".join(f"other-{i}" for i in range(120)))
    bad = molspace(env, "react", 'base + Cr("./expert")')
    assert bad.returncode == 4
    assert "mismatched ids" in bad.stderr


def test_killed_with_9_anywhere_the_next_run_finishes_with_the_same_bundle(machine, tmp_path):
    env = {**machine, "MOLSPACE_CACHE": str(tmp_path / "cache"), "XDG_DATA_HOME": str(tmp_path)}
    for step in ("[2/", "[15/", "[15/"):
        with started(env, "react", EXPRESSION, pause_at=step) as running:
            running.wait_for_pause()
            running.send_signal(signal.SIGKILL)
            running.communicate()
        assert running.returncode == -signal.SIGKILL
    result = molspace(env, "react", EXPRESSION)
    assert result.returncode == 0, result.stderr
    ours, bundle_made_before = Path(result.stdout.strip()), Path(machine["BUNDLE"])
    assert (ours / "bundle.json").read_bytes() == (bundle_made_before / "bundle.json").read_bytes()


def test_two_runs_at_once_both_end_well(machine, tmp_path):
    env = {**machine, "MOLSPACE_CACHE": str(tmp_path / "cache"), "XDG_DATA_HOME": str(tmp_path)}
    command = ("react", "-q", "ImageBind + Cr(CLAP_m)")
    with started(env, *command) as first, started(env, *command) as two:
        outputs = [running.communicate() for running in (first, two)]
    assert [first.returncode, two.returncode] == [0, 0], outputs
    assert outputs[0][0] == outputs[1][0]


def test_ctrl_c_stops_cleanly(machine, tmp_path):
    env = {**machine, "MOLSPACE_CACHE": str(tmp_path / "cache"), "XDG_DATA_HOME": str(tmp_path)}
    with started(env, "react", EXPRESSION, pause_at="[2/") as running:  # it is really at work
        running.wait_for_pause()
        running.send_signal(signal.SIGINT)
        out, err = running.communicate()
    assert running.returncode == 130, err
    assert out == b""
    assert b"Traceback" not in err
    assert not list((tmp_path / "cache" / "tmp").glob("*"))
