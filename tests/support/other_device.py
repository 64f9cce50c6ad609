"""Encoders on another device."""

from collections.abc import Sequence

import numpy as np

from reactions.core.types import Encoder, Item
from reactions.encoders import registry


def assert_same_on(
    device: str, encoder: Encoder, items: dict[str, Sequence[Item]], *, atol: float = 5e-3
) -> None:
    """Compare embeddings of an encoder with those that its space makes on a device.

    Args:
        device: such as ``cuda:0``.
        encoder: on the CPU.
        items: of each modality.
        atol: how much elements of unit rows may differ: single precision, and other kernels.
    """
    encoder_there = registry.load(encoder.spec, device=device)
    for modality, modality_items in items.items():
        embedded = encoder_there.embed(modality, modality_items)
        assert isinstance(embedded, np.ndarray)
        np.testing.assert_allclose(embedded, encoder.embed(modality, modality_items), atol=atol)
