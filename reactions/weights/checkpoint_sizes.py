"""Checkpoints held to the size of their file: a small one must not take gigabytes.

A pickle can declare a tensor of any shape over a few numbers (strides of 0), ask for a buffer of
any size (``bytearray``), or double a text again and again (``encode``); an archive can be
compressed. Nothing that ``torch.save`` writes of a state dictionary does.
"""

from __future__ import annotations

import codecs
import mmap
import pickletools
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

if TYPE_CHECKING:
    from torch import Tensor

_PICKLE_BYTES = 1 << 28
_SLACK_BYTES = 1 << 20
_FREE_BYTES = 64 << 20
_MAX_SHARED = 8
"""Weights may be tied: several tensors share numbers, and count once each."""

# Magic number, protocol, system information, the saved object, keys of its storages.
_LEGACY_PICKLES = 5


def check_archive(path: Path) -> None:
    """Hold what a file of ``torch.save`` says of itself against its size, unpickling nothing.

    Args:
        path: an archive, or the earlier format: pickles, and then numbers.

    Raises:
        ValueError: it would unpack to more than it is.
        OSError: it cannot be read.
        zipfile.BadZipFile: the archive is damaged.
    """
    if path.stat().st_size == 0:
        raise EOFError
    if not zipfile.is_zipfile(path):
        # Mapped: reading as much as a pickle declares would allocate it first, here and in torch.
        with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as m:
            check_pickles(cast("IO[bytes]", m))
        return
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise ValueError("its archive is compressed, which torch.save never does")
        # Entries may overlap in a crafted archive, so that the same bytes are unpacked many times.
        if sum(entry.file_size for entry in entries) > path.stat().st_size:
            raise ValueError("its archive unpacks to more than the file holds")
        for entry in entries:
            if entry.filename.endswith(".pkl"):
                if entry.file_size > _PICKLE_BYTES:
                    raise ValueError(f"its pickle has {entry.file_size:,} bytes")
                with archive.open(entry) as pickled:
                    _check_pickle(pickled)


def check_pickles(stream: IO[bytes]) -> None:
    """Hold the pickles of the earlier format of ``torch.save`` against what they may hold.

    Raises:
        ValueError: they would make much of little, or are cut short.
    """
    for _ in range(_LEGACY_PICKLES):
        _check_pickle(stream)


def check_tensors(tensors: Iterable[Tensor], size_bytes: int) -> None:
    """Hold tensors against the file that they came from.

    Args:
        tensors: unpickled, on the CPU.
        size_bytes: of the file.

    Raises:
        ValueError: one declares more numbers than it has, or all have more than the file.
    """
    import torch

    stored: dict[int, int] = {}
    declared_bytes = 0
    for tensor in tensors:
        # What follows counts numbers times their size, which says nothing of these.
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
            raise ValueError("it holds a tensor that is sparse, quantised or without numbers")
        own_bytes = tensor.numel() * tensor.element_size()
        storage = tensor.untyped_storage()
        if own_bytes > storage.nbytes():
            raise ValueError(
                f"a tensor of shape {tuple(tensor.shape)} declares {own_bytes:,} bytes, and has "
                f"{storage.nbytes():,}"
            )
        # By address: tensors that share a storage have its bytes once.
        stored[storage.data_ptr()] = storage.nbytes()
        declared_bytes += own_bytes
    if sum(stored.values()) > size_bytes + _SLACK_BYTES:
        raise ValueError(f"its tensors take {sum(stored.values()):,} bytes, it has {size_bytes:,}")
    if declared_bytes > max(_MAX_SHARED * size_bytes, _FREE_BYTES):
        raise ValueError(f"its tensors declare {declared_bytes:,} bytes, it has {size_bytes:,}")


def _check_pickle(stream: IO[bytes]) -> None:
    """Refuse calls that make much of little; what is not a pickle, torch reports."""
    encodes = False
    texts: list[str] = []
    names: list[str] = []
    try:
        for code, argument, _ in pickletools.genops(stream):
            if code.name in ("GLOBAL", "INST") and isinstance(argument, str):
                names.append(argument.replace(" ", "."))
            elif code.name == "STACK_GLOBAL":
                names.append(".".join(texts[-2:]))
            elif isinstance(argument, str) and len(argument) < 32:
                texts.append(argument)
    # The set is open: a damaged pickle breaks wherever its parser is.
    except Exception as error:
        # pickletools' word for an argument longer than the file; torch would allocate it first.
        if "remain" in str(error):
            raise ValueError(f"it is cut short: {error}") from error
    for name in names:
        encodes = encodes or name.endswith("encode")
        if name.rpartition(".")[2] == "bytearray":
            raise ValueError("its pickle asks for buffers, which no tensor needs")
    if encodes and any(map(_is_other_codec, texts)):
        raise ValueError("its pickle encodes texts, which no tensor needs")


def _is_other_codec(text: str) -> bool:
    try:
        return codecs.lookup(text).name not in ("iso8859-1",)  # numpy's numbers, in protocol 2
    except (LookupError, ValueError):
        return False
