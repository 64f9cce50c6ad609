"""Results say what encoders left out of the items that they come from."""

import pickle

import pytest
from fused_toys import ByContents, fused_toy

import reactions
from reactions import Embeddings
from reactions.core.left_out import LeftOut, by_space, longer_than, note, report
from reactions.planning.plan import Plan
from reactions.products.bundles.bundle import load_bundle
from reactions.session import Session

CUT = longer_than("9 letters")
LONG = {"text": ["rain", "rain on a tin roof"]}
NAMES = {"ImageBind", "InternVL", "CLAP_m", "CLAP_g"}


class Reading(ByContents):
    """Reads nine letters of a text, and says so."""

    def limits(self, modality):
        return {self.spec.name: (CUT,)}

    def preprocess(self, modality, item):
        if isinstance(item.value, str) and len(item.value) > 9:
            with by_space(self.spec.name):
                note(CUT)
        return item

    def forward(self, modality, inputs):
        return self.embed(modality, inputs)


@pytest.mark.parametrize(
    ("call", "items"),
    [
        (lambda fused, out: fused.embed(**LONG), 2),
        (lambda fused, out: fused.similarity(**LONG), 2),
        (lambda fused, out: fused.index(out, **LONG), 2),
        (lambda fused, out: fused.search(fused.index(out, text=["a"]), **LONG), 2),
        (lambda fused, out: fused.evaluate("esc50"), None),
        (lambda fused, out: fused.sweep("esc50", sigma=[0, 1]), None),
    ],
    ids=("embed", "similarity", "index", "search", "evaluate", "sweep"),
)
def test_results_say_what_encoders_left_out(trained, tmp_path, monkeypatch, call, items):
    monkeypatch.setattr("reactions.session.load_encoder", lambda spec, device: Reading(spec))
    monkeypatch.setattr("reactions.session.check_space", lambda spec: None)
    fused = fused_toy(trained, tmp_path / "toy")
    assert fused.items_cut is None, "of a bundle that was loaded it is not known"
    result = call(fused, tmp_path / "index")
    texts = [part for part in result.items_cut if part["modality"] == "text"]
    assert {part["space"] for part in texts} == NAMES
    for part in texts:
        (finding,) = part["found"]
        assert finding["are"].startswith(f"longer than {part['space']}'s 9 letters")
        if items is not None:
            assert (part["items"], finding["items"]) == (items, 1)
    assert result.to_json()["items_cut"] == list(result.items_cut)
    assert fused.embed(text=[]).items_cut == ()
    if isinstance(result, Embeddings):
        assert pickle.loads(pickle.dumps(result)).items_cut == result.items_cut


def test_a_product_says_it_of_what_it_was_trained_on(trained, monkeypatch):
    part = LeftOut("ImageBind", "text", 4, {CUT: 1})

    def train(self, plan, *, out, current):
        report([part])
        return load_bundle(trained / "bundle")

    monkeypatch.setattr(Session, "react", train)
    monkeypatch.setattr(Session, "plan", lambda self, checked: Plan(()))
    fused = reactions.react("ImageBind + Cr(CLAP_m)", lab="mini", device="cpu")
    assert fused.items_cut == (part.in_words(),)
