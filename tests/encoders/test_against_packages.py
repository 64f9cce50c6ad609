"""Spaces held against the published packages, on small random weights in their own formats."""

import gc
import json
import logging
import os
import random
import shutil
import sys
import weakref
from contextlib import nullcontext, suppress
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import clap_reference
import hf_tiny
import imagebind_reference
import imagebind_toy
import numpy as np
import open_clip_tiny
import pickles
import pytest
import torch
from fakes import CG
from PIL import Image

from reactions.core.errors import DataError, MissingError, UsageError
from reactions.core.types import Item
from reactions.encoders import registry
from reactions.encoders.official import comparison, probes
from reactions.encoders.official.base import alone, seeded
from reactions.encoders.official.comparison import compare
from reactions.encoders.official.names import NAMES
from reactions.encoders.official.packages import PACKAGES, choose

pytestmark = pytest.mark.usefixtures("no_network")

EXACT = 5e-6
"""Single precision, summed in another order, after features of a sound computed in another."""


@pytest.fixture(scope="module")
def models(tmp_path_factory, request):
    """Return a function from a package's name to the URI of a small model of its own."""
    models_made = {}

    def laion_clap():
        return f"laion_clap:{clap_reference.checkpoint(folder('clap'), fused=True)}"

    def open_clip():
        pytest.importorskip("open_clip")
        path = open_clip_tiny.save(folder("open") / "epoch_9.pt", open_clip_tiny.state())
        return f"open_clip:Tiny-16/{path}?like=quick"

    def transformers():
        pytest.importorskip("transformers")
        return f"hf:{request.getfixturevalue('hf_saved')['siglip'][0]}"

    def imagebind():
        imagebind_reference.data()
        path = imagebind_toy.write(folder("imagebind") / "toy.safetensors")
        return f"imagebind:{path}?modalities=audio,depth,image,imu,text,thermal,video"

    def folder(name):
        return tmp_path_factory.mktemp(name)

    makers = (laion_clap, open_clip, transformers, imagebind)

    def uri(name):
        if name not in models_made:
            models_made[name] = {maker.__name__: maker for maker in makers}[name]()
        return models_made[name]

    with open_clip_tiny.known(folder("configs")) if find_spec("open_clip") else nullcontext():
        yield uri


def agreement_report(models, name, tmp_path, *modalities):
    spec = registry.resolve_uri(models(name))
    package = choose(name, spec)
    modalities = modalities or [m for m in spec.modalities if m in package.of_items]
    return compare(spec, package, probes.generated(tmp_path, modalities))


@pytest.mark.parametrize("name", PACKAGES)
def test_each_package_gives_the_same_embeddings(models, name, tmp_path):
    actual = agreement_report(models, name, tmp_path)
    assert not actual.disagreements
    assert not actual.left_out
    pinned = [agreement for agreement in actual.agreements if agreement.setting != "as published"]
    spec = registry.resolve_uri(models(name))
    assert [agreement.modality for agreement in pinned] == list(spec.modalities)
    for agreement in pinned:
        assert agreement.verdict == "agrees", agreement
        assert agreement.difference <= EXACT, agreement
        assert agreement.cosine > 1 - 1e-9
        assert agreement.items >= 2
        assert agreement.bound == 1e-4
    # What is pinned makes a difference, or there would be nothing to say of it.
    for agreement in actual.agreements:
        if agreement.setting == "as published":
            assert agreement.verdict == "for information"
            assert agreement.modality in actual.pins
            assert agreement.difference > 2e-5


class Spoilt:
    """An encoder one weight of which is wrong."""

    def __init__(self, encoder, modality):
        self._encoder = encoder
        module = encoder.tower(modality)
        first = max(module.parameters(), key=lambda weight: weight.ndim)
        with torch.no_grad():
            first.flatten()[0] += 2.0

    def __getattr__(self, name):
        return getattr(self._encoder, name)


@pytest.mark.parametrize("name", PACKAGES)
def test_one_wrong_weight_is_reported_of_its_modality(models, name, tmp_path, monkeypatch):
    load = registry.load
    monkeypatch.setattr(registry, "load", lambda spec, device: Spoilt(load(spec, device), "text"))
    actual = agreement_report(models, name, tmp_path, "text")
    assert [disagreement.modality for disagreement in actual.disagreements] == ["text"]
    (wrong,) = actual.disagreements
    assert wrong.difference > wrong.bound
    assert wrong.cosine < 1
    assert wrong.worst in probes.TEXTS


