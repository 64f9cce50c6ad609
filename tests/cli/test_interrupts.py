"""Ctrl-C says what becomes of the work, and exits as shells expect."""

import pytest

from molspace_cli import __main__ as entry


@pytest.mark.parametrize(
    ("interrupt", "message"),
    [
        (KeyboardInterrupt(), "interrupted; what was finished is kept"),
        (KeyboardInterrupt(""), "interrupted; what was finished is kept"),
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
