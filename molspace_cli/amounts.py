"""Counts, rates and times in words, and how often they are worth a line."""

from __future__ import annotations

_LINE_EVERY_S = 10.0


class LinesDue:
    """Says when the next line about each of several things is due: every ten seconds."""

    def __init__(self) -> None:
        self._due_s: dict[str, float] = {}

    def begin(self, what: str, now_s: float) -> None:
        """Let the first line be due in ten seconds, not at once."""
        self._due_s[what] = now_s + _LINE_EVERY_S

    def are_due(self, what: str, now_s: float) -> bool:
        """Return whether a line is due now; the next one is then due in ten seconds."""
        if now_s < self._due_s.get(what, now_s):
            return False
        self.begin(what, now_s)
        return True

    def forget(self, what: str) -> None:
        """Let the next line about something be due at once."""
        self._due_s.pop(what, None)


def counted(n: int, noun: str) -> str:
    """Return ``1 step`` or ``2,000 steps``."""
    return f"{n} {noun}" if n == 1 else f"{n:,} {noun}s"


def pace_of(rate: float) -> str:
    """Return ``0.042``, ``3.75`` or ``1,840``."""
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"


def duration(seconds: float) -> str:
    """Return ``0.4 s``, ``12 s``, ``3 min 20 s`` or ``2 h 5 min``."""
    if seconds < 9.95:
        return f"{max(seconds, 0.0):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def rough(seconds: float) -> str:
    """Return an estimate as people say it: ``a few seconds``, ``about 20 s``, ``about 2.5 h``."""
    if seconds < 9.5:  # in which loading, which no plan counts, may take most of the time
        return "a few seconds"
    if seconds < 55:
        return f"about {5 * round(seconds / 5)} s"
    if seconds < 90 * 60:
        return f"about {max(1, round(seconds / 60))} min"
    if seconds < 48 * 3600:
        return f"about {seconds / 3600:.1f} h"
    return f"about {seconds / 86400:.1f} days"
