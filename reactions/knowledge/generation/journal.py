"""Answers as they come, on disk: a run that is killed goes on where it was.

A journal lies beside the file that is made, and is only appended to: a line of JSON for its
settings, and one for each answer and each request without one. What was being written when the
process was killed is the last line; it is dropped, and that question is asked again. Lines are
flushed to the disk once a second at most, since a flush takes longer than a small generator does:
if the machine itself fails, the answers of the last second may be asked for again.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from reactions.core.errors import DataError, StoreError, UsageError
from reactions.core.hashing import canonical
from reactions.core.local_files import check_regular, exists
from reactions.store.locks import try_lock

FORMAT = 1
SUFFIX = ".journal"
_MAX_LINE_BYTES = 4 << 20
_SHOWN = 240
_UNANSWERED = "unanswered"
_FLUSH_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Recorded:
    """An answer, taken apart into rows.

    Attributes:
        key: of the category or item.
        number: of the question.
        rows: as they were read, before any is dropped for what it says.
        dropped: reason to the number of pieces that were not rows.
        model: as the generator gave it.
        prompt: as it was sent.
        seed: of the question.
        tokens_in: that it took, by the generator's word or by estimate.
        tokens_out: likewise.
        attempts: requests that were sent for it, without those that are ``Unanswered``.
    """

    key: str
    number: int
    rows: tuple[str, ...]
    dropped: Mapping[str, int] = field(default_factory=dict)
    model: str = ""
    prompt: str = ""
    seed: int | None = None
    tokens_in: int = 0
    tokens_out: int = 0
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class Unanswered:
    """Requests that were sent and got no usable answer, which may have to be paid all the same.

    Attributes:
        requests: how many.
        tokens_in: that they took, by estimate; 0 where nothing has to be paid.
        tokens_out: likewise.
    """

    requests: int = 0
    tokens_in: int = 0
    tokens_out: int = 0

    def __add__(self, other: Unanswered) -> Unanswered:
        return Unanswered(
            self.requests + other.requests,
            self.tokens_in + other.tokens_in,
            self.tokens_out + other.tokens_out,
        )


class AnswerJournal:
    """The answers of earlier runs, and of this one.

    Args:
        path: of its file.
        settings: what decides the questions: a journal with others is not used.
        restart: throw away what is there.

    Raises:
        UsageError: what is there was made with other settings; the error says which.
        DataError: it is damaged elsewhere than at its end, or is not a journal.
        StoreError: another process is at work on it, or it cannot be written.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any], *, restart: bool = False) -> None:
        self.path = path
        self.answers: dict[tuple[str, int], Recorded] = {}
        self.unanswered = Unanswered()
        self.notices: list[str] = []
        self._flush_due_s = 0.0  # at once
        self._is_flushed = True
        try:
            if exists(path):
                check_regular(path, path.stat().st_mode)
            path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            if try_lock(self._fd) is False:
                raise StoreError(
                    f"another process is at work on '{path}'",
                    fix="wait for it, or choose another --out",
                    path=str(path),
                )
            self._begin(json.loads(canonical(settings)), restart=restart)
        except BaseException:
            os.close(self._fd)
            raise

    def _begin(self, settings: dict[str, Any], *, restart: bool) -> None:
        lines, good_bytes = ([], 0) if restart else self._lines()
        try:
            if good_bytes < os.fstat(self._fd).st_size:
                os.ftruncate(self._fd, good_bytes)
                if not restart:
                    self.notices.append("the last answer was cut short and is asked for again")
        except OSError as error:
            raise self._unwritable(error) from error
        if not lines:
            self._write({"molspace_journal": FORMAT, "settings": settings})
            return
        self._check_settings(lines[0], settings)
        for number, line in enumerate(lines[1:], start=2):
            if isinstance(line, dict) and _UNANSWERED in line:
                self.unanswered += self._without_answer(line, number)
                continue
            recorded = self._recorded(line, number)
            self.answers[recorded.key, recorded.number] = recorded

    def _lines(self) -> tuple[list[Any], int]:
        """Return the lines that are whole, and the bytes that they take."""
        lines: list[Any] = []
        good_bytes = 0
        with open(os.dup(self._fd), "rb") as stream:  # noqa: PTH123
            stream.seek(0)
            while line := stream.readline(_MAX_LINE_BYTES):
                try:
                    value = json.loads(line.decode("utf-8"))
                    if not line.endswith(b"\n"):
                        raise ValueError("it has no end")
                except (ValueError, RecursionError) as error:
                    if stream.read(1):  # only the last line can have been cut short
                        raise self._damaged(len(lines) + 1, str(error)) from None
                    break
                lines.append(value)
                good_bytes += len(line)
        return lines, good_bytes

    def _check_settings(self, head: Any, settings: dict[str, Any]) -> None:
        if not isinstance(head, dict) or head.get("molspace_journal") != FORMAT:
            raise self._damaged(1, "it does not begin as a journal does")
        before = head.get("settings")
        if not isinstance(before, dict):
            raise self._damaged(1, "it has no settings")
        changed = [
            f"{name}: {_short(before.get(name))} then, {_short(settings.get(name))} now"
            for name in sorted({*before, *settings})
            if before.get(name) != settings.get(name)
        ]
        if changed:
            raise UsageError(
                f"'{self.path}' holds answers to other questions",
                why="; ".join(changed),
                fix="--restart throws them away   or another --out   or the settings of then",
                path=str(self.path),
                changed=changed,
            )

    def _recorded(self, line: Any, number: int) -> Recorded:
        try:
            rows = tuple(line.pop("rows"))
            recorded = Recorded(rows=rows, **line)
            texts = (recorded.key, recorded.model, recorded.prompt, *rows, *recorded.dropped)
            numbers = (
                recorded.number,
                recorded.tokens_in,
                recorded.tokens_out,
                recorded.attempts,
                *recorded.dropped.values(),
            )
            if not all(isinstance(text, str) for text in texts):
                raise TypeError("a text is not one")
            if any(type(n) is not int or n < 0 for n in numbers):
                raise TypeError("a number is not one")
            if recorded.seed is not None and type(recorded.seed) is not int:
                raise TypeError("the seed is not a number")
        except (TypeError, AttributeError, KeyError, ValueError) as error:
            raise self._damaged(number, str(error)) from None
        return recorded

    def _without_answer(self, line: dict[str, Any], number: int) -> Unanswered:
        try:
            unanswered = Unanswered(**line.pop(_UNANSWERED))
            if line or any(type(n) is not int or n < 0 for n in asdict(unanswered).values()):
                raise TypeError("a number is not one")
        except TypeError as error:
            raise self._damaged(number, str(error)) from None
        return unanswered

    def append_unanswered(self, requests: Unanswered) -> None:
        """Keep what requests without an answer took, as ``append`` keeps answers.

        Raises:
            StoreError: it cannot be written.
        """
        self._write({_UNANSWERED: asdict(requests)})
        self.unanswered += requests

    def append(self, recorded: Recorded) -> None:
        """Keep an answer: once this returns, it survives the end of the process.

        That of the machine it survives a second later, or once the journal is closed.

        Raises:
            StoreError: it cannot be written.
        """
        needed = ("key", "number", "rows")
        values = asdict(recorded).items()
        self._write({name: value for name, value in values if value or name in needed})
        self.answers[recorded.key, recorded.number] = recorded

    def _write(self, value: Mapping[str, Any]) -> None:
        line = json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n"
        data = line.encode("utf-8", "replace")
        try:
            while data:
                data = data[os.write(self._fd, data) :]
            self._is_flushed = False
            if time.monotonic() >= self._flush_due_s:
                self._flush()
        except OSError as error:
            raise self._unwritable(error) from error

    def _flush(self) -> None:
        os.fsync(self._fd)
        self._is_flushed = True
        self._flush_due_s = time.monotonic() + _FLUSH_EVERY_S

    def close(self) -> None:
        """Let go of the file, and remove it if it holds no answers."""
        if self._fd < 0:
            return
        try:
            if not self.answers:
                self.path.unlink(missing_ok=True)
            elif not self._is_flushed:
                self._flush()
        except OSError as error:
            raise self._unwritable(error) from error
        finally:
            os.close(self._fd)
            self._fd = -1

    def remove(self) -> None:
        """Remove the file: what it holds is elsewhere now."""
        self.answers.clear()
        self.close()

    def _damaged(self, line: int, why: str) -> DataError:
        return DataError(
            f"'{self.path}' is damaged",
            why=f"line {line}: {why}",
            fix="--restart throws it away, and asks for all of it again",
            path=str(self.path),
        )

    def _unwritable(self, error: OSError) -> StoreError:
        return StoreError(
            f"cannot write '{self.path}'",
            why=error.strerror or str(error),
            fix="another --out",
            path=str(self.path),
        )


def _short(value: Any) -> str:
    text = "nothing" if value in (None, "") else str(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
