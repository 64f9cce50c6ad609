"""Zero-shot and fine-tuned results: what of a task's items a product was trained on."""

from dataclasses import replace

import numpy as np
import pytest
from aligned_lab import session

from reactions.core.types import Item
from reactions.data.corpora import ListCorpus
from reactions.data.holdout import ids_of
from reactions.eval.result import Result
from reactions.experiments.sweep import make_grid, sweep
from reactions.knowledge.base import DescribedCorpus, Description, KnowledgeMetadata, KnowledgeTable
from reactions.labs.lab import Lab
from reactions.planning.trained_on import with_setting
from reactions.products.target import Target

CATEGORIES = tuple(f"c{k}" for k in range(5))
EMPTY = Result({"notices": []}, {})


@pytest.fixture(scope="module")
def lab_session(tmp_path_factory):
    return session(tmp_path_factory.mktemp("trained"))


def trained_on(
    lab_session,
    monkeypatch,
    name,
    corpus=None,
    n=24,
    categories=CATEGORIES,
    targets="",
    base="ImageBind + ",
):
    """Return a target whose images were aligned on some items of a corpus of the lab."""
    corpus = corpus or lab_session.lab.named_corpus(name)
    rows = [
        Description(id, categories[k % len(categories)], f"a thing {k}", "MLLM", corpus.modality)
        for k, id in enumerate(ids_of(corpus)[:n])
    ]
    items = {corpus.modality: DescribedCorpus(name, corpus.digest)}
    table = KnowledgeTable("own", rows, KnowledgeMetadata(items=items))
    monkeypatch.setattr(Lab, "knowledge", lambda self, name_asked: table)
    if corpus is not None:
        open_named = Lab.named_corpus
        monkeypatch.setattr(
            Lab,
            "named_corpus",
            lambda self, name_asked: corpus if name_asked == name else open_named(self, name_asked),
        )
        monkeypatch.setattr(Lab, "item_corpus", lambda self, kb, modality: corpus)
    options = f"modalities={corpus.modality}, epochs=1, batch=8{targets}"
    return lab_session.target(f"{base}Lcl(own, {options})")


def setting(lab_session, target, task):
    (parsed,) = lab_session.lab.parse_tasks(task)
    return with_setting(EMPTY, lab_session.lab, target, parsed).record


def test_a_space_is_scored_zero_shot(lab_session):
    for target in (lab_session.target("ImageBind"), lab_session.target("ImageBind + Dr(InternVL)")):
        assert setting(lab_session, target, "esc50") == {"notices": [], "setting": "zero-shot"}


def test_items_of_the_world_are_of_no_task(lab_session, monkeypatch):
    target = trained_on(lab_session, monkeypatch, "world:image")
    record = setting(lab_session, target, "caltech101")
    assert (record["notices"], record["setting"]) == ([], "zero-shot")
    (entry,) = record["trained_on"]
    assert (entry["corpus"], entry["rows"]) == ("world:image", 24)
    assert (entry["targets"], entry["scored"]) == ("descriptions", 0)
    assert setting(lab_session, target, "esc50") == {
        "notices": [],
        "setting": "zero-shot",
    }  # of sounds


def test_labels_of_the_classes_are_no_zero_shot(lab_session, monkeypatch):
    classes = lab_session.lab.benchmark("caltech101").classes
    names = [classes[0].upper().replace(" ", "_"), classes[7], "nothing of the task"]
    target = trained_on(
        lab_session, monkeypatch, "world:image", categories=names, targets=", targets=labels"
    )
    record = setting(lab_session, target, "caltech101")
    assert record["setting"] == "trained on labels of these classes"
    assert f"labels of 2 of its {len(classes)} classes" in record["notices"][0]
    (entry,) = record["trained_on"]
    assert (entry["targets"], entry["scored"]) == ("labels", 0)
    monkeypatch.undo()  # the lab has no such knowledge base
    record = setting(lab_session, target, "caltech101")
    assert record["setting"] == "unknown"
    assert "labels, which cannot be compared" in record["notices"][0]


def test_labels_of_other_classes_are(lab_session, monkeypatch):
    target = trained_on(lab_session, monkeypatch, "world:image", targets=", targets=labels")
    record = setting(lab_session, target, "caltech101")
    assert (record["notices"], record["setting"]) == ([], "zero-shot")
    assert record["trained_on"][0]["targets"] == "labels"


def test_labels_of_the_training_part_are_fine_tuning(lab_session, monkeypatch):
    classes = lab_session.lab.benchmark("caltech101").classes
    target = trained_on(
        lab_session,
        monkeypatch,
        "caltech101:train",
        categories=classes[:3],
        targets=", targets=labels",
    )
    assert setting(lab_session, target, "caltech101")["setting"] == "fine-tuned"


