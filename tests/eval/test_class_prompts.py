from reactions.eval.prompts import class_prompts


def ids(classes, templates=("a {class}", "the {class}")):
    corpus = class_prompts("imagenet prompts", classes, templates)
    return [item.id for item in corpus.items(0, len(corpus))]


def test_classes_of_the_same_name_are_told_apart():
    assert ids(["crane", "tench", "crane"], ("a {class}",)) == [
        "imagenet-prompts/crane/0",
        "imagenet-prompts/tench/0",
        "imagenet-prompts/crane#2/0",
    ]
    assert len(set(ids(["crane"] * 3))) == 6


def test_what_is_asked_does_not_change():
    corpus = class_prompts("x", ["alarm_clock", "crane", "crane"], ("a {class}.",))
    assert [item.value for item in corpus.items(0, 3)] == ["a alarm clock.", "a crane.", "a crane."]
