"""Which of several ways to compute an operation a device is fastest at: tried, not trusted.

On CUDA the first large tile of an operation is computed in each way. A way that fails, or whose
result is not the eager one within the operation's tolerance, is left out; of the rest the fastest
is taken. The choice is kept in the cache, by the device's name and by the versions of torch and
Triton, and reported to the logger ``reactions.kernels``, which ``-v`` shows.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, TypeAlias

import torch
from torch import Tensor

from reactions.core.kept_choices import KeptChoices

EAGER = "eager"
LEAST_ELEMENTS = 1 << 22
"""Smaller tiles are computed eagerly: trying, and compiling, would take longer than they do."""

TRIALS = 3

FLOAT32_APART = 2.0**-18
"""The most where nothing is rounded to 16 bits: exponentials by hardware are off by a few units in
the last place, times sums of thousands."""

Compute: TypeAlias = Callable[..., tuple[Tensor, ...]]

logger = logging.getLogger("reactions.kernels")


@dataclass(frozen=True)
class Operation:
    """What is computed, and in which ways.

    Attributes:
        name: for messages and the cache.
        eager: computes it; all other ways are held against it.
        others: by name, what prepares them; called where they are tried, and not before.
        apart: the largest relative difference (of the Frobenius norm) of any output, where some are
            of 16 bits; without, it is ``FLOAT32_APART``, if that is less.
        changed: places of the arguments that it writes, which count as outputs.
    """

    name: str
    eager: Compute
    others: Mapping[str, Callable[[], Compute]]
    apart: float
    changed: tuple[int, ...] = ()


@dataclass
class Trial:
    """What came of trying all ways.

    Attributes:
        milliseconds: of each that agrees with the eager one; the fastest of ``TRIALS``.
        left_out: why each of the others was.
    """

    milliseconds: dict[str, float] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def fastest(self) -> str:
        """The name of the way that is taken."""
        return min(self.milliseconds, key=self.milliseconds.__getitem__)

    def __str__(self) -> str:
        times = [f"{name} {ms:.3g} ms" for name, ms in self.milliseconds.items()]
        return ", ".join([*times, *(f"{n} left out: {why}" for n, why in self.left_out.items())])


_made: dict[tuple[str, torch.dtype, torch.device], Compute] = {}
_lock = Lock()


def computed(operation: Operation, *arguments: Any) -> tuple[Tensor, ...]:
    """Compute an operation in the way that its device is fastest at.

    Args:
        operation: what.
        arguments: of it. The first is a tensor, whose device and size decide.
    """
    data: Tensor = arguments[0]
    if not data.is_cuda:
        return operation.eager(*arguments)
    place = operation.name, data.dtype, data.device
    if (compute := _made.get(place)) is None:
        if data.numel() < LEAST_ELEMENTS:
            return operation.eager(*arguments)
        with _lock:  # several workers may come here first
            if (compute := _made.get(place)) is None:
                compute = _made[place] = chosen(operation, arguments, DeviceKind.of(data.device))
    return compute(*arguments)


def forget() -> None:
    """Forget what this process chose; what is kept in the cache stays."""
    _made.clear()


@dataclass(frozen=True)
class DeviceKind:
    """Where a choice holds, and how long things take there.

    Attributes:
        device: its name.
        versions: of torch and Triton.
        choices: that were kept for the device.
        seconds: times a call to its end on the device.
    """

    device: str
    versions: str
    choices: KeptChoices
    seconds: Callable[[Callable[[], object]], float]

    @classmethod
    def of(cls, device: torch.device) -> DeviceKind:
        """Describe a CUDA device of this machine."""

        def seconds(call: Callable[[], object]) -> float:
            torch.cuda.synchronize(device)
            began = time.perf_counter()
            call()
            torch.cuda.synchronize(device)
            return time.perf_counter() - began

        versions = f"torch {torch.__version__}, triton {_triton_version()}"
        name = torch.cuda.get_device_name(device)
        return cls(name, versions, KeptChoices("kernels", name), seconds)


def chosen(operation: Operation, arguments: Sequence[Any], place: DeviceKind) -> Compute:
    """Return the way that was kept for a place, or try all of them and keep the fastest.

    Args:
        operation: what is computed.
        arguments: to try it on; left as they are.
        place: where.
    """
    kind = str(arguments[0].dtype).removeprefix("torch.")
    key = f"{operation.name}, {kind}, {place.versions}"
    fastest = str(place.choices.get(key).get("fastest"))
    if fastest == EAGER:
        logger.info("%s on %s: %s, as kept", operation.name, place.device, fastest)
        return operation.eager
    if fastest in operation.others:
        with suppress(Exception):  # what was kept may no longer run: all ways are tried again
            compute = operation.others[fastest]()
            compute(*_copied(operation, arguments))
            logger.info("%s on %s: %s, as kept", operation.name, place.device, fastest)
            return compute
    trial, computes = tried(operation, arguments, place.seconds)
    logger.info("%s on %s: %s (%s)", operation.name, place.device, trial.fastest, trial)
    entry = {"fastest": trial.fastest, "ms": trial.milliseconds, "left_out": trial.left_out}
    place.choices.keep(key, entry)
    return computes[trial.fastest]


def tried(
    operation: Operation,
    arguments: Sequence[Any],
    seconds: Callable[[Callable[[], object]], float],
) -> tuple[Trial, dict[str, Compute]]:
    """Compute in every way; return what came of it, and the ways that agree with the eager one."""
    trial, agreeing = Trial(), {EAGER: operation.eager}
    expected = _outputs(operation, operation.eager, arguments)
    is_half = any(output.dtype.itemsize == 2 for output in expected)
    allowed = operation.apart if is_half else min(operation.apart, FLOAT32_APART)
    for name, make in operation.others.items():
        try:
            compute = make()
            far = apart(expected, _outputs(operation, compute, arguments))
        except Exception as error:  # a compiler that is missing, a driver too old, no memory, ...
            trial.left_out[name] = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
            continue
        if far <= allowed:
            agreeing[name] = compute
        else:
            trial.left_out[name] = f"{far:.1e} apart, more than {allowed:.1e}"
    del expected
    for name, compute in agreeing.items():
        # Each time on fresh copies, made before the clock starts.
        times = []
        for _ in range(TRIALS):
            copies = _copied(operation, arguments)
            times.append(seconds(lambda c=compute, a=copies: c(*a)))  # type: ignore[misc]
        trial.milliseconds[name] = 1e3 * min(times)
    return trial, agreeing


def apart(expected: Sequence[Tensor], actual: Sequence[Tensor]) -> float:
    """Return the largest relative difference of outputs; infinite if their kind differs.

    Elements that are infinite in both, as overflown weights are, do not count.
    """
    far = 0.0
    for reference, output in zip(expected, actual, strict=True):
        if (reference.shape, reference.dtype) != (output.shape, output.dtype):
            return float("inf")
        finite = reference.isfinite()
        if not torch.equal(finite, output.isfinite()):
            return float("inf")
        reference, output = (x.float().where(finite, 0.0) for x in (reference, output))
        norm = float(torch.linalg.vector_norm(reference))
        difference = float(torch.linalg.vector_norm(output - reference))
        far = max(far, difference / norm if norm else difference)
    return far


def _copied(operation: Operation, arguments: Sequence[Any]) -> list[Any]:
    """Return arguments of which a call may write those that the operation changes."""
    return [a.clone() if i in operation.changed else a for i, a in enumerate(arguments)]


def _outputs(operation: Operation, compute: Compute, arguments: Sequence[Any]) -> list[Tensor]:
    copies = _copied(operation, arguments)
    out = compute(*copies)
    return [*out, *(copies[i] for i in operation.changed)]


def _triton_version() -> str:
    try:
        import triton
    except ImportError:
        return "none"
    return str(triton.__version__)
