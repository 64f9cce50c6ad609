"""Rows of the norm that a model gives: from encoders, in the store, and in an Lcl's layers."""

import math
from dataclasses import replace

import imagebind_toy as toy
import numpy as np
import pytest
import torch

from reactions.core.catalogue import Catalogue
from reactions.core.errors import UsageError
from reactions.core.hashing import file_digest
from reactions.core.step import Artifact
from reactions.core.types import Item, Leaf, Waveform
from reactions.data.corpora import ListCorpus
from reactions.encoders import registry
from reactions.encoders.raw_view import RawEncoder, RawView
from reactions.encoders.registry import gives_norms
from reactions.knowledge.base import Description, KnowledgeTable
from reactions.labs.lab_file import load_lab
from reactions.ops.lcl import align
from reactions.ops.tensors import unit
from reactions.planning.planner import Planner
from reactions.products.tree import raw_leaves
from reactions.session import Session
from reactions.steps.raw_rows import EmbedRaw, stored_rows
from reactions.store import Store

SCALES = {"audio": 20, "thermal": 10, "depth": 5}
"""Those of the published checkpoint; images have norm 1."""

N = 12


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    contents = toy.state()
    for modality, scale in SCALES.items():
        name = f"modality_postprocessors.{modality}.1.log_logit_scale"
        assert name in contents
        contents[name] = torch.tensor(math.log(scale))
    path = toy.write(tmp_path_factory.mktemp("toy") / "x.safetensors", contents)
    return toy.spec(
        path, "audio", "depth", "image", "text", "thermal", weights_digest=file_digest(path)
    )


def sounds(n=N):
    rng = np.random.default_rng(0)
    values = [rng.normal(size=80_000).astype(np.float32) / 9 for _ in range(n)]
    return [Item(f"s{k}", "audio", Waveform(v, 16000)) for k, v in enumerate(values)]


def pictures(modality, n=N):
    rng = np.random.default_rng(1)
    values = [rng.integers(0, 256, (32, 40, 3)).astype(np.uint8) for _ in range(n)]
    return [Item(f"p{k}", modality, value) for k, value in enumerate(values)]


def depths(n=N):
    rng = np.random.default_rng(2)
    return [Item(f"d{k}", "depth", rng.normal(size=(30, 30)).astype(np.float32)) for k in range(n)]


ITEMS = {
    "audio": sounds(),
    "depth": depths(),
    "image": pictures("image"),
    "thermal": pictures("thermal"),
}

# --- encoders ---


def test_imagebind_gives_the_norms_of_its_checkpoint(spec):
    encoder = registry.load(spec)
    assert isinstance(encoder, RawEncoder)
    for modality, items in ITEMS.items():
        raw, rows = RawView(encoder).embed(modality, items), encoder.embed(modality, items)
        norms = np.linalg.norm(raw, axis=1)
        np.testing.assert_allclose(raw / norms[:, None], rows, atol=1e-5)
        scale = SCALES.get(modality, 1)
        if modality == "audio":  # 20 x the mean of three clips of norm 1: shorter than 20
            assert (norms < 20 - 1e-3).all()
            clips = encoder.towers["audio"]
            inputs = [encoder.preprocess("audio", item) for item in items]
            clip_rows = [clips.project([clip[None]]).detach().numpy()[0] for clip in inputs[0]]
            np.testing.assert_allclose(np.linalg.norm(clip_rows, axis=1), 20, rtol=1e-5)
            np.testing.assert_allclose(raw[0], np.mean(clip_rows, axis=0), rtol=1e-3, atol=1e-4)
        else:
            np.testing.assert_allclose(norms, scale, rtol=1e-5)


def test_an_encoder_that_gives_unit_rows_alone():
    class Whole:
        def __init__(self, spec):
            self.spec = spec

        def embed(self, modality, items):
            raise AssertionError("not asked")

    with pytest.raises(UsageError, match="norms=published for 'ImageBind'") as caught:
        RawView(Whole(load_lab("mini").catalogue.by_name("ImageBind")))
    assert "leave norms out" in caught.value.fix


# --- in the store ---


@pytest.fixture
def own_session(spec, tmp_path, monkeypatch):
    lab = replace(load_lab("mini"), catalogue=Catalogue({"ImageBind": spec}))
    session = Session(lab, Store(tmp_path / "store"), "cpu")
    rows = [
        Description(item.id, f"c{k % 3}", f"a thing {k}", "MLLM", modality)
        for modality, items in ITEMS.items()
        for k, item in enumerate(items)
    ]
    table = KnowledgeTable("kb", rows)
    monkeypatch.setattr(type(lab), "knowledge", lambda self, name: table)
    monkeypatch.setattr(type(lab), "item_corpus", lambda self, kb, modality: corpus(modality))
    return session


