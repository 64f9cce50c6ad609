"""ImageBind: the base of the paper's reactions.

An own lean implementation of the published towers and preprocessing, which loads the
published checkpoint as it is.
"""

from reactions.spaces.imagebind.encoder import (
    PREPROCESSING,
    ImageBindEncoder,
    describe,
    load,
    load_bfloat16,
    load_float16,
)

__all__ = [
    "PREPROCESSING",
    "ImageBindEncoder",
    "describe",
    "load",
    "load_bfloat16",
    "load_float16",
]
