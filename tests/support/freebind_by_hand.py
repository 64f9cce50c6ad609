"""The arithmetic of FreeBind's published code, restated in numpy, in double precision."""

import numpy as np
import torch
from published_heads import SUBSETS


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def head(state, x):
    """A projector by its published state: unit-norm rows."""
    s = {name.partition("Head2.mlps.")[2]: value.double().numpy() for name, value in state.items()}
    y = x
    for layer, norm in (("0", "1"), ("3", "4")):
        y = y @ s[f"{layer}.weight"].T + s[f"{layer}.bias"]
        scale = s[f"{norm}.weight"] / np.sqrt(s[f"{norm}.running_var"] + 1e-5)
        y = (y - s[f"{norm}.running_mean"]) * scale + s[f"{norm}.bias"]
        if layer == "0":
            y = np.maximum(y, 0)
    return unit(y)


def projected(published, part, x):
    """The unit-norm outputs of a folder's seven projectors: (7, n, d)."""
    paths = [published / part / subset / "best.pt" for subset in SUBSETS]
    return np.stack([head(torch.load(path, weights_only=True), x) for path in paths])


def tuned(state, x):
    """The unit-norm outputs of the seven projectors in the tuned encoder's file."""
    prefixes = [f"ib_head.projectors.{number}." for number in range(len(SUBSETS))]
    heads = [{k: v for k, v in state.items() if k.startswith(prefix)} for prefix in prefixes]
    return np.stack([head(branch_rows, x) for branch_rows in heads])


def fused(factor, x, *mixtures):
    """One stage: all projectors averaged at once, that mean rescaled, then weighted."""
    mean = unit(np.concatenate(mixtures).mean(axis=0))
    return unit(factor * mean + (1 - factor) * x)
