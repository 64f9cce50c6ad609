import json
import os

import command_line
import numpy as np
import pytest


@pytest.fixture
def molspace(tmp_path):
    def run(*arguments, **more):
        env = {
            **os.environ,
            "MOLSPACE_OFFLINE": "1",
            "MOLSPACE_CACHE": str(tmp_path / "cache"),
            "XDG_CACHE_HOME": str(tmp_path / "xdg"),
            "HF_HOME": str(tmp_path / "hf"),
            **more,
        }
        return command_line.molspace(*arguments, cwd=tmp_path, env=env)

    return run


def test_the_paper_lab_lists_what_is_missing_and_how_to_get_it(molspace):
    result = molspace("spaces", "list", "--lab", "paper")
    assert result.returncode == 0
    assert result.stdout.count("no weights on this machine") == 7
    assert 'CLAP_g: molspace spaces fetch "laion_clap:630k-fusion-best.pt"' in result.stdout
    body = json.loads(molspace("spaces", "list", "--lab", "paper", "--json").stdout)
    assert body["schema"] == "molspace.spaces/1"
    assert body["spaces"] == []
    names = [entry["name"] for entry in body["missing"]]
    assert names == [
        "ImageBind",
        "PointBind",
        "InternVL",
        "CLAP_g",
        "CLAP_m",
        "WAV2CLIP",
        "AudioCLIP",
    ]


def test_info_of_a_space_and_of_a_folder(molspace, tmp_path):
    result = molspace("spaces", "info", "CLAP_m", "--lab", "mini")
    assert "sha256\t9edf9863" in result.stdout
    np.save(tmp_path / "text.npy", np.eye(3, dtype=np.float32))
    body = json.loads(molspace("spaces", "info", f"precomputed:{tmp_path}", "--json").stdout)
    assert (body["schema"], body["dim"]) == ("molspace.space/1", 3)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("info", "clapm"), 2, "did you mean 'CLAP_m'?"),
        (("info", "nothing:here"), 3, "starts with none of"),
        (("fetch", "CLAP_m"), 2, "its weights come with molspace"),
        (("fetch", "nothing:here"), 3, "starts with none of"),
        (("fetch", "ImageBind", "--lab", "paper"), 3, "offline mode is on (MOLSPACE_OFFLINE=1)"),
        (("list", "--weights", "CLAP_m"), 2, "--weights NAME=PATH"),
        (("doctor", "CLAP_m", "--device", "cuda:77"), 2, "cuda:77"),
    ],
)
def test_what_cannot_be_done_is_reported_with_the_fix(molspace, arguments, code, words):
    result = molspace("spaces", *arguments)
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    assert result.returncode == code


def test_the_doctor_finds_the_mini_encoders_fit_and_compares_with_last_time(molspace, tmp_path):
    first = molspace("spaces", "doctor", "InternVL", "--lab", "mini")
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("# InternVL: fit for use")
    assert first.stdout.count("stored now") == 2
    assert first.stdout.count("MB more resident afterwards") in (0, 2)  # unknown, or of both
    assert first.stderr.splitlines() == [
        "loading InternVL",
        "examining image: 32 samples, several times",
        "examining text: 32 samples, several times",
    ]
    body = json.loads(molspace("spaces", "doctor", "InternVL", "--lab", "mini", "--json").stdout)
    stored = [f for f in body["findings"] if f["check"] == "stored outputs"]
    assert [f["verdict"] for f in stored] == ["ok", "ok"]
    assert all("differs by" in f["value"] for f in stored)
    for golden in (tmp_path / "cache" / "goldens").iterdir():
        record = json.loads(golden.read_text())
        record["rows"][0][0] += 0.5
        golden.write_text(json.dumps(record))
    result = molspace("spaces", "doctor", "InternVL", "--lab", "mini")
    assert result.returncode == 4
    assert "2 wrong" in result.stdout


