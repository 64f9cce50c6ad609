"""The mini lab's encoders: small networks that stand in for ImageBind, InternVL and CLAP.

Real ones in all but size: they were trained contrastively on media, and take images of
any shape, sounds of any rate and any string. What they know is the mini lab's world.
"""

from reactions.encoders.mini.encoder import SHIPPED, MiniAdapter
from reactions.encoders.mini.features import audio_features, image_features, text_features
from reactions.encoders.mini.inputs import PREPROCESSING, as_features
from reactions.encoders.mini.sensors import N_POINTS
from reactions.encoders.mini.towers import Towers

__all__ = [
    "N_POINTS",
    "PREPROCESSING",
    "SHIPPED",
    "MiniAdapter",
    "Towers",
    "as_features",
    "audio_features",
    "image_features",
    "text_features",
]
