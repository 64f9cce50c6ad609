"""Towers for training: what they give is what ``embed`` gives, with gradients to their weights."""

import json
from dataclasses import replace

import imagebind_toy as toy
import numpy as np
import pytest
import torch
from clap_toys import clap_model, item, laion_tensors, sound, spec_of, tokenizer
from hf_tiny import CAPTIONS, save_pictures
from test_audioclip import BLOCKS, clip_parts, fill
from tuned_toys import check_tuning

from reactions.core.errors import DataError
from reactions.core.types import SpaceSpec, TrainableEncoder
from reactions.encoders import registry
from reactions.encoders.audioclip.esresnext import ESResNeXt
from reactions.encoders.mini.encoder import INPUTS, SHIPPED
from reactions.encoders.mini.towers import Towers
from reactions.encoders.tower import Tower, TowerEncoder
from reactions.labs import lab_file
from reactions.modalities.videos.frames import Frames

UNUSED = ("logit_scale", "logit_bias", "log_logit_scale", "position_ids")
"""Parameters that lie inside a tower, and that no embedding depends on."""


def values(modality, folder):
    if modality == "text":
        return [item(text, "text") for text in CAPTIONS]
    if modality == "audio":
        return [item(sound(n, seed=n)) for n in (30_000, 60_000, 30_000)]
    if modality in ("depth", "thermal"):
        ramp = np.linspace(0.1, 1, 300, dtype=np.float32)[:, None].repeat(300, axis=1)
        return [item(ramp, modality), item(np.ascontiguousarray(ramp.T) ** 2, modality)]
    if modality == "imu":
        waves = np.sin(np.arange(12_000) / 9).astype(np.float32).reshape(6, 2000)
        return [item(waves, "imu"), item(-waves, "imu")]
    if modality == "video":
        pixels = np.arange(4 * 40 * 40 * 3, dtype=np.uint8).reshape(4, 40, 40, 3)
        clips = (Frames(stills, np.arange(4) / 2) for stills in (pixels, pixels[:, ::-1]))
        return [item(clip, "video") for clip in clips]
    return [item(path, modality) for path in save_pictures(folder)]


def check(encoder, folder, modalities=None):
    """Hold each tower to what ``embed`` gives, before and after a step of its weights."""
    assert isinstance(encoder, TrainableEncoder)
    for modality in modalities or encoder.spec.modalities:
        items = values(modality, folder)
        before = encoder.embed(modality, items)
        inputs = [encoder.preprocess(modality, value) for value in items]
        tower = encoder.tower(modality)
        rows = tower(inputs)
        # The audio tower of AudioCLIP computes its transform anew while it is trained.
        np.testing.assert_allclose(rows.detach().float().numpy(), before, atol=2e-5)
        target = torch.nn.functional.normalize(torch.arange(1.0, 1.0 + rows.shape[1]), dim=0)
        (1 - rows @ target).sum().backward()
        parameters = {
            name: parameter
            for name, parameter in tower.named_parameters()
            if not name.endswith(UNUSED)
        }
        assert parameters
        without_gradient = [
            name for name, parameter in parameters.items() if parameter.grad is None
        ]
        assert not without_gradient, (modality, without_gradient)
        assert sum(float(p.grad.abs().sum()) for p in parameters.values()) > 0
        with torch.no_grad():
            for parameter in parameters.values():
                parameter -= 1e-2 * parameter.grad
        # The encoder's own weights were trained.
        after = encoder.embed(modality, items)
        assert not np.array_equal(after, before)
        np.testing.assert_allclose(tower(inputs).detach().float().numpy(), after, atol=2e-5)
        # And no others: what is not of the tower has no gradient.
        by_image = {"image", *dict(encoder.spec.derived)}  # these share the image tower
        for other in set(encoder.spec.modalities) - (
            by_image if modality in by_image else {modality}
        ):
            ids = {id(p) for p in parameters.values()}
            assert not ids & {id(p) for p in encoder.tower(other).parameters()}


@pytest.fixture
def clip_folder(hf_copied):
    return hf_copied("clip")


def check_tuned(spec, folder, *ranks):
    """Tune every tower by Ft, and by LoRA of the given ranks."""
    for modality in spec.modalities:
        items = [replace(entry, id=str(n)) for n, entry in enumerate(values(modality, folder)[:2])]
        for rank in (None, *ranks):
            check_tuning(lambda: registry.load(spec), modality, items, rank)


def test_mini(tmp_path):
    spec = lab_file.load_lab("mini").catalogue.by_name("ImageBind")
    check(registry.load(spec), tmp_path)
    check_tuned(spec, tmp_path)


def test_lora_of_mini(tmp_path):
    pytest.importorskip("peft")
    check_tuned(lab_file.load_lab("mini").catalogue.by_name("ImageBind"), tmp_path, 2)


@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_lora_of_transformers(family, hf_copied, tmp_path):
    pytest.importorskip("peft")
    check_tuned(registry.resolve_uri(f"hf:{hf_copied(family)}"), tmp_path, 2)


