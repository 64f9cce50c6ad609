"""laion_clap checkpoints: any sound and text, the same every time, and nothing else from them."""

import hashlib
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from clap_toys import (
    TEXTS,
    clap_model,
    item,
    laion_tensors,
    sound,
    spec_of,
    tokenizer,
    wav,
)
from other_device import assert_same_on
from safetensors.torch import save_file

from reactions.core.errors import DataError, MediaError, MissingError
from reactions.core.types import StagedEncoder, Waveform
from reactions.encoders.clap import laion
from reactions.encoders.clap.laion import LaionClapAdapter
from reactions.encoders.preprocessing.log_mel import mel_filters
from reactions.weights.locate import WeightLocator

ADAPTER = LaionClapAdapter()

pytest.importorskip("tokenizers")
pytest.importorskip("transformers.models.clap.modeling_clap", exc_type=(ImportError, RuntimeError))

# --- our own checkpoints -------------------------------------------------------------


@pytest.fixture(scope="module", params=[False, True], ids=["cut", "fused"])
def checkpoint(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    model = clap_model(fused=request.param, vocabulary=tokenizer(folder))
    path = folder / "toy.pt"
    torch.save(laion_tensors(model), path)
    return SimpleNamespace(path=path, model=model, fused=request.param)


@pytest.fixture(scope="module")
def encoder(checkpoint):
    return ADAPTER.load(spec_of(checkpoint.path))


CLIPS = {
    "short": sound(4000),
    "one sample": Waveform(np.array([0.5], np.float32), 48_000),
    "silent": Waveform(np.zeros(48_000, np.float32), 48_000),
    "ten seconds": sound(480_000, seed=1),
    "long": sound(1_000_000, seed=2),
}


def test_every_sound_has_a_unit_embedding(encoder):
    assert isinstance(encoder, StagedEncoder)
    rows = encoder.embed("audio", [item(clip) for clip in CLIPS.values()])
    assert rows.shape == (len(CLIPS), 512)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-6)


def test_a_batch_gives_what_its_items_give_alone(encoder):
    # Long and short ones, whose features have different shapes, in one batch.
    items = [item(clip) for clip in CLIPS.values()]
    prepared = [encoder.preprocess("audio", entry) for entry in items]
    together = encoder.forward("audio", prepared)
    for row, entry in zip(together, items, strict=True):
        np.testing.assert_allclose(row, encoder.embed("audio", [entry])[0], atol=1e-6)
    texts = [item(text, "text") for text in TEXTS]
    alone = np.concatenate([encoder.embed("text", [entry]) for entry in texts])
    np.testing.assert_allclose(encoder.embed("text", texts), alone, atol=1e-6)


def test_files_of_all_kinds(encoder, tmp_path):
    for rate_hz, channels, samples in ((8000, 1, 900), (44_100, 2, 44_100), (16_000, 1, 200_000)):
        path = wav(tmp_path / f"{rate_hz}.wav", samples, rate_hz=rate_hz, channels=channels)
        assert np.isfinite(encoder.embed("audio", [item(path)])).all()
    with pytest.raises(MediaError) as caught:
        encoder.embed("audio", [item(tmp_path / "none.wav")])
    assert caught.value.fields["id"] == "one"


def test_a_padding_token_in_a_text_is_read(encoder):
    rows = encoder.embed("text", [item(text, "text") for text in ("the<pad>the", "thethe")])
    assert rows[0] @ rows[1] < 0.9999


def test_no_items_give_no_rows(encoder):
    assert encoder.embed("audio", []).shape == (0, 512)
    assert encoder.forward("text", []).shape == (0, 512)


@pytest.mark.parametrize("value", [None, 3, "\ud800"])
def test_what_is_not_a_text_is_reported(encoder, value):
    with pytest.raises(MediaError) as caught:
        encoder.embed("text", [item(value, "text")])
    assert caught.value.fields["id"] == "one"


def test_another_modality_is_reported(encoder):
    with pytest.raises(DataError, match="does not embed image"):
        encoder.embed("image", [item(None, "image")])


# --- the same clip, always -----------------------------------------------------------

SCRIPT = """
import hashlib, socket, sys
import numpy as np, torch

def refuse(*args, **kwargs):
    raise SystemExit(f"reached for the network: {args}")

socket.socket.connect = socket.getaddrinfo = socket.create_connection = refuse
np.random.seed(99), torch.manual_seed(99), torch.set_num_threads(1)
from reactions.core.types import Item
from reactions.encoders.clap.laion import LaionClapAdapter
from pathlib import Path

adapter = LaionClapAdapter()
encoder = adapter.load(adapter.resolve("laion_clap:" + sys.argv[1]))
rows = encoder.embed("audio", [Item("x", "audio", Path(sys.argv[2]))])
encoder.embed("text", [Item("x", "text", "a dog")])
assert "laion_clap" not in sys.modules and "clap_module" not in sys.modules
print(hashlib.sha256(rows.tobytes()).hexdigest())
"""


