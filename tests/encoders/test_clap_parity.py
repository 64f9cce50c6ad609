"""laion_clap checkpoints embed as in the laion_clap package, wherever it is not random."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from clap_toys import TEXTS, item, scramble, sound, tokenizer, wav

from reactions.encoders.clap import audio_features, laion
from reactions.encoders.preprocessing.log_mel import mel_filters

pytest.importorskip("tokenizers")
pytest.importorskip("transformers.models.clap.modeling_clap", exc_type=(ImportError, RuntimeError))

pytestmark = pytest.mark.filterwarnings("ignore")
"""The package is old, and what it imports says so at many places that are not ours."""

AUDIO = {
    "audio_length": 1024,
    "clip_samples": 480_000,
    "mel_bins": 64,
    "sample_rate": 48_000,
    "window_size": 1024,
    "hop_size": 480,
    "fmin": 50,
    "fmax": 14_000,
    "class_num": 5,
    "model_type": "HTSAT",
    "model_name": "tiny",
}
"""laion_clap's own settings for HTSAT, but for the number of tags."""


# --- a checkpoint made with the package ----------------------------------------------


@pytest.fixture(scope="module", params=[False, True], ids=["cut", "fused"])
def reference(request, tmp_path_factory):
    """A small model of laion_clap's with random weights, and our encoder of its checkpoint."""
    from clap_reference import modules
    from transformers import RobertaConfig, RobertaModel

    folder = tmp_path_factory.mktemp("laion")
    config = RobertaConfig(
        vocab_size=tokenizer(folder),
        hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=96,
        max_position_embeddings=514,
        type_vocab_size=1,
        layer_norm_eps=1e-5,  # as roberta-base
    )
    package, htsat, data = modules()
    fused = request.param
    with pytest.MonkeyPatch.context() as patch:
        build = SimpleNamespace(from_pretrained=lambda name: RobertaModel(config))
        patch.setattr(package, "RobertaModel", build)
        # The smallest HTSAT it knows has 28 million weights: another, of all its kinds of layer.
        patch.setattr(package, "create_htsat_model", partial(_small_htsat, htsat))
        model = package.CLAP(
            embed_dim=256,
            audio_cfg=AUDIO,
            text_cfg={
                "context_length": 77,
                "vocab_size": 1,
                "width": 512,
                "heads": 8,
                "layers": 12,
                "model_type": "roberta",
            },
            enable_fusion=fused,
            fusion_type="aff_2d" if fused else "None",
        )
    model.text_projection[0] = torch.nn.Linear(config.hidden_size, 512)
    scramble(model)
    state = {f"module.{name}": tensor for name, tensor in model.state_dict().items()}
    state["module.text_branch.embeddings.position_ids"] = torch.arange(514)[None]  # as old ones
    path = folder / "epoch_18.pt"
    torch.save({"epoch": 18, "best": np.float64(0.88), "state_dict": state}, path)
    encoder = laion.LaionClapAdapter().load(laion.LaionClapAdapter().resolve(f"laion_clap:{path}"))
    return SimpleNamespace(model=model, data=data, fused=fused, encoder=encoder, folder=folder)


def _small_htsat(htsat, config, fused, fusion_type):
    return htsat.HTSAT_Swin_Transformer(
        num_classes=config.class_num,
        embed_dim=32,
        depths=[2, 1, 1, 1],
        num_heads=[4, 8, 16, 32],
        config=config,
        enable_fusion=fused,
        fusion_type=fusion_type,
    )


def published(reference, samples):
    """Return laion_clap's embedding of samples at 48 kHz, its random choices made as ours."""
    data = reference.data
    waveform = torch.from_numpy(data.int16_to_float32(data.float32_to_int16(samples)))
    frames = len(samples) // 480 + 1
    with pytest.MonkeyPatch.context() as patch:
        if len(samples) > 480_000:
            starts = iter(audio_features.crop_starts(frames, 1001) if frames > 1001 else ())
            patch.setattr(data.np.random, "choice", lambda third: next(starts))
            patch.setattr(data.np.random, "randint", lambda low, high: (high - 1) // 2)
            # torchvision smooths by default now, and did not when these models were trained.
            resize = data.torchvision.transforms.Resize
            patch.setattr(data.torchvision.transforms, "Resize", partial(resize, antialias=False))
        heard = data.get_audio_features(
            {},
            waveform,
            480_000,
            "fusion" if reference.fused else "rand_trunc",
            "repeatpad",
            AUDIO,
        )
        with torch.inference_mode():
            return reference.model.get_audio_embedding([heard])[0].numpy()


LENGTHS = (1, 100, 4000, 240_001, 480_000, 480_300, 480_480, 480_960, 700_000, 1_440_000)


@pytest.mark.parametrize("samples", LENGTHS)
def test_sounds_embed_as_in_the_package(reference, samples):
    clip = sound(samples)
    expected = published(reference, clip.samples)
    actual = reference.encoder.embed("audio", [item(clip)])[0]
    np.testing.assert_allclose(actual, expected, atol=1e-5)  # single precision, another order


@pytest.mark.parametrize(
    ("rate_hz", "channels"), [(8000, 1), (16_000, 2), (44_100, 1), (44_100, 2), (48_000, 2)]
)
def test_files_embed_as_in_the_package(reference, tmp_path, rate_hz, channels):
    librosa = pytest.importorskip("librosa")
    path = wav(tmp_path / "clip.wav", 2 * rate_hz, rate_hz=rate_hz, channels=channels)
    samples, _ = librosa.load(path, sr=48_000)
    # Its length is rounded up after a float product: one sample too many at 44.1 kHz. Two
    # seconds would then fit four times into ten, and be followed by two of silence.
    assert len(samples) == 96_000 + (rate_hz == 44_100)
    expected = published(reference, samples[:96_000])
    actual = reference.encoder.embed("audio", [item(path)])[0]
    np.testing.assert_allclose(actual, expected, atol=1e-5)


def test_texts_embed_as_in_the_package(reference):
    from transformers import RobertaTokenizer

    tokens = RobertaTokenizer.from_pretrained(reference.folder)
    padded = tokens(
        list(TEXTS), padding="max_length", truncation=True, max_length=77, return_tensors="pt"
    )
    ids = {name: padded[name] for name in ("input_ids", "attention_mask")}
    with torch.inference_mode():
        expected = reference.model.get_text_embedding(ids).numpy()
    actual = reference.encoder.embed("text", [item(text, "text") for text in TEXTS])
    np.testing.assert_allclose(actual, expected, atol=1e-5)
    assert np.abs(expected @ expected.T - np.eye(len(TEXTS))).max() < 0.999  # no two alike


def test_the_checkpoints_own_filters_are_ours(reference):
    carried = reference.model.state_dict()["audio_branch.logmel_extractor.melW"].numpy()
    np.testing.assert_allclose(
        carried, mel_filters(48_000, 1024, 64, 50, 14_000, "slaney"), atol=1e-8
    )
