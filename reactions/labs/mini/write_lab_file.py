"""A lab file for encoders that were trained again."""

from __future__ import annotations

import json
from pathlib import Path


def write_lab_file(folder: Path) -> Path:
    """Write ``molspace.toml``: the mini lab with a folder's own encoders.

    Args:
        folder: what ``training.train`` wrote: weights and ``spaces.json``.

    Returns:
        The file's path.
    """
    from reactions.encoders.mini import PREPROCESSING

    record = json.loads((folder / "spaces.json").read_text(encoding="utf-8"))
    lines = ["[lab]", 'name = "retrained"', 'extends = "mini"']
    for name, facts in record["spaces"].items():
        tags = ", ".join(f'{m} = "{PREPROCESSING[m]}"' for m in facts["modalities"])
        flops = ", ".join(f"{m} = {float(f)}" for m, f in facts["flops_per_item"].items())
        lines += [
            "",
            f"[spaces.{name}]",
            'adapter = "mini"',
            f'source = "{name}.safetensors"',
            f"dim = {facts['dim']}",
            f"modalities = {json.dumps(facts['modalities'])}",
            f'revision = "{record["world"]}, seed {record["seed"]}"',
            'licence = "Apache-2.0"',
            f'digest = "{facts["sha256"]}"',
            'lab = "mini"',
            f"preprocessing = {{ {tags} }}",
            f"flops = {{ {flops} }}",
        ]
        if name == "ImageBind":  # all else was bound to its images
            lines.append('hub = "image"')
    if "ImageBind" in record["spaces"]:
        lines += [
            "",
            "[pairs.scenes]",
            f"world = {record['spaces']['ImageBind']['scenes'][-1]}",
            'seen_by = "ImageBind"',
            f"training_seed = {record['seed']}",
            "default = true",
        ]
    path = folder / "molspace.toml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
