"""What a plan is made of: steps, the artifacts they make, and what runs lend them.

A step is data: a frozen dataclass whose fields are what its result depends on. The base class
makes its key of them, so that what is hashed and what is executed are written once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, TypeVar

from reactions.core.hashing import JSON, canonical, digest
from reactions.core.left_out import LeftOut
from reactions.core.types import Corpus, Digest, Encoder, SpaceSpec

if TYPE_CHECKING:
    from dataclasses import Field

    import numpy as np
    from numpy.typing import NDArray

_T = TypeVar("_T")

ITEM_BYTES: Mapping[str, int] = {"float16": 2, "float32": 4}
"""Bytes a number, by the ``dtype`` that embeddings and pseudo-pairs are stored in."""


class Rows(Protocol):
    """A 2-d array by rows, in memory or memory-mapped, possibly in several shards."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Overall shape, rows first."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Element type of every shard."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        """Return contiguous rows; copies only where they span shards."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """What a step makes: named arrays and a small JSON-able record.

    Attributes:
        left_out: what an encoder left out of the items, where it counted. It is not part of the
            result: it belongs to the rows of a shard, and no step may ask for it.
    """

    arrays: Mapping[str, Rows]
    meta: Mapping[str, Any] = field(default_factory=dict)
    left_out: LeftOut | None = None


class Context(Protocol):
    """What an executor lends a running step. Steps see neither the store nor the terminal."""

    device: str

    def encoder(self, spec: SpaceSpec, prepare: Callable[[Encoder], None] | None = None) -> Encoder:
        """Return the loaded space; the executor loads each once and frees it.

        Args:
            spec: which. Encoders whose weights are changed have a ``tuned`` of their own.
            prepare: changes the encoder once it is loaded, before its first use.
        """

    def saved(self) -> Mapping[str, NDArray[Any]] | None:
        """Return what an interrupted run of this very step saved last, or None."""

    def save(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Keep what a later run of this step can go on from, instead of what was saved before.

        It is removed once the step is done.
        """

    def drop_saved(self, why: str) -> None:
        """Remove what ``saved`` returned, which this run cannot go on from, and warn of it.

        Args:
            why: it cannot, as a clause.
        """

    def progress(self, done: int, total: int, unit: str) -> None:
        """Report work done within this step; also where a pending Ctrl-C takes effect."""

    def measure(self, name: str, value: float, position: int) -> None:
        """Report one point of a curve, such as the loss of an epoch; it is kept nowhere.

        Args:
            name: of the curve, such as ``"loss"``; unique within the step.
            value: any number, not necessarily finite.
            position: on the curve, such as the number of epochs done; it never goes back.
        """

    def shared(self, build: Callable[[], _T]) -> _T:
        """Return what ``build`` makes, or made for an earlier step with the same ``shares``.

        It is kept on this device while the steps that follow name the same ``shares``, and
        dropped before any other step begins.
        """


@dataclass(frozen=True, slots=True)
class Cost:
    """Estimates for one step, made without running it.

    Attributes:
        flops: floating-point operations.
        shared_flops: those of ``flops`` that steps run together do once for all.
        size_bytes: bytes it adds to the store.
        memory_bytes: peak bytes of arrays it holds at once.
    """

    flops: float = 0.0
    size_bytes: int = 0
    memory_bytes: int = 0
    shared_flops: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        """Return totals for two steps run one after the other: memory is a maximum."""
        return Cost(
            self.flops + other.flops,
            self.size_bytes + other.size_bytes,
            max(self.memory_bytes, other.memory_bytes),
            self.shared_flops + other.shared_flops,
        )


# --- roles of fields -----------------------------------------------------------------

NOT_IN_KEY: Mapping[str, Any] = {"key": False}
"""Metadata of a field that cannot change a result, or that follows from others."""

UNLESS_DEFAULT: Mapping[str, Any] = {"key": "unless default"}
"""Metadata of a field that enters the key only when it differs from its default.

So can a parameter be added to a step without making anything anew: its default means what was
done before.
"""


