"""Recordings of event cameras: every form gives the same events; what is none is refused."""

import io
import zipfile

import numpy as np
import pytest
from further_media import bin_bytes, columns, events, npy_bytes, npz_bytes
from media_files import image_bytes, put

from reactions.core.errors import MediaError
from reactions.core.types import Item
from reactions.modalities import registry
from reactions.modalities.events import files
from reactions.modalities.events.values import Events, digest

EVENT = registry.get("event")


def structured(of, **types):
    kinds = {"x": "u2", "y": "u2", "t": "i8", "p": "?", **types}
    table = np.zeros(len(of["x"]), list(kinds.items()))
    for name in kinds:
        table[name] = of[name]
    return table


def rows(of):
    """EST's form: seconds and polarities of -1 and 1, in (n, 4)."""
    return np.stack([of["x"], of["y"], of["t"] / 1e6, 2.0 * of["p"] - 1], axis=1)


OF = columns()
RENAMED = {"x_pos": OF["x"], "y_pos": OF["y"], "timestamp": OF["t"], "polarity": OF["p"]}
FORMS = {
    "N-ImageNet": npz_bytes(event_data=structured(OF)),
    "N-ImageNet, plain": npz_bytes(**RENAMED),
    "EST": npy_bytes(rows(OF)),
    "EST, Fortran": npy_bytes(np.asfortranarray(rows(OF))),
    "named": npy_bytes(structured(OF, p="i1")),
    "columns": npz_bytes(**OF),
    "whole numbers": npy_bytes(np.stack([OF[name] for name in "xytp"], axis=1)),
    "seconds in columns": npz_bytes(**{**OF, "t": OF["t"] / 1e6}),
    "one array": npz_bytes(arr_0=rows(OF)),
}


def as_events(data: bytes) -> Events:
    value = EVENT.load(data)
    assert EVENT.why_unusable(value) == ""
    return value


def why(data: bytes) -> str:
    with pytest.raises(MediaError) as caught:
        EVENT.load(data)
    assert caught.value.fix
    assert registry.check("event", data) == caught.value.why
    return caught.value.why


def of_file(tmp_path, data: bytes) -> Events:
    return EVENT.load(put(tmp_path / "x.bin", data))


def test_five_bytes_an_event(tmp_path):
    value = of_file(tmp_path, bin_bytes())
    for name, column in (("x", "x"), ("y", "y"), ("t_us", "t"), ("p", "p")):
        np.testing.assert_array_equal(getattr(value, name), OF[column])
    assert value.size == (180, 240)
    assert EVENT.why_unusable(value) == ""


@pytest.mark.parametrize("form", FORMS)
def test_all_forms_hold_the_same(form):
    assert digest(as_events(FORMS[form])) == digest(events())


def test_a_row_that_no_sensor_has_counts_overflows(tmp_path):
    before = np.arange(7)
    columns_of = {"x": [*before, 0, 9], "y": [5] * 7 + [240, 6], "t": [*8000 + before, 8191, 100]}
    columns_of["p"] = [1] * 7 + [0, 0]
    value = of_file(tmp_path, bin_bytes(9, **{k: np.array(v) for k, v in columns_of.items()}))
    assert value.x.tolist() == [*before, 9]
    assert value.t_us.tolist() == [*8000 + before, 100 + 8192]


def test_times_that_wrap_go_on(tmp_path):
    t = 2**23 + np.arange(-4, 4)
    columns_of = {"x": np.arange(8), "y": np.arange(8), "p": np.ones(8, int)}
    value = of_file(tmp_path, bin_bytes(8, t=t, **columns_of))
    np.testing.assert_array_equal(value.t_us, t)


def test_a_little_disorder_is_sorted():
    columns_of = columns(1000)
    columns_of["t"][500], columns_of["t"][501] = columns_of["t"][501] + 9, columns_of["t"][500]
    value = as_events(npz_bytes(**columns_of))
    assert (np.diff(value.t_us) >= 0).all()
    assert np.array_equal(value.t_us, np.sort(columns_of["t"]))
    order = np.argsort(columns_of["t"], kind="stable")
    np.testing.assert_array_equal(value.x, columns_of["x"][order])
    columns_of["t"][::2] = 0
    assert "go back" in why(npz_bytes(**columns_of))


