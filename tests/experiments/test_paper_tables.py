import json
import os
from dataclasses import replace

import command_line
import fakes
import pytest

from reactions import session
from reactions.core.errors import DataError, MissingError, StepError, UsageError
from reactions.core.factor_defaults import FactorDefaults
from reactions.core.settings import TuningSettings
from reactions.core.types import leaves
from reactions.dsl import check, parse
from reactions.experiments.paper.spaces import FACTORS, PUBLISHED
from reactions.experiments.paper.table import parse_rows as chosen_rows
from reactions.experiments.paper.tables import TABLES
from reactions.experiments.reproduce import measure

T3, T4 = TABLES["table3"], TABLES["table4"]
ROWS = T3.rows
BY_NAME = {row.name: row for row in ROWS}


def parse_rows(text):
    return chosen_rows(text, ROWS)


# --- the rows --------------------------------------------------------------------------


@pytest.mark.parametrize("table", TABLES.values(), ids=list(TABLES))
def test_reactions_are_canonical_and_of_the_papers_spaces(table):
    for row in table.rows:
        assert str(parse(row.reaction).result) == row.reaction
        space = check(parse(row.reaction), PUBLISHED, factors=FACTORS).space
        assert {leaf.label for leaf in leaves(space)} <= set(PUBLISHED.names())


def test_settings_differ_in_factors_alone():
    for product in ("ImageBind++", "InternVL_IB++", "InternVL_IB†++"):
        versatile, expertise = BY_NAME[f"{product} Ver."], BY_NAME[f"{product} AT E."]
        assert versatile.reaction == expertise.reaction
        assert versatile.adjustment.sigma == {"": (0.5, 0.1)}
        assert expertise.adjustment.sigma == {"": (0.8, 0.5)}
        assert versatile.adjustment.lambda_ == expertise.adjustment.lambda_
    assert BY_NAME["InternVL_IB"].adjustment.lambda_ == {"": (0.9, 0.9)}
    assert BY_NAME["InternVL_IB++ Ver."].adjustment.lambda_ == {"": (0.9, 0.9)}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("ImageBind", ["ImageBind"]),
        ("imagebind++ ver, CLAP-g", ["CLAP_g", "ImageBind++ Ver."]),
        ("ImageBind++", ["ImageBind++ AT E.", "ImageBind++ Ver."]),
        ("internvl_ib_ft", ["InternVL_IB†"]),
        ("InternVL_IB_ft_pp", ["InternVL_IB†++ AT E.", "InternVL_IB†++ Ver."]),
        ("C_MCR,c-mcr", ["C-MCR"]),
    ],
)
def test_rows_by_name(text, names):
    assert [row.name for row in parse_rows(text)] == names


def test_no_rows_means_all_and_a_typo_gets_near_names():
    assert parse_rows(None) == ROWS
    with pytest.raises(UsageError, match="unknown row 'ImagBind'") as caught:
        parse_rows("CLAP_g,ImagBind")
    assert "did you mean 'ImageBind'" in caught.value.fix
    with pytest.raises(UsageError, match="names none"):
        parse_rows(" , ")


# --- on a lab of fakes -----------------------------------------------------------------


def states(results, name):
    (row,) = (row for row in results.rows if row.row.name == name)
    return [results.state(row, task) for task in results.table.tasks]


def test_ours_beside_the_papers_and_the_second_time_nothing_runs(open_session):
    first, rows, planned = open_session(), parse_rows("InternVL,WAV2CLIP,ImageBind,ImageBind++"), []
    results = measure(T3, first, rows, confirm=planned.append)
    assert first.events.executed > 0
    (plan,) = planned
    assert [step.kind for step in plan.targets] == ["assemble"]  # once for both settings
    second_session = open_session()
    assert measure(T3, second_session, rows).to_json() == results.to_json()
    assert second_session.events.executed == 0
    assert states(results, "ImageBind") == ["measured"] * 3
    assert states(results, "InternVL") == ["no modality", "no modality", "measured"]
    assert states(results, "ImageBind++ Ver.") == ["measured"] * 3
    assert states(results, "WAV2CLIP") == ["not run"] * 3
    body = json.loads(json.dumps(results.to_json()))
    assert body["measured"] == 1 + 3 + 2 * 3
    row = next(row for row in body["rows"] if row["name"] == "ImageBind++ AT E.")
    assert (row["sigma"], row["lambda"]) == ([0.8, 0.5], None)
    (accuracy, *_), (result, *_) = row["cells"], row["results"]
    assert (accuracy["paper"], accuracy["ours"]) == (92.80, result["metrics"]["accuracy"])
    assert result["factors"]["sigma CLAP_m"] == {"audio": 0.8, "text": 0.5}
    task = body["tasks"][0]
    assert (task["n"], task["expected"], task["paper_n"]) == (10, 12, 400)
    assert task["prompts"] == ["This is a sound of {class}."]