def entering(name: str | None = None, by: Callable[[Any], JSON] | None = None) -> dict[str, Any]:
    """Return metadata that say how a field enters the key.

    Args:
        name: of the parameter; by default the field's. "" stands for several parameters: those
            of the mapping or dataclass that the field holds.
        by: makes the JSON value from the whole step; by default the field as it is.
    """
    return {"name": name, "by": by}


def inputs_from(
    prefix: str = "", by: Callable[[Any], Mapping[str, Any]] | None = None
) -> dict[str, Any]:
    """Return metadata of a field that holds steps, in mappings or sequences, or None.

    Args:
        prefix: of the inputs' names. A step's name is its path: prefix, keys and positions, with
            dots between.
        by: chooses what to take from the whole step; by default the field as it is.
    """
    return {"inputs": prefix, "by": by}


# --- steps ---------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, kw_only=True)
class Step(ABC):
    """One node of a plan.

    A subclass is a dataclass too, ``@dataclass(frozen=True, eq=False, kw_only=True)``. A field
    that holds a step is an input; every other one is a parameter, and enters the key, unless its
    metadata say otherwise (``NOT_IN_KEY``, ``UNLESS_DEFAULT``, ``entering``, ``inputs_from``).
    Device, worker count, shard size, labels and paths must not: they cannot change a result.

    What is below a default here can be overridden by a property or by a field.

    Attributes:
        KIND: which family of steps it belongs to.
        VERSION: raised whenever a change of the code changes results; the changelog names the
            change.
        inputs: (name, step) pairs, in the order of the fields.
        preimage: the JSON object that ``key`` is the digest of, kept to explain misses.
        key: digest of everything that can change the result.
    """

    KIND: ClassVar[str]
    VERSION: ClassVar[int]

    inputs: tuple[tuple[str, Step], ...] = field(init=False, repr=False, metadata=NOT_IN_KEY)
    preimage: Mapping[str, Any] = field(init=False, repr=False, metadata=NOT_IN_KEY)
    key: Digest = field(init=False, repr=False, metadata=NOT_IN_KEY)

    def __post_init__(self) -> None:
        # At once rather than when first asked for: plans are deeper than Python's stack.
        inputs = tuple(_inputs(self))
        if len(dict(inputs)) < len(inputs):
            raise TypeError(f"{type(self).__name__} has two inputs of one name")
        object.__setattr__(self, "inputs", inputs)
        object.__setattr__(self, "preimage", self.preimage_here())
        object.__setattr__(self, "key", digest("step", self.preimage))

    def preimage_here(self) -> dict[str, Any]:
        """Return the preimage that this installation, with its data, gives the step.

        It is ``preimage``, unless the step was made elsewhere: by another version of its class,
        or where a corpus of the same name holds other items.
        """
        return {
            "kind": self.KIND,
            "version": self.VERSION,
            "params": parameters(self, self),
            "inputs": {name: step.key for name, step in self.inputs},
        }

    @property
    def kind(self) -> str:
        """Which family of steps it belongs to."""
        return self.KIND

    # Cached properties, not plain ones: these have no setter that would keep a subclass from
    # having a field of the name.

    @cached_property
    def label(self) -> str:
        """What progress lines call it."""
        return self.KIND

    @cached_property
    def n_rows(self) -> int | None:
        """Rows of the artifact when it is made by rows, else None."""
        return None

    @cached_property
    def shard_rows(self) -> int:
        """Rows a shard, where ``n_rows`` is given."""
        return 0

    @cached_property
    def cost(self) -> Cost:
        """Estimates."""
        return Cost()

    @cached_property
    def shares(self) -> str:
        """Name of what the step loads through ``Context.shared``; "" for nothing.

        Steps with the same name run one after the other where possible.
        """
        return ""

    @cached_property
    def together(self) -> str:
        """Name of a computation in common with other steps of the class; "" for none.

        Those that are ready at the same time, and have equally many rows, are run at once by
        ``run_together``. Each step's result is the same as when it runs alone.
        """
        return ""

    @cached_property
    def space(self) -> SpaceSpec | None:
        """The space whose encoder the step loads, for checks before a run begins."""
        return None

    @cached_property
    def corpus(self) -> Corpus | None:
        """What its rows are made of, one item each.

        Rows that an equal step made of the same items of another corpus are not made again.
        """
        return None

    @property
    def encoded(self) -> Corpus | None:
        """The items that go through its encoder, of which something may be left out."""
        return self.corpus

    @cached_property
    def encoder(self) -> str:
        """An identifier of the encoder it loads, which serves all modalities; "" for none."""
        if self.space is None:
            return ""
        identity = self.space.identity("")
        return canonical({name: identity[name] for name in identity if name != "preprocessing"})

    @abstractmethod
    def run(
        self, context: Context, inputs: Mapping[str, Artifact], start: int, stop: int
    ) -> Artifact:
        """Make rows ``start`` to ``stop`` (exclusive) of the artifact.

        Args:
            context: what the executor lends.
            inputs: artifacts by the names in ``inputs``.
            start: first row; steps that are not made by rows get ``(0, 1)`` once.
            stop: row after the last.
        """

    @classmethod
    def run_together(
        cls,
        context: Context,
        steps: Sequence[Self],
        inputs: Sequence[Mapping[str, Artifact]],
        start: int,
        stop: int,
    ) -> list[Artifact]:
        """Make the same rows of several steps whose ``together`` is equal.

        Args:
            context: what the executor lends.
            steps: of this class.
            inputs: those of each step.
            start: first row.
            stop: row after the last.

        Returns:
            One artifact a step, in order.
        """
        return [
            step.run(context, step_inputs, start, stop)
            for step, step_inputs in zip(steps, inputs, strict=True)
        ]


