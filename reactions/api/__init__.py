"""The Python facade: react, load, plan, spaces, and what they return.

from reactions import Cr, Dr, Space, react

fused = react(Space("ImageBind") + Dr("InternVL") | Cr("CLAP_m") & Cr("CLAP_g"))
rows = fused.embed(text=["a low hum"], sigma=(0.8, 0.5))["text"]
"""

from reactions.api.classified import Classified
from reactions.api.embeddings import Embeddings
from reactions.api.fused_space import FusedSpace
from reactions.api.previews import PlanPreview, SpaceList, plan, spaces
from reactions.api.running import load, react
from reactions.api.scores import Scores, SweepScores
from reactions.api.search_results import IndexSummary, SearchHits
from reactions.api.similarities import SimilarityMatrix

__all__ = [
    "Classified",
    "Embeddings",
    "FusedSpace",
    "IndexSummary",
    "PlanPreview",
    "Scores",
    "SearchHits",
    "SimilarityMatrix",
    "SpaceList",
    "SweepScores",
    "load",
    "plan",
    "react",
    "spaces",
]
