"""Questions side by side, and what becomes of the answers.

Each category or item is asked for in rounds: as many questions as its missing rows need, then,
for rows that were dropped, as many again, up to a bound. What is kept depends on the answers and
their numbers alone, not on the order in which they came: a run that was killed, and one that
asked fewer questions at a time, give the same rows.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator, Sequence
from math import ceil

from reactions.core.errors import MolspaceError
from reactions.knowledge.generation.base import (
    Answer,
    GenerationStopped,
    Generator,
    Question,
    Trouble,
    shown,
)
from reactions.knowledge.generation.journal import AnswerJournal, Recorded, Unanswered
from reactions.knowledge.generation.pace import Pace, backoff_s
from reactions.knowledge.generation.screening import TOO_MANY
from reactions.knowledge.generation.settings import Bounds, tokens_of
from reactions.knowledge.generation.subjects import DescriptionSubject, KeptRow, Making, Outcome

_SPARE_ROWS = 5
"""That are asked for beyond those that are missing, where a question asks for several."""


_TOLD_S = 5.0
"""From here on a wait is told."""

_LEAST_SHARE = 0.25
"""Of rows that are expected to be kept, however few were."""


class _Stopping(Exception):
    """Nothing more is asked in this run."""


class Engine:
    """Asks a generator until everything that is wanted is there, or a bound is reached.

    Args:
        generator: that is asked.
        journal: answers of earlier runs; those of this one are added.
        making: how questions are made and answers read.
        bounds: of rates, retries and cost.
        on_progress: called with the rows that are there, of which some may still be dropped, and
            those that are wanted.
        on_wait: called with a sentence when the generator asks to be left alone for some time.
        pace: by default that of the bounds.
    """

    def __init__(
        self,
        generator: Generator,
        journal: AnswerJournal,
        making: Making,
        bounds: Bounds,
        *,
        on_progress: Callable[[int, int], None] = lambda done, total: None,
        on_wait: Callable[[str], None] = lambda text: None,
        pace: Pace | None = None,
    ) -> None:
        self._generator, self._journal, self._making = generator, journal, making
        self._bounds, self._on_progress, self._on_wait = bounds, on_progress, on_wait
        self._pace = pace
        self._chance = random.Random()  # of waits alone
        self.outcome = Outcome()
        self._done = self._total = self._failures = self._in_flight = self._unjudged = 0
        self._fresh: set[tuple[str, int]] = set()
        self._end: MolspaceError | None = None
        at_once = generator.at_once
        self._at_once = min(bounds.concurrency, at_once) if at_once else bounds.concurrency

    async def run(self, subjects: Sequence[DescriptionSubject]) -> Outcome:
        """Ask for all that is wanted.

        Raises:
            GenerationStopped: a bound was reached, or the generator no longer answers.
            MolspaceError: no question can be answered, or an answer cannot be kept.
        """
        self._pace = self._pace or Pace(
            self._bounds.requests_per_minute, self._bounds.tokens_per_minute
        )
        self._asking = asyncio.Semaphore(self._at_once)
        self._total = sum(subject.count for subject in subjects)
        for recorded in self._journal.answers.values():
            self._count(recorded)
            self.outcome.requests += recorded.attempts
        self.outcome.requests += self._journal.unanswered.requests
        self._count_unanswered(self._journal.unanswered)
        self._on_progress(0, self._total)
        waiting = iter(subjects)
        workers = [asyncio.create_task(self._work(waiting)) for _ in range(self._at_once)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            await self._generator.close()
        if self._end is not None:
            raise self._end
        order = [subject.key for subject in subjects]
        self.outcome.rows = {key: self.outcome.rows[key] for key in order}
        return self.outcome

    async def _work(self, waiting: Iterator[DescriptionSubject]) -> None:
        for subject in waiting:
            if self._end is not None:
                return
            try:
                await self._make(subject)
            except _Stopping:
                return

    async def _make(self, subject: DescriptionSubject) -> None:
        """Ask for one category or item, round by round, until it has its rows."""
        rows = self.outcome.rows.setdefault(subject.key, [])
        number = barren = n_asked = 0
        for round_number in range(self._bounds.rounds):
            missing = subject.count - len(rows)
            if round_number:  # as much of these will be dropped as of those before
                share = max(len(rows) / n_asked, _LEAST_SHARE)
                missing = ceil(missing / share) + min(_SPARE_ROWS, self._making.batch - 1)
                missing = min(missing, subject.count)
            sizes = [
                min(self._making.batch, missing - start)
                for start in range(0, missing, self._making.batch)
            ]
            questions = [self._ask(subject, number + i, size) for i, size in enumerate(sizes)]
            answers = await asyncio.gather(*questions, return_exceptions=True)
            number += len(sizes)
            n_asked += sum(sizes)
            before = len(rows)
            for answer, size in zip(answers, sizes, strict=True):
                if isinstance(answer, Recorded):
                    if (subject.key, answer.number) in self._fresh:
                        self._unjudged -= min(len(answer.rows), size)
                    self._keep(answer, subject, rows)
            self._show()
            for answer in answers:  # after what was answered is counted
                if isinstance(answer, Trouble):
                    self.outcome.failed[subject.key] = str(answer)
                elif isinstance(answer, BaseException):
                    raise answer
            if len(rows) >= subject.count or subject.key in self.outcome.failed:
                break
            # What brought nothing new twice in a row will hardly bring anything a third time.
            barren = 0 if len(rows) > before else barren + 1
            if barren >= self._bounds.barren_rounds:
                break
        if len(rows) < subject.count:
            self.outcome.short[subject.key] = subject.count - len(rows)

    def _keep(self, answer: Recorded, subject: DescriptionSubject, rows: list[KeptRow]) -> None:
        self.outcome.dropped.update(answer.dropped)
        before = len(rows)
        for row in answer.rows:
            if len(rows) >= subject.count:
                self.outcome.dropped[TOO_MANY] += 1
                continue
            text, reason = self._making.screen.judge(subject.key, subject.category, row)
            if reason:
                self.outcome.dropped[reason] += 1
            if text:
                rows.append(KeptRow(text, answer.model, answer.prompt, answer.seed))
        self._done += len(rows) - before

    async def _ask(self, subject: DescriptionSubject, number: int, size: int) -> Recorded:
        """Return the answer to a question: an earlier run's, or the generator's."""
        if (recorded := self._journal.answers.get((subject.key, number))) is not None:
            return recorded
        async with self._asking:
            self._check_stop()
            try:
                return await self._ask_anew(subject, number, size)
            except MolspaceError as error:
                # What was asked before may still be answered, and is kept.
                self._end = self._end or error
                raise _Stopping from None

    async def _ask_anew(self, subject: DescriptionSubject, number: int, size: int) -> Recorded:
        question = await asyncio.to_thread(self._making.question, subject, number, size)
        answer = await self._answer(question)
        # Lone surrogates, which JSON can spell and no file can hold.
        text = answer.text.encode("utf-8", "replace").decode("utf-8")
        sentences = self._making.read(text, answer.was_cut)
        if answer.tokens_in is None or answer.tokens_out is None:
            self.outcome.tokens_are_estimated = True
        recorded = Recorded(
            subject.key,
            number,
            sentences.rows,
            dict(sentences.dropped),
            answer.model,
            question.prompt,
            question.seed,
            tokens_of(question) if answer.tokens_in is None else answer.tokens_in,
            len(answer.text) // 4 + 1 if answer.tokens_out is None else answer.tokens_out,
        )
        self._journal.append(recorded)
        self._count(recorded)
        self._unjudged += min(len(recorded.rows), size)
        self._fresh.add((subject.key, number))
        self._show()
        return recorded

    async def _answer(self, question: Question) -> Answer:
        """Ask until there is an answer.

        Raises:
            Trouble: there is none, however often it was asked.
        """
        bounds = self._bounds
        expected = tokens_of(question) + question.count * bounds.tokens_per_row
        assert self._pace is not None
        attempt = 0
        while True:
            await self._pace.take(expected)
            self._spend(question)
            self._in_flight += 1
            try:
                answer = await self._said(question)
            except Trouble as raised:
                trouble = raised
            else:
                self._failures = 0
                n_tokens = (answer.tokens_in or 0) + (answer.tokens_out or 0)
                self._pace.correct(expected, n_tokens or expected)
                return answer
            finally:
                self._in_flight -= 1
            self._lose(question, trouble)
            self.outcome.troubles[trouble.reason] += 1
            wait_s = backoff_s(attempt, bounds.backoff_s, bounds.longest_backoff_s, self._chance)
            if trouble.retry_after_s is not None:
                self._refuse_long_wait(trouble)
                if self._pace.pause(trouble.retry_after_s) and trouble.retry_after_s >= _TOLD_S:
                    place, wait = self._generator.place, trouble.retry_after_s
                    self._on_wait(f"{place} asks to wait for {wait:,.0f} s ({trouble.reason})")
            attempt += 1
            if trouble.is_final or attempt > bounds.retries:
                self._failed(trouble)
                raise trouble
            await asyncio.sleep(wait_s)
            self._check_stop()

    async def _said(self, question: Question) -> Answer:
        """Return what the generator answers; what a package's does wrong is not a bug of ours."""
        try:
            answer = await self._generator.answer(question)
            if isinstance(answer, Answer) and isinstance(answer.text, str):
                return answer
            raise TypeError(f"its answer is of type {type(answer).__name__}")
        except (Trouble, MolspaceError, MemoryError):
            raise
        except Exception as error:
            if type(self._generator).__module__.startswith("reactions."):
                raise
            raise GenerationStopped(
                f"the generator '{shown(self._generator)}' failed",
                why=f"{type(error).__name__}: " + " ".join(str(error).split()),
                fix="fix the package that provides it; " + self._how_to_go_on("then"),
            ) from error

    def _refuse_long_wait(self, trouble: Trouble) -> None:
        wait_s = trouble.retry_after_s or 0.0
        if wait_s > self._bounds.longest_wait_s:
            raise GenerationStopped(
                f"{self._generator.place} asks to wait for {wait_s:,.0f} s",
                why=f"{trouble}; at most {self._bounds.longest_wait_s:,.0f} s are waited",
                fix=self._how_to_go_on("later"),
            )

    def _failed(self, trouble: Trouble) -> None:
        self._failures += 1
        if self._failures >= self._bounds.failures:
            raise GenerationStopped(
                f"{self._generator.place} gives no usable answers",
                why=f"{self._failures} questions in a row failed; the last: {trouble}",
                fix=self._how_to_go_on("when it answers again"),
                troubles=dict(self.outcome.troubles),
            )

    def _spend(self, question: Question) -> None:
        """Count a request that is about to be sent, unless that would exceed a bound.

        Raises:
            GenerationStopped: it would.
        """
        bounds, outcome = self._bounds, self.outcome
        if bounds.max_requests and outcome.requests >= bounds.max_requests:
            raise GenerationStopped(
                f"stopped at --max-requests {bounds.max_requests:,}",
                why=self._so_far(),
                fix=self._how_to_go_on("with a larger --max-requests"),
            )
        if bounds.max_cost is not None:
            n_tokens = tokens_of(question), question.count * bounds.tokens_per_row
            more = bounds.cost(*n_tokens) * (self._in_flight + 1)
            spent = bounds.cost(outcome.tokens_in, outcome.tokens_out)
            if spent + more > bounds.max_cost:
                raise GenerationStopped(
                    f"stopped before --max-cost {bounds.max_cost:g}",
                    why=f"{spent:.4f} are spent, and the next answer may take {more:.4f}; "
                    + self._so_far(),
                    fix=self._how_to_go_on("with a larger --max-cost"),
                )
        outcome.requests += 1
        outcome.requests_now += 1

    def _lose(self, question: Question, trouble: Trouble) -> None:
        """Count a request without an answer: what it took is paid, and nobody says how much."""
        n_out = question.count * self._bounds.tokens_per_row
        tokens = (0, 0) if trouble.is_free else (tokens_of(question), n_out)
        lost = Unanswered(1, *tokens)
        self._journal.append_unanswered(lost)
        self._count_unanswered(lost)

    def _count_unanswered(self, lost: Unanswered) -> None:
        self.outcome.tokens_in += lost.tokens_in
        self.outcome.tokens_out += lost.tokens_out
        if lost.tokens_in or lost.tokens_out:
            self.outcome.tokens_are_estimated = True

    def _show(self) -> None:
        """Report the rows that are kept, with those that have come and are not judged yet."""
        self._on_progress(min(self._done + self._unjudged, self._total), self._total)

    def _count(self, recorded: Recorded) -> None:
        self.outcome.tokens_in += recorded.tokens_in
        self.outcome.tokens_out += recorded.tokens_out

    def _check_stop(self) -> None:
        if self._end is not None:
            raise _Stopping

    def _so_far(self) -> str:
        return f"{self._done:,} of {self._total:,} descriptions are there"

    def _how_to_go_on(self, how: str) -> str:
        return f"the same command {how}: what was answered is kept in {self._journal.path}"
