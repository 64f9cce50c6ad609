"""Centres as plans: what is embedded, what is refused, and what stands beside."""

from dataclasses import dataclass, field, replace

import fakes
import numpy as np
import pytest
from described import knowledge
from fake_lab import FakeLab, corpus, fake_session

from reactions.centres import class_rows, classifier, evaluate_centres
from reactions.core.centre_options import CentreOptions
from reactions.core.errors import DataError, DimensionMismatch, MissingError, UsageError
from reactions.core.types import Item, Leaf
from reactions.data.centre_file import CentreCategory, open_centre_file, write_centre_file
from reactions.eval.baselines import CLASS_ROWS, SYNONYMS, TASK_PROMPTS
from reactions.eval.class_texts import CLIP_TEMPLATE
from reactions.eval.registry import get_task
from reactions.eval.task_data import ClassificationData
from reactions.planning.centre_scores import plan_centre_scores, plan_class_rows
from reactions.planning.centres import ClassCentres, open_source
from reactions.planning.scoring import plan_scores
from reactions.products.target import Target
from reactions.products.tree import Adjustment

ESC = get_task("esc50")
IMAGENET = get_task("imagenet")
KB = knowledge("abcd", n=8, names={"a": ["alpha", "A"]})


@dataclass(frozen=True)
class Lab(FakeLab):
    """Has training items of a task."""

    labels: tuple = field(default=tuple(i % 3 for i in range(12)))

    def split(self, task, name):
        assert (task, name) == ("esc50", "train")
        queries = corpus("esc50 train", "audio", 12)
        return ClassificationData(queries, np.array(self.labels), ("c", "b", "a"))


@pytest.fixture
def session(tmp_path, monkeypatch):
    monkeypatch.setattr("reactions.session.load_encoder", lambda spec, device: Encoder(spec))
    monkeypatch.setattr("reactions.session.check_space", lambda spec: None)
    monkeypatch.setattr("reactions.centres.check_space", lambda spec: None)
    session = fake_session(tmp_path)
    plain = {name: getattr(session.lab, name) for name in ("name", "label", "path", "seed")}
    lab = Lab(**plain, catalogue=session.lab.catalogue, settings=session.lab.settings)
    return replace(session, lab=lab)


Encoder = fakes.Encoder


@pytest.fixture
def target():
    return Target("ImageBind", fakes.IB, "fake")


def labels(plan):
    return [step.label for step in plan.steps()]


def test_only_the_task_s_classes_are_embedded(session, target):
    (scoring,) = plan_centre_scores(session.lab, target, [ESC], ClassCentres(KB))
    steps = {step.label: step for step in scoring.plan.steps()}
    texts = steps["embed ImageBind text descriptions"].corpus
    assert len(texts) == 24
    assert all(item.value[0] in "abc" for item in texts.items(0, 24))
    assert set(steps) == {
        "embed ImageBind audio",
        "embed ImageBind text descriptions",
        "centres of esc50 in ImageBind",
        "score ImageBind on esc50",
    }


def test_scores_by_prompts_keep_their_keys(session, target):
    (before,) = plan_scores(session.lab, target, [ESC])
    plan_centre_scores(session.lab, target, [ESC], ClassCentres(KB))
    (after,) = plan_scores(session.lab, target, [ESC])
    rows = plan_class_rows(session.lab, target, [ESC], KB)
    with_prompts = next(row for row in rows if row.name == TASK_PROMPTS)
    assert before.step.key == after.step.key == with_prompts.plan.targets[0].key
    assert "centres" not in str(before.step.preimage)


def test_rows_and_digest_of_the_knowledge_base_enter_the_key(session, target):
    def key(kb, **options):
        centres = ClassCentres(kb, CentreOptions(**options))
        return plan_centre_scores(session.lab, target, [ESC], centres)[0].step.key

    keys = [
        key(KB),
        key(knowledge("abcd", n=9)),
        key(replace_name(KB)),
        key(KB, k=3),
        key(KB, selection="all"),
        key(KB, rule="sum"),
        key(KB, rule="top-m", m=3),
        key(KB, rule="top-m", m=4),
    ]
    assert len(set(keys)) == len(keys)


def replace_name(kb):
    return knowledge("abcd", n=8, names={"a": ["alpha", "A"]}, name="another")


def test_missing_classes_are_named_before_anything_runs(session, target):
    with pytest.raises(DataError) as caught:
        plan_centre_scores(session.lab, target, [ESC], ClassCentres(knowledge(["a", "bb"])))
    assert caught.value.what == "2 of 3 classes are not in knowledge base 'pets'"
    assert caught.value.why == "b (nearest: bb), c (nothing is near)"
    assert session.events.executed == 0


def test_a_class_with_names_alone_is_refused(session, target):
    kb = knowledge("abc", few={"b": 0}, names={"b": ["bee"]})
    with pytest.raises(DataError, match="1 of 3 classes have no descriptions"):
        plan_centre_scores(session.lab, target, [ESC], ClassCentres(kb))


