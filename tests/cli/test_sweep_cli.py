"""``sweep`` and ``tune`` as a user types them."""

import csv
import io
import json

import pytest
from small_world import EXPRESSION, small_session, small_target
from typer.testing import CliRunner

from molspace_cli import confirm, opening, sweep, tune
from molspace_cli.app import app
from molspace_cli.evaluate import WITHIN_S
from reactions.core.errors import MissingError, UsageError
from reactions.experiments.sweep import SweepTable
from reactions.experiments.sweep.files import to_csv
from reactions.products.tree import effective_factors
from reactions.session import Session


@pytest.fixture(scope="module")
def session_and_target(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    session = small_session(folder)
    return session, small_target(session, folder)


@pytest.fixture
def molspace(session_and_target, monkeypatch):
    """Run a command on a small lab; return its stdout."""
    monkeypatch.setattr(opening, "open_session", lambda *args, **options: session_and_target[0])

    def run(*arguments):
        result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
        assert result.exit_code == 0, result.stderr
        return result.stdout

    return run


def test_a_pipe_gets_every_row_as_csv(session_and_target, molspace):
    text = molspace(
        *(
            "sweep",
            str(session_and_target[1].bundle.path),
            "--task",
            "audiocaps,esc50",
            "--no-baselines",
        ),
        *("--sigma", "0/0.5,0:0.2:0.1", "-q"),
    )
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 12
    assert {row["task"] for row in rows} == {"audiocaps", "esc50"}
    assert (rows[3]["sigma audio"], rows[3]["sigma text"]) == ("0.5", "0.0")
    assert rows[0]["accuracy"] == ""
    assert float(rows[-1]["accuracy"]) == float(rows[-1]["score"])


def test_a_terminal_gets_the_best_of_each_task(session_and_target, molspace, monkeypatch):
    monkeypatch.setattr(sweep, "is_terminal", lambda: True)
    arguments = (
        "sweep",
        str(session_and_target[1].bundle.path),
        "--task",
        "audiocaps",
        "--sigma",
        "0:1:0.1",
    )
    short = molspace(*arguments, "-q")
    assert "own factors\t0.5\t0.1" in short
    assert "5 of 11 settings, best first" in short
    assert "lab: mini (small)" in short
    assert "training-free, at the product's own factors: best part" in short
    every_row = molspace(*arguments, "-q", "--all", "--no-baselines")
    assert "11 of 11 settings" in every_row
    assert "training-free" not in every_row


def test_factors_that_a_task_does_not_take_are_ranked_once(
    session_and_target, molspace, monkeypatch
):
    monkeypatch.setattr(sweep, "is_terminal", lambda: True)
    arguments = (
        "sweep",
        str(session_and_target[1].bundle.path),
        "--task",
        "vggss",
        "--sigma",
        "0/1,0:1:0.1",
    )
    lines = molspace(*arguments, "-q", "--no-baselines").splitlines()
    assert sorted(line.split("\t")[1:3] for line in lines if line[:2] in ("1\t", "2\t")) == [
        ["0", "any"],  # vggss pairs sounds with images: no text takes part
        ["1", "any"],
    ]


def test_json_has_rows_and_what_trains_nothing(session_and_target, molspace):
    record = json.loads(
        molspace(
            *(
                "sweep",
                str(session_and_target[1].bundle.path),
                "--task",
                "vggss",
                "--sigma",
                "0.3",
                "--json",
            ),
        )
    )
    assert record["schema"] == "molspace.sweep/1"
    assert record["rows"][0]["sigma audio"] == 0.3
    assert record["defaults"][0]["task"] == "vggss"
    assert record["baselines"]["vggss"][0]["name"] == "best part"
    assert record["baselines_seed"] == 0


def test_csv_does_not_compute_what_it_does_not_print(
    session_and_target, molspace, monkeypatch, tmp_path
):
    def refuse(*args, **options):
        raise AssertionError("what trains nothing was scored")

    monkeypatch.setattr(Session, "baselines", refuse)
    arguments = (
        "sweep",
        str(session_and_target[1].bundle.path),
        "--task",
        "vggss",
        "--sigma",
        "0.3",
        "-q",
    )
    assert "vggss" in molspace(*arguments)
    molspace(*arguments, "--out", str(tmp_path / "sweep.csv"))
    with pytest.raises(UsageError, match="rows of csv are settings"):
        molspace(*arguments, "--baselines")


def test_scores_in_csv_have_no_noise():
    row = {"space": "A", "seed": 0, "sigma audio": 0.3, "score": 62.25000000000001, "n": 3}
    text = to_csv(SweepTable((row,), (), {"sigma audio": (0.3,)}))
    (record,) = csv.DictReader(io.StringIO(text))
    assert (record["score"], record["sigma audio"], record["experts"]) == ("62.25", "0.3", "")


@pytest.mark.parametrize(("values", "text"), [("0.3", "1 row: "), ("0.3/0.4", "2 rows: ")])
def test_it_says_how_many_rows_were_written(
    session_and_target, molspace, monkeypatch, tmp_path, values, text
):
    messages = []
    monkeypatch.setattr(sweep, "say", messages.append)
    path = tmp_path / "sweep.csv"
    line = ("sweep", str(session_and_target[1].bundle.path), "--task", "vggss", "--sigma", values)
    assert not molspace(*line, "--out", str(path))
    assert messages[-1] == f"{text}{path}"
    messages.clear()
    assert not molspace(*line, "--out", str(path), "--overwrite", "-q")
    assert messages == []


@pytest.mark.parametrize(
    ("command", "options"),
    [("sweep", ("--task", "vggss")), ("tune", ("--objective", "vggss")), ("report", ())],
)
def test_a_missing_bundle_is_named_as_the_command_takes_it(molspace, tmp_path, command, options):
    with pytest.raises(MissingError) as caught:
        molspace(command, str(tmp_path / "nothing"), *options)
    assert caught.value.fix.startswith(f"molspace {command} with a folder")
    with pytest.raises(MissingError) as caught:
        molspace(command, str(tmp_path), *options)
    assert f"molspace {command} '\"{tmp_path}\"'" in caught.value.fix


@pytest.mark.parametrize("suffix", ["csv", "json", "parquet"])
def test_files_are_written_once(session_and_target, molspace, tmp_path, suffix):
    path = tmp_path / f"sweep.{suffix}"
    arguments = (
        "sweep",
        str(session_and_target[1].bundle.path),
        "--task",
        "vggss",
        "--sigma",
        "0/1,0.1",
    )
    arguments += ("--no-baselines", "-q", "--out", str(path))
    molspace(*arguments)
    first = path.read_bytes()
    with pytest.raises(UsageError, match="is there already"):
        molspace(*arguments)
    molspace(*arguments, "--overwrite")
    assert path.read_bytes() == first
    assert list(tmp_path.iterdir()) == [path]


def test_seeds_train_a_product_each(session_and_target, molspace):
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
        (("--sigma", "0:1:0.3,0.1"), "'0:1:0.3' does not meet its end"),
        (("--sigma", "0:1"), "'0:1' has no step"),
        (("--sigma", "0:2:0.5"), "the factor 2 is outside 0 to 1"),
        (("--sigma", "0:1:0.001,0:1:0.001"), "1,002,001 settings x 1 task are many"),
        (("--out", "sweep.txt"), "cannot tell the format"),
        (("--experts", "CLAP"), "no expert 'CLAP'"),
    ],
)
def test_mistakes_are_named(session_and_target, molspace, options, message):
    with pytest.raises(UsageError) as caught:
        molspace("sweep", str(session_and_target[1].bundle.path), "--task", "vggss", "-q", *options)
    assert message in f"{caught.value.what} {caught.value.why}"


