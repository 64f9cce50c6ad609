"""What a plan is made of: steps, the artifacts they make, and what runs lend them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, TypeVar

from reactions.core.types import Corpus, Digest, Encoder, SpaceSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_T = TypeVar("_T")


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
    """What a step makes: named arrays and a small JSON-able record."""

    arrays: Mapping[str, Rows]
    meta: Mapping[str, Any] = field(default_factory=dict)


class Context(Protocol):
    """What an executor lends a running step. Steps see neither the store nor the terminal."""

    device: str

    def encoder(self, spec: SpaceSpec) -> Encoder:
        """Return the loaded space; the executor loads each once and frees it."""

    def progress(self, done: int, total: int, unit: str) -> None:
        """Report work done within this step; also where a pending Ctrl-C takes effect."""

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


StepKindName: TypeAlias = Literal[
    "embed", "mean", "collect", "train", "quality", "assemble", "score"
]


@dataclass(frozen=True, eq=False, slots=True)
class Step:
    """One node of a plan.

    Attributes:
        kind: which family of steps it belongs to.
        label: what progress lines call it.
        key: digest of everything that can change its result.
        preimage: the JSON object that ``key`` is the digest of, kept to explain misses.
        inputs: (name, step) pairs, in the order of the function's needs.
        run: ``run(context, inputs, start, stop)`` makes rows ``start`` to ``stop`` of the
            artifact; steps that are not made by rows get ``(0, 1)`` once.
        n_rows: rows of the artifact when it is made by rows, else None.
        shard_rows: rows a shard, where ``n_rows`` is given.
        cost: estimates.
        shares: names what the step loads through ``Context.shared``; steps with the same
            name run one after the other where possible. "" shares nothing.
        together: names a computation that this step has in common with others that have
            equally many rows; those that are ready at the same time are run at once. Each
            step's result is the same as when it runs alone.
        space: the space whose encoder the step loads, for checks before a run begins.
        corpus: what its rows are made of, one item each: rows that an equal step made of the
            same items of another corpus are not made again.
    """

    kind: StepKindName
    label: str
    key: Digest
    preimage: Mapping[str, Any]
    inputs: tuple[tuple[str, Step], ...]
    run: Callable[[Context, Mapping[str, Artifact], int, int], Artifact]
    n_rows: int | None = None
    shard_rows: int = 0
    cost: Cost = Cost()
    shares: str = ""
    together: Together | None = None
    space: SpaceSpec | None = None
    corpus: Corpus | None = None


@dataclass(frozen=True, slots=True)
class Together:
    """How steps with a computation in common are run at once.

    Attributes:
        name: equal for the steps that can be run at once.
        run: ``run(context, inputs, start, stop)`` makes rows ``start`` to ``stop`` of the
            artifacts of several steps, given the inputs of each.
    """

    name: str
    run: Callable[
        [Context, Sequence[Mapping[str, Artifact]], int, int],
        list[Artifact],
    ]
