"""The factors and experts of a product, as controls of a page; what they ask for; as options."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from reactions.core.errors import UsageError, suggestion
from reactions.core.types import Modality, Space
from reactions.products.atoms import weighed_fusions
from reactions.products.tree import Adjustment, Factors, factor_names, mixtures

_PLAIN: Final = re.compile(r"[A-Za-z][A-Za-z ,']*")
_OPTIONS: Final = {"cr": "sigma", "dr": "lambda"}


@dataclass(frozen=True, slots=True)
class Control:
    """An expert of a product, with its factors.

    Attributes:
        expert: its label.
        option: ``sigma`` where it is combined, ``lambda`` where it displaces.
        factors: as trained, by shared modality; {} where it shares none.
        free: whether they, and the expert, can be chosen at query time.
    """

    expert: str
    option: str
    factors: Mapping[Modality, float]
    free: bool

    def to_json(self) -> dict[str, Any]:
        """Return the control as a JSON object."""
        return {
            "expert": self.expert,
            "option": self.option,
            "factors": dict(self.factors),
            "free": self.free,
        }


def controls_of(space: Space) -> list[Control]:
    """Return the experts of a product, inner ones first.

    An expert that takes part twice has one control, for options name it once; it is fixed where
    one of its turns is, or where they share different modalities.
    """
    free = weighed_fusions(space)
    names = factor_names(space)
    controls: dict[tuple[str, str], Control] = {}
    for fusion, i in mixtures(space):
        expert = fusion.experts[i]
        factors = dict(expert.factors) if (fusion, i) in names else {}
        key = expert.label, _OPTIONS[fusion.op]
        before = controls.get(key)
        is_free = fusion in free
        if before is not None:
            is_free = is_free and before.free and set(factors) == set(before.factors)
            factors = {**factors, **before.factors}
        controls[key] = Control(*key, factors, is_free)
    return list(controls.values())


def read_adjustment(space: Space, sigma: Any, lambda_: Any, experts: Any) -> Adjustment:
    """Read what a request says of factors and experts.

    Args:
        space: the product.
        sigma: expert to modality to factor, or None.
        lambda_: likewise.
        experts: names, or None for all.

    Raises:
        UsageError: it is something else, or names an expert that there is not.
    """
    labels = [control.expert for control in controls_of(space)]
    if experts is not None:
        if not isinstance(experts, list) or not all(isinstance(name, str) for name in experts):
            raise UsageError("'experts' must be a list of names", fix='"experts": ["CLAP_m"]')
        for name in experts:
            if name not in labels:
                raise UsageError(f"no expert '{name[:80]}'", fix=suggestion(name[:80], labels))
    return Adjustment(
        sigma=_factors("sigma", sigma),
        lambda_=_factors("lambda", lambda_),
        experts=None if experts is None or set(experts) == set(labels) else frozenset(experts),
    )


def _factors(option: str, by_expert: Any) -> dict[str, Factors]:
    fix = f'"{option}": {{"EXPERT": {{"audio": 0.5, "text": 0.1}}}}'
    if by_expert is None:
        return {}
    if not isinstance(by_expert, dict):
        raise UsageError(f"'{option}' must be an object", fix=fix)
    read: dict[str, Factors] = {}
    for expert, factors in by_expert.items():
        if not isinstance(factors, dict):
            raise UsageError(f"'{option}' of '{expert[:80]}' must be an object", fix=fix)
        for modality, value in factors.items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise UsageError(
                    f"'{option}': the factor of '{modality[:80]}' must be a number", fix="0 to 1"
                )
        read[expert] = {modality: float(value) for modality, value in factors.items()}
    return read


def options_of(controls: Sequence[Control], adjustment: Adjustment) -> list[str]:
    """Return the options that give the same factors and experts; [] where they are as trained."""
    words: list[str] = []
    for control in controls:
        by_expert = adjustment.sigma if control.option == "sigma" else adjustment.lambda_
        expert_factors = by_expert.get(control.expert)
        if not isinstance(expert_factors, Mapping):
            continue
        if any(
            abs(expert_factors[m] - value) > 1e-9
            for m, value in control.factors.items()
            if m in expert_factors
        ):
            texts = ",".join(f"{m}={expert_factors[m]:g}" for m in sorted(expert_factors))
            words += [f"--{control.option}", f"{control.expert}:{texts}"]
    if adjustment.experts is not None:
        words += ["--experts", ",".join(sorted(adjustment.experts))]
    return words


def command_line(
    index: str,
    query: tuple[Modality, str],
    *,
    into: Modality | None,
    k: int,
    options: Sequence[str],
) -> str:
    """Return the command that searches as the page did.

    Args:
        index: its folder.
        query: modality, and the text or the file's name.
        into: the modality that was searched; None for all.
        k: hits.
        options: from ``options_of``.
    """
    modality, value = query
    if modality == "text":
        query_words = [value] if _PLAIN.fullmatch(value) else [f"--text={value}"]
    elif modality in ("image", "audio"):
        query_words = [f"--{modality}={value}" if value.startswith("-") else f"--{modality}", value]
        query_words = query_words[:1] if value.startswith("-") else query_words
    else:
        query_words = ["--query", f"{modality}={value}"]
    words = ["molspace", "search", index, *query_words]
    words += ["--into", into] if into else []
    words += ["-k", str(k), *options]
    return shlex.join(words)
