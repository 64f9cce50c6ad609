"""Training the mini lab's four encoders from nothing, contrastively.

    python -m reactions.labs.mini.training --out DIR

writes one safetensors file a space and ``spaces.json`` with their digests and what the
training reached. Minutes on two CPU cores. The same seed gives the same weights on the
same machine; another machine's arithmetic may round differently, which is why the
weights are shipped.

ImageBind is bound as the real one is: images and texts first, then sounds to the frozen
images alone, so that its audio-text alignment is emergent and weak. InternVL is the
stronger image-text model. The two CLAPs are about equally strong, learned from different
recordings: CLAP_m mostly from music, CLAP_g mostly from everything else.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from reactions.core.hashing import file_digest
from reactions.labs.mini import pixels, waveforms
from reactions.labs.mini.sentences import Style, captions
from reactions.labs.mini.world import WORLD_VERSION, Scenes, SceneStream

if TYPE_CHECKING:
    from torch import Tensor

    from reactions.encoders.mini import Towers

EpochDone: TypeAlias = Callable[[str, int, int], None]
"""Called with a space's name, the epochs that are done and those it takes."""

_CAPTIONS = 4  # writers a scene


@dataclass(frozen=True, slots=True)
class Stage:
    """One contrastive training of two modalities.

    Attributes:
        left: a modality; frozen if it was trained before and ``freeze`` is set.
        right: the other one.
        scenes: training pairs.
        epochs: passes over them.
        styles: how the captions are written, one writer each in turn.
        freeze: train only ``right``.
        batch_size: pairs a step.
        learning_rate: peak, of a one-cycle schedule.
    """

    left: str
    right: str
    scenes: int
    epochs: int
    styles: tuple[Style, ...] = ()
    freeze: bool = False
    batch_size: int = 512
    learning_rate: float = 3e-3


@dataclass(frozen=True, slots=True)
class EncoderRecipe:
    """How one space is made.

    Attributes:
        dim: width of its embeddings.
        shape: sizes of its towers, as ``Towers`` takes them.
        musical_percent: share of musical kinds in its training data.
        stages: in order.
        temperature: of its contrastive loss.
    """

    dim: int
    shape: Mapping[str, tuple[int, ...]]
    musical_percent: int
    stages: tuple[Stage, ...]
    temperature: float = 0.05


_SEEN = Style("sight", omit_percent=25)
_HEARD = Style("sound", omit_percent=25)
_SEEN_BRIEFLY = Style("sight", omit_percent=65)
"""Brief captions often name the kind alone, as zero-shot prompts do."""

_SOUND_LIBRARY = Style("sound", omit_percent=25, neglects=("count", "pitch"))
_SOUND_LIBRARY_BRIEFLY = Style("sound", omit_percent=65, neglects=("count", "pitch"))
_MUSIC = Style("sound", omit_percent=25, neglects=("place", "tempo"))
_MUSIC_BRIEFLY = Style("sound", omit_percent=65, neglects=("place", "tempo"))
"""Who describes noises tells place and tempo, who describes music pitch and how many play."""

RECIPES: Mapping[str, EncoderRecipe] = {
    "ImageBind": EncoderRecipe(
        dim=128,
        shape={"audio": (32, 64, 128), "image": (32, 64, 128), "text": (48, 192)},
        musical_percent=50,
        stages=(
            Stage("image", "text", 24_000, 20, (_SEEN, _SEEN_BRIEFLY, _SEEN_BRIEFLY, _HEARD)),
            Stage("image", "audio", 24_000, 10, freeze=True),
        ),
    ),
    "InternVL": EncoderRecipe(
        dim=96,
        shape={"image": (40, 80, 160), "text": (48, 192)},
        musical_percent=50,
        stages=(Stage("image", "text", 28_000, 18, (_SEEN, _SEEN_BRIEFLY, _SEEN, _HEARD)),),
    ),
    "CLAP_g": EncoderRecipe(
        dim=64,
        shape={"audio": (32, 64, 128), "text": (48, 128)},
        musical_percent=12,
        stages=(
            Stage(
                "audio",
                "text",
                14_000,
                12,
                (_SOUND_LIBRARY, _SOUND_LIBRARY_BRIEFLY, _SOUND_LIBRARY_BRIEFLY, _HEARD),
            ),
        ),
    ),
    "CLAP_m": EncoderRecipe(
        dim=64,
        shape={"audio": (32, 64, 128), "text": (48, 128)},
        musical_percent=88,
        stages=(
            Stage("audio", "text", 14_000, 12, (_MUSIC, _MUSIC_BRIEFLY, _MUSIC_BRIEFLY, _HEARD)),
        ),
    ),
}