@pytest.mark.parametrize(
    ("farthest_pixel", "size"),
    [
        ((239, 179), (180, 240)),
        ((240, 179), (260, 346)),
        ((639, 479), (480, 640)),
        ((1279, 719), (720, 1280)),
        ((1280, 5), (720, 1281)),
    ],
)
def test_the_sensor_is_the_smallest_usual_one(farthest_pixel, size):
    events_columns = columns()
    events_columns["x"][0], events_columns["y"][0] = farthest_pixel
    assert as_events(npz_bytes(**events_columns)).size == size


def changed(**new):
    return npz_bytes(**{**OF, **{name: np.asarray(column) for name, column in new.items()}})


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "0 bytes"),
        (b"PK\3\4" + b"x" * 99, "cut short"),
        (FORMS["EST"][:-1], "bytes"),
        (FORMS["N-ImageNet"][:-30], "cut short"),
        (npy_bytes(np.zeros((5, 3))), "not (n, 4)"),
        (npy_bytes(np.zeros((0, 4))), "no events"),
        (npy_bytes(np.array([["a"] * 4])), "not of numbers"),
        (npz_bytes(x=OF["x"], y=OF["y"], t=OF["t"]), "no column p"),
        (npz_bytes(**{**OF, "x": OF["x"][:-1]}), "different lengths"),
        (changed(p=np.full(600, 3)), "polarities"),
        (changed(p=np.arange(600) % 3 - 1), "polarities"),
        (changed(x=OF["x"] - 50), "not within"),
        (changed(x=OF["x"] + 5000), "not within"),
        (changed(x=OF["x"] + 0.5), "fractions"),
        (changed(y=np.full(600, np.nan)), "not finite"),
        (changed(t=OF["t"].astype(float)), "whole numbers are microseconds, others seconds"),
        (changed(t=np.full(600, 2.0**63)), "too large"),
        (changed(t=np.full(600, "noon")), "not of numbers"),
    ],
)
def test_what_is_no_recording(data, words):
    assert words in why(data)


def test_nothing_is_unpickled():
    array = np.array([{"x": 1}] * 4, dtype=object)
    for data in (npy_bytes(array), npz_bytes(event_data=array)):
        assert "unpickled" in why(data)


def test_a_file_that_is_none_is_refused(tmp_path):
    junk = np.random.default_rng(0).integers(0, 240, 5000, dtype=np.uint8).tobytes()
    for data, words in ((junk, "go back"), (bin_bytes()[:-2], "multiple of 5"), (b"", "0 bytes")):
        assert words in registry.check("event", put(tmp_path / "x.bin", data))


BLANK = {
    "zeros": bytes(5000),
    "ones": b"\xff" * 5000,
    "spaces": b" " * 5000,
    "a header before zeros": b"II*\1 a header of 25 bytes " + bytes(5000 - 25),
    "a recording, then zeros": bin_bytes(400) + bytes(5 * 50),
    "a word": b"hello",
}


@pytest.mark.parametrize("form", BLANK)
def test_blank_files_are_no_recordings(tmp_path, form):
    for source in (put(tmp_path / "x.bin", BLANK[form]), BLANK[form]):
        assert registry.check("event", source)
    assert EVENT.load(bin_bytes(8)) is not None


def test_arrays_of_one_event_over_and_over_are_no_recordings():
    blank = {name: np.zeros_like(column) for name, column in OF.items()}
    for data in (npz_bytes(**blank), npy_bytes(np.zeros((600, 4)))):
        assert "only 1 of its 600 events differ" in why(data)
    half = {name: np.repeat(column[:300], 2) for name, column in OF.items()}
    assert len(as_events(npz_bytes(**half))) == 600


