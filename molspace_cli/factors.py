"""The texts of ``--sigma``, ``--lambda`` and ``--experts``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reactions.products.tree import Adjustment, Factors


def adjustment(
    sigma: Sequence[str] | None, lambda_: Sequence[str] | None, experts: str | None
) -> Adjustment:
    """Read ``--sigma``, ``--lambda`` and ``--experts``.

    Raises:
        UsageError: a text is not a factor.
    """
    from reactions.core.errors import UsageError
    from reactions.products.tree import Adjustment

    names = None
    if experts is not None:
        names = [name.strip() for name in experts.split(",") if name.strip()]
        if not names:
            raise UsageError(
                "--experts names none", fix="--experts CLAP_m,CLAP_g   or leave it out"
            )
    return Adjustment(
        sigma=_factors("--sigma", sigma),
        lambda_=_factors("--lambda", lambda_),
        experts=None if names is None else frozenset(names),
    )


def _factors(option: str, texts: Sequence[str] | None) -> dict[str, Factors]:
    from reactions.core.errors import UsageError

    by_expert: dict[str, Factors] = {}
    for text in texts or ():
        expert, colon, values = text.rpartition(":")
        parts = [part.strip() for part in values.split(",")]
        try:
            if all("=" in part for part in parts):
                pairs = [part.partition("=") for part in parts]
                factors: Factors = {name.strip(): float(value) for name, _, value in pairs}
            else:
                factors = tuple(float(part) for part in parts)
        except ValueError:
            raise UsageError(
                f"{option}: '{text}' is not a list of factors",
                fix=f"{option} 0.5,0.1   or   {option} audio=0.5,text=0.1",
            ) from None
        if (key := expert.strip() if colon else "") in by_expert:
            raise UsageError(f"{option} is given twice" + (f" for {key}" if key else ""))
        by_expert[key] = factors
    return by_expert