def train(
    out: Path,
    *,
    seed: int = 0,
    progress: EpochDone = lambda name, done, total: None,
    recipes: Mapping[str, EncoderRecipe] = RECIPES,
) -> Path:
    """Train the spaces and write their weights.

    Args:
        out: folder for ``NAME.safetensors`` and ``spaces.json``; made if missing.
        seed: of training scenes, initial weights and order.
        progress: called before the first epoch of each space and after each of them.
        recipes: what to train.

    Returns:
        ``out / "spaces.json"``: per space the digest, dim, modalities, FLOPs an item,
        recipe, seconds, final loss.
    """
    out.mkdir(parents=True, exist_ok=True)
    report: dict[str, object] = {}
    for name, recipe in recipes.items():
        started = time.monotonic()
        towers, losses = _train_space(name, recipe, seed, progress)
        path = out / f"{name}.safetensors"
        towers.save(path, name=name)
        report[name] = {
            "sha256": file_digest(path),
            "dim": recipe.dim,
            "modalities": list(towers.shape),
            "flops_per_item": flops_per_item(towers),
            "musical_percent": recipe.musical_percent,
            "scenes": [stage.scenes for stage in recipe.stages],
            "epochs": [stage.epochs for stage in recipe.stages],
            "final_loss_nats": [round(loss, 4) for loss in losses],
            "seconds": round(time.monotonic() - started, 1),
        }
    summary = out / "spaces.json"
    record = {"world": WORLD_VERSION, "seed": seed, "spaces": report}
    summary.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return summary


def training_stream(
    name: str, stage: int, seed: int, recipe: EncoderRecipe | None = None
) -> SceneStream:
    """Return the stream from whose start one stage of a space's training takes its scenes.

    Args:
        name: of the space.
        stage: number of the stage, from 0.
        seed: of the training.
        recipe: of the space; ours by default.
    """
    recipe = recipe or RECIPES[name]
    return SceneStream(f"train-{name}-{stage}", seed, recipe.musical_percent)


def _train_space(
    name: str, recipe: EncoderRecipe, seed: int, progress: EpochDone
) -> tuple[Towers, list[float]]:
    import torch

    from reactions.encoders.mini import Towers

    losses = []
    total = sum(stage.epochs for stage in recipe.stages)
    done = 0
    progress(name, 0, total)
    with torch.random.fork_rng(devices=[]):
        # Not hash(name), which Python salts anew in every process.
        torch.manual_seed(seed * 1000 + sum(name.encode()))
        towers = Towers(recipe.dim, recipe.shape)
        towers.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in stubs
        for number, stage in enumerate(recipe.stages):
            scenes = training_stream(name, number, seed, recipe).scenes(0, stage.scenes)

            # The default binds ``done`` as it is now; the loop changes it.
            def step(epoch: int, done: int = done) -> None:
                progress(name, done + epoch, total)

            losses.append(_train_stage(towers, recipe, stage, scenes, step))
            done += stage.epochs
    return towers.eval(), losses


