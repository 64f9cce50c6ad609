"""The ``README.md`` of an export: what it is, and how it is loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from reactions.core.printable import printable
from reactions.products.target import Target

_TORCH = """\
import torch

program = torch.export.load("{file}").module()
rows = program({arguments})
"""

_ONNX = """\
import onnxruntime

session = onnxruntime.InferenceSession("{file}")
(rows,) = session.run(None, {{{arguments}}})
"""


def readme_of(config: Mapping[str, Any], target: Target) -> str:
    """Return the page.

    Args:
        config: what ``config.json`` says.
        target: the product.
    """
    modalities = config["modalities"]
    lines = [
        "# Heads of a fused space",
        "",
        f"    {printable(config['expression'])}",
        "",
        f"lab: {printable(config['lab'])}, {config['dim']} dimensions. Written by molspace, which "
        "is not needed to load it.",
        "",
        "Embeddings that the spaces' own models give go in, (n, d) float32 arrays whose row i is "
        "of the same item; (n, dim) unit-norm rows come out. The models themselves are not here. "
        "These factors are fixed:",
        "",
    ]
    for name, factors in config["factors"].items():
        shares = ", ".join(f"{modality} {value:g}" for modality, value in factors.items())
        lines.append(f"- {printable(name)}: {shares}")
    if config["experts"] is not None:
        lines.append(f"- experts: {printable(', '.join(config['experts']) or 'none')}")
    lines += ["", "| modality | file | takes, in this order |", "|---|---|---|"]
    for modality, about in modalities.items():
        takes = ", ".join(
            f"{printable(given['name'])} ({given['dim']}"
            + ("" if given["norm"] == "any" else ", not rescaled")
            + ")"
            for given in about["inputs"]
        )
        lines.append(f"| {modality} | {about['file']} | {takes} |")
    lines += [
        f"\n{modality} is left out: {printable(why)}"
        for modality, why in config["left_out"].items()
    ]
    about = next(iter(modalities.values()))
    names = [given["name"] for given in about["inputs"]]
    if config["form"] == "torch":
        arguments = ", ".join(f"rows_{i}" for i in range(1, len(names) + 1))
        code = _TORCH.format(file=about["file"], arguments=arguments)
    else:
        arguments = ", ".join(f"{json.dumps(name)}: rows_{i}" for i, name in enumerate(names, 1))
        code = _ONNX.format(file=about["file"], arguments=arguments)
    lines += ["", "```python", code.rstrip(), "```"]
    licences = target.bundle.record["spaces"] if target.bundle else ()
    if licences:
        lines += ["", "Licences of the spaces that it was trained on:", ""]
        lines += [
            f"- {printable(spec['name'])}: {printable(spec.get('licence') or 'not stated')}"
            for spec in licences
        ]
    return "\n".join(lines) + "\n"
