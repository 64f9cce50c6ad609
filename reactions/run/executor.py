"""Executors by name: what runs a plan's steps, on this machine or elsewhere.

A package adds an executor by an entry point:

    [project.entry-points."molspace.executors"]
    my_cluster = "my_package.cluster:MyExecutor"    # called like ``ExecutorFactory``

It is then understood by ``--executor my_cluster`` and ``Session(executor="my_cluster")``. One
that only has other workers gives ``Dispatcher`` a ``Backend`` of its own, as ``LocalExecutor``
does; see docs/extending.md. Nothing is imported before it is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Protocol

from reactions.core.errors import UsageError, suggestion
from reactions.core.plugins import load_plugin, plugins, refuse_namesakes
from reactions.core.step import Artifact, Step
from reactions.core.types import Digest, SpaceSpec
from reactions.run.events import EventSink, ignore
from reactions.run.worker import LoadEncoder
from reactions.store import Store

DEFAULT = "local"
GROUP = "molspace.executors"


class Executor(Protocol):
    """Runs steps."""

    def run(self, targets: Sequence[Step]) -> Mapping[Digest, Artifact]:
        """Return the artifacts of the targets by key, running only what the store lacks."""


class ExecutorFactory(Protocol):
    """Makes an executor."""

    def __call__(
        self,
        store: Store,
        *,
        device: str,
        load_encoder: LoadEncoder,
        check_space: Callable[[SpaceSpec], None],
        events: EventSink,
    ) -> Executor:
        """Return an executor.

        Args:
            store: where results are looked up and kept.
            device: what the user asked for, such as ``"auto"`` or ``"cpu"``.
            load_encoder: opens a space on a device.
            check_space: raises what ``load_encoder`` would lack; called before anything runs.
            events: called with what happens, in the thread that calls ``run``.

        Raises:
            UsageError: ``device`` cannot mean anything.
        """


_FACTORIES: dict[str, ExecutorFactory | str] = {DEFAULT: "reactions.run.local:LocalExecutor"}


def register(name: str, factory: ExecutorFactory | str) -> None:
    """Add an executor, or replace one.

    Args:
        name: what it is called.
        factory: makes it; or ``module:name`` of what does, imported when first needed.
    """
    _FACTORIES[name] = factory


def executor_names() -> list[str]:
    """Return the names of all executors: built in, registered, and of installed packages."""
    return sorted({*_FACTORIES, *(point.name for point in plugins(GROUP))})


def check_executor(name: str) -> None:
    """Check that there is an executor of a name, without importing it.

    Raises:
        UsageError: there is none.
    """
    if name not in _FACTORIES and name not in (names := executor_names()):
        raise UsageError(
            f"unknown executor '{name}'", fix=suggestion(name, names), executor=name, known=names
        )


def make_executor(
    name: str,
    store: Store,
    *,
    device: str = "auto",
    load_encoder: LoadEncoder,
    check_space: Callable[[SpaceSpec], None] = lambda spec: None,
    events: EventSink = ignore,
) -> Executor:
    """Return an executor by its name; see ``ExecutorFactory`` for the arguments.

    Raises:
        UsageError: there is no such executor, or ``device`` cannot mean anything.
        MissingError: the package that has it cannot be imported.
    """
    check_executor(name)
    factory = _FACTORIES.get(name)
    if isinstance(factory, str):
        module, _, attribute = factory.partition(":")
        factory = getattr(import_module(module), attribute)
    elif factory is None:
        points = [point for point in plugins(GROUP) if point.name == name]
        refuse_namesakes(name, points, "executors", is_built_in=False)
        factory = load_plugin(points[0], "the executor")
    executor: Executor = factory(
        store, device=device, load_encoder=load_encoder, check_space=check_space, events=events
    )
    return executor
