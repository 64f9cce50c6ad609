import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parents[1] / "data" / "bundle_v1"
FAKE = Path(__file__).parents[1] / "support"
START = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); import hub_fake; "
    "sys.modules['huggingface_hub'] = hub_fake.Hub(sys.argv.pop(1)); "
    "from molspace_cli.__main__ import main; main()"
)


@pytest.fixture
def molspace(tmp_path):
    def run(*arguments, **environment):
        return subprocess.run(
            [sys.executable, "-c", START, str(FAKE), str(tmp_path / "hub"), *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, "MOLSPACE_OFFLINE": "", "HF_HUB_OFFLINE": "", **environment},
        )

    return run


def test_push_and_pull(molspace, tmp_path):
    dry = molspace("push", GOLDEN, "me/fused", "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert dry.stdout.startswith("---\n")
    assert "\nlibrary_name: molspace\n" in dry.stdout
    assert "would send to me/fused: README.md" in dry.stderr
    assert not (tmp_path / "hub").exists()

    sent = molspace("push", GOLDEN, "me/fused", "--json")
    assert sent.returncode == 0, sent.stderr
    body = json.loads(sent.stdout)
    assert body["url"] == "https://hub.example/me/fused/commit/1"
    assert body["card"] == dry.stdout

    pulled = molspace("pull", "me/fused", "--out", tmp_path / "got")
    assert pulled.returncode == 0, pulled.stderr
    assert pulled.stdout == f"{tmp_path / 'got'}\n"
    assert f"me/fused at {'c' * 40}: ImageBind" in pulled.stderr
    bundle_shown = json.loads(molspace("show", "--json").stdout)
    assert bundle_shown["path"] == str(tmp_path / "got")


def test_mistakes_get_their_exit_code_and_their_fix(molspace, tmp_path):
    damaged = shutil.copytree(GOLDEN, tmp_path / "damaged")
    (damaged / "projectors.safetensors").write_bytes(b"")
    for arguments, code, words in [
        (("push", tmp_path / "nowhere", "me/fused"), 3, "no bundle at"),
        (("push", damaged, "me/fused"), 4, "truncated or changed"),
        (("push", GOLDEN, "fused"), 2, "names no repository"),
        (("push", GOLDEN), 2, "molspace push needs ORG/NAME"),
        (("push", GOLDEN, "me/fused", "--results", tmp_path / "r.json"), 3, "no results at"),
        (("push", GOLDEN, "me/fused", "--dryrun"), 2, "--dry-run"),
        (("pull", "me/fussed"), 3, "RepositoryNotFoundError"),
        (("pull", "https://huggingface.co/me/fused"), 2, "give me/fused"),
        (("pull", "me/fused", "--revision", "a..b"), 2, "is not a revision"),
    ]:
        result = molspace(*arguments)
        assert words in result.stderr, result.stderr
        assert "Traceback" not in result.stderr
        assert result.returncode == code
        assert result.stdout == ""
    assert not (tmp_path / "hub").exists()


def test_offline_mode_is_named(molspace):
    result = molspace("push", GOLDEN, "me/fused", MOLSPACE_OFFLINE="1")
    assert result.returncode == 3
    assert "offline mode is on (MOLSPACE_OFFLINE=1)" in result.stderr