def test_many_settings_are_asked_about(monkeypatch):
    questions = []
    monkeypatch.setattr(confirm, "_somebody_is_there", lambda: True)
    monkeypatch.setattr(
        confirm.typer, "confirm", lambda text, **options: questions.append(text) or True
    )
    confirm.agree_to_cells(100_000, 1, yes=False)
    assert questions == []
    confirm.agree_to_cells(100_001, 1, yes=False)
    assert questions == ["go on?"]
    confirm.agree_to_cells(10**6, 3, yes=True)
    assert len(questions) == 1


def test_tune_asks_about_the_settings_of_every_task(session_and_target, molspace, monkeypatch):
    class Asked(Exception):
        pass

    def ask(n_cells, n_tasks, *, yes):
        raise Asked(n_cells, n_tasks)

    monkeypatch.setattr(tune, "agree_to_cells", ask)
    with pytest.raises(Asked) as caught:
        molspace(
            *("tune", str(session_and_target[1].bundle.path), "--objective", "vggss + audiocaps"),
            *("--keep", "esc50 >= 1", "--keep", "vggss >= 1", "--sigma", "0:1:0.5"),
        )
    assert caught.value.args == (3, 3)


@pytest.mark.parametrize(
    ("options", "within_s"),
    [((), WITHIN_S), (("--baselines",), None), (("--no-baselines",), "not scored")],
)
def test_tune_has_what_trains_nothing_at_the_chosen_factors(
    session_and_target, molspace, monkeypatch, tmp_path, options, within_s
):
    scored = []

    def spy(self, target, tasks, adjustment=None, ties="strict", **options_given):
        scored.append((adjustment, options_given["within_s"]))
        return []

    monkeypatch.setattr(Session, "baselines", spy)
    molspace(
        *(
            "tune",
            str(session_and_target[1].bundle.path),
            "--objective",
            "vggss",
            "--sigma",
            "0.2,0.3",
        ),
        *("--out", str(tmp_path / "tuned"), "-q", *options),
    )
    if within_s == "not scored":
        assert scored == []
        return
    ((adjustment, seconds),) = scored
    assert seconds == within_s
    factors = effective_factors(session_and_target[1].space, adjustment)
    assert factors["sigma CLAP_m"] == {"audio": 0.2, "text": 0.3}


def test_tune_writes_a_bundle(session_and_target, molspace, tmp_path):
    out = tmp_path / "tuned"
    record = json.loads(
        molspace(
            *(
                "tune",
                str(session_and_target[1].bundle.path),
                "--objective",
                "vggss",
                "--out",
                str(out),
            ),
            *("--sigma", "0/0.5,0.1", "--keep", "vggss >= base - 50", "--json"),
        )
    )
    assert record["bundle"] == str(out)
    names = [contender["name"] for contender in record["contenders"]]
    assert names[:4] == ["chosen", "own", "Ver.", "AT E."]
    chosen = record["contenders"][0]
    assert chosen["factors"]["sigma audio"] in (0.0, 0.5)
    assert chosen["tuning"]["allowed"]
    assert "scenes of their own" in record["data"]["vggss"]
    bundle_shown = json.loads(molspace("show", str(out), "--json"))
    assert bundle_shown["tuned"]["objective"] == "vggss"
    assert bundle_shown["tuned"]["keep"] == ["vggss >= base - 50"]
