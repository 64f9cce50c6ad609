"""Generators in memory: they answer by rule, late, wrongly or not at all."""

import asyncio
from collections import Counter

from reactions.knowledge.generation.base import Answer, Trouble


class FakeGenerator:
    """Answers by a function of (question, how often this one was asked before)."""

    name = "fake:1"
    place = "this machine"
    is_remote = False
    has_seed = True
    seed = 0
    licence = "CC0-1.0"
    modalities = ("audio", "image")

    def __init__(self, say=None, *, at_once=0, delay=lambda n: 0.0):
        self.say = say or sentences
        self.at_once = at_once
        self.delay = delay
        self.requests = []
        self.closed = 0
        self.working = self.most_working = 0
        self._before = Counter()

    def notices(self):
        return []

    def prepare(self):
        pass

    async def close(self):
        self.closed += 1

    async def answer(self, question):
        key = (question.category or question.item.id, question.number)
        self.requests.append((*key, question.count))
        self.working += 1
        self.most_working = max(self.most_working, self.working)
        try:
            await asyncio.sleep(self.delay(len(self.requests)))
            reply = self.say(question, self._before[key])
            self._before[key] += 1
        finally:
            self.working -= 1
        if isinstance(reply, Exception):
            raise reply
        if isinstance(reply, str):
            reply = Answer(reply, "fake-1", tokens_in=10, tokens_out=5 * question.count)
        return reply


def sentences(question, before):
    """Say what was asked for, different each time."""
    return numbered(
        f"The {question.category} of {question.number} and {i}." for i in range(question.count)
    )


def numbered(rows):
    return "\n".join(f"{i}. {row}" for i, row in enumerate(rows, start=1))


def trouble(reason="HTTP 500", **options):
    return Trouble(reason, "as you wish", **options)
