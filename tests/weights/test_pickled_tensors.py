import io
import pickle

import pytest
import torch
from fuzzing import fuzz, mutated, usable_or_refused
from hypothesis import given
from hypothesis import strategies as st
from pickles import Code

from reactions.core.errors import DataError, MissingError
from reactions.weights.pickled_tensors import read_pickled_tensors

ROWS = {"dog": torch.randn(3, 4), "music box": torch.randn(2, 4).half()}


def save(content, form):
    stream = io.BytesIO()
    if form == "pickle":
        pickle.dump(content, stream)
    elif form.startswith("protocol"):
        pickle.dump(content, stream, protocol=int(form[-1]))
    else:
        torch.save(content, stream, _use_new_zipfile_serialization=form == "zip")
    return stream.getvalue()


HOWS = ["pickle", "protocol 2", "protocol 3", "protocol 5", "zip", "legacy"]


@pytest.mark.parametrize("form", HOWS)
def test_every_way_to_pickle_tensors_is_read(tmp_path, form):
    (tmp_path / "x.pkl").write_bytes(save(ROWS, form))
    tensors = read_pickled_tensors(tmp_path / "x.pkl")
    assert list(tensors) == list(ROWS)
    assert all(torch.equal(tensors[name], ROWS[name]) for name in ROWS)


def test_rows_of_one_tensor_share_its_numbers(tmp_path):
    shared = torch.randn(6, 4)
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"a": shared[:3], "b": shared[3:]}))
    tensors = read_pickled_tensors(tmp_path / "x.pkl")
    assert torch.equal(tensors["b"], shared[3:])


@pytest.mark.parametrize("form", HOWS)
def test_code_is_refused_by_name_and_not_run(tmp_path, capsys, form):
    (tmp_path / "x.pkl").write_bytes(save({"dog": torch.zeros(2, 2), "x": Code()}, form))
    with pytest.raises(DataError) as caught:
        read_pickled_tensors(tmp_path / "x.pkl")
    assert "print" in caught.value.why
    assert capsys.readouterr().out == ""


class Inner:
    """Numbers of a tensor that are a pickle of code."""

    def __reduce__(self):
        return torch.storage._load_from_bytes, (save(Code(), "legacy"),)


class Outer:
    def __reduce__(self):
        return torch.storage._load_from_bytes, (save(Code(), "zip"),)


@pytest.mark.parametrize("value", [Inner(), Outer()])
def test_code_within_the_numbers_of_a_tensor_is_not_run_either(tmp_path, capsys, value):
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"dog": value}))
    with pytest.raises(DataError):
        read_pickled_tensors(tmp_path / "x.pkl")
    assert capsys.readouterr().out == ""


class Stretched:
    """A tensor that declares a million rows over one number."""

    def __reduce__(self):
        storage = torch.zeros(4).storage()
        return torch._utils._rebuild_tensor_v2, (storage, 0, (1 << 20, 64), (0, 0), False, {})


@pytest.mark.filterwarnings("ignore:TypedStorage")
def test_a_tensor_larger_than_its_numbers_is_refused(tmp_path):
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"dog": Stretched()}))
    with pytest.raises(DataError):
        read_pickled_tensors(tmp_path / "x.pkl")


class Point:
    """An object of a class, whose state a pickle sets."""


class State:
    def __reduce__(self):
        return dict, (), {"x": 1}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ({}, "no dictionary"),
        ([torch.zeros(2, 2)], "no dictionary"),
        ({"dog": 3}, "dog"),
        ({3: torch.zeros(2, 2)}, "3"),
        ({"dog": Point()}, "Point"),
        ({"dog": bytearray(b"xyz")}, ""),
        ({"dog": State()}, "dict"),
    ],
)
def test_anything_but_texts_with_tensors_is_refused(tmp_path, content, why):
    for protocol in (2, 5):
        (tmp_path / "x.pkl").write_bytes(pickle.dumps(content, protocol=protocol))
        with pytest.raises(DataError) as caught:
            read_pickled_tensors(tmp_path / "x.pkl")
        assert why in caught.value.why


def test_a_file_that_is_not_there_or_empty(tmp_path):
    with pytest.raises(MissingError):
        read_pickled_tensors(tmp_path / "none.pkl")
    (tmp_path / "x.pkl").write_bytes(b"")
    with pytest.raises(DataError):
        read_pickled_tensors(tmp_path / "x.pkl")


@fuzz
@given(st.one_of(*(mutated(save(ROWS, how)) for how in ("pickle", "protocol 2", "legacy"))))
def test_any_bytes_are_read_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("fuzz") / "x.pkl"
    path.write_bytes(data)
    usable_or_refused(lambda: read_pickled_tensors(path))
