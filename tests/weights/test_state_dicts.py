"""Published checkpoints are read as tensors, and nothing in them ever runs."""

import argparse
import os
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from reactions.core.errors import DataError, MissingError
from reactions.weights.safe_load import read_tensors

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.steps": torch.tensor(3)}


class Attack:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def same(tensors):
    return tensors.keys() == STATE.keys() and all(torch.equal(tensors[k], STATE[k]) for k in STATE)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_reads_state_dictionaries_of_both_torch_formats(tmp_path, zipped):
    path = tmp_path / "model.pt"
    torch.save(STATE, path, _use_new_zipfile_serialization=zipped)
    assert same(read_tensors(path))


def test_reads_what_training_wraps_around_them(tmp_path):
    # As laion_clap's files: data-parallel names, and numbers of numpy's beside the state.
    path = tmp_path / "model.pt"
    numbers = {"loss": np.float64(0.5), "epoch": np.int64(3), "lr": np.float32(1), "done": np.True_}
    torch.save({"state_dict": {f"module.{k}": v for k, v in STATE.items()}, **numbers}, path)
    assert same(read_tensors(path))


def test_a_prefix_of_some_names_only_stays(tmp_path):
    path = tmp_path / "model.pt"
    torch.save({"module.a": torch.ones(1), "b": torch.ones(1)}, path)
    assert set(read_tensors(path)) == {"module.a", "b"}


def test_what_is_empty_or_a_plain_pickle_is_said_in_words(tmp_path):
    path, marker = tmp_path / "x.pt", tmp_path / "it-ran"
    path.touch()
    with pytest.raises(DataError, match="it is empty or cut short"):
        read_tensors(path)
    path.write_bytes(pickle.dumps({"x": Attack(marker)}, protocol=4))
    with pytest.raises(DataError, match="which could hold code"):
        read_tensors(path)
    assert not marker.exists()


def test_reads_safetensors(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file(STATE, path)
    assert same(read_tensors(path))


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_pickle_with_code_is_refused_and_not_run(tmp_path, zipped):
    path, marker = tmp_path / "evil.pt", tmp_path / "it-ran"
    torch.save(
        {"state_dict": STATE, "x": Attack(marker)}, path, _use_new_zipfile_serialization=zipped
    )
    with pytest.raises(DataError, match="refused to open") as caught:
        read_tensors(path)
    assert "mkdir" in caught.value.why
    assert not marker.exists()
    torch.load(path, weights_only=False)  # the attack is a real one
    assert marker.exists()


def test_other_objects_are_refused_by_name(tmp_path):
    path = tmp_path / "args.pt"
    torch.save({"state_dict": STATE, "args": argparse.Namespace(lr=1)}, path)
    with pytest.raises(DataError, match="refused to open") as caught:
        read_tensors(path)
    assert caught.value.fields["name"] == "argparse.Namespace"


@pytest.mark.parametrize("value", [[1, 2], {}, {"a": 3}, torch.ones(2)])
def test_other_contents_are_no_checkpoint(tmp_path, value):
    path = tmp_path / "model.pt"
    torch.save(value, path)
    with pytest.raises(DataError, match="is not a checkpoint") as caught:
        read_tensors(path)
    assert "state_dict()" in caught.value.fix


@pytest.mark.parametrize("name", ["model.pt", "model.safetensors"])
@pytest.mark.parametrize("content", [b"", b"hello" * 40, None], ids=["empty", "text", "cut"])
def test_damage_is_refused_plainly(tmp_path, name, content):
    path = tmp_path / name
    if content is None:
        save_file(STATE, path) if name.endswith("safetensors") else torch.save(STATE, path)
        content = path.read_bytes()[:150]
    path.write_bytes(content)
    with pytest.raises(DataError, match="cannot read the checkpoint") as caught:
        read_tensors(path)
    assert "\n" not in caught.value.why
    assert caught.value.why


def test_another_pickle_protocol_is_an_error_and_no_warning(tmp_path):
    path = tmp_path / "model.pt"
    torch.save(STATE, path, pickle_protocol=4)
    with pytest.raises(DataError, match="cannot read"):
        read_tensors(path)


def test_an_old_torch_does_not_unpickle(tmp_path, monkeypatch):
    path = tmp_path / "model.pt"
    torch.save(STATE, path)
    monkeypatch.setattr(torch, "__version__", "2.5.1")
    with pytest.raises(MissingError, match="safely"):
        read_tensors(path)
