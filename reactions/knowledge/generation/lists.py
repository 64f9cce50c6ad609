"""Sentences out of an answer: numbered, with bullets, as JSON, in quotes, or line by line.

Models are asked for a numbered list and give what they like. Whatever is left out of an answer is
counted by reason.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

PREAMBLE = "talk around the list"
BROKEN = "broken JSON"
CUT = "cut off"
NOT_A_TEXT = "not a text"
UNCLOSED = "no end of its thinking"

_MAX_CHARACTERS = 1 << 19
_THINKING = re.compile(r"<(/?)(?:think|thinking|reasoning)>", re.IGNORECASE)
_FENCE = re.compile(r"^[ \t]*```[\w-]*[ \t]*$", re.MULTILINE)
_NUMBERED = re.compile(
    r"\s*(?:[*_]{2})?(?:#|\()?(\d{1,3}(?:,\d{3})+|\d{1,6})(?:[*_]{2})?\s*(?:[.):\]]|[-\u2013—](?=\s))"
    r"(?:[*_]{2})?\s+(.*)"
)
_INLINE = re.compile(r"(?:(?<=\s)|^)\(?(\d{1,6})[.)]\s+")
_BULLETED = re.compile(r"\s*[-*•‣◦·\u2013—]\s+(.*)")
_QUOTED = re.compile("\\s*([\"“\u2018'`«]).+?([\"”\u2019'`»])\\s*[,;.]?\\s*")
_OPENING = re.compile(
    # Great Danes and great white sharks are not talk.
    r"((sure|certainly|of course|absolutely|okay|ok|great)"
    r"(?=\s*[,.!:;]|\s+[-\u2013—]|\s*$|\s+(here|i)\b)|(here|below) (are|is)\b)",
    re.IGNORECASE,
)
_CLOSING = re.compile(
    r"((i )?hope (this|that|these|it)|let me know|feel free|these sentences|would you like|"
    r"if you (need|want|would))\b",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"“])")
_PAIRS = {'"': '"', "“": "”", "\u2018": "\u2019", "'": "'", "`": "`", "«": "»", "<": ">"}
_KEYS = ("description", "sentence", "caption", "text", "content")


@dataclass(frozen=True, slots=True)
class Sentences:
    """What an answer holds.

    Attributes:
        rows: the sentences, in order, without numbers, bullets, quotes and line breaks.
        form: how they were written: ``"numbered"``, ``"bulleted"``, ``"JSON"``, ``"lines"``,
            ``"sentences"``; "" where there are none.
        dropped: reason to the number of pieces that were left out.
    """

    rows: tuple[str, ...]
    form: str = ""
    dropped: Counter[str] = field(default_factory=Counter)


def read_sentences(text: str, *, was_cut: bool = False) -> Sentences:
    """Return the sentences of an answer that was to be a list.

    Args:
        text: the answer.
        was_cut: it ended at the limit of its length: its last sentence is left out.
    """
    dropped: Counter[str] = Counter()
    body = _without_thinking(text[:_MAX_CHARACTERS], dropped)
    body = _FENCE.sub("", body).strip()
    rows, form = _json_rows(body, dropped)
    if not form:
        rows, form = _line_rows(body, dropped)
    if (was_cut or len(text) > _MAX_CHARACTERS) and rows and not dropped[BROKEN]:
        rows.pop()
        dropped[CUT] += 1
    cleaned = [clean(row) for row in rows]
    # Without reasons for which nothing was left out.
    return Sentences(tuple(cleaned), form if cleaned else "", +dropped)


def read_description(text: str, *, was_cut: bool = False) -> Sentences:
    """Return the one description of an answer that was to be a sentence or two.

    Args:
        text: the answer.
        was_cut: it ended at the limit of its length: what follows its last full stop is left out.
    """
    dropped: Counter[str] = Counter()
    body = _FENCE.sub("", _without_thinking(text[:_MAX_CHARACTERS], dropped)).strip()
    lines = [line.strip() for line in body.splitlines() if line.strip()]
    if len(lines) > 1 and _is_preamble(lines[0]):
        dropped[PREAMBLE] += 1
        lines = lines[1:]
    if len(lines) > 1 and _CLOSING.match(lines[-1]):
        dropped[PREAMBLE] += 1
        lines = lines[:-1]
    whole = clean(" ".join(lines))
    if was_cut and whole:
        ends = [match.end() for match in re.finditer(r"[.!?](?=\s)", whole)]
        whole = whole[: ends[-1]] if ends else ""
        dropped[CUT] += 1
    return Sentences((whole,) if whole else (), "description" if whole else "", +dropped)


def clean(row: str) -> str:
    """Return a sentence on one line, without quotes around it or emphasis."""
    row = " ".join(row.split())
    for _ in range(4):  # such as **"A sentence."**,
        before = row
        row = row.rstrip(",;") if row[-1:] in (",", ";") else row
        for mark in ("**", "__", "*", "_"):
            if len(row) > 2 * len(mark) and row.startswith(mark) and row.endswith(mark):
                row = row[len(mark) : -len(mark)].strip()
        close = _PAIRS.get(row[:1])
        # Only a pair around all of it: "Red" and "blue" are two quotations.
        if close and len(row) > 1 and row.endswith(close) and close not in row[1:-1]:
            row = row[1:-1].strip()
        if row == before:
            break
    return row


def _without_thinking(text: str, dropped: Counter[str]) -> str:
    start, stop = 0, len(text)
    for mark in _THINKING.finditer(text):
        if mark[1]:  # some servers keep the opening mark to themselves
            start, stop = mark.end(), len(text)
        elif stop == len(text):
            stop = mark.start()
    if stop < len(text):
        dropped[UNCLOSED] += 1
    return text[start:stop]


def _json_rows(body: str, dropped: Counter[str]) -> tuple[list[str], str]:
    start = min((i for i in (body.find("["), body.find("{")) if i >= 0), default=-1)
    if start < 0 or (start > 0 and not _is_preamble(body[:start].strip())):
        return [], ""
    if not re.match(r'[\[{]\s*[\[{"\]}]', body[start:]):
        return [], ""
    try:
        value, end = json.JSONDecoder().raw_decode(body, start)
    except (ValueError, RecursionError):
        if body[start] != "[" or body[start + 1 :].lstrip()[:1] != '"':
            return [], ""
        # What was complete of it: a list of strings whose end is missing, or that has a flaw.
        dropped[BROKEN] += 1
        return _whole_strings(body, start), "JSON"
    if body[:start].strip() or body[end:].strip():
        dropped[PREAMBLE] += 1
    rows: list[str] = []
    for entry in _entries(value):
        if isinstance(entry, dict):
            entry = _text_of(entry)
        if isinstance(entry, str):
            rows.append(entry)
        else:
            dropped[NOT_A_TEXT] += 1
    return rows, "JSON"


def _entries(value: Any) -> list[Any]:
    if isinstance(value, list):
        return value
    lists = [inner for inner in value.values() if isinstance(inner, list)]
    if len(lists) == 1:
        return list(lists[0])
    return list(value.values())  # {"1": "...", "2": "..."}


def _text_of(entry: dict[str, Any]) -> Any:
    for key in _KEYS:
        if isinstance(entry.get(key), str):
            return entry[key]
    texts = [value for value in entry.values() if isinstance(value, str)]
    return texts[0] if len(texts) == 1 else None


def _whole_strings(body: str, start: int) -> list[str]:
    """Return the strings of a broken list, up to the first without an end."""
    strings: list[str] = []
    while (start := body.find('"', start)) >= 0:
        try:
            text, start = json.JSONDecoder(strict=False).raw_decode(body, start)
        except ValueError:
            break
        strings.append(str(text))
    return strings


def _line_rows(body: str, dropped: Counter[str]) -> tuple[list[str], str]:
    lines = [line for line in body.splitlines() if line.strip()]
    if not lines:
        return [], ""
    for form, pattern, group in (("numbered", _NUMBERED, 2), ("bulleted", _BULLETED, 1)):
        marked = [pattern.fullmatch(line) for line in lines]
        n_marked = sum(match is not None for match in marked)
        if n_marked >= 2 or (n_marked == 1 and len(lines) <= 2):
            if form == "numbered" and n_marked == 1 and (split := _inline_rows(lines, dropped)):
                return split, form
            return _marked_rows(lines, [m[group] if m else None for m in marked], dropped), form
    quoted = [line for line in lines if _QUOTED.fullmatch(line)]
    if len(quoted) >= 2 and 2 * len(quoted) >= len(lines):
        dropped[PREAMBLE] += len(lines) - len(quoted)
        return quoted, "quoted"
    lines = _trimmed(lines, dropped)
    if len(lines) == 1 and len(parts := _SENTENCE_END.split(lines[0].strip())) > 1:
        return parts, "sentences"
    return lines, "lines"


def _inline_rows(lines: list[str], dropped: Counter[str]) -> list[str]:
    """Return ``1. A. 2. B. 3. C.`` on one line as rows; [] if the numbers do not count up."""
    line = next(line for line in lines if _NUMBERED.fullmatch(line))
    marks = list(_INLINE.finditer(line))
    if len(marks) < 2 or [int(mark[1]) for mark in marks] != list(range(1, len(marks) + 1)):
        return []
    dropped[PREAMBLE] += len(lines) - 1
    ends = [*(mark.start() for mark in marks[1:]), len(line)]
    return [line[mark.end() : end].strip() for mark, end in zip(marks, ends, strict=True)]


def _marked_rows(lines: list[str], marked: list[str | None], dropped: Counter[str]) -> list[str]:
    """Return rows with a number or bullet; lines that go on with one are joined to it."""
    rows: list[str] = []
    for line, row in zip(lines, marked, strict=True):
        if row is not None:
            rows.append(row)
        elif (
            rows
            and not rows[-1].rstrip().endswith((".", "!", "?", '"', "”"))
            and (line.strip()[:1].islower())
        ):
            rows[-1] += " " + line.strip()
        else:
            dropped[PREAMBLE] += 1
    return rows


def _trimmed(lines: list[str], dropped: Counter[str]) -> list[str]:
    """Return lines without what a model says before and after a list."""

    def trim(at: int, is_talk: Callable[[str], bool]) -> None:
        if len(lines) > 1 and is_talk(lines[at].strip()):
            lines.pop(at)
            dropped[PREAMBLE] += 1

    lines = list(lines)
    trim(0, _is_preamble)
    trim(-1, lambda line: _CLOSING.match(line) is not None)
    return lines


def _is_preamble(line: str) -> bool:
    return line.endswith(":") or _OPENING.match(line) is not None
