"""ImageBind's networks: one transformer a modality, all ending in the same space.

Parameters carry the names of the published checkpoint (``modality_trunks.vision.blocks.0...``),
so that it loads as it is. Only what inference needs is here.

Source: Girdhar et al., ImageBind: One Embedding Space To Bind Them All, CVPR 2023.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from reactions.core.types import Modality
from reactions.encoders.imagebind.sizes import (
    CHANNELS,
    FORMS,
    HUGE,
    IMU_KERNEL,
    PUBLISHED,
    SAMPLES,
    Form,
    ImageBindSizes,
    TowerSize,
)
from reactions.encoders.preprocessing.clip_bpe import CONTEXT, VOCABULARY

_EPSILON = 1e-6
_MAX_SCALE = 100.0


class ImageBind(nn.Module):
    """The towers of some modalities.

    Args:
        sizes: of the model.
        modalities: the towers to build; all of ``sizes`` by default.
    """

    def __init__(self, sizes: ImageBindSizes = HUGE, modalities: tuple[Modality, ...] = ()) -> None:
        super().__init__()
        self.sizes = sizes
        built = {m: sizes.towers[m] for m in modalities or sizes.towers}
        self.modality_preprocessors = nn.ModuleDict(
            {PUBLISHED[m]: _stem(m, size.width) for m, size in built.items()}
        )
        self.modality_trunks = nn.ModuleDict(
            {PUBLISHED[m]: _Trunk(m, size) for m, size in built.items()}
        )
        self.modality_heads = nn.ModuleDict(
            {PUBLISHED[m]: _head(m, size.width, sizes.dim) for m, size in built.items()}
        )
        self.modality_postprocessors = nn.ModuleDict(
            {
                PUBLISHED[m]: nn.Sequential(_Normalise(), *([] if m == "image" else [_Factor()]))
                for m in built
            }
        )

    def forward(self, modality: Modality, inputs: Tensor) -> Tensor:
        """Embed a batch of one modality.

        Args:
            modality: one of those built.
            inputs: (n, 3, 224, 224) for images, (n, 3, 2, 224, 224) for two frames of a video;
                (n, 1, 224, 224) for depth and thermal; (n, 1, 128, 204) for a clip of sound;
                (n, 6, 2000) for imu; (n, tokens) ids for text, padded with 0.

        Returns:
            (n, dim) float32, rows of the norm that the checkpoint gives the modality.
        """
        name = PUBLISHED[modality]
        tokens = self.modality_preprocessors[name](inputs)
        tokens = self.modality_trunks[name](tokens)
        if modality == "text":
            # Read where the text ends: at the highest id.
            pooled = tokens[torch.arange(len(tokens), device=tokens.device), inputs.argmax(dim=1)]
        else:
            pooled = tokens[:, 0]
        # Half precision ends here: what remains is a norm and a factor.
        projected = self.modality_heads[name](pooled).float()
        out: Tensor = self.modality_postprocessors[name](projected)
        return out


def _stem(modality: Modality, width: int) -> nn.Module:
    if modality == "text":
        return _Words(width)
    if modality == "imu":
        return _Readings(width)
    return _Patches(FORMS[modality], width, stem="depth_stem" if modality == "depth" else "")


class _Patches(nn.Module):
    """Patches of a picture or spectrogram, after a class token, with learnt positions.

    Args:
        form: of the input.
        width: of the tokens.
        stem: what the checkpoint calls the patches' module, if not ``"rgbt_stem"``.
    """

    def __init__(self, form: Form, width: int, *, stem: str = "") -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embedding_helper = _Positions(1 + form.patches, width)
        self._stem_name = stem or "rgbt_stem"
        self.add_module(self._stem_name, _Film(form, width) if form.frames else _Still(form, width))

    def forward(self, x: Tensor) -> Tensor:
        """Turn (n, channels, h, w) or (n, channels, frames, h, w) into (n, 1 + patches, width)."""
        patches = self.get_submodule(self._stem_name)(x)
        tokens = torch.cat([self.cls_token.expand(len(x), -1, -1), patches], dim=1)
        return tokens + self.pos_embedding_helper.pos_embed


class _Positions(nn.Module):
    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.pos_embed = nn.Parameter(torch.zeros(1, tokens, width))


class _Still(nn.Module):
    def __init__(self, form: Form, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(form.channels, width, form.kernel, form.stride, bias=False)
        # With torch's own epsilon, as published; all other norms have _EPSILON.
        self.norm_layer = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        # (n, width, rows, columns) -> (n, patches, width)
        out: Tensor = self.norm_layer(self.proj(x).flatten(2).transpose(1, 2))
        return out


class _Film(nn.Module):
    def __init__(self, form: Form, width: int) -> None:
        super().__init__()
        kernel = (form.frames, form.kernel, form.kernel)
        film = nn.Conv3d(form.channels, width, kernel, bias=False)
        self.proj = nn.Sequential(nn.Identity(), film)

    def forward(self, x: Tensor) -> Tensor:
        weight = cast(Tensor, self.proj[1].weight)
        if x.ndim == 5:
            patches = functional.conv3d(x, weight, stride=weight.shape[2:])
        else:
            # A still picture stands for equal frames: their weights add up, which saves half the
            # work.
            patches = functional.conv2d(x, weight.sum(dim=2), stride=weight.shape[-1])
        return patches.flatten(2).transpose(1, 2)


class _Readings(nn.Module):
    """Tokens of a few readings of all channels, after a class token, with learnt positions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + SAMPLES // IMU_KERNEL, width))
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.imu_stem = _Spans(width)

    def forward(self, x: Tensor) -> Tensor:
        """Turn (n, 6, 2000) into (n, 251, width)."""
        # (n, channels, tokens, samples of a token) -> (n, tokens, channels * samples of a token)
        parts = x.unfold(2, IMU_KERNEL, IMU_KERNEL).transpose(1, 2).flatten(2)
        tokens = torch.cat([self.cls_token.expand(len(x), -1, -1), self.imu_stem(parts)], dim=1)
        return tokens + self.pos_embed