def _inputs(step: Step) -> Iterator[tuple[str, Step]]:
    for entry in fields(step):
        # ``inputs``, ``preimage`` and ``key`` are made of the others.
        if not entry.init:
            continue
        if "inputs" in entry.metadata:
            yield from named_steps(entry.metadata["inputs"], _value(entry, step, step))
        elif isinstance(value := getattr(step, entry.name), Step):
            yield entry.name, value


def named_steps(path: str, value: Any) -> Iterator[tuple[str, Step]]:
    """Yield the steps in nested mappings and sequences with their paths."""
    if isinstance(value, Step):
        yield path, value
    elif value is not None:
        pairs = value.items() if isinstance(value, Mapping) else enumerate(value)
        for key, inner in pairs:
            yield from named_steps(f"{path}.{key}" if path else str(key), inner)


def parameters(record: Any, step: Step | None = None) -> dict[str, Any]:
    """Return the fields of a dataclass as they enter a step's key: a JSON object.

    Args:
        record: the step, or what one of its fields holds.
        step: what ``entering(by=...)`` of the fields is called with.
    """
    params: dict[str, Any] = {}
    for entry in fields(record):
        role = entry.metadata
        if role.get("key") is False or "inputs" in role:
            continue
        value = _value(entry, record, step)
        if isinstance(value, Step) or (
            role.get("key") == "unless default" and value == entry.default
        ):
            continue
        name = role.get("name", None)
        plain = _plain(value, step)
        if name != "":
            plain = {entry.name if name is None else name: plain}
        if repeated := plain.keys() & params.keys():
            raise TypeError(f"{type(record).__name__} has two parameters '{min(repeated)}'")
        params |= plain
    return params


def _value(entry: Field[Any], record: Any, step: Step | None) -> Any:
    by = entry.metadata.get("by")
    return getattr(record, entry.name) if by is None else by(step)


def _plain(value: Any, step: Step | None) -> JSON:
    """Return a value as JSON reads it back: tuples are lists, dataclasses are objects."""
    if isinstance(value, Step):
        raise TypeError("a field that holds several steps needs inputs_from(...) as its metadata")
    if is_dataclass(value):
        return parameters(value, step)
    if isinstance(value, Mapping):
        return {key: _plain(inner, step) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner, step) for inner in value]
    return value
