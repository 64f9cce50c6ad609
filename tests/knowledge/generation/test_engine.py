"""What becomes of answers: rounds, retries and bounds, on a generator in memory."""

import asyncio
import random

import pytest
from fake_generators import FakeGenerator, numbered, sentences, trouble

from reactions.core.errors import UsageError
from reactions.knowledge.generation import engine as engine_module
from reactions.knowledge.generation.base import Answer, GenerationStopped
from reactions.knowledge.generation.engine import Engine
from reactions.knowledge.generation.jobs import category_job
from reactions.knowledge.generation.journal import AnswerJournal
from reactions.knowledge.generation.prompts import choose_prompts
from reactions.knowledge.generation.settings import Bounds, tokens_of

PROMPTS = choose_prompts("", [], None, for_items=False)
CLASSES = ("cat", "dog", "owl")


def run(path, generator, *, classes=CLASSES, per_class=6, batch=3, progress=None, **bounds):
    """Ask for sentences; return the outcome and the engine."""
    bounds = Bounds(**{"backoff_s": 0.001, "longest_backoff_s": 0.002, **bounds})
    job = category_job("x", classes, generator, PROMPTS, per_class=per_class, batch=batch)
    journal = AnswerJournal(path / "j", job.settings)
    options = {} if progress is None else {"on_progress": progress}
    engine = Engine(generator, journal, job.making, bounds, **options)
    try:
        asyncio.run(engine.run(job.subjects))
    finally:
        journal.close()
    return engine.outcome


def texts(outcome):
    return {key: [row.text for row in rows] for key, rows in outcome.rows.items()}


def test_as_many_are_asked_for_as_are_wanted(tmp_path):
    generator = FakeGenerator()
    outcome = run(tmp_path, generator, per_class=7)
    assert sorted(generator.requests)[:3] == [("cat", 0, 3), ("cat", 1, 3), ("cat", 2, 1)]
    assert len(generator.requests) == 9
    assert {key: len(rows) for key, rows in outcome.rows.items()} == dict.fromkeys(CLASSES, 7)
    assert not outcome.short
    assert not outcome.dropped
    assert generator.closed == 1


def test_rows_know_where_they_come_from(tmp_path):
    row = run(tmp_path, FakeGenerator()).rows["cat"][0]
    assert (row.model, row.prompt) == ("fake-1", PROMPTS.fill(0, category="cat", count=3))
    assert row.seed is not None


def test_no_two_questions_have_one_seed(tmp_path):
    outcome = run(tmp_path, FakeGenerator())
    seeds = {row.seed for rows in outcome.rows.values() for row in rows}
    assert len(seeds) == 6


def messy(question, before):
    """Say the same again, name other classes, refuse, and say too little or too much."""
    rows = [
        f"The {question.category} is here.",
        "A dog and an owl and a cat.",
        "I'm sorry, I cannot do that.",
        *(f"Number {i} of {question.number}." for i in range(question.count - 2)),
    ]
    return numbered(rows)


def test_what_was_dropped_is_asked_for_again(tmp_path):
    outcome = run(tmp_path, FakeGenerator(messy), batch=6)
    assert {key: len(rows) for key, rows in outcome.rows.items()} == dict.fromkeys(CLASSES, 6)
    assert {"duplicate", "names another category", "refusal"} <= set(outcome.dropped)


@pytest.mark.parametrize("concurrency", [1, 2, 16])
def test_rows_do_not_depend_on_who_answers_first(tmp_path, concurrency):
    chance = random.Random(concurrency)
    generator = FakeGenerator(messy, delay=lambda n: chance.random() / 500)
    rows = texts(run(tmp_path, generator, per_class=20, concurrency=concurrency))
    assert generator.most_working <= concurrency
    (tmp_path / "plain").mkdir()
    assert rows == texts(run(tmp_path / "plain", FakeGenerator(messy), per_class=20))


def test_a_generator_may_take_one_at_a_time(tmp_path):
    generator = FakeGenerator(at_once=1, delay=lambda n: 0.001)
    run(tmp_path, generator, concurrency=8)
    assert generator.most_working == 1


def test_what_brings_nothing_new_is_given_up(tmp_path):
    generator = FakeGenerator(lambda question, before: "1. It is the same.\n2. It is the same.")
    outcome = run(tmp_path, generator, classes=("cat",), rounds=50)
    assert texts(outcome) == {"cat": ["It is the same."]}
    assert outcome.short == {"cat": 5}
    assert len(generator.requests) == 2 + 2 + 2


def test_rounds_are_bounded(tmp_path):
    def slowly(question, before):
        return f"1. Number {question.number}."

    outcome = run(tmp_path, FakeGenerator(slowly), classes=("cat",), per_class=50, rounds=2)
    assert len(outcome.rows["cat"]) == 34  # one of three, of 17 questions each time
    assert outcome.short == {"cat": 16}


def test_trouble_is_asked_again_and_counted(tmp_path):
    def say(question, before):
        return trouble() if before < 2 else sentences(question, before)

    outcome = run(tmp_path, FakeGenerator(say), retries=2)
    assert not outcome.short
    assert outcome.troubles == {"HTTP 500": 12}
    assert outcome.requests == 18


