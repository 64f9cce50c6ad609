"""The ``README.md`` of an export: what it is, and how it is loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from reactions.core.printable import printable
from reactions.modalities.text import TEXT
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


_HEADS = (
    "Embeddings that the spaces' own models give go in, (n, d) float32 arrays whose row i is of "
    "the same item; (n, dim) unit-norm rows come out. The models themselves are not here."
)
_WHOLE = (
    "Items go in as the spaces' models take them, a tensor for each space whose row i is of the "
    "same item; (n, dim) unit-norm rows come out. The models are in the files. How the tensors are "
    "made of texts, pictures and sounds `config.json` says, input by input (`made_by`); tokenisers "
    "lie beside it."
)

_SENTENCE = """\
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("FOLDER")
rows = model.encode({example})
"""


def readme_of(config: Mapping[str, Any], target: Target) -> str:
    """Return the page of exported heads.

    Args:
        config: what ``config.json`` says.
        target: the product.
    """
    modalities = config["modalities"]
    lines = [
        *_head("A fused space" if config["encoders"] else "Heads of a fused space", config),
        _WHOLE if config["encoders"] else _HEADS,
        *_factors(config),
        *("", "| modality | file | takes, in this order |", "|---|---|---|"),
    ]
    for modality, about in modalities.items():
        takes = ", ".join(map(_taken, about["inputs"]))
        lines.append(f"| {modality} | {about['file']} | {takes} |")
    about = next(iter(modalities.values()))
    names = [entry["name"] for entry in about["inputs"]]
    if config["form"] == "torch":
        arguments = ", ".join(f"rows_{i}" for i in range(1, len(names) + 1))
        code = _TORCH.format(file=about["file"], arguments=arguments)
    else:
        arguments = ", ".join(f"{json.dumps(name)}: rows_{i}" for i, name in enumerate(names, 1))
        code = _ONNX.format(file=about["file"], arguments=arguments)
    return _page([*lines, *_left_out(config)], code, target)


def sentence_readme_of(config: Mapping[str, Any], target: Target, versions: str) -> str:
    """Return the page of a product written for sentence-transformers.

    Args:
        config: what ``molspace.json`` says.
        target: the product.
        versions: of the packages that it was checked with.
    """
    lines = [
        *_head("A fused space for sentence-transformers", config),
        f"It has modules of sentence-transformers alone, and was checked with {versions}. The "
        "model's weights are copies of its own.",
        *_factors(config),
        *("", "| modality | model |", "|---|---|"),
    ]
    for modality, about in config["modalities"].items():
        lines.append(f"| {modality} | {printable(about['space'])} |")
    example = '["a dog barking"]' if TEXT.name in config["modalities"] else "[picture]"
    return _page([*lines, *_left_out(config)], _SENTENCE.format(example=example), target)


def _taken(entry: Mapping[str, Any]) -> str:
    """Return what a file takes of one space, for people."""
    name = printable(entry["name"])
    if "takes" in entry:
        shape = " x ".join(map(str, entry["shape"]))
        return f"{name}: {entry['takes']} ({shape}, {entry['dtype']})"
    return f"{name} ({entry['dim']}{'' if entry['norm'] == 'any' else ', not rescaled'})"


def _head(title: str, config: Mapping[str, Any]) -> list[str]:
    return [
        *(f"# {title}", "", f"    {printable(config['expression'])}", ""),
        f"lab: {printable(config['lab'])}, {config['dim']} dimensions. Written by molspace, which "
        "is not needed to load it.",
        "",
    ]


def _factors(config: Mapping[str, Any]) -> list[str]:
    lines = ["", "These factors are fixed:", ""]
    for name, factors in config["factors"].items():
        shares = ", ".join(f"{modality} {value:g}" for modality, value in factors.items())
        lines.append(f"- {printable(name)}: {shares}")
    if config["experts"] is not None:
        lines.append(f"- experts: {printable(', '.join(config['experts']) or 'none')}")
    return lines


def _left_out(config: Mapping[str, Any]) -> list[str]:
    return [
        f"\n{modality} is left out: {printable(why)}"
        for modality, why in config["left_out"].items()
    ]


def _page(lines: list[str], code: str, target: Target) -> str:
    lines = [*lines, "", "```python", code.rstrip(), "```"]
    licences = target.bundle.record["spaces"] if target.bundle else ()
    if licences:
        lines += ["", "Licences of the spaces that it was trained on:", ""]
        lines += [
            f"- {printable(spec['name'])}: {printable(spec.get('licence') or 'not stated')}"
            for spec in licences
        ]
    return "\n".join(lines) + "\n"