@pytest.mark.parametrize("name", ["x.jpg", "x.PNG", "x.wav", "x.mp4", "x.heic", "x.txt", "x.b"])
def test_files_that_nothing_marks_need_their_own_name(tmp_path, name):
    with pytest.raises(MediaError, match="not the ending of a recording") as caught:
        EVENT.load(put(tmp_path / name, bin_bytes()))
    assert "rename it to end in .bin" in caught.value.fix
    with pytest.raises(MediaError, match="not the ending"):
        EVENT.load(bin_bytes(), name)
    assert isinstance(EVENT.load(put(tmp_path / name, FORMS["EST"])), Events)


@pytest.mark.parametrize("name", ["x.bin", "x.BIN", "x"])
def test_names_of_recordings(tmp_path, name):
    assert isinstance(EVENT.load(put(tmp_path / name, bin_bytes())), Events)


@pytest.mark.parametrize(
    "name", ["https://a.org/x.bin?key=1", "https://a.org/x.tar?key=1/a/b.bin", "s3://b/x.tar/b.bin"]
)
def test_names_of_recordings_elsewhere(name):
    assert isinstance(EVENT.load(bin_bytes(), name), Events)
    with pytest.raises(MediaError, match="not the ending"):
        EVENT.load(bin_bytes(), name.replace(".bin", ".jpg"))


def test_archives_are_limited_by_what_they_unpack_to(monkeypatch):
    monkeypatch.setattr(files, "MAX_FILE_BYTES", 8000)
    assert len(FORMS["columns"]) < 8000 < sum(column.nbytes for column in OF.values())
    assert "more than 8000 bytes" in why(FORMS["columns"])


def test_counts_are_limited(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_EVENTS", 599)
    assert "more than 599" in why(FORMS["columns"])
    assert "more than 599" in registry.check("event", put(tmp_path / "x.bin", bin_bytes()))


def test_a_picture_is_one_already():
    value = EVENT.load(image_bytes(form="PNG"))
    assert (value.shape, value.dtype) == ((8, 12, 3), np.uint8)
    assert EVENT.why_unusable(value) == ""
    assert registry.check("event", image_bytes()[:60]) != ""


@pytest.mark.parametrize(
    "change",
    [
        {"x": np.zeros(600, np.int64)},
        {"p": np.full(600, 2, np.uint8)},
        {"t_us": np.arange(600, 0, -1)},
        {"size": (100, 240)},
        {"x": np.zeros(3, np.uint16)},
    ],
)
def test_recordings_that_cannot_be_embedded(change):
    events_fields = {name: getattr(events(), name) for name in ("x", "y", "t_us", "p", "size")}
    assert EVENT.why_unusable(Events(**{**events_fields, **change}))
    assert EVENT.why_unusable(events()) == ""


def test_digests_tell_recordings_apart():
    first, other = events(), events(seed=1)
    assert digest(first) == digest(events())
    assert digest(first).startswith("event:")
    assert len({digest(first), digest(other), digest(events(size=(200, 240)))}) == 3
    assert digest(3) == ""
    assert EVENT.size_bytes(first) == 600 * (2 + 2 + 8 + 1)


def test_values_in_memory_pass_through():
    item = Item("a", "event", events())
    assert registry.load(item) is item


def test_zips_that_lie(tmp_path):
    data = bytearray(npz_bytes(**OF))
    end = data.rindex(b"PK\5\6")
    data[end + 10 : end + 12] = (5000).to_bytes(2, "little")
    assert "arrays" in why(bytes(data))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("run.py", "print()")
    assert "not an array" in why(stream.getvalue())


class TestSizeInArchives:
    """An npz may say how large the sensor is."""

    @pytest.mark.parametrize("size", [(300, 300), (240, 304)])
    def test_it_is_taken(self, size):
        assert as_events(npz_bytes(**OF, size=np.array(size))).size == size
        assert as_events(npz_bytes(arr_0=rows(OF), size=np.array(size))).size == size

    @pytest.mark.parametrize(
        ("size", "expected"),
        [
            ([1, 1], "beyond its size"),
            ([0, 300], "not within"),
            ([300, 9999], "not within"),
            ([300], "shape"),
            ([300.5, 300], "fractions"),
        ],
    )
    def test_one_that_cannot_be(self, size, expected):
        assert expected in why(npz_bytes(**OF, size=np.array(size)))
