import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactions.core.errors import DataError
from reactions.eval.class_texts import (
    CLIP_TEMPLATES,
    class_texts,
    match_classes,
    names_as_texts,
    shared_classes,
    synset_names,
)
from reactions.eval.prompts import class_prompts


def match(classes, categories, **options):
    return match_classes(classes, categories, where="knowledge base 'x'", **options)


def test_an_exact_name_goes_before_one_that_is_nearly_it():
    assert match(["sea waves"], ["Sea_Waves", "sea waves"]) == ("sea waves",)
    assert match(["sea_waves", "DOG"], ["Sea  waves", "dog"]) == ("Sea  waves", "dog")


def test_missing_classes_are_named_with_what_is_near():
    with pytest.raises(DataError) as caught:
        match(["dog", "rainn", "qqqqq"], ["rain", "dog"], fix="build one")
    lines = str(caught.value)
    assert "2 of 3 classes are not in knowledge base 'x'" in lines
    assert "rainn (nearest: rain), qqqqq (nothing is near)" in lines
    assert "fix: build one" in lines
    assert caught.value.fields["classes"] == ["rainn", "qqqqq"]


def test_many_missing_classes_are_counted():
    with pytest.raises(DataError, match="and 35 more"):
        match([f"none{i}" for i in range(40)], ["dog"])


def test_classes_of_one_name_share_a_category_or_take_several_in_turn():
    assert match(["crane", "dog", "crane"], ["crane", "dog"]) == ("crane", "dog", "crane")
    synsets = ["crane, bird", "dog, Canis", "crane"]
    texts = match(["dog", "crane", "crane"], synsets, names_of=synset_names)
    assert texts == ("dog, Canis", "crane, bird", "crane")


def test_synsets_go_by_their_parts_and_as_a_whole():
    names = synset_names("tench, Tinca tinca")
    assert names == ("tench, Tinca tinca", "tench", "Tinca tinca")
    assert match(["tinca_tinca"], ["tench, Tinca tinca"], names_of=synset_names)


BATHS = ["bathtub, bathing tub, bath, tub", "tub, vat"]


@pytest.mark.parametrize("categories", [BATHS, BATHS[::-1]])
def test_first_names_go_before_other_ones(categories):
    texts = match(["bathtub", "tub", "Tub"], categories, names_of=synset_names)
    assert texts == (BATHS[0], BATHS[1], BATHS[1])
    assert match(["vat", "Bath"], categories, names_of=synset_names) == (BATHS[1], BATHS[0])


def test_whole_texts_go_before_first_names():
    for categories in (["x, drake", "Drake, duck", "DRAKE"], ["DRAKE", "x, drake", "Drake, duck"]):
        texts = match(["drake", "Drake"], categories, names_of=synset_names)
        assert texts == ("DRAKE", "DRAKE")
    texts = match(["crane", "drake"], ["crane", "x, drake", "drake"], names_of=synset_names)
    assert texts == ("crane", "drake")


def test_classes_of_one_name_take_the_categories_that_begin_with_it():
    categories = ["wader, crane", "maillot", "crane", "maillot, tank suit", "crane, hoist"]
    classes = ["maillot", "crane", "maillot", "crane"]
    assert match(classes, categories, names_of=synset_names) == (
        "maillot",
        "crane",
        "maillot, tank suit",
        "crane, hoist",
    )
    assert match(["maillot"], categories, names_of=synset_names) == ("maillot",)


@pytest.mark.parametrize(
    ("classes", "categories"),
    [
        (["bath"], ["tub, bath", "shower, bath"]),
        (["bath"], ["bath, tub", "bath, shower"]),
        (["bath", "bath"], ["x, bath", "y, bath", "z, bath"]),
        (["BATH"], ["bath", "Bath"]),
    ],
)
def test_a_name_of_several_categories_is_refused(classes, categories):
    with pytest.raises(DataError) as caught:
        match([*classes, "dog"], [*categories, "dog"], names_of=synset_names)
    assert "1 of" in caught.value.what
    assert "several categories in knowledge base 'x'" in caught.value.what
    assert all(category in caught.value.why for category in categories)
    assert caught.value.fields["classes"] == classes[:1]


def test_texts_of_a_category_are_embedded_once():
    texts = class_texts("x", ["a", "b", "a"], {"a": ["1", "2"], "b": ["3"]}.get)
    assert [item.value for item in texts.corpus.items(0, 9)] == ["1", "2", "3"]
    assert texts.spans == ((0, 2), (2, 3), (0, 2))
    assert texts.counts == (2, 1, 2)


def test_repeated_descriptions_have_ids_of_their_own():
    texts = class_texts("x", ["a", "b"], {"a": ["1", "1", "2"], "b": ["1"]}.get)
    assert len(set(texts.corpus.ids())) == 4


def test_ids_follow_the_text_so_that_other_rows_keep_theirs():
    before = class_texts("x", ["a"], {"a": ["1", "2"]}.get).corpus.ids()
    after = class_texts("x", ["b", "a"], {"a": ["0", "1", "2"], "b": ["5"]}.get).corpus.ids()
    assert set(before) <= set(after)


def test_classes_without_descriptions_are_refused():
    with pytest.raises(DataError, match="1 of 2 classes have no descriptions") as caught:
        class_texts("x", ["a", "b"], {"a": ["1"], "b": []}.get)
    assert caught.value.why == "b"


def test_classes_that_cannot_be_told_apart_are_found():
    assert shared_classes(["x", "y", "z"], ["1", "2", "1"]) == [["x", "z"]]
    assert shared_classes(["x", "y"], ["1", "2"]) == []


def test_names_come_first_and_once():
    synonyms = {"s": ["Sea waves", "surf"], "d": []}
    names = names_as_texts(["sea_waves", "dog"], ["s", "d"], synonyms.get)
    assert names == {"sea_waves": ["sea waves", "surf"], "dog": ["dog"]}


def test_the_seven_templates_are_openai_s():
    assert len(set(CLIP_TEMPLATES)) == 7
    assert CLIP_TEMPLATES[0] == "itap of a {class}."
    (text,) = class_prompts("x", ["music_box"], [CLIP_TEMPLATES[2]]).items(0, 1)
    assert text.value == "a origami music box."


@given(st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=8, unique=True))
def test_every_category_matches_itself(categories):
    assert match(categories, categories) == tuple(categories)
