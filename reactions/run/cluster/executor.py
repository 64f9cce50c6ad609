"""``--executor ray``: the same plan, keys and store, with workers all over a cluster."""

from __future__ import annotations

import logging
import os
import pickle
import re
import signal
import socket
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reactions.core.errors import MissingError, UsageError
from reactions.core.extras import install_extra
from reactions.core.protocols import without_credentials
from reactions.core.step import Artifact, Step
from reactions.core.types import Digest, SpaceSpec
from reactions.run.backend import Backend
from reactions.run.cluster.address import AskedCluster, asked, not_a_node
from reactions.run.dispatcher import Dispatcher
from reactions.run.events import EventSink, ignore
from reactions.run.worker import LoadEncoder
from reactions.store import Store

if TYPE_CHECKING:
    from reactions.run.cluster.places import Place

_SENT = ("MOLSPACE_", "XDG_", "HF_", "TRANSFORMERS_")
_PLACES = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION")
"""Which service a store's URL means; who asks it is each node's own affair."""

_SECRET = re.compile("TOKEN|SECRET|KEY|PASS|CREDENTIAL|AUTH|SAS", re.IGNORECASE)


_ANSWER_S = 10.0
"""How long the head of a cluster may take to answer."""


class RayExecutor:
    """Runs steps on a Ray cluster whose nodes share the store.

    Workers are sent the plan once, then keys and rows: never corpora, encoders or arrays. What is
    made, and under which keys, is what ``LocalExecutor`` makes. The rights to make results stay
    with this process; if it dies, its workers end, and another one goes on.

    Args:
        store: where results are looked up and kept; all nodes see it at the same path.
        device: ``auto``, ``cpu``, ``cuda``, or ``cpu,cpu`` for two workers; see ``asked``.
        load_encoder: opens a space on a device; importable on all nodes.
        check_space: raises what ``load_encoder`` would lack; called before anything runs.
        events: called with what happens, in the calling thread.
        address: of the cluster; see ``asked``.

    Raises:
        UsageError: the address or the device cannot mean anything.
        MissingError: Ray is not installed.
    """

    def __init__(
        self,
        store: Store,
        *,
        device: str = "auto",
        load_encoder: LoadEncoder,
        check_space: Callable[[SpaceSpec], None] = lambda spec: None,
        events: EventSink = ignore,
        address: str = "",
    ) -> None:
        self._asked = asked(address, device)
        self._store = store
        self._load_encoder = load_encoder
        self._targets: Sequence[Step] = ()
        self._exits = ExitStack()
        _import_ray()
        self._dispatcher = Dispatcher(
            store, self._open, repeats=True, check_space=check_space, events=events
        )

    def run(self, targets: Sequence[Step]) -> dict[Digest, Artifact]:
        """Return the artifacts of the targets by key; see ``Dispatcher.run``."""
        self._targets = targets
        with self._exits:  # after the backend was shut down
            return self._dispatcher.run(targets)

    def _open(self, n_works: int) -> Backend:
        from reactions.run.cluster.actor import WorkerRecipe, companions, versions
        from reactions.run.cluster.backend import RayWorkers
        from reactions.run.cluster.places import Places

        ray = self._exits.enter_context(_connected(self._asked))
        places = Places(self._asked, n_works, ray.nodes)
        probe = self._exits.enter_context(_probe(self._store))
        environment = sent_environment(os.environ)

        def recipe(place: Place) -> WorkerRecipe:
            return WorkerRecipe(
                root=self._store.address,
                probe=probe,
                load_encoder=self._load_encoder,
                versions=versions(),
                companions=companions(),
                environment=environment,
                folder=str(Path.cwd()),
                device=places.device,
                threads=place.threads if places.device == "cpu" else 0,
            )

        # The dispatcher has made the store's warnings events of its own thread.
        return RayWorkers(ray, places, recipe, pickle.dumps(list(self._targets)), self._store.warn)


def sent_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that workers are sent: settings, and never what may be a secret."""
    return {
        name: value
        for name, value in environment.items()
        if (name.startswith(_SENT) or name in _PLACES)
        and not _SECRET.search(name)
        and without_credentials(value) == value
    }


def _import_ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise MissingError(
            "the executor 'ray' needs a package that is not installed: ray",
            fix=install_extra("ray"),
        ) from error
    return ray


@contextmanager
def _connected(asked: AskedCluster) -> Iterator[Any]:
    """Connect to the cluster, or start one on this machine, for as long as a run lasts."""
    ray = _import_ray()
    if ray.is_initialized():  # by whoever uses the library: theirs to end
        yield ray
        return
    is_main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM) if is_main else None
    variable = os.environ.get("RAY_ADDRESS", "")
    if not asked.address and "://" in variable:
        raise not_a_node(variable)
    _check_answers(asked.address or variable)
    options: dict[str, Any] = {"address": asked.address} if asked.address else {}
    if not asked.address and not os.environ.get("RAY_ADDRESS"):
        options = {"include_dashboard": False}  # it may have to be started here
    logging.getLogger("ray").setLevel(logging.ERROR)  # it speaks before it reads the option
    try:
        ray.init(
            log_to_driver=False,
            configure_logging=True,
            logging_level=logging.ERROR,
            ignore_reinit_error=True,
            **options,
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise _unreachable(asked.address or "the default address", reason) from error
    finally:
        if is_main and before is not None:  # Ray sets one of its own
            signal.signal(signal.SIGTERM, before)
    try:
        yield ray
    finally:
        with suppress(Exception):
            ray.shutdown()


def _check_answers(address: str) -> None:
    """Refuse a head that nothing listens at: Ray itself tries for a quarter of an hour.

    Args:
        address: ``HOST:PORT``; anything else is left to Ray.
    """
    host, _, port = address.rpartition(":")
    if not (host and port.isdecimal()):
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _ANSWER_S).close()
    except (OSError, OverflowError) as error:  # a port above 65,535 overflows
        raise _unreachable(address, f"nothing answers there: {error}") from error


def _unreachable(address: str, why: str) -> UsageError:
    return UsageError(
        f"cannot reach the Ray cluster at {address}",
        why=why,
        fix="ray start --head   on its first node; then --executor ray:HOST:PORT, as it prints it",
    )


@contextmanager
def _probe(store: Store) -> Iterator[str]:
    """Hold a lock in the store by which workers see that theirs is the same.

    A lock, for one whose process was killed is known as such, and is cleaned up.

    Yields:
        The lock's name.
    """
    name = f"cluster-{uuid.uuid4().hex}"
    with store.lock(name):
        yield name
