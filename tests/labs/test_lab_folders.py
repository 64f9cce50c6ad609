"""What lists, checks and plans say of folders of embeddings and of collapsed towers."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from in_process import runner
from lab_files import load

from reactions.core.types import SpaceSpec
from reactions.dsl import check, parse
from reactions.encoders import spread
from reactions.encoders.spread import is_collapsed, remember, rms_cosine
from reactions.labs.folders import examine
from reactions.labs.inventory import audit
from reactions.labs.lab_file import load_lab
from reactions.planning.planner import Planner
from reactions.planning.space_notices import notes

N = 40
LAB = """
[lab]
name = "own"
[spaces.clip]
path = "clip"
[spaces.clap]
uri = "precomputed:./clap"
"""


def rows(seed: int, n: int = N, dim: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)


def ids(n: int = N, first: int = 0) -> str:
    return "\n".join(f"t{k}" for k in range(first, first + n))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("clip", "clap")):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "text.npy", rows(seed))
        (tmp_path / name / "text.ids.txt").write_text(ids())
    np.save(tmp_path / "clip" / "image.npy", rows(5))
    load(LAB)
    return tmp_path


@pytest.fixture
def run(folder, monkeypatch, capsys):
    return runner(monkeypatch, capsys)


def messages(kind: str) -> dict[str, str]:
    return {f.corpus: f.message for f in audit(load_lab()) if f.kind == kind}


BROKEN = """
[spaces.torn]
path = "torn"
[spaces.gone]
path = "gone"
[spaces.gone_too]
uri = "precomputed:./gone"
"""


@pytest.fixture
def beside_broken(folder):
    (folder / "torn").mkdir()
    np.save(folder / "torn" / "text.npy", rows(9))
    (folder / "torn" / "space.json").write_text("{")
    load(LAB + BROKEN)


def test_broken_folders_are_listed_beside_the_others(beside_broken, run):
    code, out, _ = run("spaces", "list")
    cells = [line.split("\t") for line in out.splitlines()]
    assert (code, [cell[:3] for cell in cells if len(cell) > 2][1:]) == (
        0,
        [
            ["clip", "6", "image, text"],
            ["clap", "6", "text"],
            ["torn", "-", "cannot be used"],
            ["gone", "-", "cannot be used"],
            ["gone_too", "-", "cannot be used"],
        ],
    )
    assert "torn: cannot read" in out
    assert "gone: no folder of embeddings at" in out
    code, out, _ = run("spaces", "list", "--json")
    assert {entry["state"] for entry in json.loads(out)["missing"]} == {"cannot be used"}
    code, out, _ = run("lab", "show")
    assert (code, "\ttorn\tcannot be used: cannot read" in out) == (0, True)


def test_broken_folders_are_counted_and_checked_beside_the_others(beside_broken, run):
    code, out, _ = run("data", "list", "--json")
    entries = {entry["name"]: entry for entry in json.loads(out)["data"]}
    assert code == 0
    assert entries["clip image"]["found"] == N
    assert "cannot read" in entries["torn"]["problem"]
    assert entries["torn"]["fix"].startswith("write an object")
    code, out, _ = run("data", "check")
    assert code == 4
    assert "\ngone_too\tunusable\t" in out
    assert f"\nclip\timage\t{N}\t" in out


def test_only_what_needs_a_broken_folder_fails(beside_broken, run):
    assert run("plan", "clip + Cr(clap)")[0] == 0
    code, out, err = run("plan", "clip + Cr(torn)")
    assert (code, out) == (4, "")
    assert "space.json'" in err
    assert "fix: write an object" in err


def test_rows_widths_and_ids_are_listed(run):
    code, out, _ = run("data", "list")
    cells = [line.split("\t") for line in out.splitlines()]
    assert code == 0
    assert [cell[:4] + cell[6:] for cell in cells if cell[0] in ("space", "common ids")] == [
        ["space", "clip image", "40", "40", "6 dimensions, no ids"],
        ["space", "clip text", "40", "40", "6 dimensions, ids: text.ids.txt"],
        ["space", "clap text", "40", "40", "6 dimensions, ids: text.ids.txt"],
        ["common ids", "text", "40", "40", "clip & clap"],
    ]


def test_common_ids_are_counted_and_their_absence_is_a_problem(run, folder):
    (folder / "clap/text.ids.txt").write_text(ids(first=30))
    _, out, _ = run("data", "list", "--json")
    entries = {(entry["kind"], entry["name"]): entry for entry in json.loads(out)["data"]}
    assert entries["common ids", "text"]["found"] == 10
    message = messages("unmatched")["clip and clap"]
    assert message.startswith("10 text ids are in all")
    assert "30 of clip are not, 30 of clap are not" in message
    (folder / "clap/text.ids.txt").write_text(ids(first=100))
    _, out, _ = run("data", "list")
    assert "clip & clap have no text ids in common" in out


def test_a_folder_that_cannot_be_read_is_listed_with_its_fix(run, folder):
    (folder / "clap/text.ids.txt").write_text("a\nb")
    code, out, _ = run("data", "list")
    assert code == 0
    assert "mismatched ids: 'text.ids.txt' has 2 for 40 text embeddings" in out
    assert run("data", "check")[0] == 4


def test_sound_folders_are_shown_as_examined(run):
    code, out, _ = run("data", "check")
    assert code == 0
    assert "# embeddings, every row read" in out
    assert [line.split("\t")[:8] for line in out.splitlines() if line.startswith("clip\ttext")] == [
        ["clip", "text", "40", "6", "text.ids.txt", "0", "0", "0"]
    ]
    body = json.loads(run("data", "check", "--json")[1])
    assert body["embeddings"][2]["space"] == "clap"
    assert [finding["kind"] for finding in body["findings"]] == ["no_ids"]  # of clip's images


@pytest.mark.parametrize("suffix", ["npy", "parquet"])
def test_bad_and_repeated_rows_are_counted(run, folder, suffix):
    x = rows(0, 5000)
    x[7], x[4990] = np.nan, np.inf
    x[[4200, 4300, 4400]] = 0
    x[[10, 4999]] = x[3]
    (folder / "clip/image.npy").unlink()
    if suffix == "npy":
        np.save(folder / "clip/image.npy", x)
    else:
        pq.write_table(pa.table({"embedding": list(x)}), folder / "clip/image.parquet")
    (examined,) = [s for s in examine(load_lab())[0] if s.modality == "image"]
    counted = (
        examined.n,
        examined.n_not_finite,
        examined.n_zero,
        examined.n_repeated,
        examined.first_bad,
    )
    assert counted == (5000, 2, 3, 2 + 2, 7)
    findings = [f for f in audit(load_lab()) if f.corpus == "clip image"]
    assert {(f.kind, f.count, f.total) for f in findings} == {
        ("unusable", 2, 5000),
        ("unusable", 3, 5000),
        ("duplicates", 4, 5000),
        ("no_ids", 5000, 5000),
    }
    assert run("data", "check")[0] == 4


def test_repeated_ids_are_found(folder):
    (folder / "clip/text.ids.txt").write_text("\n".join(["t1", "t1", *map(str, range(N - 2))]))
    assert "repeats 1 of its text ids, first 't1'" in messages("unusable")["clip text"]


def test_files_that_are_not_read_are_found(folder):
    (folder / "clip/audio.npz").write_bytes(b"x")
    assert "1 file in the folder of 'clip' are not read: audio.npz" in messages("unread")["clip"]
    assert "audio.npz" in " ".join(notices())


# --- collapsed towers ---


def notices() -> tuple[str, ...]:
    lab = load_lab()
    checked = check(parse("clip + Cr(clap)"), lab.catalogue, factors=lab.factors)
    return Planner(lab).react(checked.expression, checked.space).notices


COLLAPSED = {
    "the same": lambda: np.ones((N, 6), np.float32),
    "nearly the same": lambda: 30 + rows(1),
    "one line": lambda: np.outer(rows(2)[:, 0], rows(3)[0]).astype(np.float32),
}


@pytest.mark.parametrize("kind", COLLAPSED)
def test_a_collapsed_tower_in_a_folder_is_reported(folder, kind):
    assert not any("collapsed" in notice for notice in notices())
    np.save(folder / "clap/text.npy", COLLAPSED[kind]())
    assert [n for n in notices() if "the text tower of 'clap' has collapsed" in n]
    assert "clap text" in messages("collapsed")


def test_few_rows_and_one_dimension_tell_nothing(folder):
    assert is_collapsed(0.99, 8, 2)
    assert not is_collapsed(0.99, 7, 2)
    assert not is_collapsed(1.0, 100, 1)
    assert not is_collapsed(float("nan"), 100, 4)
    assert not is_collapsed(0.97, 100, 4)


@pytest.mark.parametrize("shape", [(30, 4), (5, 40)])
def test_the_measure_is_the_mean_over_all_pairs(shape):
    x = rows(4, *shape).astype(float)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    pairs = [(x[i] @ x[j]) ** 2 for i in range(len(x)) for j in range(len(x)) if i != j]
    assert rms_cosine(x) == pytest.approx(np.sqrt(np.mean(pairs)))


def test_what_the_doctor_found_of_an_encoder_is_in_the_plan(tmp_path, monkeypatch):
    monkeypatch.setattr(spread, "cache_root", lambda: tmp_path)
    spec = SpaceSpec("CLAP", 4, ("audio", "text"), "fake", "x", weights_digest="d" * 64)
    assert list(notes(spec)) == []
    remember(spec, "text", 0.9993)
    remember(spec, "audio", 0.4)
    (note,) = notes(spec)
    assert note.startswith("the text tower of 'CLAP' has collapsed")
    remember(spec, "text", 0.5)
    assert list(notes(spec)) == []
    (record,) = [p for p in (tmp_path / "spread").iterdir() if '"text"' in p.read_text()]
    record.write_text("[")
    assert list(notes(spec)) == []
