"""``molspace env``."""

import json

import pytest
from in_process import runner

from reactions.run import machine


@pytest.fixture
def molspace(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)

    return runner(monkeypatch, capsys)


def test_the_facts(molspace, monkeypatch, tmp_path):
    import torch

    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("MOLSPACE_DEVICE", "cpu")
    code, out, _ = molspace("env", "--json")
    facts = json.loads(out)
    assert code == 0
    assert facts["schema"] == "molspace.env/1"
    assert facts["torch"]["version"] == torch.__version__
    assert facts["lab"] == {
        "path": facts["lab"]["path"],
        "from": "the default",
        "problem": "",
    }
    assert facts["folders"]["results"]["path"] == str(tmp_path / "cache")
    assert facts["variables"]["MOLSPACE_DEVICE"] == "cpu"
    assert "hf_secret" not in out
    versions = {package["name"]: package["version"] for package in facts["packages"]}
    assert versions["torch"].partition("+")[0] == torch.__version__.partition("+")[0]
    assert "pytest" not in versions


def test_the_table(molspace):
    code, out, _ = molspace("env")
    assert code == 0
    assert "\nmolspace\t" in out
    assert "(the default)" in out


def test_a_lab_that_cannot_be_read_is_part_of_the_report(molspace, monkeypatch):
    monkeypatch.setenv("MOLSPACE_LAB", "nope")
    code, out, _ = molspace("env", "--json")
    assert code == 0
    assert "no lab 'nope'" in json.loads(out)["lab"]["problem"]


def test_packages_that_are_not_here_have_no_version(monkeypatch):
    requires = ["torch>=2.6", 'no-such-package>=1; extra == "map"', 'pytest; extra == "test"']
    monkeypatch.setattr(machine.metadata, "requires", lambda name: requires)
    assert [p["name"] for p in machine.packages()] == ["no-such-package", "torch"]
    assert machine.packages()[0] == {
        "name": "no-such-package",
        "extras": ["map"],
        "version": None,
    }


def test_results_behind_a_url_are_named_without_a_password_and_not_looked_at(molspace, monkeypatch):
    monkeypatch.setenv("MOLSPACE_CACHE", "s3://name:secret@bucket/prefix?sig=secret")
    _, out, _ = molspace("env", "--json")
    facts = json.loads(out)
    results = {"path": "s3://...@bucket/prefix?...", "exists": None, "free_bytes": None}
    assert facts["folders"]["results"] == results
    assert "secret" not in out
    monkeypatch.setenv("MOLSPACE_CACHE", "s3://bucket/prefix")
    assert "results\ts3://bucket/prefix\t?\t?" in molspace("env")[1]
