"""Media as Python programs hold them: the pixels and samples are those of the file."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from reactions import Waveform
from reactions.api.arguments import items_of
from reactions.core.errors import MediaError, UsageError
from reactions.core.types import Item
from reactions.inference.values import media_value, waveform
from reactions.modalities import noticed, registry


def pixels(seed=0, shape=(5, 7, 3)):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def decoded(modality, value):
    """What encoders get of a value."""
    (item,) = items_of(modality, [value], ())
    return registry.load(item).value


# --- pictures: equal to the file's ---


def image_of(mode):
    rgb = Image.fromarray(pixels())
    if mode == "I;16":
        return Image.fromarray(pixels(shape=(5, 7)).astype(np.uint16) * 257)
    if mode == "RGBA":
        return Image.fromarray(pixels(shape=(5, 7, 4)))
    if mode == "LA":
        return Image.fromarray(pixels(shape=(5, 7, 4))).convert("LA")
    if mode == "P, transparent":
        image = rgb.quantize(8)
        image.info["transparency"] = 0
        return image
    return rgb.convert(mode)


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "RGBA", "LA", "I;16", "P, transparent"])
def test_a_pillow_image_is_its_file(mode, tmp_path):
    image = image_of(mode)
    image.save(tmp_path / "a.png")
    expected = decoded("image", tmp_path / "a.png")
    np.testing.assert_array_equal(decoded("image", image), expected)
    with Image.open(tmp_path / "a.png") as opened:
        np.testing.assert_array_equal(decoded("image", opened), expected)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_pillow_image_is_turned_as_its_file_is(orientation, tmp_path):
    image = Image.fromarray(pixels())
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as opened:
        picture = decoded("image", opened)
    np.testing.assert_array_equal(picture, decoded("image", tmp_path / "a.png"))
    assert picture.shape == ((7, 5, 3) if orientation > 4 else (5, 7, 3))


def test_cmyk_jpegs(tmp_path):
    Image.fromarray(pixels()).convert("CMYK").save(tmp_path / "a.jpg")
    with Image.open(tmp_path / "a.jpg") as opened:
        np.testing.assert_array_equal(
            decoded("image", opened), decoded("image", tmp_path / "a.jpg")
        )


def test_grey_arrays_and_tensors_are_their_files(tmp_path):
    grey = pixels(shape=(5, 7))
    Image.fromarray(grey).save(tmp_path / "a.png")
    expected = decoded("image", tmp_path / "a.png")
    for value in (grey, torch.from_numpy(grey), torch.from_numpy(grey)[None]):
        np.testing.assert_array_equal(decoded("image", value), expected)


def test_tensors_are_channels_first():
    array = pixels()
    tensor = torch.from_numpy(array).permute(2, 0, 1)
    np.testing.assert_array_equal(decoded("image", tensor), array)
    np.testing.assert_array_equal(decoded("image", array), array)


def test_bytes_and_structs_are_the_file(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(pixels()).save(path)
    data = path.read_bytes()
    structs = [
        {"bytes": data, "path": None},
        {"bytes": data, "path": "elsewhere/b.png"},
        {"bytes": None, "path": str(path)},
        {"path": str(path)},
        {"bytes": bytearray(data)},
    ]
    for value in (data, bytearray(data), *structs):
        np.testing.assert_array_equal(decoded("image", value), pixels())


def test_values_of_own_items_are_read_alike():
    tensor = torch.from_numpy(pixels()).permute(2, 0, 1)
    (item,) = items_of("image", [Item("mine", "image", tensor)], ())
    assert item.id == "mine"
    np.testing.assert_array_equal(item.value, pixels())
    (own_item,) = items_of("image", [Item("mine", "image", None)], ())
    assert own_item.value is None


def test_a_batch_of_pictures_is_a_list():
    batch = np.stack([pixels(0), pixels(1)])
    for pictures in (batch, torch.from_numpy(batch).permute(0, 3, 1, 2)):
        items = items_of("image", pictures, ())
        for item, expected in zip(items, batch, strict=True):
            np.testing.assert_array_equal(item.value, expected)


def test_modalities_that_are_looked_up_take_any_value():
    (item,) = items_of("audio", [np.zeros(3)], ("audio",))
    assert item.value.shape == (3,)


U8 = torch.uint8


@pytest.mark.parametrize(
    ("value", "why", "fix"),
    [
        (np.zeros((4, 4, 3)), "image 1 is an array of .*float64.*range of floats", "astype"),
        (np.zeros((4, 4, 3), np.uint16), "pixels are uint8", "uint8"),
        (np.zeros((4, 4), np.float32), "range of floats", "uint8"),
        (np.zeros((4, 4, 4), np.uint8), "red, green, blue", "RGBA"),
        (np.zeros((4, 4, 1), np.uint8), "red, green, blue", r"\[:, :, 0\]"),
        (np.zeros((3, 4, 5), np.uint8), r"arrays are \(h, w, 3\)", "transpose"),
        (np.zeros((0, 4), np.uint8), r"image 1 is an array of shape \(0, 4\)", None),
        (np.zeros((2, 4, 4, 3), np.uint8), "image 1 is an array", None),
        (torch.zeros(3, 4, 4), r"image 1 is a tensor of shape \(3, 4, 4\), float32", "torch.uint8"),
        (torch.zeros((4, 5, 3), dtype=U8), r"are \(3, h, w\)", "permute"),
        (torch.zeros((3, 4, 3), dtype=U8), "could be 3 channels", "numpy"),
        (torch.zeros((1, 4, 3), dtype=U8), "could be 1 channels", "numpy"),
        (torch.zeros((4, 4, 5), dtype=U8), r"are \(3, h, w\)", None),
        (torch.zeros((3, 0, 5), dtype=U8), r"are \(3, h, w\)", None),
        (b"", "image 1 is 0 bytes", None),
        ({"array": [0.0], "sampling_rate": 8}, "image 1 is dict", None),
        (7, "image 1 is int", None),
        (Image.new("RGB", (0, 0)), "no pixels", None),
    ],
)
def test_pictures_that_are_refused(value, why, fix):
    with pytest.raises(UsageError, match=f"(?s){why}") as caught:
        items_of("image", [pixels(), value], ())
    assert caught.value.fields["position"] == 1
    if fix is not None:
        assert fix.replace("\\", "") in caught.value.fix


def test_pillow_images_that_cannot_be_read(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(pixels()).save(path)
    with Image.open(path) as image:
        pass
    with pytest.raises(UsageError, match="cannot be read") as caught:
        items_of("image", [image], ())
    assert "load" in caught.value.fix
    with pytest.raises(MediaError, match=r"(?s)image 0: .*floats"):
        items_of("image", [Image.new("F", (2, 2), 2.5)], ())
    cut = Image.open(io.BytesIO(path.read_bytes()[:80]))
    with pytest.raises(UsageError, match="image 0 is a Pillow image"):
        items_of("image", [cut], ())


def test_structs_that_hold_nothing():
    for struct in ({"bytes": None, "path": None}, {"bytes": b"", "path": "a"}, {"bytes": "text"}):
        with pytest.raises(MediaError, match=r"image 0: the (image|bytes)"):
            items_of("image", [struct], ())


def test_a_file_of_a_struct_must_be_there():
    with pytest.raises(MediaError, match="no such file"):
        items_of("image", [{"bytes": None, "path": "gone.png"}], ())


# --- sounds ---


def wave(n=400, seed=0):
    return np.random.default_rng(seed).uniform(-0.9, 0.9, n).astype(np.float32)


@pytest.fixture
def sound(tmp_path):
    """A 16-bit WAV, and its samples."""
    import soundfile

    samples = (wave() * 32767).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", samples, 16_000, subtype="PCM_16")
    return tmp_path / "a.wav", samples


def test_samples_are_their_file(sound):
    path, samples = sound
    expected = decoded("audio", path)
    floats = expected.samples
    values = [
        {"array": samples, "sampling_rate": 16_000},
        {"array": floats, "sampling_rate": 16_000, "path": "a.wav"},
        {"array": floats.astype(np.float64), "sampling_rate": 16_000.0},
        {"array": floats.tolist(), "sampling_rate": np.int64(16_000)},
        {"array": torch.from_numpy(floats.copy()), "sample_rate": 16_000},
        {"array": samples.astype(np.int32) << 16, "sampling_rate": 16_000},
        Waveform(floats, 16_000),
        path.read_bytes(),
        {"bytes": path.read_bytes(), "path": "a.wav"},
    ]
    for value in values:
        decoded_sound = decoded("audio", value)
        assert (decoded_sound.rate_hz, decoded_sound.samples.dtype) == (16_000, np.float32)
        np.testing.assert_array_equal(decoded_sound.samples, floats)


class Decoder:
    """Has what torchcodec's AudioDecoder has."""

    def __init__(self, path, broken=False):
        self.path, self.broken = path, broken

    def get_all_samples(self):
        import soundfile

        if self.broken:
            raise RuntimeError("no stream")
        samples, rate_hz = soundfile.read(self.path, dtype="float32", always_2d=True)

        class Samples:
            data = torch.from_numpy(samples.T.copy())  # (channels, n)
            sample_rate = rate_hz

        return Samples()


