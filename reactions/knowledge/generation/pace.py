"""How fast questions are asked: a steady rate, pauses that a server asks for, longer waits."""

from __future__ import annotations

import asyncio
import email.utils
import random
import time
from collections.abc import Awaitable, Callable

Clock = Callable[[], float]
Sleep = Callable[[float], Awaitable[None]]


class Pace:
    """Lets questions through at no more than a rate of questions and of tokens.

    They are spread evenly: no burst at the beginning of each minute.

    Args:
        requests_per_minute: 0 for any number.
        tokens_per_minute: read and written ones; 0 for any number.
        clock: seconds from any origin, never going back.
        sleep: waits for seconds.
    """

    def __init__(
        self,
        requests_per_minute: float = 0,
        tokens_per_minute: float = 0,
        *,
        clock: Clock = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._request_s = 60 / requests_per_minute if requests_per_minute else 0.0
        self._token_s = 60 / tokens_per_minute if tokens_per_minute else 0.0
        self._clock, self._sleep = clock, sleep
        self._free_s = self._tokens_free_s = clock()
        self._paused_until_s = 0.0

    async def take(self, tokens: float) -> None:
        """Wait until a question of about so many tokens may be asked.

        Args:
            tokens: that it and its answer are expected to take.
        """
        now = self._clock()
        at = max(now, self._free_s, self._tokens_free_s)
        # Reserved at once: questions that wait side by side each have a time of their own.
        self._free_s = at + self._request_s
        self._tokens_free_s = max(now, self._tokens_free_s) + tokens * self._token_s
        while (wait_s := max(at, self._paused_until_s) - self._clock()) > 0:
            await self._sleep(wait_s)

    def correct(self, expected: float, taken: float) -> None:
        """Take account of the tokens that a question really took."""
        self._tokens_free_s += (taken - expected) * self._token_s

    def pause(self, seconds: float) -> bool:
        """Let nothing through for some time: a server asked all of us to wait.

        Returns:
            Whether that is longer than it would be anyway.
        """
        until_s = self._clock() + seconds
        is_longer = until_s > self._paused_until_s + 1
        self._paused_until_s = max(self._paused_until_s, until_s)
        return is_longer


def backoff_s(attempt: int, first_s: float, longest_s: float, chance: random.Random) -> float:
    """Return how long to wait after a failed attempt: twice as long each time, and by chance.

    Between half and all of the wait is taken, so that clients that failed together do not come
    back together.

    Args:
        attempt: its number, from 0.
        first_s: after the first.
        longest_s: after any.
        chance: of the jitter.
    """
    whole = min(longest_s, first_s * 2.0 ** min(attempt, 60))
    return whole * (0.5 + 0.5 * chance.random())


def retry_after_s(value: str | None, now_s: float | None = None) -> float | None:
    """Read a Retry-After header: seconds, or a date; None where it says nothing that helps.

    Args:
        value: of the header.
        now_s: seconds since 1970; the present by default.
    """
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            at = email.utils.parsedate_to_datetime(value).timestamp()
        except (ValueError, TypeError, OverflowError, OSError):
            return None
        seconds = at - (time.time() if now_s is None else now_s)
    return seconds if 0 <= seconds < float("inf") else (0.0 if seconds < 0 else None)
