"""The wheel, built offline from a copy of the sources: it has all that runs, and data with it."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TOPS = ("reactions", "molspace_cli")
_BUILD = (
    "import sys; from setuptools.build_meta import build_wheel; print(build_wheel(sys.argv[1]))"
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for top in TOPS:
        shutil.copytree(
            ROOT / top, source / top, ignore=shutil.ignore_patterns("__pycache__", "*.pyc")
        )
    (source / "docs").mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "docs/molspace.1"):
        shutil.copy(ROOT / name, source / name)
    process = subprocess.run(
        [sys.executable, "-c", _BUILD, str(out)],
        cwd=source,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert process.returncode == 0, process.stderr
    return out / process.stdout.split()[-1]


def test_the_wheel_has_every_file_of_the_packages(wheel):
    files = {
        path.relative_to(ROOT).as_posix()
        for top in TOPS
        for path in (ROOT / top).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert any(name.endswith("/share/man/man1/molspace.1") for name in packed)
    packed = {name for name in packed if ".data/" not in name}
    assert any(name.endswith(".lark") for name in files)
    assert packed == files


def test_what_is_unpacked_runs(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    process = subprocess.run(
        [sys.executable, "-P", "-m", "molspace_cli", "plan", "ImageBind + Cr(CLAP_m)", "--json"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert process.returncode == 0, process.stderr
    assert '"schema": "molspace.plan' in process.stdout
