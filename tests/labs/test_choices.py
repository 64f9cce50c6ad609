import itertools
from dataclasses import fields
from pathlib import Path

import pytest

from reactions.core.settings import PAPER_SETTINGS, ReactionSettings
from reactions.labs.choices import LEAST_STEPS, PAPER_ROWS, Training, choose
from reactions.labs.lab_file import load_lab
from reactions.planning.training import settings_record

OPEN = ReactionSettings()


@pytest.mark.parametrize("rows", [PAPER_ROWS, 1_300_000, 5_430_000])
@pytest.mark.parametrize(("op", "epochs"), [("dr", 5), ("cr", 20)])
def test_at_the_papers_rows_the_rule_gives_the_papers_values(op, epochs, rows):
    chosen = choose(OPEN, op, rows)
    assert (chosen.hidden_dim, chosen.batch_size, chosen.epochs) == (2048, 4096, epochs)
    assert chosen.chosen == ("hidden_dim", "batch_size", f"{op}_epochs")


@pytest.mark.parametrize(
    ("rows", "expected"),
    [(427, (288, 84, 24)), (854, (352, 116, 20)), (12_000, (672, 440, 20)), (40, (160, 24, 120))],
)
def test_some_hundred_rows_get_narrow_projectors_and_small_batches(rows, expected):
    chosen = choose(OPEN, "cr", rows)
    assert (chosen.hidden_dim, chosen.batch_size, chosen.epochs) == expected


@pytest.mark.parametrize("op", ["dr", "cr"])
@pytest.mark.parametrize("rows", [2, 3, 17, 100, 427, 5_000, 60_000, PAPER_ROWS - 1, PAPER_ROWS])
def test_there_are_always_enough_steps(op, rows):
    chosen = choose(OPEN, op, rows)
    steps = rows // min(rows, chosen.batch_size)
    assert steps * chosen.epochs >= LEAST_STEPS
    assert chosen.batch_size >= 2


def test_the_rule_has_no_jumps():
    rows = [round(10 ** (k / 50)) for k in range(50, 320)]
    choices = [choose(OPEN, "cr", n) for n in rows]
    for before, after in itertools.pairwise(choices):
        assert before.hidden_dim <= after.hidden_dim <= before.hidden_dim + 64
        assert before.batch_size <= after.batch_size <= before.batch_size * 1.1 + 4


def test_what_the_lab_says_stays_and_the_rest_fits_it():
    training = choose(ReactionSettings(batch_size=4096), "cr", 427)
    assert training == Training(288, 4096, 120, ("hidden_dim", "cr_epochs"))  # one step an epoch
    assert choose(ReactionSettings(cr_epochs=3), "cr", 427).epochs == 3
    assert choose(ReactionSettings(dr_epochs=3), "cr", 427).chosen[-1] == "cr_epochs"
    assert choose(PAPER_SETTINGS, "dr", 427) == Training(2048, 4096, 5)


def test_the_documentation_names_every_key_and_the_rules_values():
    text = (Path(__file__).parents[2] / "docs" / "quality.md").read_text(encoding="utf-8")
    for entry in fields(ReactionSettings):
        assert f"`{entry.name}`" in text, entry.name
    for key in ("hidden_dim", "batch_size", "dr_epochs", "cr_epochs"):
        op, name = (key[:2], "epochs") if key.endswith("epochs") else ("dr", key)
        values = [getattr(choose(OPEN, op, n), name) for n in (427, 12_000, PAPER_ROWS)]
        cells = " | ".join(map(str, values))
        assert any(line.startswith(f"| `{key}`") and cells in line for line in text.splitlines())


@pytest.mark.parametrize("name", ["mini", "paper"])
def test_records_of_the_embedded_labs_are_those_of_earlier_versions(name):
    # Their keys hang on it: what is new is left out where it is off.
    record = settings_record(load_lab(name).settings)
    assert list(record) == [
        "learning_rate",
        "collect_temperature",
        "info_nce_temperature",
        "hidden_dim",
        "batch_size",
        "dr_epochs",
        "cr_epochs",
        "precision",
        "dtype",
        "shard_rows",
    ]
    assert record["dtype"] == "float16"


def test_records_name_what_is_held_back_and_not_what_is_open():
    record = settings_record(ReactionSettings(batch_size=7))
    assert (record["holdout"], record["batch_size"]) == (0.05, 7)
    assert not {"hidden_dim", "dr_epochs", "cr_epochs"} & set(record)
