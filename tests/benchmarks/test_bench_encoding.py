"""What the benchmark of encoding measures is what it says."""

import time

import numpy as np
import pytest
from encoding import LARGE, Watched, others_took, sources

from reactions.encoders.registry import load
from reactions.labs.lab_file import load_lab
from reactions.modalities import registry as modalities


@pytest.mark.parametrize("modality", ["audio", "image", "text"])
def test_the_same_media_come_from_several_places(modality, tmp_path):
    items_by_source = {name: corpus.items(0, 8) for name, corpus in sources(modality, 8, tmp_path)}
    rendered = items_by_source.pop("rendered")
    large = items_by_source.pop(LARGE[modality]) if modality in LARGE else []
    assert len(large) == (2 if modality in LARGE else 0)
    assert set(items_by_source) == ({"memory"} if modality == "text" else {"memory", "files"})
    for items in items_by_source.values():
        assert [item.id for item in items] == [item.id for item in rendered]
    for item, file in zip(rendered, items_by_source.get("files", ()), strict=False):
        assert item.value is not file.value
        rendered_value, file_value = item.value, modalities.load(file).value
        if modality == "audio":
            rendered_value, file_value = rendered_value.samples, file_value.samples
        np.testing.assert_array_equal(rendered_value, file_value)
    for item in large:
        value = modalities.load(item).value
        assert value.shape == (240, 320, 3) if modality == "image" else value.rate_hz == 16_000


def test_only_the_forward_pass_is_watched():
    encoder = load(load_lab("mini").catalogue.by_name("CLAP_g"))
    slow = Watched(encoder)
    slow._forward = lambda modality, inputs: time.sleep(0.01)
    slow.forward("text", [])
    assert slow.busy_s >= 0.01
    before = slow.busy_s
    slow.preprocess("text", type("I", (), {"value": "hum", "id": "x", "modality": "text"})())
    assert slow.busy_s == before


def test_others_are_told_of():
    assert others_took(None, (1.0, 1.0)).endswith("not known.")
    assert others_took((10.0, 5.0), (20.0, 20.0)) == (
        "Other programs kept 1.5 cores busy meanwhile."
    )
