"""The syntax tree of a reaction, which Python code builds with operators.

    Space("ImageBind") + Dr("InternVL") | Cr("CLAP_m") & Cr("CLAP_g")

equals what the parser makes of the same text. Where a node was written is kept
beside it and takes no part in equality. Python's own precedence applies, so a
``+ Cr(...)`` joins the parallel stage before it, brackets or not; ``|`` opens a stage.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NoReturn, Self, TypeAlias

from reactions.core.errors import UsageError
from reactions.core.types import Anchors, Mean, Modality, Op
from reactions.dsl import refusals
from reactions.dsl.lcl_options import LclFields
from reactions.dsl.source import Span
from reactions.dsl.tuning_options import TuningFields
from reactions.dsl.values import (
    MAX_NESTING,
    Factors,
    FactorsLike,
    check_writable,
    number_of,
    option_of,
    print_number,
    print_options,
    quoted,
    weight_of,
)


class _Node:
    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{self}>"


class _Expression(_Node):
    """Operators of spaces and products."""

    __slots__ = ()

    def __add__(self, other: Reaction | Parallel) -> Product:
        if not isinstance(other, _Node):
            raise refusals.no_node("+", self, other)
        return _react(self, other, opens=False)

    def __or__(self, other: Reaction | Parallel) -> Product:
        if not isinstance(other, _Node):
            raise refusals.no_node("|", self, other)
        return _react(self, other, opens=True)

    def __radd__(self, other: object) -> NoReturn:
        raise refusals.no_start(other, self)

    def __and__(self, other: Reaction | Parallel) -> Product:
        # Python reads A + Cr(X) & Cr(Y) as (A + Cr(X)) & Cr(Y).
        if isinstance(other, Cr | Parallel) and isinstance(self, Product):
            return Product(self.base, (*self.stages[:-1], self.stages[-1] & other))
        if isinstance(other, _Node):
            raise refusals.not_parallel(self, other)
        raise refusals.no_node("&", self, other)


@dataclass(frozen=True, slots=True, repr=False)
class Space(_Expression):
    """A space: registered, bound to a name, or given by URI.

    Attributes:
        name: as registered or bound; any text that is not an identifier is a URI and is
            written between quotes.

    Raises:
        UsageError: the name cannot be written: empty, several lines, or both quotes.
    """

    name: str
    span: Span | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        check_writable(self.name, "space")

    def __str__(self) -> str:
        return quoted(self.name)


@dataclass(frozen=True, slots=True, repr=False)
class Product(_Expression):
    """A base and the stages it goes through.

    Attributes:
        base: a space; products are spliced in by ``product``.
        stages: at least one.
    """

    base: Space
    stages: tuple[Stage, ...]
    span: Span | None = field(default=None, compare=False)
    nesting: int = field(default=0, init=False, compare=False)

    def __post_init__(self) -> None:
        depths = [
            reaction.space.nesting + 1
            for stage in self.stages
            for reaction in reactions_of(stage)
            if isinstance(reaction, Dr | Cr) and isinstance(reaction.space, Product)
        ]
        object.__setattr__(self, "nesting", max(depths, default=0))

    def __str__(self) -> str:
        return f"{self.base} + {' | '.join(map(str, self.stages))}"


class _Member(_Node):
    """How reactions are joined into a stage."""

    __slots__ = ()

    def __and__(self, other: Reaction | Parallel) -> Parallel:
        if isinstance(other, _Node):
            return _parallel(self, other) if isinstance(other, _Member) else NotImplemented
        raise refusals.no_node("&", self, other)

    # A | Cr(X) + Cr(Y): Python adds before it meets the base.
    __add__ = __and__

    def __radd__(self, other: object) -> NoReturn:
        raise refusals.no_start(other, self)


class _Reaction(_Member):
    """Operators of Dr, Cr, Ft and Lcl before they meet a base."""

    __slots__ = ()

    def __or__(self, other: Any) -> NoReturn:
        raise refusals.no_base(self)

    def __mul__(self, weight: float) -> Any:
        raise refusals.no_weight(self)

    __rmul__ = __mul__


@dataclass(frozen=True, repr=False, init=False)
class _Fusing(_Reaction):
    """What Dr and Cr share.

    Attributes:
        space: the expert.
        factors: the expert's share of each shared modality; None for defaults.
        anchors: one subset of the pseudo sets, sorted; None for the mixture.
        recipe: name of one of ``ops.recipes``.
        centre: whether the expert is taken less its modality means; None as the lab says.
        span, spans: where it was written, without its weight; where each option's value was.
    """

    op: ClassVar[Op]
    factor_option: ClassVar[str]
    option_names: ClassVar[tuple[str, ...]]

    space: Expression
    factors: Factors | None
    anchors: Anchors | None
    recipe: str
    centre: bool | None
    span: Span | None = field(compare=False)
    spans: Mapping[str, Span] = field(compare=False)

    def __str__(self) -> str:
        space = str(self.space) if isinstance(self.space, Space) else f"({self.space})"
        fields = {self.factor_option: "factors", "data": "anchors"}
        options = {name: getattr(self, fields.get(name, name)) for name in self.option_names}
        return f"{type(self).__name__}({space}{print_options(options)})"

    def changed(self, **changes: Any) -> Self:
        """Return a copy with some fields changed, unchecked."""
        # dataclasses.replace would call __init__, whose options have other names than the fields.
        twin = object.__new__(type(self))
        for name, value in {**vars(self), **changes}.items():
            object.__setattr__(twin, name, value)
        return twin


@dataclass(frozen=True, repr=False, init=False)
class Dr(_Fusing):
    """Displacement: the base is re-projected into the expert's space; factors are lambda.

    Raises:
        UsageError: a value out of range or of the wrong kind, or nested too deep.
    """

    op = "dr"
    factor_option = "lambda"
    option_names = ("lambda", "data", "recipe", "centre")

    def __init__(
        self,
        space: Expression | str,
        *,
        lambda_: FactorsLike | None = None,
        data: str | Iterable[Modality] | None = None,
        recipe: str = "paper",
        centre: bool | str | None = None,
        span: Span | None = None,
        spans: Mapping[str, Span] | None = None,
    ) -> None:
        _fill(self, space, lambda_, data, recipe, centre, span=span, spans=spans or {})


@dataclass(frozen=True, repr=False, init=False)
class Cr(_Fusing):
    """Combination: the expert is projected into the base's space; factors are sigma.

    Attributes:
        mean: how the experts of its stage are averaged, the same in each; None as the lab says.
        weight: share among the parallel experts, > 0, not normalised; None for equal.

    Raises:
        UsageError: a value out of range or of the wrong kind, or nested too deep.
    """

    op = "cr"
    factor_option = "sigma"
    option_names = ("sigma", "data", "recipe", "centre", "mean")

    mean: Mean | None
    weight: float | None

    def __init__(
        self,
        space: Expression | str,
        *,
        sigma: FactorsLike | None = None,
        data: str | Iterable[Modality] | None = None,
        recipe: str = "paper",
        centre: bool | str | None = None,
        mean: Mean | None = None,
        weight: float | None = None,
        span: Span | None = None,
        spans: Mapping[str, Span] | None = None,
    ) -> None:
        _fill(self, space, sigma, data, recipe, centre, span=span, spans=spans or {})
        object.__setattr__(self, "mean", option_of("mean", mean))
        object.__setattr__(self, "weight", None if weight is None else weight_of(weight))

    def __str__(self) -> str:
        text = super().__str__()
        return text if self.weight is None else f"{print_number(self.weight)}*{text}"

    def __mul__(self, weight: float) -> Cr:
        number = number_of(weight)
        return NotImplemented if number is None else self.changed(weight=weight_of(number))

    __rmul__ = __mul__


@dataclass(frozen=True, repr=False)
class Ft(TuningFields, _Reaction):
    """Tune the product's encoder of one modality on pairs with another; see ``TuningFields``.

    Raises:
        UsageError: not two different modality names, or a value out of range or of the wrong kind.
    """

    __str__ = TuningFields.__str__


@dataclass(frozen=True, repr=False)
class Lcl(LclFields, _Reaction):
    """Contrastive learning against a knowledge base; see ``LclFields``.

    Raises:
        UsageError: the name cannot be written, or a value is out of range or of the wrong kind.
    """

    __str__ = LclFields.__str__


@dataclass(frozen=True, slots=True, repr=False)
class Parallel(_Member):
    """One stage of combinations, all aligned to the same frozen base.

    Attributes:
        members: at least one.
    """

    members: tuple[Cr, ...]

    def __str__(self) -> str:
        return " & ".join(map(str, self.members))


Expression: TypeAlias = Space | Product
Reaction: TypeAlias = Dr | Cr | Ft | Lcl
Stage: TypeAlias = Dr | Parallel | Ft | Lcl


def product(base: Expression, stages: Sequence[Stage]) -> Product:
    """Return ``base`` taken through more stages; the stages of a product are spliced in."""
    if isinstance(base, Space):
        return Product(base, tuple(stages))
    return Product(base.base, base.stages + tuple(stages))


def joined(stages: Sequence[Stage], stage: Stage, *, opens: bool = False) -> tuple[Stage, ...]:
    """Return stages and one more; combinations join those before them, unless ``|`` opens it."""
    # The paper's own notation: + Cr(X) + Cr(Y).
    last = stages[-1] if stages else None
    if not opens and isinstance(last, Parallel) and isinstance(stage, Parallel):
        return (*stages[:-1], Parallel(last.members + stage.members))
    return (*stages, stage)


def reactions_of(stage: Stage) -> tuple[Reaction, ...]:
    """Return the reactions of one stage, in the order written."""
    return stage.members if isinstance(stage, Parallel) else (stage,)


def stages_of(reactions: Iterable[Reaction]) -> tuple[Stage, ...]:
    """Return reactions as stages in sequence, with neighbouring combinations parallel."""
    stages: tuple[Stage, ...] = ()
    for reaction in reactions:
        stages = joined(stages, Parallel((reaction,)) if isinstance(reaction, Cr) else reaction)
    return stages


def _fill(
    node: Dr | Cr,
    space: Expression | str,
    factors: FactorsLike | None,
    data: str | Iterable[Modality] | None,
    recipe: str,
    centre: bool | str | None,
    **places: Any,
) -> None:
    space = Space(space) if isinstance(space, str) else space
    if not isinstance(space, _Expression):
        raise refusals.no_space(type(node).__name__, space)
    if isinstance(space, Product) and space.nesting >= MAX_NESTING:
        raise UsageError("products nested too deep", why=f"at most {MAX_NESTING} in each other")
    values = {
        "space": space,
        "factors": option_of(node.factor_option, factors),
        "anchors": option_of("data", data),
        "recipe": option_of("recipe", recipe),
        "centre": option_of("centre", centre),
    }
    for name, value in {**values, **places}.items():
        object.__setattr__(node, name, value)


def _react(left: Any, right: Any, *, opens: bool) -> Product:
    if isinstance(right, _Expression):
        raise refusals.no_reaction(left, right)
    stage = Parallel((right,)) if isinstance(right, Cr) else right
    base, before = (left, ()) if isinstance(left, Space) else (left.base, left.stages)
    return Product(base, joined(before, stage, opens=opens))


def _parallel(left: Any, right: Any) -> Parallel:
    members = [m for node in (left, right) for m in reactions_of(node)]
    alone = next((m for m in members if not isinstance(m, Cr)), None)
    if alone is not None:
        fix = " | ".join(map(str, stages_of(members)))
        raise UsageError(f"{alone} in parallel", why=parallel_why(alone), fix=fix)
    return Parallel(tuple(m for m in members if isinstance(m, Cr)))


def parallel_why(reaction: Reaction) -> str:
    """Return why a reaction other than Cr cannot share its stage."""
    if isinstance(reaction, Dr):
        return "a displacement remaps its base, which the others of its stage would need unchanged"
    return f"{type(reaction).__name__} tunes the product of the stages before it"
