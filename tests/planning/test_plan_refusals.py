import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from embedding_folder import resolve
from fakes import CG, CM, IB, changed, cr, spec
from planning import SETTINGS, corpora, keys, lab, plan

from reactions.core.errors import DataError, UsageError
from reactions.core.types import Leaf, Tuned
from reactions.data.corpora import IdCorpus, TextCorpus

# --- refusals ---


def test_a_space_is_no_reaction():
    with pytest.raises(UsageError, match="'ImageBind' is a space, not a reaction"):
        plan(IB)


def test_an_lcl_without_its_knowledge_base():
    for space in (Tuned("lcl", IB, ("kb",)), cr(IB, Tuned("lcl", CG, ("kb",)))):
        with pytest.raises(UsageError, match="'kb'"):
            plan(space)


class Empty:
    name, modality, digest = "nothing", "text", "0" * 64

    def __len__(self):
        return 0


def test_an_empty_corpus():
    with pytest.raises(DataError, match="the text corpus is empty") as caught:
        plan(laboratory=lab(corpora(text=Empty())))
    assert caught.value.fields["corpus"] == "nothing"


def test_no_corpus_for_what_the_spaces_share():
    available = {m: c for m, c in corpora().items() if m == "image"}
    with pytest.raises(
        DataError, match="no corpus for any modality that ImageBind and CLAP_g"
    ) as e:
        plan(cr(IB, CG), lab(available))
    assert "audio, text" in e.value.why
    assert "[corpora.audio]" in e.value.fix


def test_a_modality_without_a_corpus_takes_no_part_and_is_named():
    available = {m: c for m, c in corpora().items() if m != "image"}
    planned = plan(cr(IB, CG), lab(available))
    assert planned.notices == ("no image corpus: image takes no part in training",)
    labels = keys(planned)
    assert sum(label.startswith("train") for label in labels) == 3  # A, T, TA
    assert not any("image" in label for label in labels)
    # Without images there is no way through them: every pair counts as bound.
    assert {label for label in labels if label.endswith("for text")} == {
        "collect CLAP_g audio for text",
        "collect ImageBind audio for text",
    }


def test_a_notice_is_given_once():
    available = {m: c for m, c in corpora().items() if m != "image"}
    assert len(plan(cr(IB, CG, CM), lab(available)).notices) == 1


def test_a_subset_that_needs_a_missing_corpus():
    available = {m: c for m, c in corpora().items() if m != "image"}
    with pytest.raises(DataError, match="data=TV: no image corpus"):
        plan(cr(IB, CG, anchors=("image", "text")), lab(available))


def wide(*more):
    """A space of many modalities, and corpora for all of them."""
    space = Leaf(spec("Wide", 4, "audio", "image", "text", *more))
    return space, {**corpora(), **{m: IdCorpus(m, m, ["0", "1"]) for m in more}}


def test_too_many_modalities_for_every_subset():
    space, available = wide(*(f"m{i}" for i in range(8)))
    with pytest.raises(UsageError, match="11 modalities have 2047 subsets") as caught:
        plan(cr(IB, space), lab(available))
    assert 'subsets = "singles+all"' in caught.value.fix
    planned = plan(cr(IB, space, anchors=("text",)), lab(available))
    assert Counter(s.kind for s in planned.steps())["train"] == 1


def test_five_modalities_are_planned_with_a_notice_of_what_they_take():
    space, available = wide("depth", "thermal")
    planned = plan(cr(IB, space), lab(available))
    assert Counter(s.kind for s in planned.steps())["train"] == len(planned.projectors) == 31
    (notice,) = [notice for notice in planned.notices if "projectors" in notice]
    assert notice.startswith("ImageBind + Cr(Wide): 31 projectors, one for each subset of 5 modali")
    assert 'subsets = "singles+all" under [reaction] trains 6 of them' in notice
    fewer = plan(cr(IB, space), lab(available, replace(SETTINGS, subsets="singles+all")))
    assert not [notice for notice in fewer.notices if "projectors" in notice]
    trained = [step.key for step in planned.steps() if step.kind == "train"]
    chosen = [step.key for step in fewer.steps() if step.kind == "train"]
    assert len(chosen) == 6
    assert set(chosen) < set(trained)  # what is trained already is not trained again