@pytest.mark.parametrize("channels", [1, 2])
def test_decoders_give_what_the_file_gives(channels, tmp_path):
    import soundfile

    samples = wave(300 * channels).reshape(300, channels)
    soundfile.write(tmp_path / "a.wav", samples, 22_050, subtype="FLOAT")
    expected = decoded("audio", tmp_path / "a.wav")
    decoded_sound = decoded("audio", Decoder(tmp_path / "a.wav"))
    assert decoded_sound.rate_hz == expected.rate_hz
    np.testing.assert_array_equal(decoded_sound.samples, expected.samples)


def test_overshoot_is_clipped_as_that_of_float_files(tmp_path):
    import soundfile

    loud = wave() * 2
    soundfile.write(tmp_path / "a.wav", loud, 8000, subtype="FLOAT")
    decoded_sound = decoded("audio", {"array": loud, "sampling_rate": 8000})
    np.testing.assert_array_equal(
        decoded_sound.samples, decoded("audio", tmp_path / "a.wav").samples
    )
    assert decoded_sound.samples.max() == 1.0


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (wave(), "audio 0 is an array of shape .*rate is not known"),
        (torch.zeros(5), "audio 0 is a tensor of shape .*rate is not known"),
        ((16_000, wave()), "samples or the rate come first"),
        ({"array": wave()}, "a sound needs samples and a rate"),
        ({"sampling_rate": 8000}, "a sound needs samples and a rate"),
        ({"array": wave(), "sampling_rate": 8000, "sample_rate": 16_000}, "needs samples and a"),
        ({"array": np.zeros((2, 9)), "sampling_rate": 8000}, "which axis the channels are"),
        ({"array": wave() * 20000, "sampling_rate": 8000}, "far outside"),
        ({"array": np.zeros(9, np.int64), "sampling_rate": 8000}, "int16 or int32"),
        ({"array": ["a"], "sampling_rate": 8000}, "int16 or int32"),
        ({"array": wave(), "sampling_rate": 8000.5}, "whole number"),
        ({"array": wave(), "sampling_rate": "fast"}, "whole number"),
        ({"array": wave(), "sampling_rate": 8}, "audio 0 is Waveform"),
        ({"array": [], "sampling_rate": 8000}, "audio 0 is Waveform"),
        ({"array": [np.nan], "sampling_rate": 8000}, "audio 0 is Waveform"),
        ({"array": [[1.0], [1.0, 2.0]], "sampling_rate": 8000}, "cannot be an array"),
        (Decoder("a", broken=True), "cannot decode: no stream"),
        (3.5, "audio 0 is float"),
    ],
)
def test_sounds_that_are_refused(value, why):
    with pytest.raises(UsageError, match=f"(?s){why}") as caught:
        items_of("audio", [value], ())
    assert caught.value.fields["position"] == 0


