"""What is shown of downloads: a line that moves on a terminal, else one line a file."""

import io
import sys

from molspace_cli import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_line_moves_on_a_terminal(monkeypatch):
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    on_progress = progress.downloads()
    for n_bytes in (0, 500_000, 2_000_000):
        on_progress("model\x1b.pt", n_bytes, 2_000_000)
    on_progress("of unknown size", 1500, 0)
    assert stream.getvalue() == (
        "\rmodel\\x1b.pt: 0 % of 2.0 MB   "
        "\rmodel\\x1b.pt: 25 % of 2.0 MB   "
        "\rmodel\\x1b.pt: 100 % of 2.0 MB   \n"
        "\rof unknown size: 1.5 kB   "
    )


def test_each_file_has_one_line_in_a_pipe(capsys):
    on_progress = progress.downloads()
    for n_bytes in (0, 1000, 2000):
        on_progress("model.pt", n_bytes, 2000)
        on_progress("other", n_bytes, 0)
    assert capsys.readouterr().err == "model.pt: downloading 2.0 kB\nother: downloading\n"


def test_quiet_shows_none(capsys):
    progress.downloads(quiet=True)("model.pt", 0, 2000)
    assert capsys.readouterr() == ("", "")
