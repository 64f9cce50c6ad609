import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from reactions.core.errors import DataError, MediaError, MissingError
from reactions.core.extras import install_extra
from reactions.core.types import Item, SpaceSpec, StagedEncoder
from reactions.encoders import packages, uri
from reactions.encoders.preprocessing.tokens import locked, pad_tokens
from reactions.encoders.tower import Tower, TowerEncoder

SPEC = SpaceSpec("X", 2, ("image", "text"), adapter="x", source="x")


def encoder(rows, *, batch_items=64, batch_sizes=None):
    """A space whose text tower gives the rows numbered by the captions."""

    def project(inputs):
        if batch_sizes is not None:
            batch_sizes.append(len(inputs))
        return torch.tensor([rows[int(i[0])] for i in inputs])

    text = Tower(lambda text: np.array([int(text)]), project, batch_items)
    image = Tower(lambda pixels: pixels, lambda inputs: torch.ones(len(inputs), 2))
    return TowerEncoder(SPEC, {"text": text, "image": image})


def captions(n):
    return [Item(f"c{i}", "text", str(i)) for i in range(n)]


def test_rows_become_unit_length_and_keep_their_order():
    batch_sizes = []
    space = encoder([[3.0, 4.0], [0.0, -2.0], [1e30, 0.0]], batch_items=2, batch_sizes=batch_sizes)
    assert isinstance(space, StagedEncoder)
    rows = space.embed("text", captions(3))
    np.testing.assert_allclose(rows[:2], [[0.6, 0.8], [0.0, -1.0]], atol=1e-7)
    assert rows.dtype == np.float32
    assert batch_sizes == [2, 1]
    assert space.embed("text", []).shape == (0, 2)


def test_networks_compute_in_full_precision_whatever_the_process_has_chosen():
    """On CUDA torch computes convolutions in TF32, unless it is told not to."""
    chosen = []

    def project(inputs):
        tf32 = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
        chosen.append((*tf32, torch.get_float32_matmul_precision()))
        return torch.ones(len(inputs), 2)

    torch.set_float32_matmul_precision("medium")
    try:
        space = TowerEncoder(SPEC, {"text": Tower(lambda text: np.array([1]), project)})
        space.embed("text", captions(1))
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert chosen == [(False, False, "highest")]
    assert torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize("bad", [[0.0, 0.0], [float("nan"), 1.0], [float("inf"), 1.0]])
def test_rows_without_a_direction_are_reported(bad):
    with pytest.raises(DataError, match="1 of 2 are zero or not finite") as caught:
        encoder([[1.0, 2.0], bad]).embed("text", captions(2))
    assert "spaces doctor X" in caught.value.fix


def test_rows_of_another_width_are_reported():
    with pytest.raises(DataError, match=r"\(1, 3\)"):
        encoder([[1.0, 2.0, 3.0]]).forward("text", [np.array([0])])


def test_items_are_checked_and_named():
    space = encoder([[1.0, 0.0]])
    for modality, value in (
        ("image", np.zeros((2, 2, 4), np.uint8)),
        ("image", np.zeros((2, 2, 3), np.float32)),
        ("image", "text"),
        ("text", 3),
        ("text", "\ud800"),
    ):
        with pytest.raises(MediaError) as caught:
            space.preprocess(modality, Item("it", modality, value))
        assert caught.value.fields["id"] == "it"
    with pytest.raises(DataError, match="does not embed audio"):
        space.preprocess("audio", Item("it", "audio", None))


def test_a_tokeniser_is_never_entered_twice():
    inside = []

    def tokenise(text):
        inside.append(text)
        time.sleep(0.002)
        assert inside == [text]
        inside.clear()
        return [len(text)]

    tokenise_once = locked(tokenise)
    with ThreadPoolExecutor(8) as pool:
        actual = list(pool.map(tokenise_once, ["a" * i for i in range(16)]))
    assert [int(row[0]) for row in actual] == list(range(16))


def test_tokens_are_padded_at_the_end():
    rows = [np.array([5, 6]), np.array([7])]
    assert pad_tokens(rows, 9).tolist() == [[5, 6], [7, 9]]
    assert pad_tokens(rows, 0, length=3).tolist() == [[5, 6, 0], [7, 0, 0]]
    assert pad_tokens([np.array([], np.int64)], 0).shape == (1, 1)


def test_options_of_a_uri():
    option_names = ("like", "precision")
    rest, options = uri.split_options("s:a/b?precision=bf16&like=x%3Dy", option_names)
    assert (rest, options) == ("a/b", {"precision": "bf16", "like": "x=y"})
    assert uri.join_options("s:a/b", options) == "s:a/b?like=x%3Dy&precision=bf16"
    assert uri.join_options("s:a", {"precision": "fp32", "like": ""}) == "s:a"
    assert uri.join_options("s:a", {"precision": "bf16"}, precision="bf16") == "s:a"
    for bad in ("s:a?liek=x", "s:a?precision=fp8"):
        with pytest.raises(MissingError, match=r"did you mean|one of"):
            uri.split_options(bad, option_names)


def test_a_package_that_does_not_fit_the_others_says_so(monkeypatch):
    def broken(name):
        raise RuntimeError("other\nbuilds")

    with pytest.raises(MissingError, match="no_such_package_at_all is not installed"):
        packages.import_package("no_such_package_at_all.part", "s:a", "extra")
    monkeypatch.setattr(packages.importlib, "import_module", broken)
    with pytest.raises(MissingError, match="json cannot be loaded: other builds") as caught:
        packages.import_package("json", "s:a", "extra")
    assert caught.value.fix == install_extra("extra")
