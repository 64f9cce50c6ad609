"""Projectors that nobody trained, with statistics as if somebody had."""

import torch

from reactions.ops.projector import Projector
from reactions.products.parts import ProjectorMixture
from reactions.products.tree import mixtures


def head(d_in, d_out, seed):
    """An untrained projector whose outputs differ much in length before they are scaled."""
    projector = Projector(d_in, d_out, 10, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in (projector.layers[1], projector.layers[4]):
            layer.running_mean.uniform_(-0.3, 0.3, generator=generator)
            layer.running_var.uniform_(0.2, 3, generator=generator)
            layer.weight.uniform_(0.2, 3, generator=generator)
            layer.bias.uniform_(-0.5, 0.5, generator=generator)
    return projector.eval()


def make_heads(space, count=3):
    """A mixture of untrained projectors for every expert of a product."""
    heads = {}
    for index, (fusion, i) in enumerate(mixtures(space)):
        ends = (fusion.base.dim, fusion.experts[i].space.dim)
        d_in, d_out = ends if fusion.op == "dr" else ends[::-1]
        heads[fusion, i] = ProjectorMixture(head(d_in, d_out, 10 * index + k) for k in range(count))
    return heads