def test_mini_rows_are_normalised_as_its_own_network_does(tmp_path):
    spec = lab_file.load_lab("mini").catalogue.by_name("ImageBind")
    encoder = registry.load(spec)
    towers = Towers.open(SHIPPED / spec.source)
    for modality in towers.shape:
        prepared = [encoder.preprocess(modality, value) for value in values(modality, tmp_path)]
        with torch.inference_mode():
            expected = towers(modality, INPUTS[modality].batch(prepared, "cpu")).numpy()
        np.testing.assert_array_equal(encoder.forward(modality, prepared), expected)


def test_imagebind(tmp_path):
    pytest.importorskip("ftfy")
    spec = toy.spec(toy.write(tmp_path / "x.safetensors"), *toy.SIZES.towers)
    encoder = registry.load(spec)
    # A tower that was brought while nothing could be trained can be trained all the same.
    encoder.embed("image", values("image", tmp_path))
    check(encoder, tmp_path)
    check_tuned(spec, tmp_path)


@pytest.mark.parametrize("family", ["clip", "siglip", "siglip2"])
def test_transformers(family, hf_copied, tmp_path):
    check(registry.load(registry.resolve_uri(f"hf:{hf_copied(family)}")), tmp_path)


def test_half_precision(hf_copied, tmp_path):
    encoder = registry.load(registry.resolve_uri(f"hf:{hf_copied('clip')}?precision=bf16"))
    items = values("text", tmp_path)
    rows = encoder.tower("text")([encoder.preprocess("text", entry) for entry in items])
    assert rows.dtype == torch.float32
    np.testing.assert_array_equal(rows.detach().numpy(), encoder.embed("text", items))


def test_open_clip(tmp_path, monkeypatch):
    open_clip = pytest.importorskip("open_clip", exc_type=(ImportError, RuntimeError))
    factory = open_clip.factory
    monkeypatch.setattr(factory, "_MODEL_CONFIGS", dict(factory._MODEL_CONFIGS))
    monkeypatch.setattr(factory, "_MODEL_CONFIG_PATHS", list(factory._MODEL_CONFIG_PATHS))
    vision = {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16}
    text = {"context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2}
    for name, custom in (("Tiny-beside", {}), ("Tiny-custom", {"custom_text": True})):
        config = {"embed_dim": 16, "vision_cfg": vision, "text_cfg": text, **custom}
        (tmp_path / f"{name}.json").write_text(json.dumps(config))
        open_clip.add_model_config(tmp_path / f"{name}.json")
        kind = open_clip.CustomTextCLIP if custom else open_clip.CLIP
        torch.manual_seed(0)
        network = kind(embed_dim=16, vision_cfg=vision, text_cfg=text)
        torch.save(network.state_dict(), tmp_path / f"{name}.pt")
        spec = registry.resolve_uri(f"open_clip:{name}/{tmp_path / name}.pt")
        check(registry.load(spec), tmp_path)
        check_tuned(spec, tmp_path)


@pytest.mark.parametrize("fused", [False, True])
def test_clap(fused, tmp_path):
    pytest.importorskip("tokenizers")
    pytest.importorskip("transformers")
    model = clap_model(fused=fused, vocabulary=tokenizer(tmp_path))
    torch.save(laion_tensors(model), tmp_path / "toy.pt")
    encoder = registry.load(spec_of(tmp_path / "toy.pt"))
    if fused:  # what mixes the crops of longer sounds has no part in short ones
        tower = encoder.tower("audio")
        long = [encoder.preprocess("audio", item(sound(600_000, seed=s))) for s in (0, 1)]
        tower(long)[0].sum().backward()
        assert all(p.grad is not None for n, p in tower.named_parameters() if n not in UNUSED)
    else:
        check(encoder, tmp_path)
        check_tuned(spec_of(tmp_path / "toy.pt"), tmp_path)


def test_audioclip(tmp_path):
    ears, clip = ESResNeXt(BLOCKS, 1024), clip_parts()
    state = dict(clip.state_dict())
    state |= {f"audio.{name}": tensor for name, tensor in ears.state_dict().items()}
    with torch.no_grad():
        fill(state)
    torch.save(state, tmp_path / "mine.pt")
    check(registry.load(registry.resolve_uri(f"audioclip:{tmp_path / 'mine.pt'}")), tmp_path)


def test_wav2clip(tmp_path):
    pytest.importorskip("transformers")
    from test_wav2clip import checkpoint, save_clip, scramble
    from transformers import CLIPModel

    config = save_clip(tmp_path / "clip").config
    config.projection_dim = 512
    scramble(CLIPModel(config)).save_pretrained(tmp_path / "clip")
    torch.save(checkpoint(), tmp_path / "Wav2CLIP.pt")
    uri = f"wav2clip:{tmp_path / 'Wav2CLIP.pt'}?clip=hf:{tmp_path / 'clip'}"
    check(registry.load(registry.resolve_uri(uri)), tmp_path)


def test_a_tower_whose_weights_are_not_known_says_so():
    spec = SpaceSpec("X", 2, ("text",), adapter="x", source="x")
    text = Tower(lambda text: np.array([1]), lambda inputs: torch.ones(len(inputs), 2))
    encoder = TowerEncoder(spec, {"text": text})
    with pytest.raises(DataError, match="text tower of 'X' cannot be trained"):
        encoder.tower("text")
    with pytest.raises(DataError, match="does not embed image"):
        encoder.tower("image")
