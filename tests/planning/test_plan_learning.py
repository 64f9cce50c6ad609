"""What an Lcl may be trained on: items that are told apart, and not held back."""

from dataclasses import replace

import pytest
from aligned_lab import Texts, aligning, pictures, plan, row, session

from reactions.core.described import DescribedItems
from reactions.core.errors import DataError
from reactions.data.holdout import ids_of, split
from reactions.planning.learning import MIN_REACH
from reactions.planning.planner import Planner


def test_items_without_a_class_have_no_labels(tmp_path, monkeypatch):
    lab_session = session(tmp_path)
    rows = [row(1), row(2, category="unlabelled"), row(3, category="unlabelled"), row(4)]
    Texts(monkeypatch, lab_session.lab, pictures(8), rows)
    with pytest.raises(DataError, match="2 of 4 items have no class"):
        plan(lab_session, "ImageBind + Lcl(few, targets=labels)")
    assert aligning(plan(lab_session, "ImageBind + Lcl(few)"))


def test_what_is_held_back_is_aligned_by_no_layer(tmp_path, monkeypatch):
    lab_session = session(tmp_path, holdout=0.2)
    corpus = lab_session.lab.corpus("image")
    ids = ids_of(corpus)
    held_back = set(ids) - set(ids_of(split(corpus, 0.2, lab_session.lab.seed).training))
    assert held_back
    rows = [(id, "c", f"a thing {id}", "MLLM", "image") for id in ids]
    Texts(monkeypatch, lab_session.lab, corpus, rows)
    for reaction in ("ImageBind + Cr(CLAP_m) | Lcl(few)", "ImageBind + Cr(InternVL + Lcl(few))"):
        planned = plan(lab_session, reaction)
        (step,) = [step for step in planned.steps() if step.kind == "align"]
        assert len(step.described) == len(ids) - len(held_back)
        if step.rows.corpus is not None:  # else rows of a product
            assert set(ids_of(step.rows.corpus)) == set(ids) - held_back
        message = f"{len(held_back)} of {len(ids)} described items are held back"
        assert any(message in notice for notice in planned.notices)
        assert (len(ids) - len(held_back), len(held_back)) in [
            (count.rows, count.held_out) for count in planned.rows if count.modality == "image"
        ]
    # Where nothing is measured, nothing has to be held back; nor are items of other ids.
    (step,) = aligning(plan(lab_session, "ImageBind + Lcl(few)")).values()
    assert len(step.described) == len(ids)
    Texts(monkeypatch, lab_session.lab, pictures(8), [row(k) for k in range(8)])
    (step,) = aligning(plan(lab_session, "ImageBind + Cr(CLAP_m) | Lcl(few)")).values()
    assert len(step.described) == 8


def test_a_planner_forgets_what_another_reaction_held_back(tmp_path, monkeypatch):
    lab_session = session(tmp_path, holdout=0.2)
    corpus = lab_session.lab.corpus("image")
    rows = [(id, "c", f"a thing {id}", "MLLM", "image") for id in ids_of(corpus)]
    Texts(monkeypatch, lab_session.lab, corpus, rows)
    planner, counts = Planner(lab_session.lab), []
    for reaction in ("ImageBind + Lcl(few)", "(ImageBind + Lcl(few)) + Cr(CLAP_m)"):
        checked = lab_session.check(reaction)
        planned = planner.react(reaction, checked.space)
        counts += [len(step.described) for step in planned.steps() if step.kind == "align"]
    assert counts[0] == len(corpus) > counts[1]


def test_a_training_too_short_for_its_rate_is_told_with_what_would_do(tmp_path):
    lab_session = session(tmp_path)

    def warnings_for(options):
        notices = plan(lab_session, f"ImageBind + Lcl(few, modalities=audio, {options})").notices
        return [notice for notice in notices if "near their random beginning" in notice]

    # 64 items, batches of 16, dim 128: 4 steps of 1e-4 / 2 an epoch, of a range of 1 / sqrt(128).
    (notice,) = warnings_for("batch=16, lr=0.0001, epochs=20")
    assert "80 steps at a learning rate of 0.0001" in notice
    assert "of the audio layer by 5 % of the range" in notice
    assert "epochs=89 or more, lr=0.0005 or more, or init=identity" in notice
    assert warnings_for("batch=16, lr=0.0001, epochs=88")
    both = plan(lab_session, "ImageBind + Lcl(few, modalities=(audio, image), lr=0.0001)").notices
    assert sum("audio, image layers by 1 % of the range" in notice for notice in both) == 1
    for enough in ("epochs=89, lr=0.0001", "lr=0.0005, epochs=20"):
        assert not warnings_for(f"batch=16, {enough}")
    assert not warnings_for("batch=16, lr=0.0001, epochs=20, init=identity")


# Items, dim and preset of published trainings: UniBind, supplement, table 1, with ImageBind.
@pytest.mark.parametrize(
    ("preset", "n"), [("ESC", 1600), ("ModelNet40", 9843), ("cal", 7000), ("IN-1K", 1_281_167)]
)
def test_presets_train_sets_of_the_size_they_were_published_for(tmp_path, preset, n):
    lab_session = session(tmp_path)
    (step,) = aligning(
        plan(lab_session, f'ImageBind + Lcl(few, modalities=audio, preset="{preset}")')
    ).values()
    described = DescribedItems.of([[0]] * n)
    assert replace(step, dim=1024, described=described).reach > MIN_REACH