def test_the_training_part_of_a_set_is_fine_tuning(lab_session, monkeypatch):
    target = trained_on(lab_session, monkeypatch, "caltech101:train")
    record = setting(lab_session, target, "caltech101")
    assert record["setting"] == "fine-tuned"
    (entry,) = record["trained_on"]
    assert (entry["corpus"], entry["modality"], entry["rows"]) == ("caltech101:train", "image", 24)
    assert entry["by"] == "Lcl(own)"
    assert entry["knowledge"]["name"] == "own"
    assert entry["scored"] == 0
    assert record["notices"] == []
    assert setting(lab_session, target, "imagenet")["setting"] == "zero-shot"


def test_another_name_for_it_is_known_by_its_digest(lab_session, monkeypatch):
    corpus = lab_session.lab.named_corpus("caltech101:train")
    target = trained_on(lab_session, monkeypatch, "image", corpus)
    assert setting(lab_session, target, "caltech101")["setting"] == "fine-tuned"


def test_scored_items_that_were_trained_on_are_counted_and_told(lab_session, monkeypatch):
    scored = lab_session.lab.benchmark("caltech101").queries
    target = trained_on(lab_session, monkeypatch, "caltech101")
    record = setting(lab_session, target, "caltech101")
    assert record["trained_on"][0]["scored"] == len(scored)
    (notice,) = record["notices"]
    assert f"TRAINED ON WHAT IS SCORED: {len(scored):,} of {len(scored):,} image items" in notice


@pytest.mark.parametrize("by", ["content", "id"])
def test_some_of_the_scored_items_under_another_name(by, lab_session, monkeypatch):
    scored = lab_session.lab.benchmark("caltech101").queries
    same = scored.items(0, 3)
    others = [Item(f"o{k}", "image", np.full((8, 8, 3), 7 * k, np.uint8)) for k in range(1, 8)]
    if by == "content":
        same = [replace(item, id=f"mine {item.id}") for item in same]
    else:
        same = [replace(item, value=255 - item.value) for item in same]
    corpus = ListCorpus("mine", "image", same + others)
    target = trained_on(lab_session, monkeypatch, "image", corpus)
    record = setting(lab_session, target, "caltech101")
    assert record["setting"] == "fine-tuned"
    assert record["trained_on"][0]["scored"] == 3
    assert f"3 of {len(scored):,} image items are among those of image" in record["notices"][0]


def test_items_that_cannot_be_compared_are_told(lab_session, monkeypatch):
    target = trained_on(lab_session, monkeypatch, "world:image")
    monkeypatch.undo()
    bundle = target.bundle
    for change, why in (({"corpus": "photos"}, "no corpus 'photos'"), ({"digest": "0" * 64}, "")):
        record = {**bundle.record, "parts": [part_with(bundle.record["parts"][0], change)]}
        other = Target.of_bundle(replace(bundle, record=record))
        result = setting(lab_session, other, "caltech101")
        assert result["setting"] == "unknown"
        assert result["trained_on"][0]["scored"] is None
        (notice,) = result["notices"]
        assert "cannot be compared with the items that are scored" in notice
        assert why in notice


def part_with(part, change):
    about = part["about"]
    layers = {m: {**layer, **change} for m, layer in about["layers"].items()}
    return {**part, "about": {**about, "layers": layers}}


def test_imported_layers_do_not_say_what_they_were_trained_on(lab_session, monkeypatch):
    bundle = trained_on(lab_session, monkeypatch, "world:image").bundle
    monkeypatch.undo()
    part = bundle.record["parts"][0]
    about = {**part["about"], "knowledge": None, "layers": {"image": {}}}
    record = {**bundle.record, "parts": [{**part, "about": about}]}
    target = Target.of_bundle(replace(bundle, record=record))
    result = setting(lab_session, target, "caltech101")
    assert result["setting"] == "unknown"
    assert "the layer of image was imported" in result["notices"][0]
    assert setting(lab_session, target, "esc50")["setting"] == "zero-shot"


def test_results_say_it(lab_session, monkeypatch):
    target = trained_on(lab_session, monkeypatch, "caltech101:train")
    (task,) = lab_session.lab.parse_tasks("caltech101")
    (result,) = lab_session.evaluate(target, [task])
    assert result.record["setting"] == "fine-tuned"
    (plain,) = lab_session.evaluate(lab_session.target("ImageBind"), [task])
    assert plain.record["setting"] == "zero-shot"
    assert "trained_on" not in plain.record


def test_a_sweep_says_it_once_a_task(lab_session, monkeypatch):
    target = trained_on(lab_session, monkeypatch, "esc50", base="ImageBind + Cr(CLAP_m) | ")
    (task,) = lab_session.lab.parse_tasks("esc50")
    table = sweep(lab_session, target, [task], make_grid(target.space, sigma="0/0.5"))
    assert table.notices.count("esc50: setting: fine-tuned; layers were trained on esc50") == 1
    assert sum("TRAINED ON WHAT IS SCORED" in notice for notice in table.notices) == 1
    plain = lab_session.target("ImageBind + Cr(CLAP_m)")
    table = sweep(lab_session, plain, [task], make_grid(plain.space, sigma="0/0.5"))
    assert not any("setting" in notice for notice in table.notices)
