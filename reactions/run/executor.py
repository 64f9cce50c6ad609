"""Executors by name: what runs a plan's steps, on this machine or elsewhere.

A package adds an executor by an entry point:

    [project.entry-points."molspace.executors"]
    my_cluster = "my_package.cluster:MyExecutor"    # called like ``ExecutorFactory``

It is then understood by ``--executor my_cluster`` and ``Session(executor="my_cluster")``, and
as ``my_cluster:ADDRESS`` where it takes an ``address``. One that only has other workers gives
``Dispatcher`` a ``Backend`` of its own, as ``LocalExecutor`` does; see docs/extending.md. Nothing
is imported before it is needed.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from reactions.core.errors import MolspaceError, UsageError, suggestion
from reactions.core.plugins import load_plugin, plugins, refuse_namesakes, unusable_plugin
from reactions.core.step import Artifact, Step
from reactions.core.types import Digest, SpaceSpec
from reactions.run.events import EventSink, ignore
from reactions.run.worker import LoadEncoder
from reactions.store import Store

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

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

        A factory that takes ``address`` as well is given what follows the name and a colon, or
        "".

        Raises:
            UsageError: ``device`` cannot mean anything.
        """


_LOCAL = "reactions.run.local:LocalExecutor"
_RAY = "reactions.run.cluster.executor:RayExecutor"

_FACTORIES: dict[str, ExecutorFactory | str] = {DEFAULT: _LOCAL, "ray": _RAY}


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

    What follows a colon is checked for those that are built in.

    Args:
        name: as in ``make_executor``.

    Raises:
        UsageError: there is none, several have the name, or its address cannot mean anything.
    """
    name, _, address = name.partition(":")
    points = [point for point in plugins(GROUP) if point.name == name]
    refuse_namesakes(name, points, "executors", is_built_in=name in _FACTORIES)
    if name not in _FACTORIES and name not in (names := executor_names()):
        raise UsageError(
            f"unknown executor '{name}'", fix=suggestion(name, names), executor=name, known=names
        )
    if name == "ray" and _FACTORIES[name] == _RAY:
        from reactions.run.cluster.address import asked

        asked(address, "auto")
    elif address and _FACTORIES.get(name) == _LOCAL:
        raise _no_address(name)


def make_executor(
    name: str,
    store: Store,
    *,
    device: str = "auto",
    load_encoder: LoadEncoder,
    check_space: Callable[[SpaceSpec], None] = lambda spec: None,
    events: EventSink = ignore,
) -> Executor:
    """Return an executor by its name, or by ``NAME:ADDRESS`` for one that runs steps elsewhere.

    See ``ExecutorFactory`` for the other arguments.

    Raises:
        UsageError: there is no such executor, it takes no address, a package's makes something
            else, or ``device`` cannot mean anything.
        MissingError: the package that has it cannot be imported.
    """
    check_executor(name)
    name, _, address = name.partition(":")
    options: dict[str, Any] = {
        "device": device,
        "load_encoder": load_encoder,
        "check_space": check_space,
        "events": events,
    }
    factory = _FACTORIES.get(name)
    if factory is None:
        points = [point for point in plugins(GROUP) if point.name == name]
        return _of_package(points[0], store, options, address)
    if isinstance(factory, str):
        module, _, attribute = factory.partition(":")
        factory = getattr(import_module(module), attribute)
    executor: Executor = factory(store, **_with_address(factory, name, options, address))
    return executor


def _with_address(
    factory: Callable[..., Any], name: str, options: Mapping[str, Any], address: str
) -> dict[str, Any]:
    """Return the options of a factory: with the address, if it takes one."""
    # What is not a function, as a package may have it, refuses its call.
    if callable(factory) and "address" in inspect.signature(factory).parameters:
        return {**options, "address": address}
    if address:
        raise _no_address(name)
    return dict(options)


def _no_address(name: str) -> UsageError:
    return UsageError(
        f"the executor '{name}' takes no address", fix=f"--executor {name}", executor=name
    )


def _of_package(
    point: EntryPoint, store: Store, options: Mapping[str, Any], address: str
) -> Executor:
    factory = load_plugin(point, "the executor")
    try:
        options = _with_address(factory, point.name, options, address)
        executor: Executor = factory(store, **options)
    except MolspaceError:
        raise
    except Exception as error:  # it is somebody else's code: any error may come of it
        why = f"{type(error).__name__}: " + " ".join(str(error).split())
        raise unusable_plugin(point, "the executor", why) from error
    if not callable(getattr(executor, "run", None)):
        why = f"it makes objects of type {type(executor).__name__}, which have no method run"
        raise unusable_plugin(point, "the executor", why)
    return executor
