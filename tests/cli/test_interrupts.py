"""Ctrl-C says what becomes of the work, and exits as shells expect."""

import pytest

from molspace_cli import __main__ as entry


@pytest.mark.parametrize(
    ("interrupt", "message"),
    [
        (KeyboardInterrupt(), "interrupted"),
        (KeyboardInterrupt(""), "interrupted"),
        (KeyboardInterrupt("e.npy was not written"), "interrupted; e.npy was not written"),
    ],
)
def test_ctrl_c_says_what_becomes_of_the_work(interrupt, message, monkeypatch, capsys):
    def run() -> int:
        raise interrupt

    monkeypatch.setattr(entry, "_run", run)
    with pytest.raises(SystemExit) as stop:
        entry.main()
    assert stop.value.code == 130
    assert capsys.readouterr() == ("", f"{message}\n")


@pytest.mark.parametrize(
    ("place", "arguments", "message"),
    [
        ("reactions.inference.stream.embed_stream", ("--compare",), "embeddings are not kept"),
        ("reactions.inference.stream.embed_stream", ("--out", "e.npy"), "e.npy was not written"),
        ("reactions.session.Session.embedder", ("--compare",), ""),
    ],
)
def test_infer_keeps_nothing(place, arguments, message, monkeypatch, capsys):
    def stop(*args, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr(place, stop)
    monkeypatch.setattr("sys.argv", ["molspace", "infer", "--space", "CLAP_m", "a", *arguments])
    with pytest.raises(SystemExit) as ended:
        entry.main()
    assert ended.value.code == 130
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == "; ".join(filter(None, ("interrupted", message)))


def test_a_run_of_steps_keeps_what_was_finished(monkeypatch, capsys):
    def stop(self, targets):
        raise KeyboardInterrupt

    monkeypatch.setattr("reactions.run.local.LocalExecutor.run", stop)
    monkeypatch.setattr("sys.argv", ["molspace", "react", "ImageBind + Cr(CLAP_m)", "--quiet"])
    with pytest.raises(SystemExit) as ended:
        entry.main()
    assert ended.value.code == 130
    assert capsys.readouterr().err.splitlines()[-1] == "interrupted; what was finished is kept"
