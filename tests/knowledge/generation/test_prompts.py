"""Prompts: the supplement's, others by name, and a user's own."""

import pytest

from reactions.core.errors import MissingError, UsageError
from reactions.knowledge.generation.prompts import (
    CATEGORY_PROMPTS,
    ITEM_PROMPTS,
    article,
    choose_prompts,
)


def test_the_default_is_the_supplements():
    prompts = choose_prompts("", [], None, for_items=False)
    assert prompts.fill(0, category="water_snake", count=1000) == (
        "Please generate 1,000 sentences related to this sentence <A photo of a water snake>"
    )
    prompts = choose_prompts("", [], None, for_items=True)
    assert prompts.fill(0, modality="image") == "Generate a detailed description of this photo"
    assert prompts.fill(0, modality="point") == "Generate a detailed description of this 3D object"


@pytest.mark.parametrize(
    ("name", "expected"), [("ant", "an"), ("Owl", "an"), ("cat", "a"), ("", "a")]
)
def test_articles(name, expected):
    assert article(name) == expected


def test_of_synonyms_the_first_is_asked_about():
    prompts = choose_prompts("", [], None, for_items=False)
    assert "<A photo of a tench>" in prompts.fill(0, category="tench, Tinca tinca")


def test_several_templates_are_used_in_turn():
    prompts = choose_prompts("", ["{n} of {class}", "{class}: {n}"], None, for_items=False)
    filled = [prompts.fill(i, category="cat", count=2) for i in range(3)]
    assert filled == ["2 of cat", "cat: 2", "2 of cat"]


@pytest.mark.parametrize("name", CATEGORY_PROMPTS)
def test_presets_name_class_and_number(name):
    prompts = choose_prompts(name, [], None, for_items=False)
    for number in range(len(prompts.templates)):
        text = prompts.fill(number, category="cat", count=7)
        assert "cat" in text
        assert "7" in text
        assert "{" not in text


@pytest.mark.parametrize("name", ITEM_PROMPTS)
def test_presets_of_items_name_the_medium(name):
    assert "photo" in choose_prompts(name, [], None, for_items=True).fill(0, modality="image")


def test_a_prompt_may_lie_in_a_file(tmp_path):
    path = tmp_path / "prompt.txt"
    path.write_text("Write {n} lines about {class}.\n")
    prompts = choose_prompts("", [f"@{path}"], None, for_items=False)
    assert prompts.templates == ("Write {n} lines about {class}.",)
    with pytest.raises(MissingError):
        choose_prompts("", [f"@{path}x"], None, for_items=False)


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("{n} of {clas}", "unknown field '{clas}'"),
        ("{n} of cats", "has no {class}"),
        ("about {class}", "has no {n}"),
        ("", "a prompt is empty"),
        ("{0} {class} {n}", "unknown field '{0}'"),
        ("{class.__init__} {n}", "unknown field"),
    ],
)
def test_prompts_that_cannot_be_filled_are_refused(prompt, words):
    with pytest.raises(UsageError) as caught:
        choose_prompts("", [prompt], None, for_items=False)
    assert words in str(caught.value)


def test_unknown_presets_are_refused():
    with pytest.raises(UsageError) as caught:
        choose_prompts("unibnd", [], None, for_items=False)
    assert "did you mean 'unibind'" in str(caught.value)
    with pytest.raises(UsageError, match="--prompts and --prompt"):
        choose_prompts("unibind", ["{n} {class}"], None, for_items=False)


def test_braces_in_names_stay():
    prompts = choose_prompts("", ["{n} of {class}"], None, for_items=False)
    assert prompts.fill(0, category="a {n} cat", count=3) == "3 of a {n} cat"
