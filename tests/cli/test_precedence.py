"""An option wins over the environment, that over ./molspace.toml, and that over the default."""

import json

import pytest
from in_process import runner

from reactions.core.environment import VARIABLES
from reactions.core.errors import UsageError
from reactions.labs.lab_file import find_lab, load_lab
from reactions.run.device import chosen_device


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "molspace.toml").write_text(
        '[lab]\nname = "own"\nextends = "mini"\n[reaction]\nprecision = "exact"\n'
    )
    (tmp_path / "other.toml").write_text('[lab]\nname = "other"\nextends = "mini"\n')
    return tmp_path


def molspace(monkeypatch, capsys, *arguments):
    return runner(monkeypatch, capsys)(*arguments)


def test_the_lab(folder, monkeypatch, capsys):
    def label(*arguments):
        _, out, _ = molspace(monkeypatch, capsys, "spaces", "list", "--json", *arguments)
        return json.loads(out)["lab"]

    assert label() == "mini (own)"
    monkeypatch.setenv("MOLSPACE_LAB", "other.toml")
    assert label() == "mini (other)"
    assert label("--lab", "mini") == "mini"
    monkeypatch.setenv("MOLSPACE_LAB", "  ")  # as good as not set
    assert label() == "mini (own)"
    (folder / "molspace.toml").unlink()
    assert label() == "mini"


def test_a_lab_that_the_environment_names_needs_no_agreement(folder, monkeypatch):
    text = '[lab]\nextends = "mini"\n[spaces.Far]\nuri = "hf:ORG/NAME"\n'
    (folder / "molspace.toml").write_text(text)
    with pytest.raises(UsageError, match=r"molspace\.toml"):
        load_lab()
    monkeypatch.setenv("MOLSPACE_LAB", "molspace.toml")
    assert "Far" in load_lab().catalogue.names()


def test_the_precision(folder, monkeypatch):
    assert load_lab("mini").settings.precision == "fast"
    assert load_lab().settings.precision == "exact"
    monkeypatch.setenv("MOLSPACE_PRECISION", "FAST")
    assert load_lab().settings.precision == "fast"
    assert load_lab().with_precision("exact").settings.precision == "exact"


