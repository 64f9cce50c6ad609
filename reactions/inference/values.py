"""What Python programs hold media in, brought into the forms that encoders take.

Pillow images, torch tensors, Hugging Face's structs and decoders: each gives the rows that the file
it came from gives. What could mean two things is refused.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reactions.core.arrays import as_array
from reactions.core.errors import MediaError, UsageError, suggestion
from reactions.core.storage import Blob
from reactions.core.types import Modality, Waveform
from reactions.data.media_structs import is_media_struct, value_of
from reactions.modalities import noticed, registry

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TO_BYTES = "pixels.round().astype('uint8'), after * 255 if they are from 0 to 1"
_INTEGERS = {"int16": 1 << 15, "int32": 1 << 31}
_RATE_KEYS = ("sampling_rate", "sample_rate", "rate_hz")


class UnusableValue(Exception):
    """A value that cannot be embedded.

    Args:
        what: it is, as in ``"a tensor of shape (3, 4)"``.
        why: it cannot be used.
        fix: what helps; "" if nothing is known.
    """

    def __init__(self, what: str, why: str, fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.fix = fix


def media_value(modality: Modality, value: Any) -> Any:
    """Return a value in a form that encoders take.

    Args:
        modality: of the value.
        value: what a program gave: besides paths, texts and decoded values, a Pillow image, a grey
            (h, w) uint8 array, a torch tensor (pictures: (3, h, w) or (1, h, w) uint8),
            ``{"array", "sampling_rate"}``, ``{"bytes", "path"}``, encoded bytes, a decoder of
            torchcodec's, or a scalar of pyarrow's.

    Returns:
        A ``Path``, ``bytes``, a ``Blob``, or a decoded value of the modality; anything else as it
        is, for ``why_unusable`` of the modality to refuse.

    Raises:
        UnusableValue: it is close to what is taken, but could mean several things, or nothing.
        MediaError: it cannot be decoded.
    """
    if hasattr(value, "as_py"):  # a scalar of pyarrow's
        value = value.as_py()
    record = registry.get(modality)
    if record.inline:
        return value
    if isinstance(value, str | os.PathLike):
        return Path(value)
    if isinstance(value, bytes | bytearray) and record.decode is not None:
        if not value:
            raise UnusableValue("0 bytes", f"{modality} takes {record.takes}")
        return bytes(value)
    if is_media_struct(value):
        return value_of(value, modality)
    if modality == "audio":
        return _sound(value)
    if modality == "image":
        return _picture(value)
    return as_array(value) if _is_tensor(value) else value


def needs_check(value: Any) -> bool:
    """Return whether a value is decoded already, so that its modality can say what is wrong."""
    return not isinstance(value, Path | Blob | bytes)


# --- pictures ---


def _picture(value: Any) -> Any:
    if _is_pillow(value):
        return _from_pillow(value)
    if _is_tensor(value):
        return _from_chw(value)
    if isinstance(value, np.ndarray):
        return _from_hwc(value)
    return value


def _from_pillow(image: Any) -> NDArray[np.uint8]:
    """Decode a Pillow image as its file is: upright, on white, the frame that it is at."""
    from reactions.modalities.image import MAX_PIXELS
    from reactions.modalities.images import files

    what = f"a Pillow image ({image.mode}, {image.width} x {image.height})"
    if image.width * image.height > MAX_PIXELS:
        raise files.oversized(what, MAX_PIXELS)
    if not image.width * image.height:
        raise UnusableValue(what, "it has no pixels")
    if getattr(image, "tile", None) and getattr(image, "fp", image) is None:
        why = "its file was closed before its pixels were read"
        raise UnusableValue(
            what, f"its pixels cannot be read: {why}", "image.load() within the block"
        )
    try:
        return files.to_rgb(image, what)
    except (MediaError, MemoryError):
        raise
    except Exception as error:  # a damaged file: Pillow's plugins raise whatever they meet
        why = " ".join(str(error).split()) or type(error).__name__
        raise UnusableValue(what, f"its pixels cannot be read: {why}") from error


def _from_hwc(array: NDArray[Any]) -> NDArray[Any]:
    what = f"an array of shape {array.shape}, {array.dtype}"
    _check_picture_type(what, str(array.dtype))
    if array.ndim == 2 and array.size:
        return np.repeat(array[:, :, None], 3, axis=2)
    if array.ndim == 3 and array.shape[2] in (1, 2, 4):
        modes = {1: "array[:, :, 0]", 2: "Image.fromarray(array, 'LA')"}
        fix = modes.get(array.shape[2], "Image.fromarray(array, 'RGBA')")
        raise UnusableValue(what, "its last axis must be red, green, blue", fix)
    if array.ndim == 3 and array.shape[0] in (1, 3) and array.shape[2] != 3:
        raise UnusableValue(what, "arrays are (h, w, 3)", "array.transpose(1, 2, 0)")
    return array


def _from_chw(tensor: Any) -> NDArray[np.uint8]:
    shape = tuple(tensor.shape)
    dtype = str(tensor.dtype).removeprefix("torch.")
    what = f"a tensor of shape {shape}, {dtype}"
    _check_picture_type(what, dtype, tensor=True)
    if 0 in shape or len(shape) not in (2, 3):
        raise UnusableValue(
            what, "tensors of pictures are (3, h, w), or (1, h, w) if they are grey"
        )
    array: NDArray[np.uint8] = tensor.detach().cpu().numpy()
    if len(shape) == 2:
        return np.repeat(array[:, :, None], 3, axis=2)
    if shape[0] in (1, 3) and shape[2] in (1, 3):
        raise UnusableValue(
            what,
            f"it could be {shape[0]} channels of {shape[1]} x {shape[2]} pixels, or the other way "
            "round",
            "an array of numpy's, which is taken as (h, w, 3)",
        )
    if shape[0] not in (1, 3):
        turned = "tensor.permute(2, 0, 1)" if shape[2] in (1, 3) else ""
        raise UnusableValue(what, "tensors of pictures are (3, h, w)", turned)
    pixels = array.transpose(1, 2, 0)
    return np.ascontiguousarray(np.repeat(pixels, 3, axis=2) if shape[0] == 1 else pixels)


def _check_picture_type(what: str, dtype: str, *, tensor: bool = False) -> None:
    if dtype == "uint8":
        return
    fix = "(pixels * 255).round().to(torch.uint8), if they are from 0 to 1" if tensor else _TO_BYTES
    if "float" in dtype:
        raise UnusableValue(what, "the range of floats is not known: pixels are uint8", fix)
    raise UnusableValue(what, "pixels are uint8", "bring them to 0..255 and to uint8")


# --- sounds ---


def _sound(value: Any) -> Any:
    if isinstance(value, Mapping):
        return _from_mapping(value)
    if callable(getattr(value, "get_all_samples", None)):
        return _from_decoder(value)
    if isinstance(value, np.ndarray) or _is_tensor(value):
        kind = "an array" if isinstance(value, np.ndarray) else "a tensor"
        raise UnusableValue(
            f"{kind} of shape {tuple(value.shape)}",
            "its rate is not known",
            '{"array": samples, "sampling_rate": 48000}, or Waveform(samples, 48000)',
        )
    if isinstance(value, tuple | list) and len(value) == 2:
        raise UnusableValue(
            f"a {type(value).__name__} of two",
            "libraries disagree whether samples or the rate come first",
            '{"array": samples, "sampling_rate": 48000}',
        )
    return value


def _from_mapping(value: Mapping[str, Any]) -> Waveform:
    keys = ", ".join(map(str, value)) or "nothing"
    what = f"a mapping of {keys}"
    rates = [key for key in _RATE_KEYS if value.get(key) is not None]
    samples = value.get("array")
    if samples is None or len(rates) != 1:
        raise UnusableValue(
            what, "a sound needs samples and a rate", '{"array": samples, "sampling_rate": 48000}'
        )
    return waveform(samples, value[rates[0]])


def _from_decoder(decoder: Any) -> Waveform:
    """Decode a sound with torchcodec's ``AudioDecoder``; channels are averaged as a file's are."""
    try:
        decoded = decoder.get_all_samples()
    except MemoryError:
        raise
    except Exception as error:  # whatever a decoder raises, the sound cannot be used
        why = " ".join(str(error).split())[:200] or type(error).__name__
        raise UnusableValue(
            f"a decoder ({type(decoder).__name__})", f"it cannot decode: {why}"
        ) from (error)
    # (channels, n), as torchcodec promises
    return waveform(np.asarray(decoded.data).T, decoded.sample_rate, channels_last=True)


def waveform(samples: Any, rate_hz: Any, *, channels_last: bool = False) -> Waveform:
    """Return a sound in memory as a file of the same samples is decoded.

    Args:
        samples: (n,) floats in [-1, 1], or int16 or int32 at full scale.
        rate_hz: samples a second.
        channels_last: take (n, channels), too, and average the channels.

    Raises:
        UnusableValue: their axes, type or range cannot be a sound's.
    """
    from reactions.modalities.audio import CANCELLED
    from reactions.modalities.sounds.samples import MAX_PEAK, Downmix

    if _is_tensor(samples):
        samples = as_array(samples)
    try:
        array = np.asarray(samples)
    except ValueError as error:  # lists of unequal lengths
        raise UnusableValue("samples that cannot be an array", str(error)) from error
    what = f"samples of shape {array.shape}, {array.dtype}"
    if not isinstance(rate_hz, int | float | np.number) or int(rate_hz) != rate_hz:
        raise UnusableValue(f"a sound of {rate_hz} Hz", "the rate is a whole number")
    if str(array.dtype) in _INTEGERS:
        array = (array / _INTEGERS[str(array.dtype)]).astype(np.float32)
    elif array.dtype.kind != "f":
        raise UnusableValue(what, "samples are floats in [-1, 1], int16 or int32")
    array = array.astype(np.float32, copy=False)
    if array.ndim == 2 and channels_last and array.shape[1]:
        downmix = Downmix()
        array = downmix.mix(array)
        if downmix.cancels:
            noticed.note(CANCELLED, what)
    if array.ndim != 1:
        raise UnusableValue(
            what,
            "which axis the channels are is not known",
            "one channel: samples.mean(axis=0), or 1 if channels come last",
        )
    peak = float(np.abs(array).max(initial=0.0))
    if peak > MAX_PEAK:
        raise UnusableValue(
            what, f"samples reach {peak:.6g}, far outside [-1, 1]", "scale them to [-1, 1]"
        )
    # NaN is left for the modality to refuse.
    return Waveform(np.ascontiguousarray(np.clip(array, -1.0, 1.0)), int(rate_hz))


# --- lists of values ---


def column_of(modality: Modality, values: Any) -> Any:
    """Return the values of a column of a Hugging Face data set; anything else as it is.

    Args:
        modality: which is wanted.
        values: ``(dataset, "column")``, or whatever can be iterated over.

    Returns:
        For a column, its rows: media still encoded, so that they are decoded as files are.

    Raises:
        UsageError: there is no such column, or it is not said which.
    """
    if is_dataset(values):
        names = getattr(values, "column_names", None)
        listed = list(names) if names is not None else []
        if isinstance(names, Mapping):  # a DatasetDict: splits
            raise UsageError(
                f"{modality} is given splits of a data set",
                why=f"it has {', '.join(listed)}",
                fix=f'{modality}=(dataset["{listed[0] if listed else "train"}"], "COLUMN")',
            )
        raise UsageError(
            f"{modality} is given a data set without the name of a column",
            why=f"it has {', '.join(listed) or 'columns of unknown names'}",
            fix=f'{modality}=(dataset, "{listed[0] if listed else "COLUMN"}")',
        )
    if not (isinstance(values, tuple) and len(values) == 2 and is_dataset(values[0])):
        return values
    dataset, name = values
    names = getattr(dataset, "column_names", None)
    if isinstance(names, Mapping):
        return column_of(modality, dataset)
    if not isinstance(name, str) or (names is not None and name not in names):
        raise UsageError(
            f"the data set has no column '{name}'",
            why=f"it has {', '.join(names or ())}",
            fix=suggestion(str(name), names or ()),
        )
    feature: Any = (getattr(dataset, "features", None) or {}).get(name)
    if type(feature).__name__ in ("Audio", "Image") and getattr(feature, "decode", False):
        dataset = dataset.cast_column(name, type(feature)(decode=False))
    if hasattr(dataset, "select_columns"):
        dataset = dataset.select_columns([name])
    return (row[name] for row in dataset)


def is_dataset(value: object) -> bool:
    """Return whether a value is a data set of Hugging Face's ``datasets``, without importing it."""
    datasets = sys.modules.get("datasets")
    kinds = ("Dataset", "IterableDataset", "DatasetDict", "IterableDatasetDict")
    classes = tuple(kind for name in kinds if (kind := getattr(datasets, name, None)) is not None)
    return bool(classes) and isinstance(value, classes)


