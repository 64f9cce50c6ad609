"""Classes named by prompts: each item by its own row, whatever the modalities beside it."""

import numpy as np

from reactions.core.types import Item
from reactions.inference.zero_shot import PromptedClasses


class Echo:
    """Names for each row the number that it holds, behind the prompt."""

    def __init__(self, templates):
        self.templates = templates

    def best(self, rows, n):
        return [[(f"{self.templates[0]} {row[0]:.0f}", 1.0)] * n for row in rows]


def test_items_of_several_modalities_keep_their_rows():
    made = []

    def make(templates):
        made.append(templates)
        return Echo(templates)

    classes = PromptedClasses(["dog"], lambda modality: (f"a {modality} of {{class}}",), make)
    modalities = ["audio", "image", "audio", "text", "image"]
    items = [Item(str(i), modality, None) for i, modality in enumerate(modalities)]
    rows = np.arange(5, dtype=np.float32)[:, None]
    named = classes.of_items(items, rows, 2)
    assert [len(best) for best in named] == [2] * 5
    assert [best[0][0] for best in named] == [
        f"a {modality} of {{class}} {i}" for i, modality in enumerate(modalities)
    ]
    assert made == [("a audio of {class}",), ("a image of {class}",), ("a text of {class}",)]
