import hashlib
import json
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactions.core.hashing import bytes_digest, canonical, digest, file_digest

leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
values = st.recursive(
    leaves,
    lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(), v, max_size=3),
    max_leaves=9,
)


@given(values)
def test_canonical_text_is_json_that_says_the_same(value):
    assert json.loads(canonical(value)) == value


@given(st.dictionaries(st.text(), values, max_size=5), st.randoms())
def test_order_of_filling_never_matters(value, random):
    items = list(value.items())
    random.shuffle(items)
    assert digest("t", dict(items)) == digest("t", value)


def test_kinds_of_values_never_collide():
    different = [
        1,
        1.0,
        "1",
        True,
        "true",
        None,
        "null",
        [1],
        [[1]],
        {"1": 1},
        0.0,
        -0.0,
        [],
        {},
        "",
    ]
    assert len({digest("t", value) for value in different}) == len(different)


def test_the_tag_is_part_of_the_digest():
    assert digest("a", 1) != digest("b", 1)


def test_sequences_and_mappings_count_as_one_kind_each():
    assert canonical((1, (2,))) == canonical([1, [2]]) == "[1,[2]]"
    assert canonical(MappingProxyType({"b": 1, "a": 2})) == '{"a":2,"b":1}'
    assert canonical("é\n") == '"é\\n"'


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        {1: 2},
        {"a": {None: 1}},
        {1, 2},
        b"x",
        np.float32(1),
        np.int64(1),
    ],
    ids=repr,
)
def test_what_has_no_canonical_form_is_refused(value):
    with pytest.raises(TypeError):
        canonical(value)
    with pytest.raises(TypeError):
        canonical({"deep": [value]})


def test_golden_digests():
    # Every key in every store depends on these: they may never change.
    assert canonical({"b": [1, 2.5, None, True], "a": "ü"}) == '{"a":"ü","b":[1,2.5,null,true]}'
    preimage = b'molspace:step\n{"a":"\xc3\xbc","b":[1,2.5,null,true]}'
    computed = digest("step", {"b": [1, 2.5, None, True], "a": "ü"})
    assert computed == hashlib.sha256(preimage).hexdigest()
    assert computed == "755410bd7ce283b56db9b87225853f49b9b7909a2a3db8b60b312119b838a679"


def test_paths_that_are_not_utf8_have_a_digest():
    assert digest("t", "caf\udce9") != digest("t", "caf\udce8")


def test_files_and_bytes_agree_across_chunks(tmp_path):
    data = bytes(range(256)) * 8193  # a little over two chunks
    (tmp_path / "x").write_bytes(data)
    assert file_digest(tmp_path / "x") == bytes_digest(data) == hashlib.sha256(data).hexdigest()
    (tmp_path / "empty").write_bytes(b"")
    assert file_digest(tmp_path / "empty") == bytes_digest(memoryview(b""))