@pytest.mark.parametrize(
    ("modality", "value"),
    [
        ("image", pixels()),
        ("image", pixels(shape=(4, 4))),
        ("image", torch.zeros(3, 4, 4, dtype=U8)),
        ("image", Image.new("RGB", (2, 2))),
        ("image", {"bytes": b"a", "path": None}),
        ("audio", wave()),
        ("audio", torch.zeros(2, 9)),
        ("audio", Waveform(wave(), 8000)),
        ("audio", Decoder("a")),
        ("text", np.array("a")),
        ("text", b"abc"),
    ],
)
def test_one_value_is_not_taken_apart(modality, value):
    with pytest.raises(UsageError, match=f"{modality} takes a list") as caught:
        items_of(modality, value, ())
    assert caught.value.fix == f"{modality}=[...]"


def test_tensors_of_other_modalities_are_arrays():
    cloud = torch.arange(30, dtype=torch.float32).reshape(10, 3)
    np.testing.assert_array_equal(media_value("point", cloud), cloud.numpy())


# --- columns ---


@pytest.fixture
def dataset(tmp_path, sound):
    datasets = pytest.importorskip("datasets")
    Image.fromarray(pixels()).save(tmp_path / "a.png")
    Image.fromarray(pixels(1)).save(tmp_path / "b.jpg")
    files = [str(tmp_path / "a.png"), str(tmp_path / "b.jpg")]
    table = {"picture": files, "caption": ["a", "b"], "sound": [str(sound[0])] * 2}
    table_of_media = datasets.Dataset.from_dict(table)
    table_of_media = table_of_media.cast_column("picture", datasets.Image())
    return table_of_media.cast_column("sound", datasets.Audio()), files, sound[0]


