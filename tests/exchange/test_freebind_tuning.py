"""FreeBind's tuned audio encoder: what its one file must hold, and what is made of it."""

import imagebind_toy as toy
import numpy as np
import pytest
import torch
from published_heads import SUBSETS, tuned_state

from reactions.core.errors import DataError, MissingError
from reactions.core.hashing import file_digest
from reactions.encoders.imagebind.sizes import HUGE
from reactions.exchange.freebind_heads import read_tuning, tower_shapes

D_OUT = 6


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "InternVL_IB_audio_with_head.pt"
    torch.save(tuned_state(toy.SIZES, D_OUT), path)
    return path


def damage(path, change):
    state = torch.load(path, weights_only=True)
    change(state)
    torch.save(state, path)


def test_every_tensor_finds_its_place(path):
    tuning = read_tuning(path)
    state = torch.load(path, weights_only=True)
    assert tuning.sha256 == file_digest(path)
    assert dict(tuning.widths) == {"in": toy.SIZES.dim, "hidden": 4, "out": D_OUT}
    assert {name: array.shape for name, array in tuning.tower.items()} == tower_shapes(toy.SIZES)
    for name, array in tuning.tower.items():
        np.testing.assert_array_equal(array, state[f"ib.{name}"])
    ours = {"mix": "TVA", "AT": "TA", "AV": "VA"}
    assert list(tuning.heads) == ["T", "V", "A", "TV", "TA", "VA", "TVA"]
    for number, subset in enumerate(SUBSETS):
        head = tuning.heads[ours.get(subset, subset)]
        assert len(head) == 12
        for name, array in head.items():
            published = state[f"ib_head.projectors.{number}.Head2.mlps.{name}"]
            np.testing.assert_array_equal(array, published)


def test_the_published_size():
    shapes = tower_shapes(HUGE)
    assert shapes["modality_trunks.audio.blocks.11.attn.in_proj_weight"] == (2304, 768)
    assert shapes["modality_heads.audio.2.weight"] == (1024, 768)
    assert all(".audio." in name for name in shapes)


def test_half_precision_and_data_parallel_names_are_read(path):
    state = {
        f"module.{k}": v.half() if v.is_floating_point() else v
        for k, v in tuned_state(toy.SIZES, D_OUT).items()
    }
    torch.save({"state_dict": state}, path)
    tuning = read_tuning(path)
    assert {array.dtype for array in tuning.tower.values()} == {np.dtype(np.float32)}


BLOCK = "ib.modality_trunks.audio.blocks.1.attn.bias_k"
LAYER = "ib_head.projectors.6.Head2.mlps.3.bias"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.pop(BLOCK), f"1 missing: {BLOCK}"),
        (lambda s: s.pop(LAYER), f"1 missing: {LAYER}"),
        (lambda s: s.update({BLOCK: torch.zeros(24)}), r"bias_k is \(24\), not \(1, 1, 24\)"),
        (lambda s: s.update({LAYER: torch.zeros(7)}), r"mlps.3.bias is \(7\), not \(6\)"),
        (lambda s: s.update({"ib.modality_heads.vision.2.weight": torch.zeros(1)}), "1 unexpected"),
        (
            lambda s: s.update({"ib.modality_trunks.audio.blocks.999999999.x": torch.zeros(1)}),
            "1 unexpected: ib.modality_trunks.audio.blocks.999999999.x",
        ),
        (lambda s: s.pop("ib.modality_preprocessors.audio.cls_token"), "1 missing: .*cls_token"),
        (lambda s: s[BLOCK].fill_(float("inf")), "bias_k is not finite"),
        (lambda s: s.update({BLOCK: torch.zeros(1, 1, 24, dtype=torch.int64)}), "bias_k is int64"),
        (
            lambda s: s.update(
                {
                    k: torch.zeros(4, 9)
                    for k in s
                    if k.startswith("ib_head") and k.endswith("mlps.0.weight")
                }
            ),
            "its encoder gives 24 dimensions, its projectors take 9",
        ),
        (lambda s: [s.pop(k) for k in list(s) if k.startswith("ib.")], "missing: ib.modality"),
        (lambda s: [s.pop(k) for k in list(s) if k.startswith("ib_head")], "98 missing: ib_head"),
    ],
)
def test_what_does_not_fit_is_named(path, change, words):
    damage(path, change)
    with pytest.raises(DataError, match=words) as caught:
        read_tuning(path)
    assert str(path) in str(caught.value)
    assert "tuned audio encoder of FreeBind" in caught.value.what


def test_what_is_no_checkpoint_is_refused(path, capsys):
    class Attack:
        def __reduce__(self):
            return (print, ("owned",))

    torch.save({"ib.x": Attack()}, path)
    with pytest.raises(DataError, match="it holds more than tensors"):
        read_tuning(path)
    assert "owned" not in capsys.readouterr().out
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match="cannot read the checkpoint"):
        read_tuning(path)
    path.unlink()
    with pytest.raises(MissingError, match="there is no file"):
        read_tuning(path)