def test_what_fails_for_good_is_told_and_the_rest_is_made(tmp_path):
    def say(question, before):
        hopeless = question.category == "dog" and question.number == 1
        return trouble(is_final=True) if hopeless else sentences(question, before)

    generator = FakeGenerator(say)
    outcome = run(tmp_path, generator)
    assert outcome.failed == {"dog": "HTTP 500: as you wish"}
    assert outcome.short == {"dog": 3}
    assert len(outcome.rows["dog"]) == 3
    assert len([request for request in generator.requests if request[:2] == ("dog", 1)]) == 1


def test_a_dead_generator_stops_the_run_and_keeps_what_it_said(tmp_path):
    def say(question, before):
        return sentences(question, before) if question.category == "cat" else trouble()

    with pytest.raises(GenerationStopped, match="gives no usable answers") as caught:
        run(tmp_path, FakeGenerator(say), classes=[*CLASSES, *"abcdefg"], retries=1, concurrency=1)
    assert "is kept in" in caught.value.fix
    generator = FakeGenerator()
    run(tmp_path, generator, classes=[*CLASSES, *"abcdefg"])
    assert not [request for request in generator.requests if request[0] == "cat"]


def test_failures_with_answers_in_between_stop_nothing(tmp_path):
    def say(question, before):
        fails = question.category in "bdfhjl"
        return trouble(is_final=True) if fails else sentences(question, before)

    classes = [f"{letter}" for letter in "abcdefghijkl"]
    generator = FakeGenerator(say)
    outcome = run(tmp_path, generator, classes=classes, per_class=1, concurrency=1, failures=2)
    assert len(outcome.failed) == 6


def test_a_pause_holds_all_questions(tmp_path):
    asked_s = []

    class Timed(FakeGenerator):
        async def answer(self, question):
            asked_s.append(asyncio.get_running_loop().time())
            return await super().answer(question)

    def say(question, before):
        first = question.category == "cat" and not before
        return trouble(retry_after_s=0.1) if first else sentences(question, before)

    generator = Timed(say, delay=lambda n: 0.01)
    run(tmp_path, generator, classes=[*CLASSES, "emu"], per_class=1, concurrency=2)
    # Two at once; when the first is told to wait, neither of them goes on.
    assert asked_s[2] - asked_s[0] >= 0.1


def test_long_waits_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr(engine_module, "_TOLD_S", 0.01)
    waits = []
    generator = FakeGenerator(
        lambda question, before: (
            sentences(question, before) if before else trouble("HTTP 429", retry_after_s=0.02)
        )
    )
    job = category_job("x", ("cat",), generator, PROMPTS, per_class=1, batch=1)
    journal = AnswerJournal(tmp_path / "j", job.settings)
    engine = Engine(generator, journal, job.making, Bounds(backoff_s=0.001), on_wait=waits.append)
    asyncio.run(engine.run(job.subjects))
    journal.close()
    assert waits == ["this machine asks to wait for 0 s (HTTP 429)"]


@pytest.mark.parametrize("reply", [KeyError("oh"), 7, Answer(None)])
def test_a_package_that_does_wrong_is_named(tmp_path, reply):
    with pytest.raises(GenerationStopped, match="the generator 'fake:1' failed") as caught:
        run(tmp_path, FakeGenerator(lambda question, before: reply))
    assert "KeyError: 'oh'" in caught.value.why or "is of type" in caught.value.why


def test_an_error_that_stays_stops_at_once(tmp_path):
    generator = FakeGenerator(lambda question, before: GenerationStopped("wrong key"))
    with pytest.raises(GenerationStopped, match="wrong key"):
        run(tmp_path, generator, concurrency=1)
    assert len(generator.requests) == 1


def test_a_pause_that_is_asked_for_is_made(tmp_path):
    def say(question, before):
        return sentences(question, before) if before else trouble(retry_after_s=0.02)

    loop_times = []

    class Timed(FakeGenerator):
        async def answer(self, question):
            loop_times.append(asyncio.get_running_loop().time())
            return await super().answer(question)

    run(tmp_path, Timed(say), classes=("cat",), per_class=1)
    assert loop_times[1] - loop_times[0] >= 0.02


def test_a_pause_of_hours_stops_the_run(tmp_path):
    generator = FakeGenerator(lambda question, before: trouble("HTTP 429", retry_after_s=7200))
    with pytest.raises(GenerationStopped, match="asks to wait for 7,200 s"):
        run(tmp_path, generator)


def test_requests_are_bounded_over_all_runs(tmp_path):
    for limit, total in ((2, 2), (2, 2), (4, 4)):
        generator = FakeGenerator()
        with pytest.raises(GenerationStopped, match=f"--max-requests {limit}"):
            run(tmp_path, generator, max_requests=limit, concurrency=1)
        assert len(AnswerJournalLines(tmp_path)) == total
    generator = FakeGenerator()
    assert not run(tmp_path, generator, max_requests=6).short
    assert len(generator.requests) == 2


