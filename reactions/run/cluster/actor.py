"""What runs on a cluster's node: one worker, which is sent keys and rows."""

from __future__ import annotations

import os
import pickle
import platform
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from typing import TypeVar

from reactions.core.errors import MolspaceError, StepError, StoreError
from reactions.core.step import Step
from reactions.core.types import Digest
from reactions.modalities import noticed
from reactions.run.backend import Rows, Signal, Work
from reactions.run.device import current_device
from reactions.run.events import StoreWarning
from reactions.run.worker import LoadEncoder, Stopped, Worker
from reactions.store import Store
from reactions.store.explain import altered

_MOST_DIFFERENCES = 3

_COMPANIONS = (
    *("pillow", "av", "soundfile", "soxr", "sentencepiece", "tokenizers", "transformers"),
    *("torchvision", "torchaudio", "open_clip_torch", "laion-clap", "timm", "peft"),
)

_E = TypeVar("_E", bound=Exception)


@dataclass(frozen=True, slots=True)
class WorkerRecipe:
    """All that a worker is sent before it is sent work.

    Attributes:
        root: of the store, or its URL.
        probe: name of a lock in it, which a worker has to see.
        load_encoder: opens a space on a device.
        versions: of the packages that decide what a step makes, where the run was begun.
        companions: of those that decode and prepare items, likewise.
        environment: variables that settings, caches and trusted code are read from.
        folder: that relative paths start from.
        device: ``"cpu"``, or ``"cuda:0"``: the only one that Ray shows the worker.
        threads: of torch; 0 for its own choice.
    """

    root: str
    probe: str
    load_encoder: LoadEncoder
    versions: Mapping[str, str]
    companions: Mapping[str, str]
    environment: Mapping[str, str]
    folder: str
    device: str
    threads: int


@dataclass(frozen=True, slots=True)
class WorkOutcome:
    """How a unit of work ended, and the signals since ``first`` that were not yet fetched."""

    result: bool | None
    error: BaseException | None
    first: int
    signals: tuple[Signal, ...]


def versions() -> dict[str, str]:
    """Return the versions of what decides what a step makes.

    Without torch's build: the head of a cluster often has one for CPUs alone, its nodes for CUDA.
    """
    python = {"python": ".".join(platform.python_version_tuple()[:2])}
    return python | _installed(("molspace", "torch", "numpy"))


def companions() -> dict[str, str]:
    """Return the versions of packages on which details of decoded items and of encoders depend."""
    return _installed(_COMPANIONS)


def _installed(packages: Iterable[str]) -> dict[str, str]:
    installed = {}
    for package in packages:
        with suppress(metadata.PackageNotFoundError):
            version = metadata.version(package)
            is_built = package.startswith("torch")
            installed[package] = version.partition("+")[0] if is_built else version
    return installed


