"""PointBind's encoders of point clouds, in plain torch: I2P-MAE and PointBERT.

Parameters carry the names of the published checkpoints, less the prefix ``point_encoder.``. Only
what inference needs is here: the published code drops paths and trains, and needs CUDA kernels.

Sources: Guo et al., Point-Bind & Point-LLM (2023); Zhang et al., Learning 3D Representations from
2D Pre-trained Models via Image-to-Point Masked Autoencoders (CVPR 2023); Yu et al., Point-BERT
(CVPR 2022).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from reactions.ops.points import farthest_points, group, knn

HEADS = 6
_MLP_RATIO = 4


@dataclass(frozen=True, slots=True)
class Scale:
    """How a cloud becomes tokens at one of the scales of I2P-MAE.

    Attributes:
        groups: tokens: points as far apart as possible.
        neighbours: points, or tokens of the scale before, that make one token.
        width: of a token.
        radius: tokens attend to those nearer than this.
        depth: blocks.
    """

    groups: int
    neighbours: int
    width: int
    radius: float
    depth: int = 5


I2P_MAE = (Scale(512, 48, 96, 0.24), Scale(256, 24, 192, 0.48), Scale(64, 24, 384, 0.96))
"""The one published size."""

POINTBERT_GROUPS, POINTBERT_NEIGHBOURS, POINTBERT_DEPTH = 512, 32, 12
POINTBERT_WIDTH, POINTBERT_TOKEN = 384, 256


class I2PMAE(nn.Module):
    """Three scales of tokens, each merged from the one before; mean and maximum of the last.

    Args:
        scales: sizes, the finest first.
    """

    def __init__(self, scales: tuple[Scale, ...] = I2P_MAE) -> None:
        super().__init__()
        self.scales = scales
        self.h_encoder = _Hierarchy(scales)
        self.norm = nn.LayerNorm(scales[-1].width)

    @property
    def width(self) -> int:
        """Of what comes out."""
        return self.scales[-1].width

    def forward(self, xyz: Tensor) -> Tensor:
        """Encode (n, points, 3) clouds in the unit sphere to (n, width)."""
        tokens = self.norm(self.h_encoder(xyz))
        pooled: Tensor = tokens.mean(dim=1) + tokens.amax(dim=1)
        return pooled


class _Hierarchy(nn.Module):
    def __init__(self, scales: tuple[Scale, ...]) -> None:
        super().__init__()
        self.scales = scales
        widths = [3, *(scale.width for scale in scales)]
        self.token_embed = nn.ModuleList(
            _FirstGroups(scale.width) if i == 0 else _Groups(widths[i], scale.width)
            for i, scale in enumerate(scales)
        )
        self.encoder_pos_embeds = nn.ModuleList(_position(s.width, s.width) for s in scales)
        self.encoder_blocks = nn.ModuleList(_Blocks(s.width, s.depth) for s in scales)

    def forward(self, xyz: Tensor) -> Tensor:
        """Turn (n, points, 3) into the (n, groups, width) tokens of the last scale."""
        tokens: Tensor | None = None
        for scale, embed, position, blocks in zip(
            self.scales,
            self.token_embed,
            self.encoder_pos_embeds,
            self.encoder_blocks,
            strict=True,
        ):
            centres, rows = _centres(xyz, scale.groups, scale.neighbours)
            if tokens is None:
                tokens = embed(group(xyz, rows) - centres[:, :, None])
            else:
                tokens = embed(group(tokens, rows))
            is_near = _distances(centres) < scale.radius
            tokens = blocks(tokens, position(centres), is_near)
            xyz = centres
        assert tokens is not None
        return tokens


class PointBERT(nn.Module):
    """One scale of tokens and a class token; the class token beside the maximum of the others.

    Args:
        depth: blocks.
        groups: tokens.
        neighbours: points of a token.
    """

    def __init__(
        self,
        depth: int = POINTBERT_DEPTH,
        groups: int = POINTBERT_GROUPS,
        neighbours: int = POINTBERT_NEIGHBOURS,
    ) -> None:
        super().__init__()
        self.groups, self.neighbours = groups, neighbours
        self.encoder = _FirstGroups(POINTBERT_TOKEN)
        self.reduce_dim = nn.Linear(POINTBERT_TOKEN, POINTBERT_WIDTH)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, POINTBERT_WIDTH))
        self.cls_pos = nn.Parameter(torch.zeros(1, 1, POINTBERT_WIDTH))
        self.pos_embed = _position(128, POINTBERT_WIDTH)
        self.blocks = _Blocks(POINTBERT_WIDTH, depth)
        self.norm = nn.LayerNorm(POINTBERT_WIDTH)

    @property
    def width(self) -> int:
        """Of what comes out."""
        return 2 * POINTBERT_WIDTH

    def forward(self, xyz: Tensor) -> Tensor:
        """Encode (n, points, 3) clouds in the unit sphere to (n, width)."""
        centres, rows = _centres(xyz, self.groups, self.neighbours)
        tokens = self.reduce_dim(self.encoder(group(xyz, rows) - centres[:, :, None]))
        n = len(xyz)
        tokens = torch.cat([self.cls_token.expand(n, -1, -1), tokens], dim=1)
        positions = torch.cat([self.cls_pos.expand(n, -1, -1), self.pos_embed(centres)], dim=1)
        tokens = self.norm(self.blocks(tokens, positions, None))
        return torch.cat([tokens[:, 0], tokens[:, 1:].amax(dim=1)], dim=1)


# --- parts ---------------------------------------------------------------------------


def _centres(xyz: Tensor, groups: int, neighbours: int) -> tuple[Tensor, Tensor]:
    """Return (n, groups, 3) points far apart, and (n, groups, neighbours) rows of ``xyz``."""
    # As the kernel that the weights were trained with chooses them.
    centres = group(xyz, farthest_points(xyz, groups, skip_small=True))
    return centres, knn(centres, xyz, neighbours)


def _distances(xyz: Tensor) -> Tensor:
    """Return the (n, m, m) distances between the points of each cloud."""
    apart: Tensor = (xyz[:, :, None] - xyz[:, None]).norm(dim=-1)
    return apart


def _position(hidden: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, hidden), nn.GELU(), nn.Linear(hidden, width))


class _Groups(nn.Module):
    """A mini-PointNet: a group of vectors to one, whatever their order.

    Args:
        before: width of the vectors.
        width: of the result.
    """

    def __init__(self, before: int, width: int) -> None:
        super().__init__()
        self.first_conv = _layers(before, before, before)
        self.second_conv = _layers(2 * before, width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Turn (n, groups, members, before) into (n, groups, width)."""
        vectors = x.flatten(0, 1).transpose(1, 2)  # (n * groups, before, members)
        vectors = self.first_conv(vectors)
        whole = vectors.amax(dim=2, keepdim=True).expand(-1, -1, vectors.shape[2])
        vectors = self.second_conv(torch.cat([whole, vectors], dim=1))
        merged: Tensor = vectors.amax(dim=2).view(x.shape[0], x.shape[1], -1)
        return merged


