"""``-v`` and ``--log-file`` of every command."""

import json
import logging

import pytest
import typer.main
from in_process import runner

from molspace_cli import verbosity
from molspace_cli.app import app
from reactions.run.events import StepHit, StepProgress


@pytest.fixture
def molspace(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)

    run = runner(monkeypatch, capsys)
    yield run
    verbosity.begin()


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_v_says_which_lab_is_used_and_why(molspace, monkeypatch):
    _, quiet_out, quiet_err = molspace("spaces", "list")
    code, out, err = molspace("spaces", "list", "-v")
    assert code == 0
    assert out == quiet_out  # data are the same
    assert quiet_err == ""
    assert "mini.toml (the default)" in err
    monkeypatch.setenv("MOLSPACE_LAB", "mini")
    assert "(MOLSPACE_LAB)" in molspace("-v", "spaces", "list")[2]
    assert "(--lab)" in molspace("spaces", "list", "-v", "--lab", "mini")[2]


def test_v_says_with_which_kernels_a_gpu_computes(molspace, capsys, tmp_path):
    kernels = logging.getLogger("reactions.kernels")

    def chosen():
        kernels.info("%s on %s: triton", "weights", "a GPU")
        return capsys.readouterr().err

    assert chosen() == ""
    verbosity.begin()
    verbosity._set_level(1)
    verbosity._set_level(1)
    (line,) = chosen().splitlines()
    assert line.endswith("weights on a GPU: triton")
    verbosity.begin()
    assert chosen() == ""
    file = tmp_path / "log.jsonl"
    verbosity._open_book([file])
    assert chosen() == ""
    verbosity.end(0)
    assert [line["text"] for line in lines(file) if line["event"] == "detail"] == [
        "weights on a GPU: triton"
    ]


def test_vv_shows_where_an_error_was_raised(molspace):
    code, _, err = molspace("spaces", "info", "Fooo", "-v")
    assert code == 2
    assert "Traceback" not in err
    code, _, err = molspace("spaces", "info", "Fooo", "-vv")
    assert code == 2
    assert "Traceback" in err
    assert err.rstrip().splitlines()[-2].startswith("error: unknown space 'Fooo'")


def test_the_log_file_has_the_command_what_was_said_and_the_end(molspace, tmp_path):
    file = tmp_path / "molspace.jsonl"
    code, _, _ = molspace("plan", "ImageBind + Cr(CLAP_m)", "--log-file", str(file))
    assert code == 0
    first, *middle, last = lines(file)
    assert first["event"] == "command"
    assert first["schema"] == "molspace.log/1"
    assert first["arguments"][0] == "plan"
    assert {"detail", "message"} <= {line["event"] for line in middle}
    assert last["event"] == "end"
    assert last["exit_code"] == 0
    molspace("spaces", "info", "Fooo", "--log-file", str(file))
    *_, last = lines(file)
    (error,) = (line for line in lines(file) if line["event"] == "error")
    assert error["what"] == "unknown space 'Fooo'"
    assert last["exit_code"] == 2
    assert lines(file)[0] == first  # appended


def test_a_runs_events_are_kept(molspace, tmp_path):
    lab = tmp_path / "small.toml"
    lab.write_text(
        '[lab]\nextends = "mini"\n[corpora.text]\nworld = 40\n[corpora.image]\nworld = 40\n'
        "[corpora.audio]\nworld = 40\n[reaction]\nhidden_dim = 16\nbatch_size = 16\n"
    )
    command = ("react", "ImageBind + Cr(CLAP_m, data=T)", "--lab", str(lab), "-y")
    code, _, err = molspace(*command, "--log-file", "run.jsonl", "-v", "--out", "b1")
    assert code == 0, err
    events = {line["event"] for line in lines(tmp_path / "run.jsonl")}
    assert {"plan_started", "step_started", "step_finished", "plan_finished"} <= events
    code, _, err = molspace(*command, "-v", "--out", "b2")
    assert code == 0, err
    assert "cached: assemble" in err


def test_progress_is_written_once_a_second_a_step(tmp_path, monkeypatch):
    seconds = [10.0]
    monkeypatch.setattr(verbosity.time, "monotonic", lambda: seconds[0])
    book = verbosity.Logbook(tmp_path / "log.jsonl")
    for n_done, at_s in ((1, 10.0), (2, 10.5), (3, 11.1), (4, 11.2)):
        seconds[0] = at_s
        book.follow(StepProgress("k", "embed", "embed", n_done, 4, "rows"))
    book.close()
    assert [line["done"] for line in lines(tmp_path / "log.jsonl")] == [1, 3, 4]


def test_a_full_disk_ends_the_log_and_not_the_run(tmp_path, capsys):
    book = verbosity.Logbook(tmp_path / "log.jsonl")

    class Full:
        def write(self, text):
            raise OSError(28, "No space left on device")

    book.close()
    book._file = Full()
    book.follow(StepHit("k", "embed", "embed"))
    book.follow(StepHit("k", "embed", "embed"))
    assert capsys.readouterr().err.count("no space left") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--log-file", "no/such/log.jsonl"), "cannot write 'no/such/log.jsonl'"),
        (("--log-file", "-"), "needs the name of a file"),
        (("--log-file", "."), "cannot write '.'"),
        (("--log-file", "a.jsonl", "--log-file"), "--log-file"),
    ],
)
def test_a_log_that_cannot_be_written_is_refused_before_anything_runs(arguments, message, molspace):
    code, out, err = molspace("spaces", "list", *arguments)
    assert code == 2
    assert out == ""
    assert message in err


def test_every_command_has_both_options():
    command = typer.main.get_command(app)
    verbosity.add_options(command)

    def names(command):
        return {option for param in command.params for option in param.opts}

    def walk(command):
        yield command
        for below in getattr(command, "commands", {}).values():
            yield from walk(below)

    assert all(
        {"-v", "--verbose", "--log-file"} <= names(subcommand) for subcommand in walk(command)
    )


def test_nothing_but_a_log_is_added_to(molspace, tmp_path):
    (tmp_path / "bundle.json").write_text('{"format": 3}\n')
    code, _, err = molspace("spaces", "list", "--log-file", "bundle.json")
    assert code == 2
    assert "holds something other than a log" in err
    assert (tmp_path / "bundle.json").read_text() == '{"format": 3}\n'
    (tmp_path / "empty.jsonl").touch()
    assert molspace("spaces", "list", "--log-file", "empty.jsonl")[0] == 0
    assert molspace("spaces", "list", "--log-file", "empty.jsonl")[0] == 0
