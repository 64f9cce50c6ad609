"""``react`` where the bundle, or the cache, is there already, or may not be written to."""

import errno
import json
import os
import shutil

import pytest
from in_process import offline_in, runner
from lab_files import mini_lab
from media_files import put

from reactions.core import left_out
from reactions.encoders import registry
from reactions.store import clocks

LAB = mini_lab(90, 60, hidden_dim=16, cr_epochs=1, batch_size=32).replace(
    "text = { world = 90 }", 'text = { path = "texts.txt" }'
)
REACTION = "ImageBind + Cr(CLAP_m, data=T)"
TEXTS = [*(f"rain on roof number {n}" for n in range(60)), *("rain on tin " * n for n in (30, 40))]
WITHOUT_STEPS = "nothing to run: the bundle is there"


@pytest.fixture
def react(tmp_path, monkeypatch, capsys):
    offline_in(tmp_path, monkeypatch)
    put(tmp_path / "lab.toml", LAB)
    put(tmp_path / "texts.txt", "".join(f"{text}\n" for text in TEXTS))
    run = runner(monkeypatch, capsys)

    def react(*arguments, code=0, reaction=REACTION, command="react"):
        left_out.take()  # a process has one command
        ended, out, err = run(command, reaction, "--lab", "lab.toml", *arguments)
        assert ended == code, err
        return out, err

    return react


def notes(err):
    return [line for line in err.splitlines() if line.startswith("note: ")]


def test_what_was_cut_is_reported_again_and_where_the_cache_is_gone_is_not_known(react, tmp_path):
    out, err = react("--json")
    cut = json.loads(out)["items_cut"]
    texts = [part for part in cut if part["modality"] == "text"]
    assert [(part["items"], part["found"][0]["items"]) for part in texts] == [(62, 2)] * 2
    notices_given = notes(err)
    assert any("2 of 62 texts are longer than CLAP_m's" in line for line in notices_given)
    assert WITHOUT_STEPS not in err
    out, err = react("--json")
    assert (json.loads(out)["items_cut"], notes(err)) == (cut, notices_given)
    assert WITHOUT_STEPS in err
    shutil.rmtree(tmp_path / "MOLSPACE_CACHE")
    out, err = react("--json")
    assert WITHOUT_STEPS in err
    assert "from the cache" not in err
    gone = json.loads(out)["items_cut"]
    assert [part["not_counted"] for part in gone] == [part["items"] for part in cut]
    assert all((part["items"], part["found"]) == (0, []) for part in gone)
    (note,) = notes(err)
    assert note.startswith("note: what ")
    assert note.endswith(" left out of 304 items is not known")
    assert not (tmp_path / "MOLSPACE_CACHE" / "entries").exists()
    out, _ = react("--json", command="plan")
    assert json.loads(out)["bundle"] == json.loads(react("--json")[0])["bundle"]
    assert "the bundle is there, so that react runs nothing" in react(command="plan")[1]


def test_a_store_that_is_read_only_is_refused_before_anything_is_done(react, tmp_path, monkeypatch):
    react()

    def refuse(folder):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(folder / ".clock-1"))

    def load(spec, device="cpu"):
        raise AssertionError("an encoder is loaded")

    monkeypatch.setattr(clocks, "touch_once", refuse)
    monkeypatch.setattr(registry, "load", load)
    _, err = react()  # all is there
    assert WITHOUT_STEPS in err
    _, err = react("--out", "elsewhere")
    assert "nothing to run: the cache has the results" in err
    _, err = react(code=4, reaction="ImageBind + Cr(CLAP_g, data=T)")
    assert "error: cannot write to the store" in err
    assert f"read-only: {tmp_path / 'MOLSPACE_CACHE'}\n" in err
    assert "to run" not in err
