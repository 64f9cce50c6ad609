"""Items and embeddings as ``infer`` writes them."""

from fakes import unit_rows

from reactions.core.types import Item

ABOUT = {
    "format": "molspace-embeddings-1",
    "lab": "mini",
    "expression": "A + Cr(B)",
    "factors": {"sigma B": {"text": 0.5}},
    "experts": None,
    "dim": 4,
}
ITEMS = [
    Item("rain", "text", None),
    Item("a.png", "image", None),
    Item("3", "text", None, own_id=False),
    Item("naïve 東京", "text", None),
]
ROWS = unit_rows(4, 4, 0)