def test_subsets_by_name():
    listed = (("audio", "image", "text"), ("text",))
    planned = plan(laboratory=lab(settings=replace(SETTINGS, subsets=listed)))
    for mixture in planned.targets[0].record["mixtures"]:
        assert mixture["subsets"] == ["T", "TVA"]
    assert planned.targets[0].record["settings"]["subsets"] == [list(s) for s in listed]
    assert "subsets" not in plan().targets[0].record["settings"]  # as before there was a choice
    with pytest.raises(UsageError, match="subsets leaves image out"):
        plan(laboratory=lab(settings=replace(SETTINGS, subsets=(("audio", "text"),))))


def test_two_spaces_of_one_name():
    twin = changed(CG, source="/elsewhere/CLAP_g", weights_digest="e" * 64)
    with pytest.raises(UsageError, match="two different spaces are called 'CLAP_g'") as caught:
        plan(cr(IB, CG, twin))
    assert "/weights/CLAP_g and /elsewhere/CLAP_g" in caught.value.why


# --- precomputed spaces bring their own items ---


def folder(path, **rows):
    path.mkdir()
    for modality, n in rows.items():
        values = np.random.default_rng(n).normal(size=(n, 4)).astype(np.float32)
        np.save(path / f"{modality}.npy", values)
    return Leaf(resolve(path))


def test_precomputed_spaces_need_no_corpora(tmp_path):
    base = folder(tmp_path / "clip", image=7, text=6)
    expert = folder(tmp_path / "clap", audio=5, text=6)
    planned = plan(cr(base, expert), lab({}))
    rows = {s.label: s.n_rows for s in planned.steps() if s.kind == "collect"}
    assert rows == {
        "collect clip image for audio": 5,
        "collect clip text for audio by clap": 5,
        "collect clap text for audio": 5,
        "collect clip text for image": 7,
        "collect clap text for image by clip": 7,
        "collect clap audio for image": 7,
        "collect clip image for text": 6,
        "collect clap audio for text": 6,
    }


def test_each_pair_of_precomputed_spaces_has_its_own_items(tmp_path):
    base = folder(tmp_path / "clip", image=7, text=6)
    x = folder(tmp_path / "x", audio=5, text=6)
    y = folder(tmp_path / "y", audio=8, text=6)
    planned = plan(cr(base, x, y), lab({}))
    rows = {s.label: s.n_rows for s in planned.steps() if s.kind == "collect"}
    assert rows["collect x text for audio"] == 5
    assert rows["collect y text for audio"] == 8
    # And every pair is checked, not only the first.
    z = folder(tmp_path / "z", audio=5, text=9)
    with pytest.raises(DataError, match="mismatched ids: text of 'z'"):
        plan(cr(base, x, z), lab({}))


def test_a_precomputed_space_beside_an_encoder_takes_the_labs_items(tmp_path):
    texts = TextCorpus("captions", ["x"] * 12, [f"t{k}" for k in range(12)])
    laboratory = lab(corpora(text=texts))
    expert = folder(tmp_path / "clap", audio=8, text=14)
    with pytest.raises(DataError, match="space 'clap' has no ids for its audio rows"):
        plan(cr(IB, expert), laboratory)
    (tmp_path / "clap/audio.ids.json").write_text(json.dumps([f"a{k}" for k in range(8)]))
    (tmp_path / "clap/text.ids.json").write_text(json.dumps([f"t{k}" for k in range(14)]))
    with pytest.raises(DataError, match="no rows for 2 of 10 items of corpus 'sounds'") as caught:
        plan(cr(IB, expert), laboratory)
    assert caught.value.fields["missing"] == ["a8", "a9"]
    sounds = IdCorpus("sounds", "audio", [f"a{k}" for k in range(8)])
    with pytest.raises(DataError, match="item '0' of corpus 'captions' has no id of its own"):
        plan(cr(IB, expert), lab(corpora(audio=sounds)))
    planned = plan(cr(IB, expert), lab(corpora(text=texts, audio=sounds)))
    rows = {s.label: s.n_rows for s in planned.steps() if s.kind == "embed"}
    assert rows["embed clap text"] == rows["embed ImageBind text"] == 12
