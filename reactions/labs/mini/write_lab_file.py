"""A lab file for encoders that were trained again."""

from __future__ import annotations

from pathlib import Path

from reactions.labs.mini.spaces import space_sections
from reactions.labs.mini.training import read_record


def write_lab_file(folder: Path) -> Path:
    """Write ``molspace.toml``: the mini lab with a folder's own encoders.

    Spaces whose files are not all there stay those of the mini lab.

    Args:
        folder: what ``training.train`` wrote: weights and ``spaces.json``.

    Returns:
        The file's path.
    """
    record = read_record(folder / "spaces.json")
    trained = record["spaces"]
    seeds = {name: facts.get("seed", record["seed"]) for name, facts in trained.items()}
    lines = ["[lab]", 'name = "retrained"', 'extends = "mini"']
    lines += space_sections(
        trained, {name: f"{record['world']}, seed {seed}" for name, seed in seeds.items()}
    )
    if "ImageBind" in trained:
        lines += [
            "",
            "[pairs.scenes]",
            f"world = {trained['ImageBind']['scenes'][-1]}",
            'seen_by = "ImageBind"',
            f"training_seed = {seeds['ImageBind']}",
            "default = true",
        ]
    path = folder / "molspace.toml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
