"""Bounds of a run: rates, retries, cost; and what it will about take."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from reactions.core.errors import UsageError
from reactions.knowledge.generation.base import Question

TOKENS_PER_ROW = 25
"""What a sentence with its number about takes, for estimates."""

TOKENS_PER_ATTACHMENT = 1000
"""What a picture or a sound about takes, for estimates; models differ widely."""

MAX_CONCURRENCY = 1024
"""Questions at a time at most: each may be a connection."""

_CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Bounds of a run.

    Attributes:
        concurrency: questions at a time.
        requests_per_minute: 0 for any number.
        tokens_per_minute: read and written ones; 0 for any number.
        retries: of a question that got no usable answer.
        backoff_s: waited after the first failure, and twice as long after each other.
        longest_backoff_s: of these waits.
        longest_wait_s: that a server may ask for (Retry-After); beyond it the run stops.
        failures: questions in a row without an answer, after which the run stops.
        rounds: in which one category or item is asked for, the first included.
        barren_rounds: in a row that may bring nothing new.
        max_requests: of all runs for one file; 0 for any number.
        max_cost: of all runs for one file, in the prices' currency; None for any.
        price_in: of a million tokens read; None if unknown.
        price_out: of a million tokens written; None if unknown.
        tokens_per_row: that a description is expected to take.

    Raises:
        UsageError: a number cannot mean anything, or a cost is bounded without prices.
    """

    concurrency: int = 8
    requests_per_minute: float = 0
    tokens_per_minute: float = 0
    retries: int = 5
    backoff_s: float = 1
    longest_backoff_s: float = 60
    longest_wait_s: float = 600
    failures: int = 5
    rounds: int = 5
    barren_rounds: int = 2
    max_requests: int = 0
    max_cost: float | None = None
    price_in: float | None = None
    price_out: float | None = None
    tokens_per_row: int = TOKENS_PER_ROW

    def __post_init__(self) -> None:
        for name, low in (("concurrency", 1), ("retries", 0), ("rounds", 1), ("max_requests", 0)):
            self._check(name, low)
        for name in (
            "requests_per_minute",
            "tokens_per_minute",
            "max_cost",
            "price_in",
            "price_out",
        ):
            self._check(name, 0)
        if self.concurrency > MAX_CONCURRENCY:
            raise UsageError(
                f"--concurrency is {self.concurrency}", why=f"it may be {MAX_CONCURRENCY} at most"
            )
        if self.max_cost is not None and self.money(0, 0) is None:
            raise UsageError(
                "--max-cost without prices",
                why="what answers cost is not known",
                fix="--price-in and --price-out, of a million tokens",
            )

    def _check(self, name: str, low: float) -> None:
        value = getattr(self, name)
        if value is not None and not low <= value < math.inf:
            option = name.removesuffix("_s").replace("_", "-")
            raise UsageError(f"--{option} is {value:g}", why=f"it must be a number from {low} up")

    def money(self, tokens_in: float, tokens_out: float) -> float | None:
        """Return what tokens cost; None if a price is unknown."""
        if self.price_in is None or self.price_out is None:
            return None
        return (tokens_in * self.price_in + tokens_out * self.price_out) / 1e6

    def cost(self, tokens_in: float, tokens_out: float) -> float:
        """Return what tokens cost; the prices must be known."""
        money = self.money(tokens_in, tokens_out)
        assert money is not None
        return money


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a run is expected to take, if no row is dropped.

    Attributes:
        requests: that are still to be sent.
        answered: that earlier runs have sent.
        tokens_in: to be read.
        tokens_out: to be written.
        money: in the prices' currency; None if unknown.
        least_s: seconds that the bounds on the rate make it last at least.
    """

    requests: int
    answered: int
    tokens_in: int
    tokens_out: int
    money: float | None
    least_s: float


def tokens_of(question: Question) -> int:
    """Return about how many tokens a question has."""
    n_characters = len(question.prompt) + len(question.system)
    n_text = math.ceil(n_characters / _CHARACTERS_PER_TOKEN)
    return n_text + TOKENS_PER_ATTACHMENT * len(question.attachments)


def expect(sizes: Sequence[int], tokens_in: int, answered: int, bounds: Bounds) -> Expectation:
    """Estimate a run.

    Args:
        sizes: rows that each question asks for, of the questions that are still to be asked.
        tokens_in: of one question.
        answered: questions that were answered before.
        bounds: of the run.
    """
    n_in, n_out = len(sizes) * tokens_in, sum(sizes) * bounds.tokens_per_row
    least_s = 0.0
    if bounds.requests_per_minute:
        least_s = len(sizes) * 60 / bounds.requests_per_minute
    if bounds.tokens_per_minute:
        least_s = max(least_s, (n_in + n_out) * 60 / bounds.tokens_per_minute)
    money = bounds.money(n_in, n_out)
    return Expectation(len(sizes), answered, n_in, n_out, money, least_s)
