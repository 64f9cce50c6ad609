"""A CUDA device for machines without one: tensors that say ``cuda:0``, and hold CPU values.

Each operation runs twice. torch's FakeTensorMode runs it on fake tensors of device ``cuda`` and
decides, by torch's own rules, which devices may meet, and what device, type and shape come out;
the CPU computes the values. So code runs to its end, loops that depend on values included, and
its results are compared with the CPU's. What no CPU build has is replaced: streams, events, pinned
memory, generators, and 16-bit products that come out in float32, from exact products of 16-bit
inputs with sums in float32.

Streams are held to what a GPU would punish at random: memory written on one stream and read on
another without waiting; memory used on a stream that its allocator was not informed of; a copy to
the host that is read before its end.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch
from pretend_streams import StreamError, Streams
from pretend_tensor import (
    CUDA,
    NO_GENERATOR,
    OWN_NOTES,
    TO_HOST,
    TURN_IN_PLACE,
    CudaTensor,
    compute,
    described,
    is_cuda,
    leaves_of,
    mapped,
    on_cpu,
    storage,
)
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

_aten = torch.ops.aten

_VALUES_DECIDE = (DataDependentOutputException, torch._subclasses.DynamicOutputShapeException)
"""What fake tensors cannot answer, since it depends on values."""
_KNOWN: dict[Any, list[Any] | None] = {}
"""What fake tensors gave, by operation and arguments: for all tests of a run."""


class PretendCuda(TorchDispatchMode):
    """The machine: enter it (``pretend_cuda`` does), and ``cuda:0`` is there.

    Attributes:
        ran: how often each operation ran on the device.
        unchecked: of these, how often each had to do without fake tensors: what comes out depends
            on values, or a CPU build of torch cannot fake it. Devices are compared all the same.
        waits: times that the host read a value, and so waited for the device.
        streams: of the device.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ran: Counter[str] = Counter()
        self.unchecked: Counter[str] = Counter()
        self.waits = 0
        self.streams = Streams()
        self._pinned: dict[int, Tensor] = {}
        self._lock = threading.RLock()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is _aten.is_pinned.default:
            return storage(args[0]) in self._pinned
        leaves = list(leaves_of((args, kwargs)))
        device = kwargs.get("device")
        on_cuda = device is not None and torch.device(device).type == "cuda"
        if on_cuda or any(map(is_cuda, leaves)):
            return self.run(func, args, kwargs)
        if not func.is_view:
            for x in leaves:
                if isinstance(x, Tensor):
                    self.streams.check_host(x)
        pinned = kwargs.pop("pin_memory", False) or func is _aten._pin_memory.default
        out = args[0].clone() if func is _aten._pin_memory.default else func(*args, **kwargs)
        if pinned:
            self._pinned[storage(out)] = out
        return out

    def run(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """Run an operation that has to do with the device."""
        with self._lock, _disable_current_modes():
            inputs = [x for x in leaves_of((args, kwargs)) if is_cuda(x)]
            if func is _aten._to_copy.default and is_cuda(args[0]) and kwargs.get("device"):
                to_host = kwargs["device"] == TO_HOST
                kwargs = kwargs | {"device": torch.device("cpu") if to_host else CUDA}
            self.ran[func.name()] += 1
            # A view is where its base is, and of a shape that no device decides.
            expected = None if func.is_view else self._expected(func, args, kwargs)
            for x in inputs:
                self.streams.current().reads(x.memory)
            if func is _aten._local_scalar_dense.default:
                self._wait()
            plain, options = mapped(lambda x: x.values if is_cuda(x) else x, (args, kwargs))
            out = compute(func, plain, on_cpu(options))
            return self._outputs(func, out, expected, args, kwargs, inputs)

    def _expected(self, func: Any, args: Any, kwargs: dict[str, Any]) -> list[Any] | None:
        """Return (on the device, type, shape) of each output; None where values decide."""
        key = func, mapped(described, args), tuple(mapped(described, kwargs).items())
        if key not in _KNOWN:
            _KNOWN[key] = self._fake(func, args, kwargs)
        if _KNOWN[key] is None:
            self.unchecked[func.name()] += 1
        return _KNOWN[key]

    def _fake(self, func: Any, args: Any, kwargs: dict[str, Any]) -> list[Any] | None:
        def fake(x: Any) -> Any:
            if not isinstance(x, Tensor):
                return x
            device = CUDA if is_cuda(x) else x.device
            return torch.empty_strided(x.size(), x.stride(), dtype=x.dtype, device=device)

        options = {k: v for k, v in kwargs.items() if k not in ("generator", "pin_memory")}
        func = NO_GENERATOR.get(func, func)
        try:
            with FakeTensorMode():
                args, options = mapped(fake, (args, options))
                outputs = list(leaves_of(func(*args, **options)))
        except _VALUES_DECIDE:
            pass
        except RuntimeError as error:
            # Fake tensors take some operations apart, into steps that a CPU build has no guard for.
            if "not linked with support for cuda" not in str(error):
                raise
        else:
            return [
                (x.device.type == "cuda", x.dtype, tuple(x.shape)) if isinstance(x, Tensor) else x
                for x in outputs
            ]
        tensors = [x for x in leaves_of((args, options)) if isinstance(x, Tensor) and x.dim()]
        if any(x.device != CUDA for x in tensors):
            raise RuntimeError(f"{func.name()}: expected all tensors to be on the same device")
        return None

    def _wait(self) -> None:
        """Let the host wait for the device."""
        self.waits += 1
        self.streams.current().synchronize()

    def _outputs(self, func, out, expected, args, kwargs, inputs):
        """Wrap what came out; the inputs among it are returned as they are."""
        stream = self.streams.current()
        same = {id(x.values): x for x in inputs}
        views = {storage(x.values): x.memory for x in inputs}
        places = iter(range(1 << 16))

        def wrapped(x: Any) -> Any:
            place = next(places)
            if not isinstance(x, Tensor):
                return x
            is_on_device = expected is None or expected[place][0]
            comparable = expected is not None and (place == 0 or func not in OWN_NOTES)
            if comparable and expected[place][1:] != (x.dtype, tuple(x.shape)):
                raise AssertionError(f"{func}: {expected[place]}, here {x.dtype} {x.shape}")
            if not is_on_device:
                self._to_host(func, x, args, kwargs)
                return args[0] if func is _aten.copy_.default else x
            if (same_input := same.get(id(x))) is not None:
                if func in TURN_IN_PLACE:
                    with torch._C._DisableTorchDispatch():
                        func(*args)  # the wrapper's own sizes
                else:
                    stream.writes(same_input.memory)
                return same_input
            memory = views.get(storage(x))
            if memory is None:
                memory = self.streams.allocate(x.untyped_storage().nbytes())
                stream.writes(memory)
            return CudaTensor(x, self, memory)

        wrapped_out = mapped(wrapped, out)
        # Operations on lists return nothing: their first list is what they write.
        if func.name().startswith(("aten::_foreach", "aten::_fused")):
            for x in args[0]:
                stream.writes(x.memory)
        return wrapped_out

    def _to_host(self, func: Any, x: Tensor, args: Any, kwargs: dict[str, Any]) -> None:
        """Note a copy to the host: it has ended, unless it goes into pinned memory by itself."""
        if func is _aten.copy_.default:
            runs_on = args[2] if len(args) > 2 else kwargs.get("non_blocking", False)
        else:
            runs_on = kwargs.get("non_blocking", False)
        if runs_on and (storage(x) in self._pinned or func is _aten._to_copy.default):
            self.streams.current().copies_to(x)
        else:
            self._wait()


class _Generator(torch.Generator):
    """A generator of the CPU, for whichever device."""

    def __new__(cls, device: Any = "cpu") -> _Generator:
        return super().__new__(cls, device="cpu")


class _Pool(ThreadPoolExecutor):
    """Threads that see the pretended device: a mode of torch's belongs to a thread."""

    machine: PretendCuda

    def submit(self, fn: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        def inside() -> Any:
            with self.machine:
                return fn(*args, **options)

        return super().submit(inside)


class _Autocast(torch.autocast):
    """Casting as the CPU does it: to torch's C++ our tensors are a CPU's."""

    def __init__(self, device_type: str, *args: Any, **options: Any) -> None:
        super().__init__("cpu", *args, **options)


@contextlib.contextmanager
def pretend_cuda(monkeypatch, capability: tuple[int, int] = (9, 0)) -> Iterator[PretendCuda]:
    """Make ``cuda:0`` be there within a test.

    Args:
        monkeypatch: pytest's.
        capability: of the device.
    """
    # A build with CUDA, where there is no GPU: a guard that does nothing, as under fake tensors.
    if not torch.cuda.is_available() and hasattr(torch._C, "_ensureCUDADeviceGuardSet"):
        torch._C._ensureCUDADeviceGuardSet()
    machine = PretendCuda()
    streams = machine.streams
    cuda = {
        "_lazy_init": lambda: None,
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "get_device_capability": lambda device=None: capability,
        "get_device_name": lambda device=None: "Pretended GPU",
        "Stream": lambda device=None: streams.make(),
        "Event": streams.event,
        "stream": streams.within,
        "current_stream": lambda device=None: streams.current(),
        "synchronize": lambda device=None: streams.synchronize(),
        "empty_cache": lambda: None,
        "mem_get_info": lambda device=None: (64 << 30, 80 << 30),
        "memory_reserved": lambda device=None: 0,
        "memory_allocated": lambda device=None: 0,
    }
    for name, value in cuda.items():
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setattr(torch, "Generator", _Generator)
    monkeypatch.setattr(torch, "autocast", _Autocast)
    # Views of tensors like ours have no place in inference mode; no_grad records nothing either.
    no_inference = {True: torch.no_grad, False: contextlib.nullcontext}
    monkeypatch.setattr(torch._C, "_InferenceMode", lambda mode: no_inference[mode]())
    # Modules take the moved tensors themselves: torch would copy their addresses, which are none.
    monkeypatch.setattr(torch.__future__, "_overwrite_module_params_on_conversion", True)
    # Operations are computed eagerly: there is no GPU on which to try other ways.
    monkeypatch.setattr("reactions.ops.kernels.choice.LEAST_ELEMENTS", 1 << 62)
    pool = type("Pool", (_Pool,), {"machine": machine})
    for module in ("reactions.ops.tiles", "reactions.ops.pairs"):
        monkeypatch.setattr(f"{module}.ThreadPoolExecutor", pool)
    # torch.tensor(..., device="cuda:0") makes a CPU tensor, and moves it where a mode sees it.
    before = torch._C._only_lift_cpu_tensors()
    torch._C._set_only_lift_cpu_tensors(True)
    try:
        with machine:
            yield machine
    finally:
        torch._C._set_only_lift_cpu_tensors(before)
    streams.check_end()


__all__ = ["CUDA", "CudaTensor", "PretendCuda", "StreamError", "pretend_cuda"]