def test_other_factors_are_not_trained_again(open_session):
    first = open_session()
    measure(T3, first, parse_rows("ImageBind++ Ver."))
    second = open_session()
    results = measure(T3, second, parse_rows("ImageBind++ AT E."))
    assert second.events.executed == 3  # the scores
    assert results.n_measured == 3


def test_the_factors_are_the_papers_whatever_the_lab_says(open_session):
    rows = parse_rows("InternVL_IB++ Ver.")
    papers = measure(T4, open_session(), rows).to_json()
    other = open_session(factors=FactorDefaults(other_displacement=0.2, combination=()))
    assert measure(T4, other, rows).to_json() == papers
    assert other.events.executed == 0
    rescaled = open_session(factors=FactorDefaults(mean="unit"))
    first, *training_free = measure(T4, rescaled, rows).rows
    assert all(r["means"] == {"CLAP_m & CLAP_g": "unit"} for r in first.records.values())
    # Only the closed form is a product, whose experts are mixed as the reaction's are.
    mixed = {
        row.row.name for row in training_free if any("means" in r for r in row.records.values())
    }
    assert mixed == {"Procrustes"}
    assert rescaled.events.executed > 0


def test_retrieval_has_both_directions_and_their_mean(open_session):
    results = measure(T4, open_session(), parse_rows("CLAP_g"))
    (row,) = results.rows
    assert set(row.records) == {"audiocaps", "clotho"}
    metrics = row.records["clotho"]["metrics"]
    column = next(c for c in T4.columns if (c.task, c.title) == ("clotho", "R@5"))
    mean = (metrics["text->audio R@5"] + metrics["audio->text R@5"]) / 2
    assert results.ours(row, column) == pytest.approx(mean)
    assert any("mean of both directions" in note for note in results.notes)


def test_a_tuned_row_says_what_was_tuned_and_what_the_paper_tunes(open_session):
    def tuning(names):
        notes = measure(T4, open_session(), parse_rows(names)).notes
        return [note for note in notes if note.startswith("Ft(")]

    assert tuning("InternVL_IB†,InternVL_IB†++ Ver.") == [
        "Ft(audio~image) tuned the projectors alone on 40 pairs with image (fake pairs): batch "
        "16, 1 epoch (heads=only); the paper tunes the audio encoder, on 2 million audio-image "
        "pairs of AudioSet."
    ]
    assert tuning("InternVL_IB") == []


def test_rows_that_cannot_run_are_there_and_say_why(open_session):
    results = measure(T3, open_session(fakes.IB, fakes.CM, fakes.CG))
    reported = {row.row.name: row.lack.what for row in results.rows if row.lack}
    assert reported["WAV2CLIP"] == reported["InternVL"] == "not in this lab"
    assert reported["C-MCR"] == "its published head is not imported"
    assert reported["InternVL_IB"] == "InternVL not in this lab"
    assert states(results, "InternVL") == ["no modality", "no modality", "not run"]
    assert states(results, "ImageBind++ Ver.") == ["measured"] * 3


def test_rows_with_a_dagger_are_tuned(open_session):
    results = measure(T3, open_session(), parse_rows("InternVL_IB, InternVL_IB_ft"))
    plain, tuned = (row.records for row in results.rows)
    assert plain["imagenet"]["metrics"] == tuned["imagenet"]["metrics"]  # its side is frozen
    assert plain["audioset"]["metrics"] != tuned["audioset"]["metrics"]


def test_rows_that_cannot_be_tuned_say_why(open_session):
    session = open_session()
    lab = replace(session.lab, tuning=TuningSettings(heads=True))
    rows = parse_rows("InternVL_IB_ft, InternVL_IB_ft_pp")
    results = measure(T3, replace(session, lab=lab), rows)
    assert len(results.lacking()) == 1
    assert results.n_measured == 0
    assert results.lacking() == {results.rows[0].lack: [row.row.name for row in results.rows]}


def test_a_baseline_that_the_lab_knows_is_measured(open_session):
    extra = fakes.Leaf(fakes.spec("C_MCR", 7, "audio", "image", "text"))
    results = measure(T3, open_session(extra), parse_rows("C-MCR"))
    assert states(results, "C-MCR") == ["measured"] * 3


@pytest.mark.parametrize("kind", [MissingError, DataError])
def test_a_task_without_usable_data_does_not_stop_the_others(open_session, kind):
    absent = {"audioset": kind("no eval_segments.csv", why="looked in x", fix="get it")}
    results = measure(T3, open_session(absent=absent), parse_rows("ImageBind,InternVL,WAV2CLIP"))
    assert states(results, "ImageBind") == ["measured", "no data", "measured"]
    assert states(results, "InternVL") == ["no modality", "no modality", "measured"]
    assert states(results, "WAV2CLIP") == ["not run", "no data", "not run"]
    missing = results.items["audioset"].lack
    assert (missing.what, missing.why, missing.fix) == (
        "no eval_segments.csv",
        "looked in x",
        "get it",
    )


