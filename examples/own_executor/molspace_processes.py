"""An executor: worker processes on this machine, one for each device.

    pip install ./examples/own_executor
    molspace react "ImageBind + Cr(CLAP_m)" --executor processes --device cpu,cpu

What runs a plan is molspace's ``Dispatcher``; this package only has the workers. They know
nothing but the store, a device, and how encoders are loaded.
"""

from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context

from reactions.run.backend import Report, Work
from reactions.run.device import resolve_devices
from reactions.run.dispatcher import Dispatcher
from reactions.run.worker import LoadEncoder, Worker
from reactions.store import Store


def executor(store: Store, *, device: str, load_encoder: LoadEncoder, **options) -> Dispatcher:
    """Return what ``--executor processes`` names; see ``run.executor.ExecutorFactory``."""

    def open_backend(n_works: int) -> Processes:
        return Processes(resolve_devices(device)[:n_works], store.address, load_encoder)

    return Dispatcher(store, open_backend, **options)


class Processes:
    """Worker processes; see ``reactions.run.backend.Backend``."""

    def __init__(self, devices: tuple[str, ...], address: str, load_encoder: LoadEncoder) -> None:
        self.devices = devices
        self._pools = [
            ProcessPoolExecutor(
                1,
                get_context("spawn"),
                initializer=_start,
                initargs=(address, device, load_encoder),
            )
            for device in devices
        ]

    def submit(self, worker: int, work: Work, report: Report) -> Future[bool]:
        """Send work to a process.

        Neither how far it is within a shard nor what it notes of items is reported: ``report``
        takes ``Progress``, and what ``noticed.hand_over`` gives in the process.
        """
        return self._pools[worker].submit(_perform, work)

    def release(self, worker: int) -> None:
        """Let a process drop its encoder."""
        self._pools[worker].submit(_drop)

    def shutdown(self, *, interrupted: bool, on_delay: Callable[[int], None]) -> None:
        """Wait for what is in progress; a Ctrl-C reaches the processes, too."""
        for pool in self._pools:
            pool.shutdown(cancel_futures=True)


_worker: Worker  # of this process


def _start(address: str, device: str, load_encoder: LoadEncoder) -> None:
    global _worker
    _worker = Worker(Store(address), device, load_encoder)


def _perform(work: Work) -> bool:
    return _worker.perform(work, lambda signal: None)


def _drop() -> None:
    _worker.drop()
