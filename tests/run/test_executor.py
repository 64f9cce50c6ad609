"""Executors by name: the built-in one, registered ones, and those of installed packages."""

import subprocess
import sys
from importlib import metadata

import pytest
from toy import counting, no_encoder

from molspace_cli import complete
from reactions.core.errors import MissingError, UsageError
from reactions.labs.lab_file import load_lab
from reactions.run import executor as executors
from reactions.run.executor import check_executor, executor_names, make_executor, register
from reactions.run.local import LocalExecutor
from reactions.session import Session
from reactions.store import Store


@pytest.fixture(autouse=True)
def _only_built_in(monkeypatch):
    monkeypatch.setattr(executors, "_FACTORIES", dict(executors._FACTORIES))


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "cache")


def noting(calls):
    """A factory of executors that note what they are asked for, and run it here."""

    def make(store, **options):
        calls.append((store, options))
        return LocalExecutor(store, **options)

    return make


def test_the_local_executor_is_built_in(store):
    assert executor_names() == ["local", "ray"]
    local = make_executor("local", store, device="cpu", load_encoder=no_encoder)
    assert isinstance(local, LocalExecutor)
    step = counting([], "a", 3)
    assert local.run([step])[step.key].arrays["x"][:].min() == 3.0


def test_one_that_is_registered(store):
    calls = []
    register("mine", noting(calls))
    assert executor_names() == ["local", "mine", "ray"]
    session = Session(load_lab("mini"), store, "cpu", executor="mine")
    step = counting([], "a", 3)
    assert session.run([step])[step.key].arrays["x"][:].min() == 3.0
    ((its_store, options),) = calls
    assert its_store is store
    assert options["device"] == "cpu"
    assert set(options) == {"device", "load_encoder", "check_space", "events"}


def install(monkeypatch, *points):
    entries = metadata.EntryPoints(
        [metadata.EntryPoint(name, value, executors.GROUP) for name, value in points]
    )
    monkeypatch.setattr(metadata, "entry_points", lambda **selection: entries.select(**selection))


def test_one_of_an_installed_package(store, monkeypatch):
    install(monkeypatch, ("remote", "reactions.run.local:LocalExecutor"))
    assert executor_names() == ["local", "ray", "remote"]
    assert complete.executors("re") == ["remote"]
    built = make_executor("remote", store, device="cpu", load_encoder=no_encoder)
    assert isinstance(built, LocalExecutor)


def test_one_that_cannot_be_imported_or_that_two_packages_have(store, monkeypatch):
    install(monkeypatch, ("broken", "no_such_module:X"), ("two", "a:X"), ("two", "b:X"))
    with pytest.raises(MissingError, match="cannot load the executor 'broken'") as caught:
        make_executor("broken", store, load_encoder=no_encoder)
    assert "ModuleNotFoundError" in caught.value.why
    with pytest.raises(UsageError, match="several executors are called 'two'"):
        make_executor("two", store, load_encoder=no_encoder)


def test_the_name_of_a_built_in_one_is_taken(store, monkeypatch):
    install(monkeypatch, ("local", "a:X"))
    with pytest.raises(UsageError, match="several executors are called 'local'") as caught:
        make_executor("local", store, load_encoder=no_encoder)
    assert "molspace itself" in caught.value.why


def fails(store, **options):
    raise ValueError("no nodes are left")


def makes_nothing(store, **options):
    return None


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("reactions.run.executor:GROUP", "TypeError: 'str' object is not callable"),
        (f"{__name__}:fails", "ValueError: no nodes are left"),
        (f"{__name__}:makes_nothing", "it makes objects of type NoneType, which have no method"),
    ],
)
def test_what_a_package_gives_in_place_of_one_is_refused(store, monkeypatch, place, why):
    install(monkeypatch, ("odd", place))
    with pytest.raises(UsageError, match="cannot use the executor 'odd'") as caught:
        make_executor("odd", store, load_encoder=no_encoder)
    assert why in caught.value.why
    assert place in caught.value.why


@pytest.mark.parametrize(
    ("name", "fix"), [("Locla", "did you mean 'local'?"), ("cluster", "one of: local, ray")]
)
def test_an_unknown_one_is_refused(store, name, fix):
    for refuse in (
        lambda: check_executor(name),
        lambda: make_executor(name, store, load_encoder=no_encoder),
    ):
        with pytest.raises(UsageError, match=f"unknown executor '{name}'") as caught:
            refuse()
        assert caught.value.fix == fix
        assert caught.value.fields == {"executor": name, "known": ["local", "ray"]}


@pytest.mark.parametrize(
    "command", ["react X", "eval --task ESC-50", "infer --text x", "reproduce table3"]
)
def test_commands_refuse_an_unknown_one_before_they_do_anything(command):
    line = [sys.executable, "-m", "molspace_cli", *command.split(), "--executor", "lokal"]
    process = subprocess.run(line, capture_output=True, text=True, timeout=300)
    assert process.returncode == 2
    assert "unknown executor 'lokal'" in process.stderr
    assert "did you mean 'local'?" in process.stderr


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ray:?worker=2", "did you mean 'workers'?"),
        ("ray:?workers=2;cpus=1", "is not a number from 1"),
        ("ray:ray://head:10001", "is not an address of a cluster's node"),
        ("local:here", "the executor 'local' takes no address"),
    ],
)
def test_an_address_is_checked_before_anything_is_planned(name, words):
    with pytest.raises(UsageError) as caught:
        check_executor(name)
    assert words in str(caught.value)


def test_names_are_known_without_loading_anything_heavy():
    code = (
        "import sys, reactions.run.executor as e; e.check_executor('local')\n"
        "e.check_executor('ray:h:1')\n"
        "assert not {'torch', 'ray', 'reactions.run.local'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)
