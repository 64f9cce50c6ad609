"""What a generator is called: ``NAME:MODEL?key=value&...``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import parse_qsl, urlencode

from reactions.core.errors import UsageError, suggestion

FORMS = "openai:MODEL?base_url=URL   hf:REPO?task=TASK   mini"
"""How generators are written, for messages."""

_SECRETS = ("api_key", "apikey", "key", "token", "secret", "password", "authorization")
_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}

N = TypeVar("N", int, float)


@dataclass(frozen=True, slots=True)
class GeneratorSpec:
    """A generator as it was written, taken apart.

    Attributes:
        text: as it was written.
        scheme: what stands before the colon.
        rest: what stands between the colon and the question mark.
        options: by name, as texts.
    """

    text: str
    scheme: str
    rest: str = ""
    options: dict[str, str] = field(default_factory=dict)

    def refuse_unknown(self, known: Sequence[str]) -> None:
        """Refuse options that a generator does not have.

        Raises:
            UsageError: there is one; the fix names near ones.
        """
        for key in self.options:
            if key not in known:
                raise UsageError(
                    f"unknown option '{key}' of generator '{self.scheme}'",
                    fix=suggestion(key, known),
                    generator=self.text,
                )

    def text_of(self, key: str, default: str = "") -> str:
        """Return an option that is a text.

        Raises:
            UsageError: it is given and empty.
        """
        value = self.options.get(key, default)
        if key in self.options and not value:
            raise self._wrong(key, "it is empty")
        return value

    def integer(self, key: str, default: int | None, *, low: int, high: int) -> int | None:
        """Return an option that is a whole number from ``low`` to ``high``."""
        return self._number(key, default, int, "a whole number", low, high)

    def number(self, key: str, default: float | None, *, low: float, high: float) -> float | None:
        """Return an option that is a number from ``low`` to ``high``."""
        return self._number(key, default, float, "a number", low, high)

    def flag(self, key: str, *, default: bool) -> bool:
        """Return an option that is true or false."""
        value = self.options.get(key)
        if value is None:
            return default
        if value.lower() not in _WORDS:
            raise self._wrong(key, "it must be true or false")
        return _WORDS[value.lower()]

    def choice(self, key: str, default: str, known: Sequence[str]) -> str:
        """Return an option that is one of several words.

        Raises:
            UsageError: it is another; the fix names near ones.
        """
        value = self.options.get(key, default)
        if value not in known:
            raise UsageError(
                f"unknown {key} '{value}' of generator '{self.scheme}'",
                fix=suggestion(value, known),
                generator=self.text,
            )
        return value

    def canonical(self, rest: str, options: Mapping[str, object]) -> str:
        """Return a text by which the same generator is found again.

        Args:
            rest: the model, pinned as far as it can be.
            options: whatever can change an answer; None and "" are left out.
        """
        options_given = sorted((k, str(v)) for k, v in options.items() if v not in (None, ""))
        query = f"?{urlencode(options_given, safe='/:,')}" if options_given else ""
        return f"{self.scheme}:{rest}{query}" if rest else f"{self.scheme}{query}"

    def _number(
        self,
        key: str,
        default: N | None,
        kind: Callable[[str], N],
        what: str,
        low: N,
        high: N,
    ) -> N | None:
        if key not in self.options:
            return default
        try:
            value = kind(self.options[key])
        except ValueError:
            raise self._wrong(key, f"'{self.options[key]}' is not {what}") from None
        if not low <= value <= high:
            raise self._wrong(key, f"{value:g} is not from {low:g} to {high:g}")
        return value

    def _wrong(self, key: str, why: str) -> UsageError:
        return UsageError(
            f"cannot use option '{key}' of generator '{self.scheme}'", why=why, generator=self.text
        )


def parse_generator(text: str) -> GeneratorSpec:
    """Take apart what names a generator.

    Raises:
        UsageError: it has no name, an option without a value or twice, or a secret.
    """
    head, has_options, query = text.strip().partition("?")
    scheme, _, rest = head.partition(":")
    if not re.fullmatch(r"[A-Za-z][\w.+-]*", scheme):
        raise UsageError(f"'{text}' names no generator", fix=FORMS, generator=text)
    options: dict[str, str] = {}
    # Not parse_qsl's blanks for plus signs: they belong to names of models and languages.
    for part in filter(None, query.split("&")) if has_options else ():
        pairs = parse_qsl(part.replace("+", "%2B"), keep_blank_values=True)
        key, value = pairs[0] if pairs else (part, "")
        if key.lower() in _SECRETS:  # before anything repeats it
            raise UsageError(
                f"a generator takes no '{key}'",
                why="what is written there would be kept with the descriptions, and in the shell's "
                "history",
                fix="set the environment variable OPENAI_API_KEY",
            )
        if "=" not in part:
            raise UsageError(
                f"option '{key}' of generator '{scheme}' has no value",
                fix=f"{key}=VALUE",
                generator=text,
            )
        if key in options:
            raise UsageError(
                f"option '{key}' of generator '{scheme}' is given twice",
                fix="leave one out",
                generator=text,
            )
        options[key] = value
    return GeneratorSpec(text.strip(), scheme, rest, options)