def test_columns_are_read_as_their_files(dataset):
    table, files, path = dataset
    for source in (table, table.to_iterable_dataset()):
        for item, file in zip(items_of("image", (source, "picture"), ()), files, strict=True):
            np.testing.assert_array_equal(registry.load(item).value, decoded("image", Path(file)))
        sounds = items_of("audio", (source, "sound"), ())
        expected = decoded("audio", path)
        for item in sounds:
            np.testing.assert_array_equal(registry.load(item).value.samples, expected.samples)
        assert [item.value for item in items_of("text", (source, "caption"), ())] == ["a", "b"]
    images = items_of("image", table["picture"], ())  # Pillow's, as the data set decodes them
    np.testing.assert_array_equal(images[1].value, decoded("image", Path(files[1])))


def test_a_data_set_needs_the_name_of_a_column(dataset):
    datasets = pytest.importorskip("datasets")
    table, _, _ = dataset
    with pytest.raises(UsageError, match="without the name of a column") as caught:
        items_of("text", table, ())
    assert 'text=(dataset, "picture")' in caught.value.fix
    with pytest.raises(UsageError, match="no column 'captoin'") as caught:
        items_of("text", (table, "captoin"), ())
    assert "caption" in caught.value.fix
    splits = datasets.DatasetDict({"test": table})
    for source in (splits, (splits, "caption")):
        with pytest.raises(UsageError, match="splits") as caught:
            items_of("text", source, ())
        assert 'dataset["test"]' in caught.value.fix


def test_scalars_of_pyarrow_are_their_values():
    pa = pytest.importorskip("pyarrow")
    column = pa.table({"caption": ["a", "b"]})["caption"]
    assert [item.value for item in items_of("text", column, ())] == ["a", "b"]


def test_two_texts_are_no_column():
    assert [item.value for item in items_of("text", ("a", "b"), ())] == ["a", "b"]


def test_reading_values_imports_none_of_their_libraries():
    import subprocess

    code = "import reactions.inference.values, sys; print([m for m in ('PIL', 'torch', 'datasets')"
    code += " if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_channels_that_cancel_out_are_reported():
    left = wave(300)
    waveform(np.stack([left, left], axis=1), 8000, channels_last=True)
    assert noticed.take() == []
    mono = waveform(np.stack([left, -left], axis=1), 8000, channels_last=True)
    assert not mono.samples.any()
    assert noticed.take()[0].endswith("first 'samples of shape (300, 2), float32'")
