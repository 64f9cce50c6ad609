"""Whole products as programs: prepared items in, the product's embeddings out."""

import json
import subprocess
import sys
from contextlib import nullcontext
from functools import partial
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from bundles import record_of, tensors_of
from fakes import VL, cr, dr

from reactions.core.errors import UsageError
from reactions.core.types import Item, Leaf
from reactions.encoders import registry
from reactions.exchange.exporting import whole
from reactions.exchange.exporting.folder import export_heads
from reactions.inference.embedder import Embedder
from reactions.labs.lab_file import load_lab
from reactions.products.bundles.bundle import load_bundle, write_bundle
from reactions.products.target import Target
from reactions.products.tree import NO_ADJUSTMENT, Adjustment
from reactions.session import load_encoder

LOAD = """
import sys
from importlib.util import find_spec
from pathlib import Path
sys.path = [place for place in sys.path if place and not (Path(place) / "reactions").exists()]
sys.meta_path = [f for f in sys.meta_path if "editable" not in repr(f).lower()]
import torch
assert find_spec("reactions") is None
given = torch.load("given.pt", weights_only=True)
torch.save(torch.export.load(sys.argv[1]).module()(*given), "made.pt")
"""


def mini(name):
    return Leaf(load_lab("mini").catalogue.by_name(name))


def target_of(folder, space):
    record = record_of(space, ["TVA"])
    place = write_bundle(folder, record, tensors_of(space, ["TVA"]))
    return Target.of_bundle(load_bundle(place))


def embedder_of(target, adjustment=NO_ADJUSTMENT):
    return Embedder(target, load_encoder=load_encoder, device="cpu", adjustment=adjustment)


def export(target, out, adjustment=NO_ADJUSTMENT, form="torch"):
    return export_heads(target, form, out, adjustment, whole=partial(embedder_of, target))


def prepared(target, modality, values, about):
    """Make the tensors of items as the record says that they are made."""
    embedder = embedder_of(target)
    items = [Item(str(i), modality, value) for i, value in enumerate(values)]
    leaves = {leaf.label: leaf for leaf in embedder._leaves(modality)}
    batches = []
    for leaf_input in about["inputs"]:
        encoder = embedder.loaded.encoder(leaves[leaf_input["name"]])
        program = encoder.towers[modality].program
        batches.append(program.batch([encoder.preprocess(modality, item) for item in items]))
        assert [*batches[-1].shape[1:]] == leaf_input["shape"][1:]
        assert str(batches[-1].dtype) == f"torch.{leaf_input['dtype']}"
    return tuple(batches), torch.from_numpy(embedder.embed(modality, items))


def test_without_molspace_a_program_gives_what_embed_gives(tmp_path):
    target = target_of(tmp_path / "bundle", cr(mini("ImageBind"), mini("CLAP_m")))
    exported = export(target, tmp_path / "out")
    assert {"audio", "image", "text"} <= set(exported.config["modalities"])
    assert "no examples" in exported.left_out["depth"]
    about = exported.config["modalities"]["text"]
    texts = ["a clock", "rain, falling on a tin roof", "x"]
    inputs, expected = prepared(target, "text", texts, about)
    torch.save(inputs, tmp_path / "given.pt")
    process = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOAD, str(tmp_path / "out" / about["file"])],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=300,
    )
    assert process.returncode == 0, process.stderr
    embedded_rows = torch.load(tmp_path / "made.pt", weights_only=True)
    torch.testing.assert_close(embedded_rows, expected, atol=1e-5, rtol=0)
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["encoders"] is True
    assert config["files"] == sorted(
        path.name for path in (tmp_path / "out").iterdir() if path.name != "config.json"
    )


def test_an_encoder_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    target = target_of(tmp_path / "bundle", cr(mini("ImageBind"), mini("CLAP_m")))
    monkeypatch.setattr(whole, "_program", lambda encoder, modality: None)
    with pytest.raises(UsageError, match="nothing can be exported") as refused:
        export(target, tmp_path / "out")
    assert "ImageBind (mini) does not take text as one tensor" in refused.value.why
    assert "without --whole" in refused.value.fix
    assert not (tmp_path / "out").exists()


def test_what_computes_something_else_is_left_out(tmp_path, monkeypatch):
    target = target_of(tmp_path / "bundle", dr(mini("CLAP_m"), mini("CLAP_g")))
    right = Embedder.embed

    def wrong(self, modality, items):
        return right(self, modality, items) + np.float32(1e-3 if modality == "text" else 0)

    monkeypatch.setattr(Embedder, "embed", wrong)
    exported = export(target, tmp_path / "out")
    assert set(exported.config["modalities"]) == {"audio"}
    assert "the exported text differs by 1.0e-03" in exported.left_out["text"]
    assert not (tmp_path / "out" / "text.pt2").exists()


# --- published families ---


def clip_at(folder):
    pytest.importorskip("transformers")
    import hf_tiny

    hf_tiny.save_clip(folder)
    return f"hf:{folder}"


def siglip_at(folder):
    pytest.importorskip("transformers")
    import hf_tiny

    hf_tiny.save_siglip(folder)
    return f"hf:{folder}"


def open_clip_at(folder):
    pytest.importorskip("open_clip")
    import open_clip_tiny

    folder.mkdir()
    file = open_clip_tiny.save(folder / "epoch_9.pt", open_clip_tiny.state())
    return f"open_clip:Tiny-16/{file}"


@pytest.fixture
def _open_clip_knows(tmp_path):
    import open_clip_tiny

    with open_clip_tiny.known(tmp_path) if find_spec("open_clip") else nullcontext():
        yield


@pytest.mark.usefixtures("_open_clip_knows")
@pytest.mark.filterwarnings("ignore")  # of the packages, while they load and are traced
@pytest.mark.parametrize("make", [clip_at, siglip_at, open_clip_at])
def test_towers_of_published_families(tmp_path, make):
    model = Leaf(registry.resolve_uri(make(tmp_path / "model")))
    target = target_of(tmp_path / "bundle", dr(model, VL))
    alone = Adjustment(lambda_={"": 0.0})
    exported = export(target, tmp_path / "out", alone)
    assert exported.left_out == {}
    for about in exported.config["modalities"].values():
        (leaf_input,) = about["inputs"]
        assert leaf_input["made_by"]
        for name in leaf_input["files"]:
            assert (tmp_path / "out" / name).is_file()
    (pixels,) = exported.config["modalities"]["image"]["inputs"]
    assert (pixels["dtype"], pixels["shape"][1]) == ("uint8", 3)


def test_other_precisions_are_refused(tmp_path):
    uri = clip_at(tmp_path / "model")
    pytest.importorskip("transformers")
    model = Leaf(registry.resolve_uri(f"{uri}?precision=bf16"))
    target = target_of(tmp_path / "bundle", dr(model, VL))
    with pytest.raises(UsageError) as refused:
        export(target, tmp_path / "out", Adjustment(lambda_={"": 0.0}))
    assert "not in single precision" in refused.value.why
