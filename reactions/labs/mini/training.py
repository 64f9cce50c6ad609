"""Training the mini lab's encoders from nothing, contrastively.

    python -m reactions.labs.mini.training --out DIR

writes a safetensors file for each recipe (``recipes.py``) and ``spaces.json`` with their digests
and what the training reached. Minutes on two CPU cores. The same seed gives the same weights on
the same machine; another machine's arithmetic may round differently, which is why the weights are
shipped.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from reactions.core.errors import DataError
from reactions.core.hashing import file_digest
from reactions.labs.mini.recipes import (
    RECIPES,
    EncoderRecipe,
    Stage,
    chosen_recipes,
    training_stream,
)
from reactions.labs.mini.training_inputs import features, flops_per_item
from reactions.labs.mini.world import WORLD_VERSION, Scenes

if TYPE_CHECKING:
    from torch import Tensor

    from reactions.encoders.mini import Towers

EpochDone: TypeAlias = Callable[[str, int, int], None]
"""Called with a space's name, the epochs that are done and those it takes."""


def train(
    out: Path,
    *,
    seed: int = 0,
    progress: EpochDone = lambda name, done, total: None,
    recipes: Mapping[str, EncoderRecipe] = RECIPES,
) -> Path:
    """Train encoders and write their weights.

    What others are bound to (``EncoderRecipe.base``) comes from the folder, if it is trained or
    lies there already; else that of the mini lab is copied there, since a space's towers lie side
    by side.

    Args:
        out: folder for ``NAME.safetensors`` and ``spaces.json``; made if missing. Other encoders
            that lie there stay, and so do their entries.
        seed: of training scenes, initial weights and order.
        progress: called before the first epoch of each encoder and after each of them.
        recipes: what to train, in order.

    Returns:
        ``out / "spaces.json"``: for each encoder the digest, dim, modalities, FLOPs an item,
        recipe, seconds, final loss.

    Raises:
        DataError: the folder's ``spaces.json`` is not one, or of another world; or what would be
            trained has towers in the folder that are bound to it as it is.
    """
    out.mkdir(parents=True, exist_ok=True)
    summary = out / "spaces.json"
    report = read_record(summary)["spaces"] if summary.exists() else {}
    _check_bound(out, report, recipes)
    for name, recipe in recipes.items():
        base = _base(recipe.base, out, report) if recipe.base else None
        started = time.monotonic()
        towers, losses = _train_space(name, recipe, seed, base, progress)
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
        if recipe.base:
            report[name] |= {"bound_to": report[recipe.base]["sha256"], "seed": seed}
        # At once, so that what is done is on record if training is stopped.
        record = {"world": WORLD_VERSION, "seed": seed, "spaces": report}
        summary.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return summary


def read_record(path: Path) -> dict[str, Any]:
    """Read a ``spaces.json``.

    Raises:
        DataError: it is not one, or of another world.
    """
    why = ""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["world"] == WORLD_VERSION and isinstance(record["spaces"], dict):
            return {**record, "spaces": dict(record["spaces"])}
        why = f"it is of the world {record['world']!r}, not {WORLD_VERSION!r}"
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = str(error)
    raise DataError(
        f"cannot read what was trained before: {path}",
        why=why,
        fix="train into another folder: --out DIR",
        path=str(path),
    )


def _check_bound(
    out: Path, report: Mapping[str, Any], recipes: Mapping[str, EncoderRecipe]
) -> None:
    for name in report:
        base = RECIPES[name].base if name in RECIPES else ""
        if base in recipes and name not in recipes:
            raise DataError(
                f"'{name}' in {out} is bound to the images of the {base} there",
                why=f"{base} is to be trained again, and {name} is not",
                fix=f"--spaces {','.join([*recipes, name])}, or another folder: --out DIR",
                path=str(out),
            )


def _base(name: str, out: Path, report: dict[str, Any]) -> Towers:
    """Return the encoder that others are bound to, copied to the folder if it is not there."""
    from reactions.encoders.mini import SHIPPED, Towers

    path = out / f"{name}.safetensors"
    if name not in report or not path.is_file():
        shutil.copyfile(SHIPPED / path.name, path)
        shipped = read_record(SHIPPED / "spaces.json")
        report[name] = {**shipped["spaces"][name], "seed": shipped["seed"]}
    return Towers.open(path)


def _train_space(
    name: str, recipe: EncoderRecipe, seed: int, base: Towers | None, progress: EpochDone
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

            losses.append(_train_stage(towers, recipe, stage, scenes, step, base))
            done += stage.epochs
    return towers.eval(), losses


def _train_stage(
    towers: Towers,
    recipe: EncoderRecipe,
    stage: Stage,
    scenes: Scenes,
    progress: Callable[[int], None],
    base: Towers | None = None,
) -> float:
    """Train two towers, or one to a frozen one, which may be another encoder's.

    Returns:
        The mean loss of the last epoch in nats.
    """
    import torch

    data = {side: features(side, scenes, stage.styles) for side in (stage.left, stage.right)}
    trained = [stage.right] if stage.freeze else [stage.left, stage.right]
    frozen = None
    if stage.freeze:
        target = base or towers
        target.eval()
        with torch.inference_mode():
            parts = torch.split(data[stage.left][0], stage.batch_size)
            frozen = torch.cat([target(stage.left, part) for part in parts]).clone()
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


def _print(name: str, done: int, total: int) -> None:
    print(f"{name}: epoch {done} of {total}", flush=True)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the training from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True, help="folder for the weights")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--spaces", default="", help="names of recipes, with commas between them")
    arguments = parser.parse_args(argv)
    recipes = chosen_recipes(arguments.spaces)
    print(train(arguments.out, seed=arguments.seed, progress=_print, recipes=recipes))


if __name__ == "__main__":
    main()
