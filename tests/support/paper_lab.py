"""A lab of one's own with miniature checkpoints, corpora and evaluation sets as published."""

import io
import os
from pathlib import Path

import clap_toys
import command_line
import hf_tiny
import imagebind_toy
import numpy as np
import published_sets as published
import soundfile
import torch
from media_files import image_bytes, put, sound_bytes
from PIL import Image

EXPRESSION = "ImageBind + Dr(CLIP) | Cr(CLAP_g) & Cr(CLAP_own)"

LAB = """
[lab]
name = "tiny"
label = "tiny"
extends = "paper"

[reaction]
hidden_dim = 16
batch_size = 8
dr_epochs = 1
cr_epochs = 1
shard_rows = 5

[spaces.ImageBind]
uri = "imagebind:weights/imagebind_tiny.safetensors"

[spaces.CLIP]
uri = "hf:./weights/clip"

[spaces.CLAP_own]
uri = "laion_clap:weights/clap/cut.pt"

[corpora.text]
path = "$MOLSPACE_DATA/corpora/captions.txt"

[corpora.image]
path = "$MOLSPACE_DATA/corpora/images"
max_bad = 0.5

[corpora.audio]
path = "$MOLSPACE_DATA/corpora/sounds"
max_bad = 0.5
"""

BAD_IMAGES, BAD_SOUNDS = 3, 3


def build(root: Path) -> Path:
    """Write a whole machine's worth of files: lab, weights, corpora, evaluation sets."""
    put(root / "molspace.toml", LAB)
    weights(root / "weights")
    corpora(root / "data/corpora")
    for name in ("esc50", "audiocaps", "coco", "imagenet"):
        published.ALL[name](root / "data" / name)
    return root


def weights(root: Path) -> None:
    """Write a checkpoint in each format: ImageBind's, the hub's CLIP, and two of laion_clap."""
    root.mkdir(parents=True)
    imagebind_toy.write(root / "imagebind_tiny.safetensors")
    hf_tiny.save_clip(root / "clip")
    size = clap_toys.tokenizer(root / "clap")
    for name, fused in (("630k-fusion-best.pt", True), ("cut.pt", False)):
        model = clap_toys.clap_model(fused=fused, vocabulary=size, seed=int(fused))
        torch.save(clap_toys.laion_tensors(model), root / "clap" / name)


def corpora(root: Path) -> None:
    """Write twelve captions, and folders of media of every kind, some of them beyond use."""
    put(root / "captions.txt", "".join(f"a dog and {n} red things\n" for n in range(12)))
    for seed in range(8):
        put(root / f"images/{seed}.png", image_bytes(seed))
    put(root / "images/more/a.jpg", image_bytes(20, "JPEG"))
    put(root / "images/more/cmyk.jpg", _encoded(_picture(21).convert("CMYK"), "JPEG"))
    put(root / "images/more/grey16.png", _encoded(_picture(22).convert("I;16"), "PNG"))
    frames = [_picture(seed).convert("P") for seed in (23, 24)]
    put(
        root / "images/moving.gif",
        _encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]),
    )
    put(root / "images/empty.png", b"")
    put(root / "images/junk.jpg", b"junk" * 99)
    put(root / "images/cut.png", image_bytes(25, size=(40, 40))[:900])
    for seed, (rate_hz, form) in enumerate(
        [(8000, "WAV"), (11_025, "FLAC"), (22_050, "WAV"), (44_100, "FLAC"), (48_000, "WAV")] * 2
    ):
        put(root / f"sounds/{seed}.{form.lower()}", _sound(seed, rate_hz, form))
    put(root / "sounds/stereo.wav", sound_bytes(30, channels=2, n=9000))
    put(root / "sounds/one_sample.wav", sound_bytes(31, n=1))
    put(root / "sounds/silent.wav", _written(np.zeros(8000), 8000, "WAV"))
    put(root / "sounds/long.wav", _sound(32, 8000, "WAV", seconds=11))
    put(root / "sounds/empty.wav", b"")
    put(root / "sounds/junk.flac", b"junk" * 99)
    put(root / "sounds/cut.wav", sound_bytes(33)[:-400])


def _picture(seed: int) -> Image.Image:
    return Image.open(io.BytesIO(image_bytes(seed)))


def _encoded(picture: Image.Image, form: str, **options) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, form, **options)
    return stream.getvalue()


def _sound(seed: int, rate_hz: int, form: str, seconds: float = 0.5) -> bytes:
    return _written(
        np.random.default_rng(seed).uniform(-0.5, 0.5, int(rate_hz * seconds)), rate_hz, form
    )


def _written(samples, rate_hz: int, form: str) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate_hz, format=form)
    return stream.getvalue()


class Machine:
    """A folder, and the command line in it.

    Args:
        root: where the lab lies.
        home: where caches and bundles go.
    """

    def __init__(self, root: Path, home: Path) -> None:
        self.root = root
        self.cache = home / "cache"
        self.env = {
            **os.environ,
            "MOLSPACE_OFFLINE": "1",
            "MOLSPACE_CACHE": str(self.cache),
            "MOLSPACE_DATA": str(root / "data"),
            "XDG_CACHE_HOME": str(home / "xdg"),
            "XDG_DATA_HOME": str(home / "bundles"),
            "HF_HOME": str(home / "hf"),
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "200",
        }
        self.agree()
        self.given = ("--weights", f"CLAP_g={root / 'weights/clap/630k-fusion-best.pt'}")

    def agree(self) -> None:
        """Agree to the folder's lab file, as a user does once."""
        result = self("lab", "allow")
        assert result.returncode == 0, result.stderr

    def __call__(self, *arguments: str, stdin: str = "", **env: str):
        return command_line.molspace(
            *arguments, stdin=stdin, cwd=self.root, env={**self.env, **env}, timeout_s=300
        )

    def start(self, *arguments: str, **options: str) -> command_line.Started:
        """Begin a command; who calls waits for it."""
        return command_line.Started(*arguments, cwd=self.root, env=self.env, **options)