@pytest.mark.parametrize("checkpoint", [True], ids=["fused"], indirect=True)
def test_another_process_gives_the_same_embedding_and_stays_off_the_network(
    checkpoint, encoder, tmp_path
):
    clip = wav(tmp_path / "long.wav", 900_000)
    digests = set()
    for seed in (1, 2):
        np.random.seed(seed)
        torch.manual_seed(seed)
        rows = encoder.embed("audio", [item(clip)])
        digests.add(hashlib.sha256(rows.tobytes()).hexdigest())
    online = {k: v for k, v in os.environ.items() if "OFFLINE" not in k}
    root = Path(laion.__file__).parents[3]
    process = subprocess.run(
        [sys.executable, "-c", SCRIPT, checkpoint.path, clip],
        cwd=root, env=online, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    assert {process.stdout.strip()} == digests


def test_loading_opens_no_socket(checkpoint, monkeypatch):
    reached = []
    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, lambda *args: reached.append(args))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: reached.append(args))
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    ADAPTER.load(spec_of(checkpoint.path)).embed("text", [item("a dog", "text")])
    assert not reached


# --- checkpoints that do not fit -----------------------------------------------------


def saved(checkpoint, tmp_path, change):
    """Save a changed checkpoint in a folder with its tokenizer; return its spec."""
    tensors = laion_tensors(checkpoint.model)
    change(tensors)
    tokenizer(tmp_path)
    torch.save({"state_dict": tensors}, tmp_path / "changed.pt")
    return spec_of(tmp_path / "changed.pt")


def test_names_that_do_not_matter_are_let_pass(checkpoint, encoder, tmp_path):
    def change(tensors):
        tensors["text_branch.embeddings.position_ids"] = torch.arange(80)[None]
        tensors["audio_branch.head.weight"] = torch.ones(5, 5)
        tensors["audio_branch.layers.0.blocks.1.attn_mask"] = torch.zeros(64, 64, 64)
        tensors["text_transform.sequential.0.weight"] = torch.zeros(512, 512)

    changed = ADAPTER.load(saved(checkpoint, tmp_path, change))
    texts = [item("the dog", "text")]
    np.testing.assert_array_equal(changed.embed("text", texts), encoder.embed("text", texts))


QKV = "audio_branch.layers.0.blocks.1.attn.qkv.weight"


def test_missing_extra_and_mis_shaped_weights_are_one_error(checkpoint, tmp_path):
    def change(tensors):
        del tensors["text_branch.pooler.dense.bias"]
        tensors["audio_branch.surprise"] = torch.ones(2)
        tensors[QKV] = tensors[QKV][:-1]

    with pytest.raises(DataError, match="do not fit") as caught:
        ADAPTER.load(saved(checkpoint, tmp_path, change))
    fields = caught.value.fields
    assert fields["missing"] == ["text_branch.pooler.dense.bias"]
    assert fields["unexpected"] == ["audio_branch.surprise"]
    assert fields["mismatched"] == [[QKV, "47, 16", "48, 16"]]
    for name in ("text_branch.pooler.dense.bias", "audio_branch.surprise", QKV):
        assert name in caught.value.why


@pytest.mark.parametrize(
    "needle", ["audio_branch.patch_embed.proj.weight", "text_branch.embeddings.word_embeddings"]
)
def test_other_towers_are_reported(checkpoint, tmp_path, needle):
    def change(tensors):
        for name in [name for name in tensors if name.startswith(needle)]:
            del tensors[name]

    with pytest.raises(DataError, match="HTSAT and RoBERTa") as caught:
        ADAPTER.load(saved(checkpoint, tmp_path, change))
    assert needle in caught.value.why


def test_another_spectrogram_is_reported(checkpoint, tmp_path):
    def change(tensors):
        filters = mel_filters(48_000, 1024, 64, 0.0, 14_000.0, "slaney")
        tensors["audio_branch.logmel_extractor.melW"] = torch.from_numpy(filters)

    with pytest.raises(DataError, match="another spectrogram"):
        ADAPTER.load(saved(checkpoint, tmp_path, change))


def test_a_pickle_with_code_is_refused(checkpoint, tmp_path):
    marker = tmp_path / "it-ran"

    class Attack:
        def __reduce__(self):
            return os.mkdir, (str(marker),)

    tokenizer(tmp_path)
    torch.save({"state_dict": laion_tensors(checkpoint.model), "x": Attack()}, tmp_path / "x.pt")
    with pytest.raises(DataError, match="refused to open"):
        ADAPTER.load(spec_of(tmp_path / "x.pt"))
    assert not marker.exists()


