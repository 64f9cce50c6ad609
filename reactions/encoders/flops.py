"""About how many floating-point operations an item takes, for the estimates of plans."""

from __future__ import annotations

from collections.abc import Sequence


def transformer_flops(*, layers: int, width: int, tokens: int, mlp_ratio: float = 4.0) -> float:
    """Estimate the floating-point operations of a transformer on one item of ``tokens``."""
    # A multiply and an add for each weight of q, k, v, out (4 width**2) and the MLP, and for
    # attention's two products with all tokens.
    return 2.0 * layers * tokens * width * (width * (4 + 2 * mlp_ratio) + 2 * tokens)


def htsat_flops(width: int, depths: Sequence[int]) -> float:
    """Estimate the floating-point operations of HTSAT on one view.

    Args:
        width: of its patch embeddings; it doubles from stage to stage, while the 64 x 64
            patches become a quarter each time, so that all blocks cost the same.
        depths: blocks of each stage.
    """
    # 24 = 2 * (4 + 2 * 4): as for a transformer whose MLP has ratio 4.
    blocks = 24.0 * 64 * 64 * width**2 * sum(depths)
    return 1.08 * blocks  # window products and merging: 8 % for HTSAT-tiny, 5 % for base
