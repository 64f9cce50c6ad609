"""Answers on disk, whatever happened to the process that wrote them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactions.core.errors import DataError, StoreError, UsageError
from reactions.knowledge.generation import journal as journal_module
from reactions.knowledge.generation.journal import AnswerJournal, Recorded, Unanswered

SETTINGS = {"generator": "mini", "prompts": ["a"], "system": ""}
FIRST = Recorded("cat", 0, ("A cat.", "Two é cats."), {"cut off": 1}, "m 1", "p", 7, 3, 4, 2)
SECOND = Recorded("dog", 3, ())


@pytest.fixture
def path(tmp_path):
    return tmp_path / "x.parquet.journal"


def write(path, *answers, settings=SETTINGS):
    journal = AnswerJournal(path, settings)
    for answer in answers:
        journal.append(answer)
    content = path.read_bytes()
    journal.close()
    return content


def read(path, settings=SETTINGS, **options):
    journal = AnswerJournal(path, settings, **options)
    answers, notices = dict(journal.answers), list(journal.notices)
    journal.close()
    return answers, notices


def test_what_was_appended_is_there(path):
    write(path, FIRST, SECOND)
    assert read(path) == ({("cat", 0): FIRST, ("dog", 3): SECOND}, [])


def test_it_only_grows(path):
    before = write(path, FIRST)
    assert write(path, SECOND).startswith(before)


def test_an_empty_one_is_not_left_behind(path):
    write(path)
    assert not path.exists()


def test_a_line_that_was_cut_short_is_asked_for_again(path):
    content = write(path, FIRST, SECOND)
    first = len(write(path.with_name("other"), FIRST))
    for size in range(first + 1, len(content)):
        path.write_bytes(content[:size])
        answers, notices = read(path)
        assert answers == {("cat", 0): FIRST}
        assert notices == ["the last answer was cut short and is asked for again"]
        write(path, SECOND)
        assert read(path)[0] == {("cat", 0): FIRST, ("dog", 3): SECOND}


def test_a_first_line_that_was_cut_short_is_written_again(path):
    content = write(path, FIRST)
    path.write_bytes(content[:20])
    assert read(path)[0] == {}


def test_damage_elsewhere_is_refused(path):
    lines = write(path, FIRST, SECOND).splitlines(keepends=True)
    path.write_bytes(lines[0] + b'{"key": "cat", "num\n' + lines[2])
    with pytest.raises(DataError, match="is damaged") as caught:
        read(path)
    assert caught.value.why.startswith("line 2: ")
    assert "--restart" in caught.value.fix


@pytest.mark.parametrize(
    "line",
    [
        "[]",
        "7",
        '{"key": "a"}',
        '{"key": 1, "number": 0, "rows": []}',
        '{"key": "a", "number": -1, "rows": []}',
        '{"key": "a", "number": true, "rows": []}',
        '{"key": "a", "number": 0, "rows": [1]}',
        '{"key": "a", "number": 0, "rows": "abc", "x": 1}',
        '{"key": "a", "number": 0, "rows": [], "seed": "7"}',
        '{"key": "a", "number": 0, "rows": [], "dropped": {"x": "y"}}',
        '{"key": "a", "number": 0, "rows": [], "dropped": []}',
    ],
)
def test_lines_that_no_run_writes_are_refused(path, line):
    head = write(path, FIRST).splitlines(keepends=True)[0]
    path.write_bytes(head + line.encode() + b"\n")
    with pytest.raises(DataError, match="is damaged"):
        read(path)


@pytest.mark.parametrize("text", ["{}\n", "[1]\n", '{"molspace_journal": 2}\n'])
def test_another_file_is_no_journal(path, text):
    path.write_text(text)
    with pytest.raises(DataError, match="is damaged"):
        read(path)
    assert path.read_text() == text


def test_other_settings_are_refused_by_name(path):
    write(path, FIRST)
    with pytest.raises(UsageError) as caught:
        read(path, {**SETTINGS, "generator": "openai:x"})
    assert caught.value.why == "generator: mini then, openai:x now"
    assert read(path)[0]


def test_requests_without_an_answer_are_counted(path):
    journal = AnswerJournal(path, SETTINGS)
    for tokens in ((5, 7), (0, 0)):
        journal.append_unanswered(Unanswered(1, *tokens))
    journal.append(FIRST)
    journal.close()
    reopened = AnswerJournal(path, SETTINGS)
    reopened.close()
    assert reopened.unanswered == journal.unanswered == Unanswered(2, 5, 7)
    assert reopened.answers == {("cat", 0): FIRST}


@pytest.mark.parametrize(
    "line",
    [
        '{"unanswered": {"requests": -1}}',
        '{"unanswered": {"requests": true}}',
        '{"unanswered": {"requests": 1, "more": 1}}',
        '{"unanswered": {"requests": 1}, "key": "cat"}',
        '{"unanswered": 3}',
        '{"unanswered": "ab"}',
        '{"unanswered": null}',
    ],
)
def test_requests_that_are_no_numbers_are_damage(path, line):
    content = write(path, FIRST)
    path.write_bytes(content + line.encode() + b"\n")
    with pytest.raises(DataError, match="line 3"):
        read(path)


def test_a_restart_throws_away(path):
    write(path, FIRST)
    assert read(path, {**SETTINGS, "generator": "other"}, restart=True) == ({}, [])


def test_two_at_once_are_refused(path):
    journal = AnswerJournal(path, SETTINGS)
    with pytest.raises(StoreError, match="another process"):
        AnswerJournal(path, SETTINGS)
    journal.close()


def test_a_folder_in_its_place_is_refused(path):
    path.mkdir()
    with pytest.raises(DataError, match="a folder"):
        AnswerJournal(path, SETTINGS)


@given(st.text(max_size=40), st.lists(st.text(max_size=40), max_size=3))
def test_any_text_comes_back(tmp_path_factory, key, rows):
    path = tmp_path_factory.mktemp("journal") / "j"
    # Lone surrogates have no encoding; nothing that was read from JSON by a server keeps them.
    answer = Recorded(key.encode("utf-8", "replace").decode(), 0, tuple(rows))
    write(path, answer)
    assert read(path)[0] == {(answer.key, 0): answer}


def test_answers_are_flushed_every_second_and_at_the_end(path, monkeypatch):
    time_s, flushes = [100.0], []
    monkeypatch.setattr(journal_module.time, "monotonic", lambda: time_s[0])
    monkeypatch.setattr(journal_module.os, "fsync", lambda fd: flushes.append(time_s[0]))
    journal = AnswerJournal(path, SETTINGS)
    for number in range(40):
        journal.append(Recorded("cat", number, ("A cat.",)))
        time_s[0] += 0.1
    assert path.read_bytes().count(b"\n") == 41  # all that a kill of the process leaves
    assert [round(moment) for moment in flushes] == [100, 101, 102, 103]
    journal.close()
    assert len(flushes) == 5


def test_an_answer_that_cannot_be_flushed_is_an_error(path, monkeypatch):
    journal = AnswerJournal(path, SETTINGS)
    journal.append(FIRST)

    def full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(journal_module.os, "fsync", full)
    with pytest.raises(StoreError, match="cannot"):
        journal.close()
