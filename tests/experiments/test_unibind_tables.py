import json
from dataclasses import replace

import pytest

from molspace_cli.unibind import _print_zero_shot
from reactions.core.catalogue import Catalogue
from reactions.core.errors import UsageError
from reactions.experiments.paper.unibind import RETRIEVAL, ZERO_SHOT_TASKS
from reactions.experiments.unibind import tables
from reactions.experiments.unibind.tables import measure_retrieval, measure_zero_shot
from reactions.knowledge.base import MLLM, DescribedCorpus, Description, KnowledgeMetadata
from reactions.knowledge.files import write_knowledge
from reactions.labs.lab_file import load_lab
from reactions.session import Session
from reactions.store import Store


@pytest.fixture(scope="module")
def mini(tmp_path_factory):
    return Session(load_lab("mini"), Store(tmp_path_factory.mktemp("store")))


@pytest.fixture
def bare(tmp_path):
    """A lab without spaces, knowledge bases and data."""
    path = tmp_path / "bare.toml"
    path.write_text('[lab]\nname = "bare"\nlabel = "own"\n', encoding="utf-8")
    return Session(load_lab(str(path)), Store(tmp_path / "store"))


def test_rows_are_those_of_the_supplement(mini):
    table = measure_retrieval(mini)
    assert [row.name for row in table.rows] == [
        "E-CLIP",
        "E-CLIP w LCL",
        "PointBind (+Event)",
        "PointBind (+Event) w LCL",
    ]
    assert [row.published for row in table.rows] == list(RETRIEVAL)
    assert table.task.hit == "class"
    assert table.lab == "mini"


def test_rows_are_measured_by_what_counts_as_found(mini):
    by_class, by_pair = measure_retrieval(mini), measure_retrieval(mini, hit="pair")
    first, other = by_class.rows[0], by_pair.rows[0]
    assert first.lack is None
    assert set(first.figures) == set(RETRIEVAL[0].figures)
    assert all(first.figures[name] >= other.figures[name] for name in first.figures)
    assert first.figures["event->image R@1"] > other.figures["event->image R@1"]
    assert "partner" in by_pair.notes[0]
    assert "EventBind's evaluation" in by_class.notes[0]


def test_published_rows_learn_as_published(mini):
    learned = [row for row in measure_retrieval(mini).rows if row.published.tuned]
    for row in learned:
        assert row.reaction.endswith('+ Lcl(kb, preset="N-cal")')
        mini.check(row.reaction)


def test_a_lab_without_spaces_says_what_it_lacks(bare):
    table = measure_retrieval(bare)
    assert table.n_measured == 0
    assert all(row.lack for row in table.rows)
    assert json.loads(json.dumps(table.to_json()))["rows"][0]["paper"]["image->event R@1"] == 79.52
    recognition = measure_zero_shot(bare)
    assert recognition.n_measured == 0
    assert all(set(row.lacks) == set(tables.ZERO_SHOT_WAYS) for row in recognition.rows)


def test_e_clip_is_no_space(mini):
    full_catalogue = mini.lab.catalogue
    others = {n: full_catalogue.by_name(n) for n in full_catalogue.names() if n != "EventBind"}
    catalogue = Catalogue(others)
    lacking = replace(mini, lab=replace(mini.lab, catalogue=catalogue))
    row = measure_retrieval(lacking).rows[0]
    assert row.lack.what == "EventBind is not in this lab"
    assert "E-CLIP is not a space" in row.lack.why


def test_a_knowledge_base_that_is_not_there_is_refused(mini):
    for measure in (measure_retrieval, measure_zero_shot):
        with pytest.raises(UsageError, match="has no knowledge base 'kbb'"):
            measure(mini, knowledge="kbb")


def test_sets_are_recognised_each_way(mini, monkeypatch):
    monkeypatch.setattr(tables, "ZERO_SHOT_TASKS", ("shapenet", "llvip"))
    table = measure_zero_shot(mini)
    shapes, heat = table.rows
    assert set(shapes.figures) == set(heat.figures) == set(tables.ZERO_SHOT_WAYS)
    assert len({*shapes.figures.values()}) > 1  # they are not one figure three times
    (cited,) = heat.cited
    assert (cited.model, cited.value) == ("ImageBind-huge", 63.4)
    assert table.to_json()["rows"][1]["paper"] is None


def test_sets_of_a_modality_that_the_space_lacks_are_told(mini, monkeypatch):
    monkeypatch.setattr(tables, "ZERO_SHOT_TASKS", ("esc50", "shapenet"))
    sounds, shapes = measure_zero_shot(mini, space="InternVL").rows
    assert sounds.lacks["template"].what == "InternVL embeds no audio"
    assert shapes.lacks["centres"].what == "InternVL embeds no point"


def test_all_thirteen_are_there():
    assert len(ZERO_SHOT_TASKS) == len(set(ZERO_SHOT_TASKS)) == 13


# --- what was trained on -----------------------------------------------------------------


@pytest.fixture
def leaking(mini, tmp_path):
    """A knowledge base of the very sounds that are scored."""
    part = mini.lab.split("esc50", "fold1")
    rows = [
        Description(id, part.classes[label], f"the sound of a {part.classes[label]}", MLLM, "audio")
        for id, label in zip(part.queries.ids(), part.labels, strict=True)
    ]
    described = DescribedCorpus("esc50:fold1", part.queries.digest)
    path = tmp_path / "esc.parquet"
    write_knowledge(path, rows, KnowledgeMetadata(dataset="esc50", items={"audio": described}))
    return f"ImageBind + Lcl('{path}', epochs=1)"


def test_a_figure_that_is_not_zero_shot_says_so(mini, leaking, monkeypatch, capsys):
    monkeypatch.setattr(tables, "ZERO_SHOT_TASKS", ("esc50", "llvip"))
    table = measure_zero_shot(mini, space=leaking)
    sounds, heat = table.to_json()["rows"]
    assert sounds["results"]["template"]["setting"] == "fine-tuned"
    assert heat["results"]["template"]["setting"] == "zero-shot"
    _print_zero_shot(table)
    printed = capsys.readouterr().out
    (esc50,) = (line for line in printed.splitlines() if line.startswith("ESC-50\t"))
    (llvip,) = (line for line in printed.splitlines() if line.startswith("LLVIP\t"))
    assert esc50.count("*") == len(tables.ZERO_SHOT_WAYS)
    assert "*" not in llvip
    assert "fine-tuned on esc50:fold1" in printed
    assert "TRAINED ON WHAT IS SCORED: 1,600 of 2,000" in printed
