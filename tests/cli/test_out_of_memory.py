"""A machine without memory: an error and exit code 4, never a traceback."""

import json
import sys

import pytest
from in_process import runner

from molspace_cli import __main__ as entry
from reactions.core.errors import StepError
from reactions.labs import lab_file

UNMAPPED = ImportError("libtorch_cpu.so: failed to map segment from shared object")


@pytest.fixture
def listing(monkeypatch, capsys):
    molspace = runner(monkeypatch, capsys, "data", "list")

    def run(error, *options):
        def raise_it(*args, **more):
            raise error

        monkeypatch.setattr(lab_file, "load_lab", raise_it)
        code, out, err = molspace(*options)
        assert out == ""
        return code, err

    return run


@pytest.mark.parametrize("error", [MemoryError(), UNMAPPED], ids=["heap", "library"])
def test_it_is_said_with_a_fix(listing, error):
    code, err = listing(error)
    assert (code, err.splitlines()[0]) == (4, "error: out of memory")
    assert "fix: close other programs" in err


def test_in_json_too(listing):
    code, err = listing(MemoryError(), "--json")
    body = json.loads(err)
    assert (code, body["schema"]) == (4, "molspace.error/1")
    assert "out of memory" in json.dumps(body)


def test_also_where_another_error_was_about_to_be_reported(listing, monkeypatch):
    def no_room(*args):
        raise MemoryError

    monkeypatch.setattr("molspace_cli.mistakes.error_text", no_room)
    assert listing(StepError("out of memory on cpu in 'train'"))[0] == 4


def test_other_import_errors_are_not_taken_for_it(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["molspace", "data", "list"])
    with pytest.raises(ImportError, match="no module"):
        entry._report(ImportError("no module"), None)