class _FirstGroups(_Groups):
    """The same for points; its widths inside are fixed."""

    def __init__(self, width: int) -> None:
        super().__init__(3, width)
        self.first_conv = _layers(3, 128, 256)
        self.second_conv = _layers(512, 512, width)


def _layers(before: int, hidden: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(before, hidden, 1), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Conv1d(hidden, after, 1)
    )


class _Blocks(nn.Module):
    """Pre-norm transformer blocks; positions are added before each."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(_Block(width) for _ in range(depth))

    def forward(self, x: Tensor, positions: Tensor, is_near: Tensor | None) -> Tensor:
        """Turn (n, tokens, width) into the same shape.

        Args:
            x: tokens.
            positions: of the same shape.
            is_near: (n, tokens, tokens), which tokens attend to which; None for all.
        """
        for block in self.blocks:
            x = block(x + positions, is_near)
        return x


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn = _Attention(width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = _Mlp(width)

    def forward(self, x: Tensor, is_near: Tensor | None) -> Tensor:
        x = x + self.attn(self.norm1(x), is_near)
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class _Mlp(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, _MLP_RATIO * width)
        self.fc2 = nn.Linear(_MLP_RATIO * width, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(functional.gelu(self.fc1(x)))
        return out


class _Attention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, is_near: Tensor | None) -> Tensor:
        n, tokens, width = x.shape
        # (n, tokens, 3 * width) -> three of (n, heads, tokens, width of a head)
        q, k, v = self.qkv(x).view(n, tokens, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        # Each token is within its own radius, so that none is left without one to attend to.
        mask = None if is_near is None else is_near[:, None]
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        out: Tensor = self.proj(mixed.transpose(1, 2).reshape(n, tokens, width))
        return out
