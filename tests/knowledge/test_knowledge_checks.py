import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactions.encoders.preprocessing.clip_bpe import CONTEXT, count_tokens, tokenize
from reactions.knowledge.base import Description
from reactions.knowledge.checks import CategoryNames, RowChecker, TokenCounter, words_of


def row(text, category="dog", id="", source="LLM", modality=""):
    return Description(id or "1", category, text, source, modality)


@pytest.mark.parametrize(
    ("category", "text", "others_named"),
    [
        ("dog", "A dog in the rain", []),
        ("dog", "a dog beside two Cats", ["cat"]),
        ("dog", "concatenated dogma", []),
        ("water_snake", "a water snake swims", []),
        ("snake", "a water snake swims", ["water_snake"]),
        ("water_snake", "a snake and water snakes", ["snake"]),
        ("dog", "cats, cat; CAT", ["cat"]),
        ("dog", "a kitten", ["cat"]),
        ("dog", "two foxes", ["fox, Vulpes"]),
        ("dog", "a vulpes", ["fox, Vulpes"]),
        ("crane", "a crane", []),
    ],
)
def test_other_categories_are_found(category, text, others_named):
    categories = ["dog", "cat", "snake", "water_snake", "fox, Vulpes", "crane", "crane, bird"]
    assert CategoryNames(categories, {"cat": ["kitten"]}).others(category, text) == others_named


def test_a_name_without_words_names_nothing():
    assert CategoryNames(["!", "dog"]).others("dog", "! ?") == []


def test_faults_in_order():
    checker = RowChecker(CategoryNames(["dog", "cat"]), token_limit=6)
    faults = [
        checker.fault(entry)
        for entry in (
            row("A dog."),
            row("a  DOG"),
            row("a dog", category="cat"),
            row("cat", category="cat"),
            row(" ?! "),
            row("one two three four five six"),
            row("dog", source="label"),
            row("dog", source="label"),
            row("a cat", id="x", source="MLLM", modality="image"),
            row("a cat", id="y", source="MLLM", modality="image"),
            row("A cat!", id="y", source="MLLM", modality="image"),
        )
    ]
    assert faults == [
        None,
        "duplicate",
        "names another category",
        None,
        "blank",
        "too long",
        None,
        None,
        None,
        None,
        "duplicate",
    ]
    assert checker.counts == {
        "duplicate": 2,
        "names another category": 1,
        "blank": 1,
        "too long": 1,
    }


def test_names_need_not_be_looked_for():
    assert RowChecker(None).fault(row("a cat")) is None


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=400))
def test_tokens_are_counted_as_they_are_cut(text):
    n = count_tokens(text.replace("&", ""))
    assert len(tokenize(text.replace("&", ""))) == min(n, CONTEXT)


def test_counts_without_ftfy_are_told(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ftfy", None)
    counter = TokenCounter()
    assert counter.count("a dog") == 4
    assert counter.n_unrepaired == 0
    assert counter.count("Hündin") > 3
    assert counter.n_unrepaired == 1


def test_words():
    assert words_of("Washing_machine: ÉTÉ, 3 dogs!") == ["washing", "machine", "été", "3", "dogs"]
