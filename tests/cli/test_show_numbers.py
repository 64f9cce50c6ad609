"""What ``molspace show`` says of the numbers that things were trained with."""

import pytest

from molspace_cli import show
from reactions.products.tunings import tunings


@pytest.mark.parametrize(("epochs", "words"), [(1, "1 epoch"), (2, "2 epochs")])
def test_one_epoch_is_an_epoch(epochs, words):
    numbers = {"batch_size": 512, "epochs": epochs}
    projector = {"pair": "A + Cr(B)", "subset": "T", "hidden_dim": 8, "chosen": [], **numbers}
    ((_, trained),) = show._projectors([projector])
    assert trained == f"T: hidden width 8, batch 512, {words}"
    about = {
        "modality": "audio",
        "paired": "image",
        "space": "A",
        "heads": "only",
        "lora": None,
        "pairs": {"name": "mine", "rows": 1200},
        "settings": numbers,
    }
    ((_, tuned),) = tunings([{"kind": "ft", "about": about}])
    assert tuned.endswith(f"1,200 pairs with image (mine): batch 512, {words}")
