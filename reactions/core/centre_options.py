"""What embedding centres are made of, and how items are held against them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeAlias, cast, get_args

from reactions.core.errors import UsageError, suggestion

Selection: TypeAlias = Literal["central", "items", "medoids", "all"]
Rule: TypeAlias = Literal["mean", "nearest-row", "sum", "top-m"]

SELECTIONS: tuple[Selection, ...] = get_args(Selection)
RULES: tuple[Rule, ...] = get_args(Rule)

DEFAULT_K = 50
"""Descriptions of a class that are kept: as many as UniBind keeps."""

DEFAULT_M = 20
"""Best descriptions that ``top-m`` averages where it says no number."""

NOT_ZERO_SHOT = "not zero-shot: descriptions were chosen by labelled training items"
"""What is said wherever the selection ``items`` is named."""

_TOP = re.compile(r"top-(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class CentreOptions:
    """How the descriptions of a class are chosen and used.

    Attributes:
        k: descriptions of each class that are kept; ``all`` keeps every one.
        selection: which: those nearest to the mean of the class's descriptions (``central``),
            to the mean of its training items (``items``, not zero-shot), the medoids of k
            clusters (``medoids``), or ``all``.
        rule: how an item's cosines with a class's descriptions become one score: its cosine with
            their rescaled mean (``mean``), the greatest (``nearest-row``), their sum (``sum``),
            or the mean of the m greatest (``top-m``).
        m: of ``top-m``.
        items: ``TASK:SPLIT`` whose labelled items ``items`` goes by; "" for other selections.

    Raises:
        UsageError: they cannot mean anything, or do not go together.
    """

    k: int = DEFAULT_K
    selection: Selection = "central"
    rule: Rule = "mean"
    m: int = DEFAULT_M
    items: str = ""

    def __post_init__(self) -> None:
        if self.selection not in SELECTIONS:
            raise UsageError(
                f"unknown selection '{self.selection}'", fix=suggestion(self.selection, SELECTIONS)
            )
        if self.rule not in RULES:
            raise UsageError(f"unknown rule '{self.rule}'", fix=suggestion(self.rule, RULES))
        for name, value in (("k", self.k), ("m", self.m)):
            if value < 1:
                what = f"the rule is top-{value}" if name == "m" else f"--{name} is {value}"
                raise UsageError(what, why="it counts descriptions", fix="a whole number from 1 up")
        if self.selection == "items" and not self.items:
            raise UsageError(
                "the selection 'items' needs labelled training items",
                fix="--items TASK:SPLIT, such as --items imagenet:train",
            )
        if self.items and self.selection != "items":
            raise UsageError(
                f"the selection '{self.selection}' uses no training items",
                fix="--selection items   or leave out --items",
            )

    @classmethod
    def read(cls, *, k: int | None, selection: str, rule: str, items: str | None = None) -> Self:
        """Read what a person typed.

        Args:
            k: None for the default.
            selection: one of ``SELECTIONS``.
            rule: one of ``RULES``; the m of ``top-m`` may be written in its place: ``top-10``.
            items: ``TASK:SPLIT``, or None.

        Raises:
            UsageError: something is unknown or does not go together.
        """
        m, spelled = DEFAULT_M, rule.strip().casefold().replace("_", "-")
        if match := _TOP.fullmatch(spelled):
            spelled, m = "top-m", int(match[1])
        elif spelled not in RULES:
            rules = (*RULES[:-1], f"top-{DEFAULT_M}")
            raise UsageError(f"unknown rule '{rule}'", fix=suggestion(rule, rules))
        spelled_selection = selection.strip().casefold()
        if spelled_selection == "all" and k is not None:
            raise UsageError(
                "the selection 'all' keeps every description", fix="leave out --k or --selection"
            )
        return cls(
            k=DEFAULT_K if k is None else k,
            selection=cast(Any, spelled_selection),
            rule=cast(Any, spelled),
            m=m,
            items=items or "",
        )

    @property
    def rule_text(self) -> str:
        """The rule as it is typed."""
        return f"top-{self.m}" if self.rule == "top-m" else self.rule

    @property
    def is_zero_shot(self) -> bool:
        """Whether no labelled item had a part in the choice."""
        return self.selection != "items"

    @property
    def title(self) -> str:
        """A few words for tables: ``central 50, mean``."""
        texts = "all" if self.selection == "all" else f"{self.selection} {self.k}"
        return f"{texts}, {self.rule_text}"

    def selection_json(self, seed: int) -> dict[str, Any]:
        """Return what decides which descriptions are kept: a JSON object, for keys and records.

        Args:
            seed: of ``medoids``.
        """
        facts: dict[str, Any] = {"selection": self.selection}
        if self.selection != "all":
            facts["k"] = self.k
        if self.selection == "medoids":
            facts["seed"] = seed
        if self.items:
            facts["items"] = self.items
        return facts

    def rule_json(self) -> dict[str, Any]:
        """Return what decides how items are scored: a JSON object, for keys and records."""
        return {"rule": self.rule} | ({"m": self.m} if self.rule == "top-m" else {})


DEFAULT_CENTRES = CentreOptions()
"""The 50 most central descriptions of a class, and the cosine with their mean."""