def test_retrieval_and_spaces_that_do_not_fit_are_refused(session, target):
    with pytest.raises(UsageError, match="no classes that centres could stand for"):
        plan_centre_scores(session.lab, target, [get_task("coco")], ClassCentres(KB))
    no_text = fakes.changed(fakes.IB, modalities=("audio", "image"))
    with pytest.raises(MissingError, match="a knowledge base needs text"):
        plan_centre_scores(session.lab, Target("x", no_text, ""), [ESC], ClassCentres(KB))
    with pytest.raises(MissingError, match="'esc50' needs audio"):
        plan_centre_scores(session.lab, Target("x", fakes.VL, ""), [ESC], ClassCentres(KB))


def test_few_descriptions_are_told_and_counted(session, target):
    kb = knowledge("abc", n=60, few={"b": 7})
    centres = ClassCentres(kb, CentreOptions(rule="sum"))
    (result,) = evaluate_centres(session, target, [ESC], centres)
    few_rows, unequal = result.record["notices"]
    assert few_rows == (
        "esc50: 1 of 3 classes have fewer than 50 descriptions, the fewest 7; all of theirs "
        "are used"
    )
    assert "classes have 7 to 50 descriptions, and those with fewer score lower" in unequal
    counts = result.record["centres"]["descriptions"]
    assert (counts["used"], counts["of"], counts["classes_with_fewer_than_k"]) == (107, 127, 1)


def test_a_small_m_of_few_rows_is_told(session, target):
    centres = ClassCentres(KB, CentreOptions(k=8, rule="top-m", m=20))
    (scoring,) = plan_centre_scores(session.lab, target, [ESC], centres)
    assert scoring.plan.notices == (
        "esc50: rule top-20: of classes with fewer than 20 descriptions, all are averaged",
    )


def test_training_items_are_matched_by_class_and_named_as_not_zero_shot(session, target):
    options = CentreOptions(k=4, selection="items", items="esc50:train")
    (scoring,) = plan_centre_scores(session.lab, target, [ESC], ClassCentres(KB, options))
    centres = scoring.step.centres
    # The split's classes are c, b, a: its first item is of the task's third.
    assert centres.item_classes.tolist() == [2, 1, 0] * 4
    assert scoring.plan.notices[0] == (
        "esc50: not zero-shot: descriptions were chosen by labelled training items, esc50:train"
    )
    (result,) = evaluate_centres(session, target, [ESC], ClassCentres(KB, options))
    assert result.record["centres"]["zero_shot"] is False
    assert result.record["centres"]["items"] == "esc50:train"
    assert result.record["setting"] == "by training items"
    assert len(result.record["notices"]) == 1


def test_scored_items_that_chose_the_descriptions_are_counted(session, target, monkeypatch):
    shared = session.lab.benchmark("esc50").queries
    data = ClassificationData(shared, np.arange(10) % 3, ("a", "b", "c"))
    monkeypatch.setattr(Lab, "split", lambda lab, task, name: data)
    options = CentreOptions(k=4, selection="items", items="esc50:fold1")
    (scoring,) = plan_centre_scores(session.lab, target, [ESC], ClassCentres(KB, options))
    assert "10 of the 10 scored items are among those that chose" in scoring.plan.notices[-1]


def test_training_items_that_are_lacking_are_refused(session, target):
    options = CentreOptions(selection="items", items="esc50:train")
    lab = replace(session.lab, labels=(0,) * 12)
    with pytest.raises(DataError, match="2 of 3 classes have no items in esc50:train"):
        plan_centre_scores(lab, target, [ESC], ClassCentres(KB, options))
    by_items = CentreOptions(selection="items", items="esc50")
    with pytest.raises(UsageError, match="'esc50' names no training items"):
        plan_centre_scores(lab, target, [ESC], ClassCentres(KB, by_items))


def test_what_else_describes_classes_stands_beside(session, target):
    rows = class_rows(session, target, [ESC, IMAGENET], ClassCentres(KB))
    assert [row.name for row in rows] == list(CLASS_ROWS)
    rows_by_name = {row.name: row for row in rows}
    assert rows_by_name[CLASS_ROWS[0]].results["esc50"].record["prompts"] == [CLIP_TEMPLATE]
    assert rows_by_name[TASK_PROMPTS].results["esc50"].record["prompts"] == list(ESC.templates)
    names = rows_by_name[SYNONYMS].results["esc50"].record["centres"]
    # "A" is "a" again: one synonym of one class.
    assert names["descriptions"]["used"] == 4
    assert names["names"] == "synonyms"


def test_a_task_s_own_template_comes_once(session, target):
    task = replace(ESC, templates=(CLIP_TEMPLATE,))
    rows = plan_class_rows(session.lab, target, [task], KB)
    assert [row.name for row in rows] == [name for name in CLASS_ROWS if name != TASK_PROMPTS]


