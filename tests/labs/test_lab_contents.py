import json

from typer.testing import CliRunner

from molspace_cli.app import app
from reactions.core.errors import UsageError
from reactions.eval.registry import built_in_names
from reactions.labs.contents import contents
from reactions.labs.lab_file import load_lab
from reactions.labs.mini.spaces import SPACES


def holdings(lab):
    return {(entry.kind, entry.name): entry.holds for entry in contents(lab)}


def test_the_mini_lab():
    entries = holdings(load_lab("mini"))
    names = {name for kind, name in entries if kind == "space"}
    assert names == {space.name for space in SPACES}
    assert {name for kind, name in entries if kind == "task"} == set(built_in_names())
    assert entries["space", "ImageBind"] == (
        "128-d: audio, image, text; depth, thermal (files of their own); "
        "by its images: event=unibind, video=frames-4"
    )
    assert entries["space", "CLAP_m"] == "64-d: audio, text"
    assert entries["corpus", "point"] == "6000 items of the mini world"
    assert entries["pairs", "scenes"].endswith("24000 scenes of the mini world (default)")
    assert "describer" in entries["knowledge", "kb"]


def test_ones_own(tmp_path):
    path = tmp_path / "molspace.toml"
    path.write_text(
        '[spaces.Far]\nuri = "hf:openai/clip-vit-base-patch32"\n[corpora.text]\npath = "t.txt"\n'
        '[kb.k]\npath = "k.parquet"\n'
    )
    (tmp_path / "t.txt").write_text("rain\n")
    entries = holdings(load_lab(str(path)))
    assert entries["space", "Far"] == "hf:openai/clip-vit-base-patch32"  # nothing is fetched
    assert entries["corpus", "text"] == "1 source"
    assert entries["knowledge", "k"].endswith("k.parquet")
    assert not any(kind == "task" for kind, _ in entries)


def test_the_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["lab", "show"], catch_exceptions=False)
    assert result.exit_code == 0
    assert "lab: mini" in result.stdout
    assert "PointExpert" in result.stdout
    body = json.loads(CliRunner().invoke(app, ["lab", "show", "--json"]).stdout)
    assert (body["lab"], body["seed"]) == ("mini", 0)
    assert {"kind": "space", "name": "CLAP_g", "holds": "64-d: audio, text"} in body["holds"]


def test_a_slip_in_the_encoders_to_train_costs_nothing(tmp_path):
    out = tmp_path / "out"
    command = ["lab", "train", "--out", str(out), "--spaces", "ImageBind-thermel"]
    result = CliRunner().invoke(app, command)
    assert isinstance(result.exception, UsageError)
    assert "ImageBind-thermal" in result.exception.fix
    assert not out.exists()
