"""Reading dictionaries of tensors that ``pickle.dump`` wrote, without running what they hold.

Python's unpickler calls whatever a pickle names. This one knows five names, each of which it
replaces by a function of its own, and refuses the instructions that build objects in other ways.
"""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from reactions.core.errors import DataError, guarded
from reactions.core.local_files import is_file, read_small_file
from reactions.weights.checkpoint_sizes import check_pickles, check_tensors
from reactions.weights.safe_load import read_tensors, refuse_old_torch

if TYPE_CHECKING:
    from torch import Tensor

_LIMIT_BYTES = 4 << 30
_TORCH_MAGIC = 0x1950A86A20F9469CFC6C
"""What files of the earlier format of ``torch.save`` begin with."""


def read_pickled_tensors(path: Path) -> dict[str, Tensor]:
    """Read a dictionary of tensors from a pickle, or from what ``torch.save`` wrote.

    Args:
        path: of a pickle of a dictionary, its keys texts and its values tensors.

    Returns:
        Key to tensor, on the CPU, in the file's order.

    Raises:
        MissingError: there is no such file, or torch is too old to unpickle safely.
        DataError: it is damaged, holds anything else, or is larger than its file when read.
    """
    # Not more than there is: to read as much as may be would allocate it first.
    size_bytes = path.stat().st_size if is_file(path) else 0
    data = read_small_file(path, min(size_bytes, _LIMIT_BYTES))
    if zipfile.is_zipfile(BytesIO(data)):
        return read_tensors(path)
    refuse_old_torch(path)
    with guarded(lambda error: _unreadable(path, error)):
        content = _Unpickler(BytesIO(data)).load()
        if type(content) is int and content == _TORCH_MAGIC:
            return read_tensors(path)
        tensors = _checked(content)
        check_tensors(tensors.values(), len(data))
    return tensors


class _Refused(ValueError):
    """What a pickle asks for that no dictionary of tensors needs."""


def _refuse(unpickler: Any) -> None:
    raise _Refused("it builds objects that are not tensors")


_REFUSED = (
    *(pickle.BUILD, pickle.INST, pickle.OBJ, pickle.NEWOBJ, pickle.NEWOBJ_EX),
    *(pickle.EXT1, pickle.EXT2, pickle.EXT4),
    # Buffers are allocated at the size that the pickle says.
    *(pickle.BYTEARRAY8, pickle.NEXT_BUFFER, pickle.READONLY_BUFFER),
)
"""Instructions that no dictionary of tensors needs."""


class _Unpickler(pickle._Unpickler):
    """Unpickles texts, numbers, containers and tensors."""

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        """Return what stands for a name that pickles of tensors hold."""
        stand_in = _KNOWN.get((module, name))
        if stand_in is None:
            raise _Refused(f"it holds more than tensors: unpickling it would call {module}.{name}")
        return stand_in

    def persistent_load(self, pid: Any) -> Any:
        """Refuse references to what lies outside the pickle."""
        raise _Refused("it refers to what lies outside of it")

    # The unpickler in C has no table of instructions to change.
    dispatch: ClassVar[dict[int, Any]] = {
        **pickle._Unpickler.dispatch,
        **{code[0]: _refuse for code in _REFUSED},
    }


def _storage(data: Any) -> Any:
    """Read the numbers of a tensor, which torch saves within the pickle as a file of its own."""
    import torch

    if type(data) is not bytes:
        raise _Refused("its numbers are not bytes")
    check_pickles(BytesIO(data))
    with warnings.catch_warnings():
        # Torch itself warns that its typed storages will go.
        warnings.filterwarnings("ignore", message="TypedStorage is deprecated")
        warnings.filterwarnings("ignore", message="Detected pickle protocol")
        storage = torch.load(BytesIO(data), map_location="cpu", weights_only=True)
        if not isinstance(storage, torch.storage.TypedStorage):
            raise _Refused("its numbers are not those of a tensor")
        if _numbers(storage).nbytes() > len(data):
            raise _Refused("it declares more numbers than it has")
    return storage


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Any:
    """Make a tensor of its numbers."""
    import torch

    if not isinstance(storage, torch.storage.TypedStorage) or type(offset) is not int:
        raise _Refused("its tensors have no numbers")
    for numbers in (size, stride):
        if type(numbers) is not tuple or any(type(n) is not int or n < 0 for n in numbers):
            raise _Refused("its tensors have no shape")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="TypedStorage is deprecated")
        empty = torch.empty((0,), dtype=storage.dtype)
        return empty.set_(_numbers(storage), offset, size, stride)


def _numbers(storage: Any) -> Any:
    return storage.untyped()


def _parameter(data: Any, *_: Any) -> Any:
    return data


def _encoded(text: Any, encoding: Any) -> bytes:
    """Return bytes, which protocol 2 has no instruction for."""
    if type(text) is not str or encoding != "latin1":
        raise _Refused("it encodes texts, which no tensor needs")
    return text.encode("latin-1")


def _ordered(*arguments: Any) -> OrderedDict[Any, Any]:
    if arguments:
        raise _Refused("it builds objects that are not tensors")
    return OrderedDict()


_KNOWN: Mapping[tuple[str, str], Callable[..., Any]] = {
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch.storage", "_load_from_bytes"): _storage,
    ("collections", "OrderedDict"): _ordered,
    ("_codecs", "encode"): _encoded,
}


def _checked(content: Any) -> dict[str, Tensor]:
    import torch

    if not isinstance(content, dict) or not content:
        raise _Refused("it holds no dictionary of tensors")
    other_names = [
        str(key)
        for key, value in content.items()
        if not isinstance(key, str) or not isinstance(value, torch.Tensor)
    ]
    if other_names:
        raise _Refused(f"these are not texts with tensors: {', '.join(other_names[:3])}")
    return dict(content)


def _unreadable(path: Path, error: Exception) -> DataError:
    why = str(error) if isinstance(error, _Refused) else "it is damaged, or not a pickle of tensors"
    return DataError(
        f"cannot read the tensors of '{path}'",
        why=why,
        fix="get the published file again; of another file, have the tensors saved with torch.save",
        path=str(path),
    )
