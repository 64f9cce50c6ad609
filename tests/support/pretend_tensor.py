"""Tensors of a pretended CUDA device, and what its operations need to know."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from pretend_streams import Memory
from torch import Tensor

if TYPE_CHECKING:
    from pretend_cuda import PretendCuda

CUDA = torch.device("cuda:0")
TO_HOST = torch.device("cpu:0")
"""The CPU, where a copy goes there. Without a number, torch's C++ means where a tensor is."""
_aten = torch.ops.aten


class CudaTensor(Tensor):
    """A tensor of the pretended device.

    Attributes:
        values: a CPU tensor.
        memory: which stream wrote it last; shared by all views of the memory.
    """

    values: Tensor
    memory: Memory
    _machine: PretendCuda

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, values: Tensor, machine: PretendCuda, memory: Memory) -> CudaTensor:
        tensor = Tensor._make_wrapper_subclass(
            cls,
            values.size(),
            strides=values.stride(),
            storage_offset=values.storage_offset(),
            dtype=values.dtype,
        )
        tensor.values, tensor.memory, tensor._machine = values, memory, machine
        return tensor

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        machine = next(x._machine for x in leaves_of((args, kwargs)) if is_cuda(x))
        return machine.run(func, args, kwargs or {})

    # To torch's C++ these are CPU tensors, so that gradients flow on the calling thread. What asks
    # C++ for the device is therefore answered here.
    device = property(lambda self: CUDA)
    is_cuda = property(lambda self: True)
    is_cpu = property(lambda self: False)

    @property
    def data(self) -> Tensor:
        return self.detach()

    @data.setter
    def data(self, other: CudaTensor) -> None:
        self.values, self.memory = other.values, other.memory

    def to(self, *args: Any, **options: Any) -> Tensor:
        if args and isinstance(args[0], Tensor):
            args = (args[0].device, args[0].dtype, *args[1:])
        copy = options.pop("copy", False)
        device, dtype, non_blocking, _ = torch._C._nn._parse_to(*args, **options)
        device = torch.device(device or CUDA)
        if device.type == "cuda" and dtype in (None, self.dtype) and not copy:
            return self
        device = TO_HOST if device.type == "cpu" else device
        return _aten._to_copy(
            self, device=device, dtype=dtype or self.dtype, non_blocking=non_blocking
        )

    def cpu(self) -> Tensor:
        return self.to("cpu")

    def cuda(self, *args: Any) -> Tensor:
        return self

    def type_as(self, other: Tensor) -> Tensor:
        return self.to(other)

    def numpy(self, *args: Any) -> Any:
        raise TypeError("can't convert cuda:0 device type tensor to numpy")

    __array__ = numpy

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def data_ptr(self) -> int:
        return self.values.data_ptr()

    def record_stream(self, stream: Any) -> None:
        self.memory.recorded.add(stream)

    def new_zeros(self, *size: Any, **options: Any) -> Tensor:
        return torch.zeros(*size, **{"dtype": self.dtype, "device": CUDA} | options)

    def new_ones(self, *size: Any, **options: Any) -> Tensor:
        return torch.ones(*size, **{"dtype": self.dtype, "device": CUDA} | options)

    def new_empty(self, *size: Any, **options: Any) -> Tensor:
        return torch.empty(*size, **{"dtype": self.dtype, "device": CUDA} | options)

    def new_full(self, size: Any, value: float, **options: Any) -> Tensor:
        return torch.full(size, value, **{"dtype": self.dtype, "device": CUDA} | options)

    def new_tensor(self, values: Any, **options: Any) -> Tensor:
        return torch.tensor(values, **{"dtype": self.dtype}, **options).to(CUDA)

    def __repr__(self, **_: Any) -> str:
        return f"CudaTensor({self.values!r})"


def is_cuda(x: object) -> bool:
    return isinstance(x, CudaTensor)


TURN_IN_PLACE = {_aten.transpose_.default, _aten.squeeze_.dim, _aten.unsqueeze_.default}

OWN_NOTES = {
    _aten._embedding_bag.default,
    _aten._embedding_bag_forward_only.default,
    _aten.native_batch_norm.default,
}
"""Operations that return notes for their gradients, whose shape depends on the device."""

NO_GENERATOR = {
    _aten.randn.generator: _aten.randn.default,
    _aten.rand.generator: _aten.rand.default,
}


def described(x: object) -> object:
    """Return all of an argument that decides what fake tensors give."""
    if isinstance(x, Tensor):
        return is_cuda(x), x.dtype, tuple(x.shape), x.stride()
    return type(x), None if isinstance(x, torch.Generator) else x


def storage(x: Tensor) -> int:
    return x.untyped_storage()._cdata


def on_cpu(options: dict[str, Any]) -> dict[str, Any]:
    """Return keywords with which the CPU computes."""
    cpu_options = {k: v for k, v in options.items() if k != "pin_memory"}
    if cpu_options.get("device") is not None:
        cpu_options["device"] = torch.device("cpu")
    return cpu_options


def compute(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    if func in (_aten.mm.dtype, _aten.mm.dtype_out):
        left, right, dtype = args
        if left.dtype != right.dtype or dtype not in (left.dtype, torch.float32):
            raise RuntimeError("out_dtype must be the same as input dtype or fp32 for fp16/bf16")
        # Products of 16-bit numbers are exact in float32; sums are float32, as tensor cores'.
        return (left.float() @ right.float()).to(dtype)
    if func is _aten._to_copy.default and args[0].device == kwargs.get("device"):
        return func(*args, **{k: v for k, v in kwargs.items() if k != "non_blocking"})
    return func(*args, **kwargs)


def leaves_of(x: Any) -> Iterator[Any]:
    """Yield what is in tuples, lists and dictionaries: torch's own walk is several times slower."""
    if isinstance(x, tuple | list):
        for part in x:
            yield from leaves_of(part)
    elif isinstance(x, dict):
        yield from leaves_of(list(x.values()))
    else:
        yield x


def mapped(change: Callable[[Any], Any], x: Any) -> Any:
    """Return the same with each leaf changed; lists become tuples."""
    if isinstance(x, tuple | list):
        return tuple(mapped(change, part) for part in x)
    if isinstance(x, dict):
        return {name: mapped(change, part) for name, part in x.items()}
    return change(x)