def test_without_any_data_nothing_is_trained(open_session):
    no_data = open_session(absent={task: MissingError("gone") for task in T3.tasks})
    results = measure(
        T3, no_data, parse_rows("ImageBind++"), started=lambda row: pytest.fail(row.name)
    )
    assert results.n_measured == 0
    assert no_data.events.executed == 0
    assert states(results, "ImageBind++ Ver.") == ["no data"] * 3


def test_weights_that_are_missing_are_told_early_or_late(open_session, monkeypatch):
    early = open_session()

    def refuse():
        raise MissingError("no weights for space 'CLAP_g'", fix="molspace spaces fetch CLAP_g")

    early.lab.catalogue._specs["CLAP_g"] = refuse
    results = measure(T3, early, parse_rows("CLAP_g,CLAP_m"))
    assert states(results, "CLAP_g") == ["not run", "not run", "no modality"]
    assert states(results, "CLAP_m") == ["measured", "measured", "no modality"]
    assert results.rows[0].lack.fix == "molspace spaces fetch CLAP_g"

    monkeypatch.setattr(session, "load_encoder", lambda spec, device: refuse())
    late_results = measure(T4, open_session(), parse_rows("CLAP_m"))
    assert late_results.rows[0].lack.what == "no weights for space 'CLAP_g'"


def test_a_step_that_fails_stops_the_table(open_session, monkeypatch):
    def broken(spec, device):
        raise RuntimeError("out of luck")

    monkeypatch.setattr(session, "load_encoder", broken)
    with pytest.raises(StepError, match="out of luck"):
        measure(T3, open_session(), parse_rows("CLAP_m"))


def test_the_mini_lab_is_called_a_rehearsal_and_only_that(open_session):
    rows = parse_rows("WAV2CLIP")
    for label, reported in [("mini", True), ("mini (own)", True), ("minimal", False)]:
        notes = measure(T3, open_session(label=label), rows).notes
        assert any("rehearsal" in note for note in notes) is reported
    assert any("hidden_dim 4 (2048)" in note for note in notes)
    assert any("multiples of 1/2000" in note for note in notes)
    assert not any("directions" in note for note in notes)


# --- as typed --------------------------------------------------------------------------


def molspace(folder, *arguments):
    env = {**os.environ, "MOLSPACE_CACHE": str(folder / "cache"), "XDG_DATA_HOME": str(folder)}
    return command_line.molspace("reproduce", *arguments, env=env, cwd=folder)


@pytest.mark.slow
def test_the_command_prints_a_table_a_task_and_runs_nothing_the_second_time(tmp_path):
    rows = "CLAP_g,InternVL,AudioCLIP,WAV2CLIP"
    first = molspace(tmp_path, "table3", "--rows", rows, "--lab", "mini", "--device", "cpu")
    assert first.returncode == 0, first.stderr
    lines = first.stdout.splitlines()
    titles = [line for line in lines if line.startswith("# Table 3")]
    assert titles == [f"# Table 3   {t}   lab: mini" for t in ("ESC-50", "AudioSet", "ImageNet")]
    head = lines.index(titles[0])
    assert lines[head + 1 : head + 3] == ["space\taccuracy\tpaper\tremark", "InternVL\t-\t-\t"]
    assert lines[head + 3].startswith("CLAP_g\t")
    assert lines[head + 3].endswith("\t90.95\t")
    assert "WAV2CLIP\t\t17.40\tnot in this lab" in lines
    assert "AudioCLIP\t\t11.45\tnot in this lab" in lines
    assert any(line.startswith("# n: 2000 of 2000   the paper's: 400   prompt: ") for line in lines)
    assert any("rehearsal" in line for line in lines)
    second_run = molspace(tmp_path, "table3", "--rows", rows, "--lab", "mini", "--device", "cpu")
    assert second_run.stdout == first.stdout
    assert "steps run" not in second_run.stderr
    result = molspace(tmp_path, "table3", "--rows", rows, "--lab", "mini", "--json", "-q")
    assert result.stderr == ""
    body = json.loads(result.stdout)
    assert (body["schema"], body["lab"], body["measured"]) == ("molspace.table3/1", "mini", 3)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["table3", "--rows", "ImagBind"], 2, "did you mean 'ImageBind'"),
        (["table4", "--rows", "WAV2CLIP", "--lab", "mini"], 3, "nothing could be measured"),
        (["table3", "--rows", "CLAP_m", "--lab", "paper"], 3, "nothing could be measured"),
        (["tabel3"], 2, "did you mean"),
    ],
)
def test_mistakes_and_labs_that_have_nothing(tmp_path, arguments, code, words):
    result = molspace(tmp_path, *arguments)
    assert result.returncode == code
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert bool(result.stdout) is (code == 3)