def test_safetensors_serve_as_well(checkpoint, encoder, tmp_path):
    tokenizer(tmp_path)
    tensors = {k: v.contiguous() for k, v in laion_tensors(checkpoint.model).items()}
    save_file(tensors, tmp_path / "toy.safetensors")
    sounds = [item(CLIPS["short"])]
    actual = ADAPTER.load(spec_of(tmp_path / "toy.safetensors")).embed("audio", sounds)
    np.testing.assert_array_equal(actual, encoder.embed("audio", sounds))


def test_the_file_may_change_after_loading(checkpoint, tmp_path):
    # It is mapped while it is read: what was loaded must not follow the file.
    spec = saved(checkpoint, tmp_path, lambda tensors: None)
    loaded = ADAPTER.load(spec)
    before = loaded.embed("text", [item("the", "text")])
    path = Path(spec.source)
    path.write_bytes(b"\0" * path.stat().st_size)
    np.testing.assert_array_equal(loaded.embed("text", [item("the", "text")]), before)


def test_the_description_must_fit(checkpoint):
    with pytest.raises(DataError, match="in 512 dimensions"):
        ADAPTER.load(spec_of(checkpoint.path, dim=768))
    with pytest.raises(DataError, match="changed"):
        ADAPTER.load(spec_of(checkpoint.path, weights_digest="0" * 64))


def test_another_tokenizer_is_reported(checkpoint, tmp_path):
    spec = saved(checkpoint, tmp_path, lambda tensors: None)
    (tmp_path / "vocab.json").write_text('{"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3}')
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    with pytest.raises(DataError, match="is not the one it was trained with"):
        ADAPTER.load(spec)


def test_a_missing_tokenizer_is_reported(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    spec = saved(checkpoint, tmp_path, lambda tensors: None)
    (tmp_path / "vocab.json").unlink()
    with pytest.raises(MissingError, match="no tokenizer"):
        ADAPTER.load(spec)


# --- describing ----------------------------------------------------------------------


def test_a_file_is_described_without_being_opened(tmp_path):
    path = tmp_path / "my clap.pt"
    path.write_bytes(b"anything")
    spec = ADAPTER.resolve(f"laion_clap:{path}")
    assert (spec.name, spec.dim, spec.adapter) == ("my clap", 512, "laion_clap")
    assert spec.modalities == ("audio", "text")
    assert spec.source == str(path)
    assert spec.weights_digest == hashlib.sha256(b"anything").hexdigest()
    assert set(dict(spec.preprocessing)) == set(dict(spec.flops_per_item)) == {"audio", "text"}
    assert ADAPTER.resolve(f"laion_clap:{path}", name="CLAP_g").name == "CLAP_g"


def test_published_files_go_by_name(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    file = laion.PUBLISHED["630k-fusion-best.pt"]
    uri = "laion_clap:630k-fusion-best.pt"
    with pytest.raises(MissingError) as caught:
        ADAPTER.resolve(uri, name="CLAP_g")
    assert uri in caught.value.fix
    path = tmp_path / "weights" / "clap_g" / file.filename
    path.parent.mkdir(parents=True)
    path.write_bytes(b"weights")
    locator = WeightLocator(folders=(tmp_path / "weights",), hub=tmp_path / "hub")
    spec = ADAPTER.resolve(uri, name="CLAP_g", locator=locator)
    assert spec.source == str(path)
    assert (spec.revision, spec.licence) == (file.revision, "CC0-1.0")
    files = [need.files if hasattr(need, "files") else need for need in ADAPTER.requirements(uri)]
    assert files == [file, ("vocab.json", "merges.txt")]


def test_a_published_name_with_other_bytes_is_reported(tmp_path):
    (file,) = [f for f in laion.PUBLISHED.values() if f.filename.endswith("89.98.pt")]
    path = tmp_path / file.filename
    path.write_bytes(b"not it")
    with pytest.raises(DataError, match="not the published ones"):
        ADAPTER.resolve(f"laion_clap:{path}", name="CLAP_m")


def test_an_override_is_not_second_guessed(tmp_path):
    path = tmp_path / "mine.pt"
    path.write_bytes(b"weights")
    locator = WeightLocator(overrides={"CLAP_g": path}, hub=tmp_path)
    assert ADAPTER.resolve("laion_clap:none.pt", name="CLAP_g", locator=locator).source == str(path)


def test_a_missing_file_says_what_may_be_named(tmp_path):
    with pytest.raises(MissingError) as caught:
        ADAPTER.resolve(f"laion_clap:{tmp_path / 'none.pt'}")
    assert "630k-fusion-best.pt" in caught.value.fix
    with pytest.raises(MissingError):
        ADAPTER.load(spec_of(tmp_path / "none.pt"))


def test_cuda_gives_the_same(cuda, encoder):
    sounds = [item(clip) for clip in CLIPS.values()]
    texts = [item(text, "text") for text in TEXTS]
    assert_same_on(cuda, encoder, {"audio": sounds, "text": texts})