def refuse_one_value(modality: Modality, values: Any) -> None:
    """Refuse one value where a list is wanted: iterated over, it would be taken apart.

    Raises:
        UsageError: it is one.
    """
    if is_dataset(values):
        return  # column_of says what is wrong
    takes_list = f"{modality} takes a list"
    fix = f"{modality}=[...]"
    if isinstance(values, str | bytes | os.PathLike | Mapping | Waveform | Blob) or (
        _is_pillow(values) or hasattr(values, "get_all_samples")
    ):
        raise UsageError(takes_list, why=f"it is given {_called(values)}", fix=fix)
    if isinstance(values, set | frozenset):
        raise UsageError(takes_list, why="a set has no order, and rows do", fix=fix)
    if (columns := getattr(values, "columns", None)) is not None:  # of pandas, polars, pyarrow
        names = [str(name) for name in getattr(values, "column_names", columns)]
        first = names[0] if len(names) == 1 else "COLUMN"
        why = f"it is given a table, whose columns are {', '.join(names) or 'none'}"
        raise UsageError(takes_list, why=why, fix=f'{modality}=table["{first}"]')
    if not (isinstance(values, np.ndarray) or _is_tensor(values)):
        return
    # An array of one axis is a list of what it holds; pictures side by side have four.
    shape = tuple(values.shape)
    dtype = str(values.dtype)
    is_list = len(shape) == 4 if modality == "image" else len(shape) != 0
    if modality == "image" and (dtype == "object" or dtype.startswith("<U")):
        is_list = len(shape) == 1
    if modality == "audio" and not (dtype == "object" or dtype.startswith("<U")):
        is_list = False
    if not is_list:
        why = f"it is given one of shape {shape}, {dtype}"
        raise UsageError(takes_list, why=why, fix=fix)


def _called(value: object) -> str:
    return f"one {type(value).__name__}"


def _is_tensor(value: object) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _is_pillow(value: object) -> bool:
    image = sys.modules.get("PIL.Image")
    return image is not None and isinstance(value, image.Image)