class _Spans(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Linear(CHANNELS * IMU_KERNEL, width, bias=False)
        self.norm_layer = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm_layer(self.proj(x))
        return out


class _Words(nn.Module):
    """Token and position embeddings of texts."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(VOCABULARY, width)
        self.pos_embed = nn.Parameter(torch.zeros(1, CONTEXT, width))
        # The checkpoint stores the causal mask; attention makes its own.
        self.register_buffer("mask", torch.full((CONTEXT, CONTEXT), -torch.inf).triu(1))

    def forward(self, ids: Tensor) -> Tensor:
        """Turn (n, tokens) ids into (n, tokens, width)."""
        out: Tensor = self.token_embedding(ids) + self.pos_embed[:, : ids.shape[1]]
        return out


class _Trunk(nn.Module):
    """A pre-norm transformer."""

    def __init__(self, modality: Modality, size: TowerSize) -> None:
        super().__init__()
        text, image = modality == "text", modality == "image"
        self.pre_transformer_layer = nn.Sequential(
            nn.LayerNorm(size.width, eps=_EPSILON) if image else nn.Identity()
        )
        self.blocks = nn.Sequential(
            *(_Block(size, causal=text, extra_key=not (text or image)) for _ in range(size.depth))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Turn (n, tokens, width) into the same shape."""
        out: Tensor = self.blocks(self.pre_transformer_layer(x))
        return out


class _Block(nn.Module):
    def __init__(self, size: TowerSize, *, causal: bool, extra_key: bool) -> None:
        super().__init__()
        self.norm_1 = nn.LayerNorm(size.width, eps=_EPSILON)
        self.attn = _Attention(size, causal=causal, extra_key=extra_key)
        self.norm_2 = nn.LayerNorm(size.width, eps=_EPSILON)
        self.mlp = _Mlp(size.width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm_1(x))
        out: Tensor = x + self.mlp(self.norm_2(x))
        return out


class _Mlp(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(functional.gelu(self.fc1(x)))
        return out


class _Attention(nn.Module):
    """Multi-head self-attention, with the parameters of ``nn.MultiheadAttention``.

    Args:
        size: of the tower.
        causal: tokens do not see what follows them.
        extra_key: one learnt key and value more than there are tokens.
    """

    def __init__(self, size: TowerSize, *, causal: bool, extra_key: bool) -> None:
        super().__init__()
        self.heads, self.causal, self.extra_key = size.heads, causal, extra_key
        self.in_proj_weight = nn.Parameter(torch.zeros(3 * size.width, size.width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * size.width))
        self.out_proj = nn.Linear(size.width, size.width)
        if extra_key:
            self.bias_k = nn.Parameter(torch.zeros(1, 1, size.width))
            self.bias_v = nn.Parameter(torch.zeros(1, 1, size.width))

    def forward(self, x: Tensor) -> Tensor:
        n, tokens, width = x.shape
        q, k, v = functional.linear(x, self.in_proj_weight, self.in_proj_bias).chunk(3, dim=2)
        if self.extra_key:
            k = torch.cat([k, self.bias_k.expand(n, -1, -1)], dim=1)
            v = torch.cat([v, self.bias_v.expand(n, -1, -1)], dim=1)
        # (n, tokens, width) to (n, heads, tokens, width of a head)
        q, k, v = (
            t.view(n, -1, self.heads, width // self.heads).transpose(1, 2) for t in (q, k, v)
        )
        attended = functional.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        out: Tensor = self.out_proj(attended.transpose(1, 2).reshape(n, tokens, width))
        return out


def _head(modality: Modality, width: int, dim: int) -> nn.Module:
    norm, project = nn.LayerNorm(width, eps=_EPSILON), nn.Linear(width, dim, bias=False)
    if modality == "text":
        return _Projection(norm, project)
    # The published head of imu has a dropout there, which is off when it embeds.
    return nn.Sequential(norm, *([nn.Identity()] * (2 if modality == "imu" else 1)), project)


class _Projection(nn.Module):
    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.proj = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.proj(x)
        return out


class _Normalise(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return functional.normalize(x, dim=-1)


class _Factor(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.log_logit_scale = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.log_logit_scale.exp().clamp_max(_MAX_SCALE) * x
