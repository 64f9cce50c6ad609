"""Bundles with a part of Lcl whose record was altered and signed again."""

import shutil

import pytest
from aligned_lab import LCL, session
from bundles import rewrite

from reactions.core.errors import BundleError
from reactions.products.bundles.bundle import load_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("aligned")
    lab_session = session(folder)
    return lab_session.react(lab_session.check(LCL), out=folder / "bundle", current=False)


def change(about, **changes):
    about.update(changes)


CHANGES = {
    "no layers": lambda a: change(a, layers={}),
    "a layer of text": lambda a: a["layers"].update(text=a["layers"]["image"]),
    "a layer fewer than the reaction says": lambda a: a["layers"].pop("image"),
    "a layer of a list": lambda a: a["layers"].update(image=[]),
    "layers of a list": lambda a: change(a, layers=["audio", "image"]),
    "rows of true": lambda a: a["layers"]["image"].update(rows=True),
    "rows below 0": lambda a: a["layers"]["image"].update(rows=-1),
    "a corpus of a number": lambda a: a["layers"]["image"].update(corpus=3),
    "no digest": lambda a: a["layers"]["image"].pop("digest"),
    "other targets": lambda a: change(a, targets="labels"),
    "other norms": lambda a: change(a, norms="published"),
    "a model without a licence": lambda a: a["models"].append({"name": "x", "revision": ""}),
    "models of a text": lambda a: change(a, models="x"),
    "a temperature of 0": lambda a: a["settings"].update(temperature=0),
    "a batch of text": lambda a: a["settings"].update(batch_size=[2]),
    "settings of nothing published": lambda a: change(a, knowledge=None),
    "a knowledge base of a text": lambda a: change(a, knowledge="few"),
}


@pytest.mark.parametrize("spoil", CHANGES.values(), ids=CHANGES)
def test_a_bundle_that_claims_what_cannot_be_is_refused(spoil, bundle, tmp_path):
    folder = shutil.copytree(bundle.path, tmp_path / "b")
    rewrite(folder, lambda record: spoil(record["parts"][0]["about"]))
    with pytest.raises(BundleError):
        load_bundle(folder)


TREES = {
    "an option that there is not": {"options": {"heads": "only"}},
    "a number of true": {"options": {"epochs": True, "modalities": ["audio", "image"]}},
    "a choice that there is not": {"options": {"init": "zero", "modalities": ["audio", "image"]}},
    "modalities not sorted": {"options": {"modalities": ["image", "audio"]}},
    "symmetric of 1": {"options": {"symmetric": 1, "modalities": ["audio", "image"]}},
    "an option of nothing": {"options": {"lr": None, "modalities": ["audio", "image"]}},
    "two knowledge bases": {"arguments": ["few", "many"]},
    "a knowledge base of a number": {"arguments": [3]},
    "a modality that nothing embeds": {"options": {"modalities": ["audio", "smell"]}},
}


@pytest.mark.parametrize("changes", TREES.values(), ids=TREES)
def test_a_tree_that_no_reaction_says_is_refused(changes, bundle, tmp_path):
    folder = shutil.copytree(bundle.path, tmp_path / "b")
    rewrite(folder, lambda record: record["tree"].update(changes))
    with pytest.raises(BundleError):
        load_bundle(folder)
