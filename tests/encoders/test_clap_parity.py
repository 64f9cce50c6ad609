"""laion_clap checkpoints embed as in the laion_clap package, wherever it is not random."""

from types import SimpleNamespace

import clap_reference
import numpy as np
import pytest
import torch
from clap_toys import TEXTS, item, wav

from reactions.encoders.clap import keys, laion
from reactions.encoders.official.base import alone
from reactions.encoders.official.clap_package import LaionClap, htsat
from reactions.encoders.preprocessing.log_mel import mel_filters
from reactions.weights.safe_load import read_tensors

pytest.importorskip("tokenizers")
pytest.importorskip("transformers.models.clap.modeling_clap", exc_type=(ImportError, RuntimeError))

ADAPTER = laion.LaionClapAdapter()


@pytest.fixture(scope="module", params=[False, True], ids=["cut", "fused"])
def reference(request, tmp_path_factory):
    """The package's model of a small checkpoint, and our encoder of it."""
    path = clap_reference.checkpoint(tmp_path_factory.mktemp("laion"), fused=request.param)
    spec = ADAPTER.resolve(f"laion_clap:{path}")
    with alone():
        official = LaionClap().open(spec, "cpu")
    return SimpleNamespace(path=path, official=official, encoder=ADAPTER.load(spec))


def published(reference, modality, entry):
    """Return the package's unit-norm embedding, its random choices made as ours."""
    with alone(), torch.inference_mode():
        row = reference.official.embed[modality](entry).numpy()
    return row / np.linalg.norm(row)


LENGTHS = (100, 4000, 240_001, 480_000, 480_300, 480_480, 480_960, 700_000, 1_440_000)


@pytest.mark.parametrize(
    ("samples", "rate_hz", "channels"),
    [
        *((samples, 48_000, 1) for samples in LENGTHS),
        (16_000, 8000, 1),
        (32_000, 16_000, 2),
        (88_200, 44_100, 1),
        (88_200, 44_100, 2),
        (96_000, 48_000, 2),
    ],
)
def test_sounds_embed_as_in_the_package(reference, tmp_path, samples, rate_hz, channels):
    path = wav(tmp_path / "clip.wav", samples, rate_hz=rate_hz, channels=channels)
    expected = published(reference, "audio", item(path))
    actual = reference.encoder.embed("audio", [item(path)])[0]
    np.testing.assert_allclose(actual, expected, atol=1e-5)  # single precision, another order


def test_texts_embed_as_in_the_package(reference):
    items = [item(text, "text") for text in TEXTS]
    expected = np.stack([published(reference, "text", entry) for entry in items])
    actual = reference.encoder.embed("text", items)
    np.testing.assert_allclose(actual, expected, atol=1e-5)
    assert np.abs(expected @ expected.T - np.eye(len(TEXTS))).max() < 0.999  # no two alike


def test_the_checkpoints_own_filters_are_ours(reference):
    carried = read_tensors(reference.path)[keys.FILTERS].numpy()
    np.testing.assert_allclose(
        carried, mel_filters(48_000, 1024, 64, 50, 14_000, "slaney"), atol=1e-8
    )


@pytest.mark.parametrize(
    ("name", "width", "depths"), [("tiny", 96, (2, 2, 6, 2)), ("base", 128, (2, 2, 12, 2))]
)
def test_audio_towers_of_published_sizes_are_those_that_the_package_builds(name, width, depths):
    modules = clap_reference.package()
    sizes = SimpleNamespace(
        **{
            **vars(clap_reference.SIZES),
            "patch_embeds_hidden_size": width,
            "depths": depths,
        }
    )
    config = SimpleNamespace(**{**clap_reference.AUDIO, "model_name": name})
    with alone():
        ours = htsat(modules, sizes, config, False, "None")
        packaged = modules.htsat.create_htsat_model(config, False, "None")
    assert str(ours) == str(packaged)
    shapes = {key: value.shape for key, value in packaged.state_dict().items()}
    assert {key: value.shape for key, value in ours.state_dict().items()} == shapes