def test_models_are_in_memory_one_after_the_other(models, tmp_path, monkeypatch):
    alive = []
    load, package = registry.load, PACKAGES["transformers"]

    def loaded(spec, device):
        encoder = load(spec, device)
        alive.append(weakref.ref(encoder))
        return encoder

    def opened(self, spec, device, opening=package.open):
        gc.collect()
        alive.append(alive[0]())
        return opening(self, spec, device)

    monkeypatch.setattr(registry, "load", loaded)
    monkeypatch.setattr(package, "open", opened)
    agreement_report(models, "transformers", tmp_path, "text")
    assert alive[1] is None


def test_a_folder_of_open_clips_own_and_a_tokeniser_of_transformers(tmp_path):
    pytest.importorskip("open_clip")
    pytest.importorskip("transformers")
    (tmp_path / "model").mkdir()
    size = hf_tiny.save_words(tmp_path / "model")
    text = {**open_clip_tiny.CONFIG["text_cfg"], "vocab_size": size, "hf_tokenizer_name": "a/b"}
    config = {**open_clip_tiny.CONFIG, "text_cfg": text}
    settings = {"model_cfg": config, "preprocess_cfg": {**open_clip_tiny.SQUASHED}}
    (tmp_path / "model" / "open_clip_config.json").write_text(json.dumps(settings))
    state = open_clip_tiny.state(vocab_size=size)
    torch.save(state, tmp_path / "model" / "open_clip_pytorch_model.bin")
    spec = registry.resolve_uri(f"open_clip:{tmp_path / 'model'}")
    items = probes.generated(tmp_path, spec.modalities)
    actual = compare(spec, choose("open_clip", spec), items)
    assert [agreement.verdict for agreement in actual.agreements] == ["agrees", "agrees"]
    assert max(agreement.difference for agreement in actual.agreements) <= EXACT
    assert not actual.left_out


# --- what a package does to the process ----------------------------------------------


def test_nothing_of_a_packages_ways_is_left_behind(monkeypatch, capsys):
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)
    seeded(5)
    expected = [float(np.random.rand()), random.random(), float(torch.rand(()))]
    seeded(5)
    path = list(sys.path)
    with suppress(KeyError), alone():
        assert os.environ["HF_HUB_OFFLINE"] == os.environ["TRANSFORMERS_OFFLINE"] == "1"
        seeded(1)
        print("Load the specified checkpoint")
        sys.path.append("somewhere")
        logging.getLogger("x").warning("a remark")
        raise KeyError
    assert os.environ["HF_HUB_OFFLINE"] == "0"
    assert "TRANSFORMERS_OFFLINE" not in os.environ
    assert sys.path == path
    assert logging.root.manager.disable == logging.NOTSET
    assert [float(np.random.rand()), random.random(), float(torch.rand(()))] == expected
    assert capsys.readouterr() == ("", "")


def test_a_hub_that_was_imported_before_is_offline_as_well(monkeypatch):
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with alone():
        assert constants.HF_HUB_OFFLINE
    assert not constants.HF_HUB_OFFLINE


# --- which package -------------------------------------------------------------------


def test_names_are_those_of_the_packages():
    assert {*NAMES} == PACKAGES.keys()


@pytest.mark.parametrize(
    ("name", "adapter", "words"),
    [
        ("laionclap", "laion_clap", "did you mean 'laion_clap'?"),
        ("imagebind", "laion_clap", "--against laion_clap"),
        ("laion_clap", "hf_clap", "--against transformers"),
        ("transformers", "wav2clip", "leave --against out"),
    ],
)
def test_a_package_that_does_not_fit_is_refused_with_one_that_does(name, adapter, words):
    with pytest.raises(UsageError) as caught:
        choose(name, replace(CG.spec, adapter=adapter))
    assert words in caught.value.fix


def test_a_package_that_is_missing_is_reported_with_its_installation(monkeypatch):
    for name, kind in PACKAGES.items():
        monkeypatch.setitem(sys.modules, name, None)
        monkeypatch.delitem(sys.modules, name)
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        with pytest.raises(MissingError, match=f"cannot compare with {name}") as caught:
            kind().require()
        assert "pip install" in caught.value.fix


# --- probes --------------------------------------------------------------------------