def corpus(modality):
    return ListCorpus(f"some {modality}", modality, ITEMS[modality])


REACTION = "ImageBind + Lcl(kb, batch=4, epochs=2, modalities=(audio, image, thermal){})"


def plan(own_session, more=""):
    return own_session.plan(own_session.check(REACTION.format(more)))


def test_norms_are_kept_beside_unit_rows(own_session, spec):
    step = Planner(own_session.lab).encode(Leaf(spec), corpus("audio"), raw=True)
    plain = Planner(own_session.lab).encode(Leaf(spec), corpus("audio"))
    assert isinstance(step, EmbedRaw)
    assert step.key != plain.key
    artifacts = own_session.run([step, plain])
    raw, rows = artifacts[step.key], artifacts[plain.key].arrays["embeddings"][slice(None)]
    assert set(artifacts[plain.key].arrays) == {"embeddings"}
    own_rows = raw.arrays["embeddings"][slice(None)]
    np.testing.assert_allclose(own_rows.astype(np.float32), rows.astype(np.float32), atol=1e-3)
    assert raw.arrays["norms"][slice(None)].shape == (N, 1)
    scaled = stored_rows(raw)
    assert (len(scaled), scaled.shape, scaled.dtype) == (N, (N, spec.dim), np.float32)
    expected = RawView(registry.load(spec)).embed("audio", ITEMS["audio"])
    np.testing.assert_allclose(scaled[slice(2, 7)], expected[2:7], atol=2e-2)  # stored in 16 bits
    assert stored_rows(Artifact({"embeddings": rows})) is rows


def test_keys_of_other_steps_stay_as_they_are(own_session):
    plain, raw = plan(own_session), plan(own_session, ", norms=published")
    texts = [
        {s.key for s in planned.steps() if s.label == "embed ImageBind text"}
        for planned in (plain, raw)
    ]
    assert texts[0] == texts[1]
    for planned, kind in ((plain, "embed"), (raw, "embed raw")):
        (align_audio,) = (s for s in planned.steps() if s.kind == "align" and s.modality == "audio")
        assert align_audio.rows.kind == kind
    keys = [{s.key for s in planned.steps() if s.kind == "align"} for planned in (plain, raw)]
    assert not keys[0] & keys[1]


# --- layers ---


def test_layers_take_rows_of_the_models_norm(own_session, spec, tmp_path):
    bundle = own_session.react(
        plan(own_session, ", norms=published"), out=tmp_path / "raw", current=False
    )
    assert bundle.record["parts"][0]["about"]["norms"] == "published"
    assert raw_leaves(bundle.space) == {Leaf(spec)}
    target, layers = own_session.target(bundle.path), bundle.parts()[bundle.space, None].layers
    encoder = registry.load(spec)
    planner = Planner(own_session.lab)
    planner.react(bundle.expression, bundle.space)
    for modality, items in ITEMS.items():
        raw = torch.from_numpy(RawView(encoder).embed(modality, items))
        by_hand = align(raw, *layers[modality]) if modality in layers else unit(raw)
        rows = own_session.embedder(target).embed(modality, items)
        np.testing.assert_allclose(rows, by_hand.numpy(), atol=1e-5, err_msg=modality)
        step = planner.embed(bundle.space, corpus(modality))
        planned = own_session.run([step])[step.key].arrays["embeddings"][slice(None)]
        np.testing.assert_allclose(planned.astype(np.float32), rows, atol=4e-3)
    # On rows of norm 1 the same layer gives something else: its bias counts more.
    raw = torch.from_numpy(RawView(encoder).embed("audio", ITEMS["audio"]))
    loud, quiet = (align(rows, *layers["audio"]) for rows in (raw, unit(raw)))
    assert (loud - quiet).abs().max() > 1e-2


def test_a_space_without_norms_is_refused():
    mini = load_lab("mini")
    assert not gives_norms(mini.catalogue.by_name("ImageBind"))
    session = Session(mini)
    with pytest.raises(UsageError, match="gives rows of norm 1 alone"):
        session.plan(session.check("ImageBind + Lcl(kb, norms=published)"))
