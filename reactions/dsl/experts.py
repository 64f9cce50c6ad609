"""Checks of one expert against its base, and of the experts of one stage among each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from reactions.core import types
from reactions.core.catalogue import Catalogue
from reactions.core.errors import suggestion
from reactions.core.factor_defaults import FactorDefaults
from reactions.core.types import Mean, Modality
from reactions.dsl.source import ProgramText, Span
from reactions.dsl.syntax import Cr, Dr
from reactions.dsl.values import print_factors, print_number
from reactions.modalities.registry import letters

_HERE = Span(0, 1)


class Experts:
    """Checks experts and fills in what they leave to defaults.

    Args:
        catalogue: for suggestions.
        defaults: combining factors where a reaction gives none.
    """

    def __init__(self, catalogue: Catalogue, defaults: FactorDefaults) -> None:
        self.catalogue = catalogue
        self.defaults = defaults

    def expert(
        self,
        source: ProgramText,
        base: types.Space,
        node: Dr | Cr,
        expert: types.Space,
        weight: float,
    ) -> types.Expert:
        """Return the typed expert.

        Args:
            source: the text that the spans of ``node`` refer to.
            base: what it is fused with.
            node: the reaction, for its options.
            expert: the typed space of the expert.
            weight: its share among the experts of its stage.

        Raises:
            LanguageError: it cannot be fused with this base, or not with these options.
        """
        span = node.space.span or node.span or _HERE
        if expert == base:
            raise source.error(
                "fusing a space with itself",
                span,
                why=f"{base.label} is the base and the expert",
                fix="choose another expert",
            )
        shared = types.shared_modalities(base, expert)
        if not shared:
            fitting_spaces = [
                spec.name
                for spec in self.catalogue
                if set(spec.modalities) & set(base.modalities) and spec.name != base.label
            ]
            raise source.error(
                f"no shared modality between {base.label} and {expert.label}",
                span,
                why=f"{base.label} embeds {_list(base.modalities)}; "
                f"{expert.label} embeds {_list(expert.modalities)}",
                fix=f"spaces that share one: {_list(fitting_spaces)}" if fitting_spaces else "",
                base=list(base.modalities),
                expert=list(expert.modalities),
            )
        modalities = sorted({*base.modalities, *expert.modalities})
        for name in node.anchors or ():
            if name not in modalities:
                raise source.error(
                    f"no modality '{name}' to train on",
                    node.spans.get("data", span),
                    why=f"base and expert embed {_list(modalities)}",
                    fix=f"data={name.upper()}"
                    if set(name.upper()) <= set(letters())
                    else suggestion(name, modalities),
                )
        factors = self._factors(source, node, base, expert, shared)
        if node.centre is not None:
            if not isinstance(expert, types.Leaf):
                raise source.error(
                    f"{expert.label} cannot be centred",
                    node.spans.get("centre", span),
                    why="centre subtracts a space's own modality means, and this is a product",
                    fix="centre the spaces that it is made of",
                )
            expert = types.Leaf(replace(expert.spec, centre=node.centre))
        return types.Expert(expert, weight, factors, node.anchors, node.recipe)

    def _factors(
        self,
        source: ProgramText,
        node: Dr | Cr,
        base: types.Space,
        expert: types.Space,
        shared: tuple[Modality, ...],
    ) -> tuple[tuple[Modality, float], ...]:
        option = node.factor_option
        span = node.spans.get(option, node.span or _HERE)
        defaults = {name: self.defaults.of(node.op, name) for name in shared}
        factors = node.factors
        if factors is None:
            return tuple(defaults.items())
        if isinstance(factors, float):
            return tuple((name, factors) for name in shared)
        ordered = [item for item in factors if isinstance(item, float)]
        by_modality = dict(item for item in factors if not isinstance(item, float))
        for name in by_modality:
            if name not in shared:
                raise source.error(
                    f"{option} for '{name}', which is not shared",
                    span,
                    why=f"{base.label} and {expert.label} share {_list(shared)}",
                    fix=suggestion(name, shared),
                )
        if by_modality:
            return tuple({**defaults, **by_modality}.items())
        if len(ordered) != len(shared):
            values = "1 value" if len(ordered) == 1 else f"{len(ordered)} values"
            modalities = (
                "1 shared modality" if len(shared) == 1 else f"{len(shared)} shared modalities"
            )
            raise source.error(
                f"{option} has {values} for {modalities}",
                span,
                why=f"the shared modalities are, in this order: {_list(shared)}",
                fix=f"{option}={print_factors(tuple(defaults.values()))}",
            )
        return tuple(zip(shared, ordered, strict=True))


def shares_of(source: ProgramText, members: Sequence[Dr | Cr]) -> list[float]:
    """Return the shares of a stage's experts, which sum to 1.

    Raises:
        LanguageError: a weight where there is nothing to share, or on some only.
    """
    weights = [member.weight if isinstance(member, Cr) else None for member in members]
    weighed = [weight for weight in weights if weight is not None]
    if not weighed:
        return [1 / len(members)] * len(members)
    if len(members) == 1:
        raise source.error(
            "a weight on a lone Cr",
            members[0].span or _HERE,
            why="weights divide a stage among its experts, and this one has it all",
            fix=f"for its share of the product say sigma={print_number(min(1.0, weighed[0]))}",
        )
    if len(weighed) < len(members):
        bare = members[weights.index(None)]
        raise source.error(
            "a Cr without a weight beside one with",
            bare.span or _HERE,
            why="a stage gives weights to all its experts or to none",
            fix=f"{print_number(weighed[0])}*{bare}",
        )
    largest = max(weighed)  # the sum of huge weights could overflow
    total = sum(weight / largest for weight in weighed)
    return [weight / largest / total for weight in weighed]


def mean_of_stage(source: ProgramText, members: Sequence[Dr | Cr], default: Mean) -> Mean:
    """Return how the experts of a stage are averaged.

    Args:
        source: the text that the spans of ``members`` refer to.
        members: of the stage.
        default: where they do not say.

    Raises:
        LanguageError: a lone expert says so, or only some do, or they differ.
    """
    combinations = [member for member in members if isinstance(member, Cr)]
    with_mean = [member for member in combinations if member.mean is not None]
    if len(members) == 1:
        if with_mean:
            raise source.error(
                "mean on a lone Cr",
                with_mean[0].spans.get("mean", with_mean[0].span or _HERE),
                why="it says how the experts of a stage are averaged, and this stage has one",
                fix="leave it out",
            )
        return "eq10"  # the same either way, and should have the same keys
    if not with_mean:
        return default
    first = with_mean[0]
    deviating = [member for member in combinations if member.mean != first.mean]
    if deviating:
        other = deviating[0]
        raise source.error(
            "two means in one stage" if other.mean else "a Cr without mean beside one with",
            other.spans.get("mean", other.span or _HERE),
            why="the experts of a stage are averaged together, so all of them say how, or none",
            fix=str(other.changed(mean=first.mean)),
        )
    return first.mean or default


def _list(names: Sequence[str]) -> str:
    return ", ".join(names)