def test_the_device(monkeypatch):
    assert chosen_device() == "auto"
    monkeypatch.setenv("MOLSPACE_DEVICE", "cpu")
    assert chosen_device() == "cpu"
    assert chosen_device("auto") == "auto"


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("MOLSPACE_LAB", "mimi", "MOLSPACE_LAB: no lab 'mimi'"),
        ("MOLSPACE_LAB", "nowhere/lab.toml", "MOLSPACE_LAB: no lab 'nowhere/lab.toml'"),
        ("MOLSPACE_DEVICE", "gpu", "MOLSPACE_DEVICE: unknown device 'gpu'"),
        ("MOLSPACE_DEVICE", "cudo", "MOLSPACE_DEVICE: unknown device 'cudo'"),
        ("MOLSPACE_PRECISION", "fats", "MOLSPACE_PRECISION is 'fats'"),
        ("MOLSPACE_DATA", "nowhere", "MOLSPACE_DATA: no folder of data at '{folder}/nowhere'"),
        ("MOLSPACE_DATA", "a-file", "MOLSPACE_DATA: no folder of data at '{folder}/a-file'"),
        ("MOLSPACE_WEIGHTS", "nowhere", "MOLSPACE_WEIGHTS: no folder of weights at 'nowhere'"),
        ("MOLSPACE_WEIGHTS", ".:nowhere", "MOLSPACE_WEIGHTS: no folder of weights at 'nowhere'"),
        ("MOLSPACE_CACHE", "a-file", "MOLSPACE_CACHE: '{folder}/a-file' cannot be a folder"),
        ("MOLSPACE_CACHE", "a-file/x", "MOLSPACE_CACHE: '{folder}/a-file/x' cannot be a folder"),
        ("MOLSPACE_CACHE", "s4://bucket/x", "MOLSPACE_CACHE: the store cannot lie at 's4://"),
        ("MOLSPACE_CACHE", "s3:/bucket/x", "MOLSPACE_CACHE: 's3:/bucket/x' is neither a folder"),
        ("MOLSPACE_OFFLINE", "ja", "MOLSPACE_OFFLINE is 'ja'"),
        ("MOLSPACE_TRUST_REMOTE_CODE", "org/x", "MOLSPACE_TRUST_REMOTE_CODE: org/x pins no code"),
        ("MOLSPACE_WORKERS", "four", "MOLSPACE_WORKERS is 'four'"),
        ("XDG_CACHE_HOME", "a-file", "XDG_CACHE_HOME: '{folder}/a-file' cannot be a folder"),
        ("XDG_DATA_HOME", "a-file", "XDG_DATA_HOME: '{folder}/a-file' cannot be a folder"),
    ],
)
def test_a_wrong_value_is_refused_by_the_variables_name(
    variable, value, message, monkeypatch, capsys, tmp_path
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a-file").write_text("")
    monkeypatch.setenv(variable, value)
    code, out, err = molspace(
        monkeypatch, capsys, "eval", "--task", "esc50", "--space", "ImageBind"
    )
    assert code in (2, 3)
    assert f"error: {message.format(folder=tmp_path)}" in err
    assert "fix:" in err or "why:" in err
    assert not out
    assert err.startswith("error:"), "nothing is done before"


def test_every_variable_has_a_wrong_value_that_is_refused():
    (marker,) = (
        mark
        for mark in test_a_wrong_value_is_refused_by_the_variables_name.pytestmark
        if mark.name == "parametrize"
    )
    assert {variable for variable, _, _ in marker.args[1]} == set(VARIABLES)


def test_a_folder_that_is_nearly_called_so(tmp_path, monkeypatch, capsys):
    (tmp_path / "datasets").mkdir()
    monkeypatch.chdir(tmp_path)
    tried = ("eval", "--task", "esc50", "--space", "ImageBind")
    for environment in ({"MOLSPACE_DATA": "dataset"}, {"MOLSPACE_WEIGHTS": "dataset"}):
        with monkeypatch.context() as context:
            context.setenv(*next(iter(environment.items())))
            assert "datasets'?" in molspace(context, capsys, *tried)[2]
    assert "datasets'?" in molspace(monkeypatch, capsys, *tried, "--data", "dataset")[2]


def test_an_option_stands_in_for_a_wrong_variable(tmp_path, monkeypatch):
    monkeypatch.setenv("MOLSPACE_DATA", "/nope")
    monkeypatch.setenv("MOLSPACE_DEVICE", "gpu")
    assert load_lab("mini", data=tmp_path).data.chosen == tmp_path
    assert chosen_device("cpu") == "cpu"


def test_a_variable_with_a_slip_of_the_keyboard(folder, monkeypatch, capsys):
    monkeypatch.setenv("MOLSPACE_DEVCIE", "cpu")
    monkeypatch.setenv("MOLSPACE_PALETTE_KEY", "of a package")
    _, _, err = molspace(monkeypatch, capsys, "spaces", "list")
    assert "warning: the variable MOLSPACE_DEVCIE is not read; did you mean MOLSPACE_DEVICE?" in err
    assert "PALETTE" not in err


def test_published_projectors_go_with_the_lab_that_the_environment_names(folder, monkeypatch):
    from molspace_cli.importing import ImportOptions

    (folder / "molspace.toml").unlink()
    assert ImportOptions().open().name == "paper"
    monkeypatch.setenv("MOLSPACE_LAB", "other.toml")
    assert ImportOptions().open().name == "other"
    assert find_lab().name == "other.toml"


def test_every_variable_is_in_the_documentation():
    from pathlib import Path

    page = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert not [name for name in VARIABLES if f"`{name}`" not in page]
