from dataclasses import replace
from typing import Any

import pytest

from reactions.core.errors import UsageError
from reactions.eval.prompts import class_prompts
from reactions.eval.registry import all_tasks, get_task, parse_tasks
from reactions.eval.task import CUTOFFS, Task


def test_the_nine_sets_of_the_paper() -> None:
    sizes = {task.name: task.expected for task in parse_tasks("freebind")}
    assert sizes == {
        "esc50": 2000,  # the paper's 400 cannot be: its scores are multiples of 1/2000
        "audioset": 19048,
        "audiocaps": 964,
        "clotho": 1045,
        "vggss": 5158,
        "flickrnet": 5000,
        "coco": 5000,
        "flickr30k": 1000,
        "imagenet": 50000,
    }
    assert list(sizes)[:4] == ["esc50", "audioset", "audiocaps", "clotho"]
    assert list(sizes)[-1] == "imagenet"
    assert CUTOFFS == (1, 5, 10)


def test_the_thirteen_sets_of_unibind() -> None:
    tasks = parse_tasks("unibind")
    assert len([task for task in tasks if task.kind == "classification"]) == 13
    assert [task.name for task in tasks if task.kind == "retrieval"] == ["ncaltech101_images"]
    assert {task.query for task in tasks} == {
        "audio",
        "event",
        "image",
        "point",
        "thermal",
        "video",
    }
    both = [task.name for task in tasks if "freebind" in task.groups]
    assert both == ["esc50", "imagenet"]


def test_sets_of_no_group_are_ones_own() -> None:
    own_task = Task("birds", "Birds", "classification", "audio", "text", templates=("a {class}",))
    assert parse_tasks("own", [own_task]) == (own_task,)
    assert parse_tasks("freebind, own", [own_task]) == (*parse_tasks("freebind"), own_task)
    assert parse_tasks("ALL", [own_task]) == (*all_tasks(), own_task)
    with pytest.raises(UsageError, match="there is none of 'own'"):
        parse_tasks("own")
    with pytest.raises(UsageError, match="unknown task 'unibnd'") as caught:
        parse_tasks("unibnd")
    assert "did you mean 'unibind'" in caught.value.fix


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cutoffs": (5, 1)}, "has the cutoffs"),
        ({"cutoffs": ()}, "has the cutoffs"),
        ({"hit": "clas"}, "counts hits by 'clas'"),
        ({"groups": ("freebnd",)}, "of the group 'freebnd'"),
        ({"cutoffs": (5, 10)}, "has the main score 'mean R@1'"),
    ],
)
def test_descriptions_that_do_not_fit(change: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        replace(get_task("coco"), **change)


def test_every_task_is_complete() -> None:
    spellings = [name for task in all_tasks() for name in (task.name, *task.aliases)]
    assert len(set(spellings)) == len(spellings)
    for task in all_tasks():
        assert task.protocol
        assert task.licence
        assert task.citation
        assert "{m}" not in task.protocol
        assert (task.kind == "retrieval") == (not task.templates)
        assert all(template.count("{class}") == 1 for template in task.templates)
        main = {"classification": "accuracy", "multilabel": "mAP", "retrieval": "mean R@1"}
        assert task.main_score == main[task.kind]


def test_pinned_prompts() -> None:
    assert get_task("esc50").templates == ("This is a sound of {class}.",)
    assert get_task("imagenet").templates[0] == "a photo of a {class}."
    prompts = class_prompts("p", ["door_wood_knock", "rain"], get_task("esc50").templates)
    assert [item.value for item in prompts.items(0, 9)] == [
        "This is a sound of door wood knock.",
        "This is a sound of rain.",
    ]


def test_prompts_are_class_major() -> None:
    prompts = class_prompts("p", ["a", "b"], ("x {class}", "y {class}", "z"))
    assert [item.value for item in prompts.items(0, 9)] == ["x a", "y a", "z", "x b", "y b", "z"]


@pytest.mark.parametrize("spelling", ["vggss", "VGG-SS", "vgg_ss", "vgg"])
def test_names_ignore_case_and_punctuation(spelling: str) -> None:
    assert get_task(spelling).name == "vggss"


def test_unknown_tasks_suggest() -> None:
    with pytest.raises(UsageError, match="did you mean 'esc50'"):
        get_task("ecs50")
    with pytest.raises(UsageError, match="one of: all, audiocaps"):
        get_task("zzz")


def test_lists_of_tasks() -> None:
    assert [task.name for task in parse_tasks("coco, esc-50,,COCO")] == ["coco", "esc50"]
    assert parse_tasks("all") == all_tasks()
    assert [task.name for task in parse_tasks("clotho,all")][:2] == ["clotho", "esc50"]
    assert len(parse_tasks("clotho,all")) == len(all_tasks())
    with pytest.raises(UsageError, match="no task given"):
        parse_tasks(" , ")
