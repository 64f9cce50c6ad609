"""CLAP models in transformers' own format: its processor's outputs, without its dice."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from clap_toys import TEXTS, clap_model, item, laion_tensors, sound, spec_of, tokenizer
from other_device import assert_same_on
from safetensors.torch import load_file, save_file

from reactions.core.errors import DataError, MissingError, UsageError
from reactions.core.types import StagedEncoder, Waveform
from reactions.encoders import registry
from reactions.encoders.clap import audio_features, laion, transformers
from reactions.encoders.official.transformers_package import Transformers

pytest.importorskip("tokenizers")
pytest.importorskip("transformers.models.clap.modeling_clap", exc_type=(ImportError, RuntimeError))

DIM = 24


def saved(folder, *, fused, **settings):
    """Save a small model with its processor as transformers does; return the model."""
    from transformers import ClapFeatureExtractor, ClapProcessor, RobertaTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    plain = folder / "plain"
    model = clap_model(fused=fused, vocabulary=tokenizer(plain), dim=DIM)
    truncation = "fusion" if fused else "rand_trunc"
    extractor = ClapFeatureExtractor(**{"frequency_min": 50, "truncation": truncation, **settings})
    processor = ClapProcessor(extractor, RobertaTokenizer.from_pretrained(plain))
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    older = folder / "preprocessor_config.json"
    if older.exists():  # transformers 4; make it the layout of 5
        inner = json.loads(older.read_text())
        (folder / "processor_config.json").write_text(json.dumps({"feature_extractor": inner}))
        older.unlink()
    return SimpleNamespace(folder=folder, uri=f"hf:{folder}", model=model, processor=processor)


@pytest.fixture(scope="module", params=[False, True], ids=["cut", "fused"])
def toy(request, tmp_path_factory):
    return saved(tmp_path_factory.mktemp("hf"), fused=request.param)


@pytest.mark.parametrize(
    ("extractor", "network", "words"),
    [
        ({"feature_size": 16}, {}, "16 mel bands, the network takes 64"),
        ({}, {"spec_size": 128}, "1001 frames, the network takes 256 at most"),
    ],
)
def test_an_extractor_that_does_not_fit_the_network_is_refused(tmp_path, extractor, network, words):
    toy = saved(tmp_path, fused=False, **extractor)
    config = json.loads((tmp_path / "config.json").read_text())
    config["audio_config"].update(network)
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(DataError, match="do not fit together") as caught:
        registry.load(registry.resolve_uri(toy.uri))
    assert words in caught.value.why


@pytest.fixture(scope="module")
def encoder(toy):
    return registry.load(registry.resolve_uri(toy.uri))


@pytest.fixture(scope="module")
def official(toy):
    """The model as transformers opens it, its random choices made as ours."""
    return Transformers().open(registry.resolve_uri(toy.uri), "cpu")


@pytest.mark.parametrize("samples", [700, 100_000, 480_000, 480_100, 481_000, 1_000_000])
def test_sounds_embed_as_with_their_processor(official, encoder, samples):
    clip = item(sound(samples))
    with torch.inference_mode():
        expected = torch.nn.functional.normalize(official.embed["audio"](clip), dim=0).numpy()
    actual = encoder.embed("audio", [clip])[0]
    np.testing.assert_allclose(actual, expected, atol=1e-5)  # theirs transforms in double precision


def test_a_single_short_sound_is_not_longer_by_chance(toy, encoder):
    # The whole model, called as its documentation says: it differs just where it throws dice.
    clip = sound(100_000)
    features = toy.processor.feature_extractor(
        [clip.samples] * 2, sampling_rate=48_000, return_tensors="pt"
    )
    fused = toy.model.config.audio_config.enable_fusion
    assert int(features["is_longer"].sum()) == (1 if fused else 0)
    rows = encoder.embed("audio", [item(clip)] * 2)
    np.testing.assert_allclose(rows[0], rows[1], atol=1e-6)


def test_texts_embed_as_with_their_processor(toy, encoder):
    ids = toy.processor.tokenizer(
        list(TEXTS), padding=True, truncation=True, max_length=77, return_tensors="pt"
    )
    with torch.inference_mode():
        out = toy.model.text_model(**ids)
        expected = toy.model.text_projection(out.pooler_output)
        expected = torch.nn.functional.normalize(expected, dim=-1).numpy()
    actual = encoder.embed("text", [item(text, "text") for text in TEXTS])
    np.testing.assert_allclose(actual, expected, atol=1e-5)


def test_it_embeds_as_the_same_weights_in_laions_format(toy, encoder, tmp_path):
    # Both packages, one network: only the 16-bit round trip tells them apart.
    tokenizer(tmp_path)
    torch.save(laion_tensors(toy.model), tmp_path / "same.pt")
    other = laion.LaionClapAdapter().load(spec_of(tmp_path / "same.pt", dim=DIM))
    rounded = Waveform(audio_features.quantise(sound(60_000).samples), 48_000)
    items = [item(rounded)]
    quantised_twice = audio_features.quantise(rounded.samples)
    assert (
        np.abs(quantised_twice - rounded.samples).max() <= 1 / 32_767
    )  # towards zero, at times again
    np.testing.assert_allclose(
        encoder.embed("audio", items), other.embed("audio", items), atol=1e-3
    )
    texts = [item(text, "text") for text in TEXTS]
    np.testing.assert_array_equal(encoder.embed("text", texts), other.embed("text", texts))


def test_long_sounds_embed_the_same_every_time(encoder):
    rows = []
    for seed in (1, 2):
        np.random.seed(seed)
        torch.manual_seed(seed)
        rows.append(encoder.embed("audio", [item(sound(900_000))]))
    np.testing.assert_array_equal(*rows)
    assert isinstance(encoder, StagedEncoder)


# --- describing ----------------------------------------------------------------------


def test_a_folder_is_described(toy):
    spec = registry.resolve_uri(toy.uri, name="mine")
    assert (spec.name, spec.dim, spec.adapter) == ("mine", DIM, "hf_clap")
    assert spec.modalities == ("audio", "text")
    assert dict(spec.flops_per_item).keys() == dict(spec.preprocessing).keys() == {"audio", "text"}
    transformers.HfClapAdapter().check(spec)
    second_spec = registry.resolve_uri(toy.uri)
    assert second_spec.identity("audio") == spec.identity("audio")


def copied(toy, tmp_path, **changes):
    """Copy a model with some files changed; None leaves one out."""
    for path in toy.folder.iterdir():
        if path.is_file() and path.name not in changes:
            (tmp_path / path.name).write_bytes(path.read_bytes())
    for name, content in changes.items():
        if content is not None:
            (tmp_path / name).write_text(json.dumps(content))
    return f"hf:{tmp_path}"


def settings_of(toy):
    return json.loads((toy.folder / "processor_config.json").read_text())["feature_extractor"]


def test_what_can_change_an_embedding_changes_the_key(toy, tmp_path):
    before = registry.resolve_uri(toy.uri)
    changed = settings_of(toy) | {"frequency_min": 0}
    uri = copied(toy, tmp_path, **{"processor_config.json": {"feature_extractor": changed}})
    after = registry.resolve_uri(uri)
    assert after.identity("audio") != before.identity("audio")
    assert after.identity("text") == before.identity("text")


def test_the_older_layout_serves_as_well(toy, encoder, tmp_path):
    files = {"processor_config.json": None, "preprocessor_config.json": settings_of(toy)}
    spec = registry.resolve_uri(copied(toy, tmp_path, **files))
    sounds = [item(sound(5000))]
    actual = registry.load(spec).embed("audio", sounds)
    np.testing.assert_array_equal(actual, encoder.embed("audio", sounds))


def test_its_own_settings_are_heeded(tmp_path):
    toy = saved(tmp_path, fused=False, max_length_s=2, frequency_min=0, padding="pad")
    clip = sound(20_000)
    features = toy.processor.feature_extractor(
        clip.samples, sampling_rate=48_000, return_tensors="pt"
    )["input_features"][0]
    actual = registry.load(registry.resolve_uri(toy.uri)).preprocess("audio", item(clip))
    np.testing.assert_allclose(actual, features, atol=2e-3)  # dB


# --- models that cannot be used ------------------------------------------------------


def test_missing_extra_and_mis_shaped_weights_are_one_error(toy, tmp_path):
    tensors = load_file(toy.folder / "model.safetensors")
    bias, table = "text_projection.linear1.bias", "text_model.embeddings.word_embeddings.weight"
    del tensors[bias]
    tensors["surprise"] = torch.ones(1)
    tensors[table] = tensors[table][:-1].clone()
    uri = copied(toy, tmp_path, **{"model.safetensors": None})
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(DataError, match="do not fit") as caught:
        registry.load(registry.resolve_uri(uri))
    assert caught.value.fields["missing"] == [bias]
    assert caught.value.fields["unexpected"] == ["surprise"]
    assert [name for name, *_ in caught.value.fields["mismatched"]] == [table]


def test_buffers_that_only_count_may_come_or_not(toy, encoder, tmp_path):
    tensors = load_file(toy.folder / "model.safetensors")
    required = {k: v for k, v in tensors.items() if "_index" not in k and not k.endswith("_ids")}
    assert len(required) < len(tensors)
    required["text_model.old.position_ids"] = torch.arange(5)
    uri = copied(toy, tmp_path, **{"model.safetensors": None})
    save_file(required, tmp_path / "model.safetensors")
    sounds = [item(sound(5000))]
    actual = registry.load(registry.resolve_uri(uri)).embed("audio", sounds)
    np.testing.assert_array_equal(actual, encoder.embed("audio", sounds))


def test_truncation_must_suit_the_model(toy, tmp_path):
    wrong = "rand_trunc" if toy.model.config.audio_config.enable_fusion else "fusion"
    changed = {"feature_extractor": settings_of(toy) | {"truncation": wrong}}
    with pytest.raises(DataError, match="does not fit its model"):
        registry.resolve_uri(copied(toy, tmp_path, **{"processor_config.json": changed}))


@pytest.mark.parametrize(
    "change",
    [{"hop_length": 0}, {"padding": "twice"}, {"sampling_rate": "fast"}, {"max_length_s": 0.01},
     {"frequency_max": 30_000}],
)  # fmt: skip
def test_settings_that_cannot_be_are_reported(toy, tmp_path, change):
    changed = {"feature_extractor": settings_of(toy) | change}
    with pytest.raises(DataError, match="cannot use the preprocessing"):
        registry.resolve_uri(copied(toy, tmp_path, **{"processor_config.json": changed}))


def test_missing_preprocessing_is_reported(toy, tmp_path):
    with pytest.raises(MissingError, match="no preprocessing"):
        registry.resolve_uri(copied(toy, tmp_path, **{"processor_config.json": None}))


def test_half_precision_is_refused(toy):
    with pytest.raises(UsageError, match="bf16"):
        registry.resolve_uri(f"{toy.uri}?precision=bf16")


def test_another_family_is_reported(toy, tmp_path):
    with pytest.raises(DataError, match="no CLAP model"):
        transformers.HfClapAdapter().resolve(
            copied(toy, tmp_path, **{"config.json": {"model_type": "bert"}})
        )


def test_changed_weights_are_reported(toy, tmp_path):
    spec = registry.resolve_uri(copied(toy, tmp_path))
    tensors = load_file(tmp_path / "model.safetensors")
    save_file({k: v + 1 for k, v in tensors.items()}, tmp_path / "model.safetensors")
    with pytest.raises(DataError, match="changed"):
        registry.load(spec)


def test_cuda_gives_the_same(cuda, encoder):
    items = {"audio": [item(sound(100_000))], "text": [item("a dog barks", "text")]}
    assert_same_on(cuda, encoder, items)
