"""The executor of this machine: one process, on the CPU or on one or several CUDA devices."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from reactions.core.step import Artifact, Step
from reactions.core.types import Digest, SpaceSpec
from reactions.run.device import check_device, resolve_devices
from reactions.run.dispatcher import Dispatcher
from reactions.run.events import EventSink, ignore
from reactions.run.threads import Threads
from reactions.run.worker import LoadEncoder
from reactions.store import Store


class LocalExecutor:
    """Runs steps, side by side where there are several devices, and keeps results in a store.

    What is made, and under which keys, does not depend on the number of workers.

    Args:
        store: where results are looked up and kept.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N``, or several; see ``check_device``.
            There is one worker for each.
        load_encoder: opens a space on a device.
        check_space: raises what ``load_encoder`` would lack; called before anything runs.
        events: called with what happens, in the calling thread.

    Raises:
        UsageError: ``device`` cannot mean anything.
    """

    def __init__(
        self,
        store: Store,
        *,
        device: str = "auto",
        load_encoder: LoadEncoder,
        check_space: Callable[[SpaceSpec], None] = lambda spec: None,
        events: EventSink = ignore,
    ) -> None:
        check_device(device)
        self._store = store
        self._device = device
        self._load_encoder = load_encoder
        self._dispatcher = Dispatcher(store, self._open, check_space=check_space, events=events)

    def run(self, targets: Sequence[Step]) -> dict[Digest, Artifact]:
        """Return the artifacts of the targets by key; see ``Dispatcher.run``."""
        return self._dispatcher.run(targets)

    def _open(self, n_works: int) -> Threads:
        devices = resolve_devices(self._device)[:n_works]  # torch is imported only now
        return Threads(devices, self._store, self._load_encoder)
