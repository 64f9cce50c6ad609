"""Numbers that a caller gives, as numpy arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def as_array(given: Any) -> NDArray[Any]:
    """Return an array, a tensor, or nested lists as an array; shape and values stay.

    Args:
        given: a tensor may be on any device and of any type: what numpy lacks, such as bfloat16,
            becomes float32, which has all of its values.
    """
    if hasattr(given, "detach"):
        tensor = given.detach().cpu()
        try:
            given = tensor.numpy()
        except TypeError:
            given = tensor.float().numpy()
    return given if isinstance(given, np.ndarray) else np.asarray(given)
