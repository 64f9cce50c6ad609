"""``sweep`` and ``tune`` as a user types them."""

import csv
import io
import json

import pytest
from small_world import EXPRESSION, small_session, small_target
from typer.testing import CliRunner

from molspace_cli import confirm, opening, sweep
from molspace_cli.app import app
from reactions.core.errors import UsageError


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    session = small_session(folder)
    return session, small_target(session, folder)


@pytest.fixture
def molspace(made, monkeypatch):
    """Run a command on a small lab; return its stdout."""
    monkeypatch.setattr(opening, "open_session", lambda *args, **options: made[0])

    def run(*arguments):
        done = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
        assert done.exit_code == 0, done.stderr
        return done.stdout

    return run


def test_a_pipe_gets_every_row_as_csv(made, molspace):
    text = molspace(
        *("sweep", str(made[1].bundle.path), "--task", "audiocaps,esc50", "--no-baselines"),
        *("--sigma", "0/0.5,0:0.2:0.1", "-q"),
    )
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 12
    assert {row["task"] for row in rows} == {"audiocaps", "esc50"}
    assert (rows[3]["sigma audio"], rows[3]["sigma text"]) == ("0.5", "0.0")
    assert rows[0]["accuracy"] == ""
    assert float(rows[-1]["accuracy"]) == float(rows[-1]["score"])


def test_a_terminal_gets_the_best_of_each_task(made, molspace, monkeypatch):
    monkeypatch.setattr(sweep, "is_terminal", lambda: True)
    arguments = ("sweep", str(made[1].bundle.path), "--task", "audiocaps", "--sigma", "0:1:0.1")
    short = molspace(*arguments, "-q")
    assert "own factors\t0.5\t0.1" in short
    assert "5 of 11 settings, best first" in short
    assert "lab: mini (small)" in short
    assert "training-free: best part" in short
    every = molspace(*arguments, "-q", "--all", "--no-baselines")
    assert "11 of 11 settings" in every
    assert "training-free" not in every


def test_json_has_rows_and_what_trains_nothing(made, molspace):
    record = json.loads(
        molspace(
            *("sweep", str(made[1].bundle.path), "--task", "vggss", "--sigma", "0.3", "--json"),
        )
    )
    assert record["schema"] == "molspace.sweep/1"
    assert record["rows"][0]["sigma audio"] == 0.3
    assert record["defaults"][0]["task"] == "vggss"
    assert record["baselines"]["vggss"][0]["name"] == "best part"


@pytest.mark.parametrize("suffix", ["csv", "json", "parquet"])
def test_files_are_written_once(made, molspace, tmp_path, suffix):
    path = tmp_path / f"sweep.{suffix}"
    arguments = ("sweep", str(made[1].bundle.path), "--task", "vggss", "--sigma", "0/1,0.1")
    arguments += ("--no-baselines", "-q", "--out", str(path))
    molspace(*arguments)
    first = path.read_bytes()
    with pytest.raises(UsageError, match="is there already"):
        molspace(*arguments)
    molspace(*arguments, "--overwrite")
    assert path.read_bytes() == first
    assert list(tmp_path.iterdir()) == [path]


def test_seeds_train_a_product_each(made, molspace):
    text = molspace(
        *("sweep", EXPRESSION, "--task", "vggss", "--sigma", "0/1,0.1", "--seeds", "0,1"),
        *("--no-baselines", "-q"),
    )
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["seed"] for row in rows] == ["0", "0", "1", "1"]
    assert rows[0]["score"] != rows[2]["score"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--seeds", "0,1"), "a bundle was trained with one seed"),
        (("--sigma", "0:2:0.5"), "the factor 2 is outside 0 to 1"),
        (("--sigma", "0:1:0.001,0:1:0.001"), "1,002,001 settings x 1 task are many"),
        (("--out", "sweep.txt"), "cannot tell the format"),
        (("--experts", "CLAP"), "no expert 'CLAP'"),
    ],
)
def test_mistakes_are_named(made, molspace, options, message):
    with pytest.raises(UsageError) as caught:
        molspace("sweep", str(made[1].bundle.path), "--task", "vggss", "-q", *options)
    assert message in f"{caught.value.what} {caught.value.why}"


def test_many_settings_are_asked_about(monkeypatch):
    asked = []
    monkeypatch.setattr(confirm, "_somebody_is_there", lambda: True)
    monkeypatch.setattr(
        confirm.typer, "confirm", lambda text, **options: asked.append(text) or True
    )
    confirm.agree_to_cells(100_000, 1, yes=False)
    assert asked == []
    confirm.agree_to_cells(100_001, 1, yes=False)
    assert asked == ["go on?"]
    confirm.agree_to_cells(10**6, 3, yes=True)
    assert len(asked) == 1


def test_tune_writes_a_bundle(made, molspace, tmp_path):
    out = tmp_path / "tuned"
    record = json.loads(
        molspace(
            *("tune", str(made[1].bundle.path), "--objective", "vggss", "--out", str(out)),
            *("--sigma", "0/0.5,0.1", "--keep", "vggss >= base - 50", "--json"),
        )
    )
    assert record["bundle"] == str(out)
    names = [each["name"] for each in record["contenders"]]
    assert names[:4] == ["chosen", "own", "Ver.", "AT E."]
    chosen = record["contenders"][0]
    assert chosen["factors"]["sigma audio"] in (0.0, 0.5)
    assert chosen["tuning"]["allowed"]
    assert "scenes of their own" in record["data"]["vggss"]
    shown = json.loads(molspace("show", str(out), "--json"))
    assert shown["tuned"]["objective"] == "vggss"
    assert shown["tuned"]["keep"] == ["vggss >= base - 50"]