def test_the_doctor_takes_long_sounds_and_reports_damaged_records(molspace, tmp_path):
    first = molspace("spaces", "doctor", "CLAP_m", "--lab", "mini")
    assert first.returncode == 0, first.stderr
    assert "long sounds\taudio\tok" in first.stdout
    goldens = list((tmp_path / "cache" / "goldens").iterdir())
    for golden in goldens:
        golden.write_text("{")
    result = molspace("spaces", "doctor", "CLAP_m", "--lab", "mini")
    assert result.returncode == 4
    assert result.stdout.count("--renew") == len(goldens) == 2
    assert [golden.read_text() for golden in goldens] == ["{", "{"]
    assert molspace("spaces", "doctor", "CLAP_m", "--lab", "mini", "--renew").returncode == 0
    assert molspace("spaces", "doctor", "CLAP_m", "--lab", "mini").returncode == 0


@pytest.mark.parametrize("more", [(), ("--quiet",), ("--json",)])
def test_licence_terms_are_shown_before_anything_is_fetched(molspace, more):
    result = molspace("spaces", "fetch", "ImageBind", "--lab", "paper", *more)
    reported = "imagebind_huge.pth: licence CC-BY-NC-SA-4.0: NOT for commercial use\n"
    assert result.stderr.startswith(reported)
    assert result.stderr.count("licence") == 1
    assert result.returncode == 3  # offline


def test_a_licence_known_before_is_shown_once(molspace, tmp_path):
    space = tmp_path / "xdg" / "molspace" / "weights" / "imagebind"
    space.mkdir(parents=True)
    (space / "imagebind_huge.pth").write_bytes(b"")
    result = molspace("spaces", "fetch", "ImageBind", "--lab", "paper")
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("licence") == 1
    assert result.stderr.endswith("imagebind_huge.pth: was there\n")
    assert result.stdout == f"{space / 'imagebind_huge.pth'}\n"


def test_a_licence_that_only_the_card_names_is_shown_afterwards(molspace, tmp_path):
    folder = tmp_path / "hf" / "hub" / "models--maker--clip"
    snapshot = folder / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("a" * 40)
    (snapshot / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n")
    (snapshot / "config.json").write_text("{}")
    (snapshot / "model.safetensors").write_bytes(b"")
    terms = "licence cc-by-nc-4.0: NOT for commercial use"
    result = molspace("spaces", "fetch", "hf:maker/clip")
    assert result.stderr == f"maker/clip: was there; {terms}\n"
    assert (
        molspace("spaces", "fetch", "hf:maker/clip", "--quiet").stderr == f"maker/clip: {terms}\n"
    )
    (snapshot / "README.md").unlink()
    assert "licence unknown" in molspace("spaces", "fetch", "hf:maker/clip").stderr
    assert molspace("spaces", "fetch", "hf:maker/clip", "--quiet").stderr == ""


def test_weights_may_be_named_on_the_command_line(molspace, tmp_path):
    options = ("--lab", "paper", "--weights", "CLAP_m=no.pt")
    for command in ("react", "plan"):
        result = molspace(command, "ImageBind + Cr(CLAP_m)", *options)
        assert result.returncode == 3
        assert "error: --weights CLAP_m=no.pt: there is no such file or folder" in result.stderr
    assert molspace("spaces", "info", "CLAP_m", *options).returncode == 3
    (tmp_path / "no.pt").write_bytes(b"no weights")
    result = molspace("react", "ImageBind + Cr(CLAP_m)", *options)
    assert result.returncode == 3
    assert "ImageBind" in result.stderr


def test_the_doctor_tries_embeddings_on_their_own_items(molspace, tmp_path):
    rows = np.random.default_rng(0).normal(size=(40, 12)).astype(np.float32)
    (tmp_path / "rows").mkdir()
    for name in ("audio", "text"):
        np.save(tmp_path / f"rows/{name}.npy", rows / np.linalg.norm(rows, axis=1, keepdims=True))
    result = molspace("spaces", "doctor", f"precomputed:{tmp_path}/rows")
    assert result.returncode == 0, result.stdout
    assert "fit for use" in result.stdout
    assert "same again\taudio\tok" in result.stdout
