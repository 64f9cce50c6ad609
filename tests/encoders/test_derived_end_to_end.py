"""A lab whose expert embeds events and videos by its image tower, from reaction to bundle."""

import numpy as np
import pytest
from media_files import put

from reactions import load, react
from reactions.core.types import Item
from reactions.labs import mini
from reactions.labs.lab_file import load_lab

LAB = """
[lab]
extends = "mini"

[reaction]
subsets = "singles+all"
hidden_dim = 8
batch_size = 16
cr_epochs = 1

[corpora]
text = {{ world = 40 }}
image = {{ world = 40 }}
audio = {{ world = 40 }}
event = {{ world = 40 }}
video = {{ world = 20 }}

[spaces.Seer]
adapter = "mini"
source = "InternVL.safetensors"
dim = 96
modalities = ["image", "text"]
digest = "{digest}"
event = "unibind"
video = "frames-2"
"""


@pytest.fixture
def lab(tmp_path):
    digest = load_lab("mini").catalogue.by_name("InternVL").weights_digest
    return str(put(tmp_path / "molspace.toml", LAB.format(digest=digest)))


def test_it_is_trained_and_read_again(lab, tmp_path):
    event, video = (mini.corpus(m, n=1, seed=3).items(0, 1)[0] for m in ("event", "video"))
    with react("ImageBind + Cr(Seer)", lab=lab, out=tmp_path / "bundle") as fused:
        assert {"event", "video"} < set(fused.modalities)
        rows = fused.embed(event=[event], video=[video])
    assert all(row.shape == (1, 128) for row in rows.values())
    with load(tmp_path / "bundle", lab=lab) as reloaded:
        for modality, row in reloaded.embed(event=[event], video=[video]).items():
            np.testing.assert_array_equal(row, rows[modality])
        picture = np.zeros((40, 40, 3), np.uint8)
        picture[10:20] = 255, 255, 0
        (drawn,) = reloaded.embed(event=[Item("x", "event", picture)])["event"]
        assert np.isfinite(drawn).all()