def _train_stage(
    towers: Towers,
    recipe: EncoderRecipe,
    stage: Stage,
    scenes: Scenes,
    progress: Callable[[int], None],
) -> float:
    """Train two towers; returns the mean loss of the last epoch in nats."""
    import torch

    data = {side: _features(side, scenes, stage.styles) for side in (stage.left, stage.right)}
    trained = [stage.right] if stage.freeze else [stage.left, stage.right]
    frozen = None
    if stage.freeze:
        towers.eval()
        with torch.inference_mode():
            parts = torch.split(data[stage.left][0], stage.batch_size)
            frozen = torch.cat([towers(stage.left, part) for part in parts]).clone()
    for side in trained:
        towers.towers[side].train()
    parameters = [p for side in trained for p in towers.towers[side].parameters()]
    n = len(scenes)
    batch_size = min(stage.batch_size, n)
    steps = n // batch_size
    optimiser = torch.optim.AdamW(parameters, lr=stage.learning_rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, stage.learning_rate, total_steps=steps * stage.epochs, pct_start=0.2
    )
    mean_loss = math.nan
    for epoch in range(stage.epochs):
        order = torch.randperm(n)
        losses = []
        # Whole batches only: a small one has fewer negatives, and the schedule counts steps.
        for batch in torch.split(order[: steps * batch_size], batch_size):
            if frozen is None:
                left = towers(stage.left, _pick(data[stage.left], batch))
            else:
                left = frozen[batch]
            right = towers(stage.right, _pick(data[stage.right], batch))
            loss = _contrast(left, right, recipe.temperature)
            optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            optimiser.step()
            schedule.step()
            losses.append(float(loss.detach()))
        mean_loss = float(np.mean(losses))
        progress(epoch + 1)
    towers.eval()
    return mean_loss


def _contrast(left: Tensor, right: Tensor, temperature: float) -> Tensor:
    """Return symmetric InfoNCE of matched rows, () nats."""
    from reactions.ops.losses import info_nce

    return info_nce(left, right, temperature=temperature)


def _pick(views: Tensor, batch: Tensor) -> Tensor:
    """Choose one view (one writer's caption) of each scene: (views, n, ...) to (batch, ...)."""
    import torch

    return views[torch.randint(len(views), batch.shape), batch]


def _features(modality: str, scenes: Scenes, styles: Sequence[Style]) -> Tensor:
    """Render and preprocess scenes: (views, n, ...) features."""
    import torch

    from reactions.encoders import mini

    if modality == "image":
        return mini.image_features(pixels.images(scenes))[None]
    if modality == "audio":
        sound = torch.from_numpy(waveforms.sounds(scenes))
        parts = [mini.audio_features(part.float() / 32768) for part in torch.split(sound, 256)]
        return torch.cat(parts)[None]
    texts = [
        captions(scenes, styles[writer % len(styles)], variant=1000 + writer)
        for writer in range(_CAPTIONS)
    ]
    return torch.stack([mini.text_features(text) for text in texts])


def flops_per_item(towers: Towers) -> dict[str, float]:
    """Return floating-point operations to embed one item, by modality, from tensor shapes."""
    from torch import nn

    out = {}
    for modality, tower in towers.towers.items():
        # Pixels, or 32 mel bands by 33 frames.
        height, width = (32, 32) if modality == "image" else (32, 33)
        flops = 0.0
        for module in tower.modules():
            if isinstance(module, nn.Conv2d):
                height = math.ceil(height / module.stride[0])
                width = math.ceil(width / module.stride[1])
                flops += 2.0 * module.weight.numel() * height * width
            elif isinstance(module, nn.Linear):
                flops += 2.0 * module.weight.numel()
        out[modality] = flops
    return out


def _print(name: str, done: int, total: int) -> None:
    print(f"{name}: epoch {done} of {total}", flush=True)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the training from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True, help="folder for the weights")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    print(train(arguments.out, seed=arguments.seed, progress=_print))


if __name__ == "__main__":
    main()