def test_names_that_nobody_gave_are_said_to_be_missing(session, target):
    rows = class_rows(session, target, [ESC], ClassCentres(knowledge("abc")))
    lacks = next(row for row in rows if row.name == SYNONYMS).lacks["esc50"]
    assert lacks.reason == "knowledge base 'pets' has no synonyms of these classes"


def centre_file(folder, names="abc", d=8):
    rows = fakes.unit_rows(4 * len(names), d, 1)
    categories = [CentreCategory(name, 4) for name in names]
    path = folder / "x.safetensors"
    write_centre_file(path, rows, categories, space="ImageBind", source="x.pkl")
    return open_centre_file(path)


def test_a_file_of_centres_fits_by_width_and_says_whose_rows_they_are(session, target, tmp_path):
    centres = ClassCentres(centre_file(tmp_path), CentreOptions(k=4, rule="nearest-row"))
    (result,) = evaluate_centres(session, target, [ESC], centres)
    assert result.record["centres"]["file"] == "x"
    assert "are of the text encoder of ImageBind" in result.record["notices"][0]
    lacks = class_rows(session, target, [ESC], centres)[-1].lacks["esc50"]
    assert lacks.reason == "a file of centres has no names of classes"
    other = ClassCentres(centre_file(tmp_path, d=5))
    with pytest.raises(DimensionMismatch) as caught:
        plan_centre_scores(session.lab, target, [ESC], other)
    assert "5 dimensions, the space has 8" in caught.value.why


def test_a_file_s_synsets_are_matched_by_their_parts(session, target, tmp_path):
    file = centre_file(tmp_path, ["b, bee", "xyz, A", "C"])
    (scoring,) = plan_centre_scores(session.lab, target, [ESC], ClassCentres(file))
    assert scoring.step.centres.spans == ((4, 8), (0, 4), (8, 12))
    unmatched = ClassCentres(centre_file(tmp_path, ["b, bee", "xyz", "C"]))
    with pytest.raises(DataError, match="1 of 3 classes are not in"):
        plan_centre_scores(session.lab, target, [ESC], unmatched)


def test_pickles_are_not_opened(session, tmp_path):
    with pytest.raises(UsageError, match="is a pickle") as caught:
        open_source(session.lab, str(tmp_path / "x.pkl"))
    assert "molspace kb import unibind" in caught.value.fix


@pytest.mark.parametrize("rule", ["mean", "nearest-row", "sum", "top-m"])
def test_items_are_named_by_the_nearest_classes(session, target, rule):
    options = CentreOptions(k=3, rule=rule, m=2)
    naming = classifier(session, target, ClassCentres(KB, options), ["c", "a"])
    items = [Item("x", "audio", None), Item("y", "audio", None)]
    rows = Encoder(fakes.IB.spec).embed("audio", items)
    best = naming.best(rows, 5)
    assert [len(nearest) for nearest in best] == [2, 2]
    assert all(nearest[0][1] >= nearest[1][1] for nearest in best)
    assert {name for name, _ in best[0]} == {"a", "c"}
    assert naming.best(rows, 1) == [nearest[:1] for nearest in best]


def test_all_described_classes_name_items_by_default(session, target):
    kb = knowledge("abcd", few={"b": 0}, names={"b": ["bee"]})
    naming = classifier(session, target, ClassCentres(kb))
    assert naming.classes == ("a", "c", "d")


def test_leaves_are_told_apart(session):
    other = Target("InternVL", Leaf(fakes.VL.spec), "fake")
    keys = {
        plan_centre_scores(session.lab, described, [IMAGENET], ClassCentres(KB))[0].step.centres.key
        for described in (Target("ImageBind", fakes.IB, "fake"), other)
    }
    assert len(keys) == 2


@pytest.mark.parametrize("rule", ["mean", "nearest-row", "top-m"])
def test_items_are_named_in_a_reaction_as_they_are_scored(session, rule):
    product = session.target("ImageBind + Cr(CLAP_g)")
    adjustment = Adjustment(sigma={"": 0.7})
    centres = ClassCentres(KB, CentreOptions(k=5, rule=rule, m=2))
    (result,) = evaluate_centres(session, product, [ESC], centres, adjustment)
    assert result.record["factors"]["sigma CLAP_g"] == {"audio": 0.7, "text": 0.7}
    naming = classifier(session, product, centres, ["a", "b", "c"], adjustment)
    queries = session.lab.benchmark("esc50").queries.items(0, 10)
    rows = session.embedder(product, adjustment).embed("audio", queries)
    places = ["abc".index(best[0][0]) for best in naming.best(rows, 1)]
    right = [name == i % 3 for i, name in enumerate(places)]
    assert result.arrays["correct"][:, 0].tolist() == right
    other_rows = class_rows(session, product, [ESC], centres, adjustment)
    assert [row.lacks for row in other_rows] == [{}] * len(CLASS_ROWS)
    other = classifier(session, product, centres, ["a", "b", "c"])
    assert other.best(rows, 3) != naming.best(rows, 3)