def test_own_files_are_found_by_their_endings(tmp_path):
    (tmp_path / "deep").mkdir()
    Image.new("RGB", (9, 9)).save(tmp_path / "deep" / "a.png")
    (tmp_path / "captions.txt").write_text("one\n\nthree\n")
    (tmp_path / "film.mkv").write_bytes(b"")
    (tmp_path / "notes.md").write_text("")
    (tmp_path / "sound.wav").write_bytes(b"")
    items, remarks = probes.own_files(tmp_path, ["image", "text"])
    assert [(item.id, item.value) for item in items["text"]] == [
        ("captions.txt:1", "one"),
        ("captions.txt:3", "three"),
    ]
    assert [item.id for item in items["image"]] == ["deep/a.png"]
    assert "1 with .mkv" in remarks[0]
    assert "1 with .wav" in remarks[0]
    assert ".md" not in remarks[0]
    with pytest.raises(UsageError, match="nothing in"):
        probes.own_files(tmp_path / "deep", ["audio"])
    with pytest.raises(MissingError, match="no folder"):
        probes.own_files(tmp_path / "nowhere", ["audio"])


def test_files_that_cannot_be_embedded_are_left_out_and_counted(models, tmp_path):
    spec = registry.resolve_uri(models("transformers"))
    items = probes.generated(tmp_path, ["image"])["image"]
    broken = tmp_path / "broken.png"
    broken.write_bytes(items[0].value.read_bytes()[:80])
    package = choose("transformers", spec)
    bad = Item("broken.png", "image", broken)
    actual = compare(spec, package, {"image": [bad, *items[:1]]})
    assert not actual.disagreements
    by_modality = {
        agreement.modality: agreement
        for agreement in actual.agreements
        if agreement.setting == "pinned"
    }
    assert by_modality["image"].items == 1
    assert (by_modality["text"].verdict, by_modality["text"].remark) == (
        "not compared",
        "there were no samples",
    )
    assert all(text.startswith("broken.png: ") for text in actual.left_out)
    assert {"molspace", "transformers"} == {text.split()[1] for text in actual.left_out}
    with pytest.raises(DataError, match="cannot embed any of 1 items of image"):
        compare(spec, package, {"image": [bad]})
    with pytest.raises(DataError, match="nothing of"):
        compare(spec, package, {})


def test_pictures_of_phones_and_transparent_ones_are_compared_as_molspace_shows_them(
    models, tmp_path
):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (40, 60, 4), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.fromarray(pixels[:, :, :3]).save(tmp_path / "phone.jpg", exif=exif)
    Image.fromarray(pixels, "RGBA").save(tmp_path / "glass.png")
    spec = registry.resolve_uri(models("transformers"))
    items, _ = probes.own_files(tmp_path, spec.modalities)
    actual = compare(spec, choose("transformers", spec), items)
    (agreement,) = [
        agreement
        for agreement in actual.agreements
        if agreement.setting == "pinned" and agreement.items
    ]
    assert (agreement.items, agreement.verdict) == (2, "agrees")
    assert agreement.difference <= EXACT


@pytest.mark.parametrize(
    ("uri", "precision"), [("", "fp32"), ("?precision=bf16", "bf16"), ("?precision=fp16", "fp16")]
)
def test_bounds_follow_the_precision(request, uri, precision):
    pytest.importorskip("transformers")
    hf_saved = request.getfixturevalue("hf_saved")
    spec = registry.resolve_uri(f"hf:{hf_saved['clip'][0]}{uri}")
    assert comparison.precision_of(spec) == precision


def test_a_crafted_checkpoint_runs_nothing(models, tmp_path, capsys, monkeypatch):
    """laion_clap unpickles whatever a file holds."""
    original = Path(models("laion_clap").partition(":")[2])

    def unpickle(*arguments, **keywords):
        raise AssertionError("the package's own loader was called")

    monkeypatch.setattr(clap_reference.package().factory, "load_state_dict", unpickle)
    monkeypatch.setattr(clap_reference.package().hook, "load_state_dict", unpickle)
    with alone():
        PACKAGES["laion_clap"]().open(registry.resolve_uri(f"laion_clap:{original}"), "cpu")
    shutil.copytree(original.parent, tmp_path / "copy")
    path = tmp_path / "copy" / original.name
    torch.save({"state_dict": {"a": pickles.Code()}}, path)
    spec = registry.resolve_uri(f"laion_clap:{path}")
    with pytest.raises(DataError, match="refused to open"):
        PACKAGES["laion_clap"]().open(spec, "cpu")
    assert capsys.readouterr().out == ""