def AnswerJournalLines(path):
    return (path / "j").read_text().splitlines()[1:]


@pytest.mark.parametrize("concurrency", [1, 8])
def test_cost_is_bounded_with_what_is_under_way(tmp_path, concurrency):
    def say(question, before):  # what the estimate says, to the token
        return Answer(sentences(question, before), tokens_in=tokens_of(question), tokens_out=75)

    generator = FakeGenerator(say, delay=lambda n: 0.002)
    prices = {"price_in": 1e6, "price_out": 1e6}  # a token costs 1
    with pytest.raises(GenerationStopped, match="--max-cost 600"):
        run(tmp_path, generator, per_class=30, max_cost=600, concurrency=concurrency, **prices)
    assert len(generator.requests) == 4  # of 122 each


def failing(of, reason="answer broke off", **options):
    """Answer one of so many requests for a question, to the token of the estimate."""

    def say(question, before):
        if before % of < of - 1:
            return trouble(reason, **options)
        return Answer(sentences(question, before), tokens_in=tokens_of(question), tokens_out=75)

    return say


PRICES = {"price_in": 1e6, "price_out": 1e6}  # a token costs 1, a request of three rows 122


@pytest.mark.parametrize("concurrency", [1, 8])
def test_requests_without_an_answer_cost_what_was_expected_of_them(tmp_path, concurrency):
    generator = FakeGenerator(failing(5), delay=lambda n: 0.002)
    with pytest.raises(GenerationStopped, match="--max-cost 1500"):
        run(tmp_path, generator, per_class=30, max_cost=1500, concurrency=concurrency, **PRICES)
    assert len(generator.requests) == 12  # of 122 each


def test_requests_that_were_turned_away_cost_nothing(tmp_path):
    generator = FakeGenerator(failing(5, "HTTP 429", is_free=True))
    outcome = run(tmp_path, generator, max_cost=122 * 6, **PRICES, concurrency=1)
    assert (outcome.requests, outcome.tokens_in + outcome.tokens_out) == (30, 122 * 6)
    assert not outcome.tokens_are_estimated


def test_requests_without_an_answer_count_in_later_runs(tmp_path):
    # Of the second question none is answered, so that nothing but its failures tells of it.
    def say(question, before):
        if question.category == "dog":
            return trouble("no answer in time")
        return failing(1)(question, before)

    options = {"concurrency": 1, "classes": ("cat", "dog"), "per_class": 3, "retries": 2}
    first = run(tmp_path, FakeGenerator(say), **options)
    assert (first.requests, first.tokens_in + first.tokens_out) == (4, 122 * 4)
    assert first.tokens_are_estimated
    with pytest.raises(GenerationStopped, match="--max-cost 600"):
        run(tmp_path, second := FakeGenerator(say), max_cost=600, **options, **PRICES)
    assert not second.requests
    with pytest.raises(GenerationStopped, match="--max-requests 6"):
        run(tmp_path, third := FakeGenerator(say), max_requests=6, **options)
    assert len(third.requests) == 2
    second_run = run(tmp_path, FakeGenerator(failing(2)), **options)
    assert not second_run.short
    assert (second_run.requests, second_run.requests_now) == (8, 2)


def test_a_bound_of_cost_needs_prices():
    with pytest.raises(UsageError, match="--max-cost without prices"):
        Bounds(max_cost=1, price_in=1)


@pytest.mark.parametrize(
    "bounds",
    [
        {"concurrency": 0},
        {"concurrency": 1025},
        {"retries": -1},
        {"rounds": 0},
        {"price_in": float("nan")},
        {"requests_per_minute": -1},
        {"tokens_per_minute": float("inf")},
    ],
)
def test_bounds_that_mean_nothing_are_refused(bounds):
    with pytest.raises(UsageError, match="--"):
        Bounds(**bounds)


def test_tokens_that_are_not_told_are_estimated_and_that_is_told(tmp_path):
    def say(question, before):
        return Answer(sentences(question, before))

    outcome = run(tmp_path, FakeGenerator(say))
    assert outcome.tokens_are_estimated
    assert outcome.tokens_in > 0
    assert outcome.tokens_out > 0
    (tmp_path / "told").mkdir()
    assert not run(tmp_path / "told", FakeGenerator()).tokens_are_estimated


def test_progress_shows_each_answer(tmp_path):
    reports = []
    run(tmp_path, FakeGenerator(messy), progress=lambda done, total: reports.append((done, total)))
    assert reports[0] == (0, 18)
    assert reports[-1] == (18, 18)
    assert max(done for done, _ in reports) == 18
    assert len(reports) > 6  # each answer shows, not each round alone


def test_lone_surrogates_are_the_same_in_another_run(tmp_path):
    def say(question, before):
        return numbered([f"The \ud800 {question.number} {i}." for i in range(question.count)])

    first = texts(run(tmp_path, FakeGenerator(say)))
    generator = FakeGenerator(say)
    assert texts(run(tmp_path, generator)) == first
    assert not generator.requests
