"""Tables on a terminal: as wide as it is at most, words whole where they can be."""

from __future__ import annotations

import pytest

from molspace_cli.boxes import show_table

COLUMNS = ("space", "modality", "rows", "dim", "ids", "not finite", "zero", "repeated", "cosine")
ROW = ("ImageBind", "image", "1500", "64", "image.ids.txt", "0", "0", "0", "0.191")


def _shown(capsys, monkeypatch, width, columns=COLUMNS, rows=(ROW,), **options):
    monkeypatch.setenv("COLUMNS", str(width))
    show_table("title", columns, rows, **options)
    return capsys.readouterr()


@pytest.mark.parametrize("width", [10, 24, 40, 60, 80, 100, 120])
def test_no_line_is_wider_than_the_terminal(capsys, monkeypatch, width):
    out = _shown(capsys, monkeypatch, width).out

    assert max(map(len, out.splitlines())) <= width


@pytest.mark.parametrize("width", [80, 120])
def test_words_stay_whole_where_they_fit(capsys, monkeypatch, width):
    out = _shown(capsys, monkeypatch, width).out

    assert all(word in out for word in (*COLUMNS, *ROW))


def test_the_widest_column_is_wrapped_between_words(capsys, monkeypatch):
    columns, rows = ("step", "why"), [("embed", "no earlier step of this kind has these inputs")]

    out = _shown(capsys, monkeypatch, 44, columns, rows).out

    cells = [line.split("│")[2].strip() for line in out.splitlines() if "│" in line]
    assert " ".join(cells) == rows[0][1]
    assert len(cells) == 2


def test_where_no_box_fits_a_row_is_a_list_of_its_fields(capsys, monkeypatch):
    out = _shown(capsys, monkeypatch, 40).out

    assert "- space: ImageBind\n  modality: image\n  rows: 1500\n" in out
    assert "│" not in out


def test_columns_without_content_are_left_out(capsys, monkeypatch):
    out = _shown(capsys, monkeypatch, 80, ("check", "advice"), [("norms", ""), ("speed", "")]).out

    assert "advice" not in out
    assert "norms" in out


def test_a_table_without_rows_is_its_title(capsys, monkeypatch):
    assert _shown(capsys, monkeypatch, 80, rows=()).out == "title\n"


def test_it_goes_to_stderr_if_asked(capsys, monkeypatch):
    streams = _shown(capsys, monkeypatch, 80, stderr=True)

    assert streams.out == ""
    assert "ImageBind" in streams.err
