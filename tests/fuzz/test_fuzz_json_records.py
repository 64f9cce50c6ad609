"""Annotations in JSON: whatever a document holds, its records are read or refused."""

import io
import json

from fuzzing import fuzz, mutated, usable_or_refused
from hypothesis import given
from hypothesis import strategies as st

from reactions.core.errors import MolspaceError
from reactions.core.storage import find
from reactions.data.sources.json_records import LACKING, read_json_records, value_at

_KEYS = ["id", "image_id", "category_id", "name", "caption", "file_name", "sentences", "raw", ""]
_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.sampled_from([0, 1, 2, 1.5, "1", "a.jpg", "a dog"])),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*_KEYS, "images", "annotations"]), inner, max_size=4)
    ),
    max_leaves=8,
)
_FIELDS = st.dictionaries(st.sampled_from(_KEYS), _VALUES, max_size=4)
_LISTS = st.lists(st.one_of(_FIELDS, _FIELDS, _FIELDS, _VALUES), min_size=1, max_size=4)
_COCO = st.fixed_dictionaries(
    {"images": _LISTS, "annotations": _LISTS}, optional={"categories": _VALUES | _LISTS}
)
GOOD = {
    "images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}],
    "annotations": [{"id": 7, "image_id": 1, "caption": "a dog", "category_id": 3}],
    "categories": [{"id": 3, "name": "dog"}],
}


def check(data, tmp_path):
    path = tmp_path / "captions.json"
    path.touch()
    (file,) = find(str(path))
    records = usable_or_refused(lambda: read_json_records(file, io.BytesIO(data)))
    if isinstance(records, MolspaceError):
        return
    for record in records.records:
        if isinstance(record, str):  # why it cannot be used
            assert record
        else:
            values = [value_at(record, name) for name in records.columns]
            assert all(value is LACKING or json.dumps(value) for value in values)


@fuzz
@given(_COCO | _LISTS | _VALUES)
def test_any_document(tmp_path_factory, document):
    check(json.dumps(document).encode(), tmp_path_factory.getbasetemp())


@fuzz
@given(mutated(json.dumps(GOOD).encode()))
def test_damaged_annotations(tmp_path_factory, data):
    check(data, tmp_path_factory.getbasetemp())