class RemoteWorker:
    """A ``Worker`` behind a queue of one: made an actor by ``cluster.backend``.

    Ray calls ``poll`` and ``stop`` while ``perform`` runs.

    Args:
        recipe: what the run has in common.
        graph: the pickled targets; all steps are theirs, or inputs of theirs.
    """

    def __init__(self, recipe: WorkerRecipe, graph: bytes) -> None:
        self._recipe = recipe
        self._graph = graph
        self._steps: dict[Digest, Step] = {}
        self._stopping = threading.Event()
        self._worker: Worker | None = None
        self._lock = threading.Lock()
        self._order = -1
        self._first = 0
        self._signals: list[Signal] = []

    def prepare(self) -> tuple[str, Exception | None, list[str]]:
        """Get ready, once.

        Returns:
            A label of the worker, with its node's name; why it cannot be used, or None; and what
            else should be known of it.
        """
        recipe = self._recipe
        label = f"{recipe.device} on {platform.node()}"
        try:
            os.environ.update(recipe.environment)
            with suppress(OSError):  # no path needs it, where there is none
                os.chdir(recipe.folder)
            self._check_versions(label)
            store = Store(recipe.root, warn=self._warn)
            self._check_store(store, label)
            self._steps = self._read_graph(label)
            if recipe.threads:
                import torch

                torch.set_num_threads(recipe.threads)
            self._worker = Worker(store, recipe.device, recipe.load_encoder, self._stopping)
        except Exception as error:
            return label, portable(error), []
        return label, None, self._other_companions(label)

    def perform(self, order: int, keys: Sequence[Digest], rows: Rows | None) -> WorkOutcome:
        """Do a unit of work.

        Args:
            order: its number, for ``poll``.
            keys: of the steps.
            rows: the shard of each; None for a whole step, and to join shards.
        """
        assert self._worker is not None
        with self._lock:
            self._order, self._first, self._signals = order, 0, []
        result: bool | None = None
        error: BaseException | None = None
        try:
            work = Work.of([self._steps[key] for key in keys], rows)
            with current_device(self._recipe.device):
                result = self._worker.perform(work, self._signals.append)
        except Stopped:
            result = False
        except Exception as raised:
            error = portable(with_node(raised))
        with self._lock:
            self._signals += noticed.hand_over()
            return WorkOutcome(result, error, self._first, tuple(self._signals))

    def poll(self, order: int, known: int) -> tuple[int, tuple[Signal, ...]]:
        """Return the signals of an order from the first that is not known yet, and its number.

        Args:
            order: number of the unit of work; another one has no signals.
            known: how many of its signals have arrived; they are forgotten here.
        """
        with self._lock:
            if order != self._order:
                return known, ()
            del self._signals[: known - self._first]
            self._first = known
            return known, tuple(self._signals)

    def release(self) -> None:
        """Drop what is held."""
        assert self._worker is not None
        self._worker.drop()

    def stop(self) -> None:
        """Give up the present work at its next sign of progress."""
        self._stopping.set()

    # --- within ----------------------------------------------------------------------

    def _warn(self, text: str) -> None:
        self._signals.append(StoreWarning(text))

    def _other_companions(self, label: str) -> list[str]:
        # Those that are missing are missed when they are needed, in words of their own.
        expected, installed = self._recipe.companions, companions()
        both = {name: version for name, version in expected.items() if name in installed}
        if not (differing := _differing(both, installed)):
            return []
        return [f"the worker {label} has {', '.join(differing)}: its rows can differ in details"]

    def _check_versions(self, label: str) -> None:
        if differing := _differing(self._recipe.versions, versions()):
            raise StepError(
                f"the worker {label} has other packages than this machine",
                why=", ".join(differing) + "; what it makes could differ",
                fix="install the same versions on all nodes of the cluster",
            )

    def _check_store(self, store: Store, label: str) -> None:
        address = self._recipe.root
        if not store.has_lock(self._recipe.probe):
            kind = "store" if store.layout.is_remote else "folder"
            raise StepError(
                f"the worker {label} does not see the store",
                why=f"{address} is another {kind} there, or none",
                fix="set MOLSPACE_CACHE to a bucket and prefix that all nodes see, and give them "
                "the same AWS_ENDPOINT_URL, region and account"
                if store.layout.is_remote
                else "set MOLSPACE_CACHE to a folder that all nodes share, at the same path",
            )
        try:
            store.try_writing()
        except StoreError as error:  # a mount that is read-only there
            raise with_node(error) from error

    def _read_graph(self, label: str) -> dict[Digest, Step]:
        try:
            pending: list[Step] = list(pickle.loads(self._graph))
        except (OSError, AttributeError, ImportError, ValueError) as error:
            raise StepError(
                f"the worker {label} cannot read the plan: {error}",
                why="it names files or code that are not there",
                fix="keep data, weights and packages at the same paths on all nodes",
            ) from error
        steps: dict[Digest, Step] = {}
        while pending:
            step = pending.pop()
            if step.key not in steps:
                steps[step.key] = step
                pending.extend(source for _, source in step.inputs)
        for step in steps.values():
            if differences := altered(step, step.preimage_here()):
                raise StepError(
                    f"the worker {label} would make another '{step.label}'",
                    why="; ".join(differences[:_MOST_DIFFERENCES]),
                    fix="give all nodes the same data and the same version of molspace",
                    step=step.label,
                )
        return steps


def _differing(expected: Mapping[str, str], installed: Mapping[str, str]) -> list[str]:
    return [
        f"{name} {installed.get(name, 'is missing')} instead of {version}"
        for name, version in expected.items()
        if installed.get(name) != version
    ]


def with_node(error: _E) -> _E:
    """Return an error that says on which machine it was raised: a disk or a file is missing there.

    Args:
        error: what a step, or the store, raised.
    """
    if isinstance(error, MolspaceError):
        place = f"on the node {platform.node()}"
        error.why = f"{error.why}; {place}" if error.why else place
    return error


def portable(error: Exception) -> Exception:
    """Return an error that can be sent: itself, or what stands for it."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        if isinstance(error, MolspaceError):
            return type(error)(error.what, why=error.why, fix=error.fix)
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
