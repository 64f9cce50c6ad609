"""The Python facade: react, load, embed.

from reactions import Cr, Dr, Space, react

fused = react(Space("ImageBind") + Dr("InternVL") | Cr("CLAP_m") & Cr("CLAP_g"))
rows = fused.embed(text=["a low hum"], sigma=(0.8, 0.5))["text"]
"""

from reactions.api.fused_space import FusedSpace
from reactions.api.running import load, react

__all__ = ["FusedSpace", "load", "react"]
