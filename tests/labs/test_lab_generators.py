"""Generators as labs have them, and what of a lab is described."""

import asyncio

import pytest
from lab_files import load

from reactions.core.errors import DataError, MissingError, UsageError
from reactions.core.types import Item
from reactions.knowledge.generation.base import Question, Trouble
from reactions.knowledge.generation.jobs import item_job
from reactions.knowledge.generation.lists import read_sentences
from reactions.knowledge.generation.prompts import choose_prompts
from reactions.labs.generators import categories_of, classes_of, generator_of
from reactions.labs.lab_file import load_lab
from reactions.labs.mini.describer import Describer
from reactions.labs.mini.subjects import subjects_by_name
from reactions.labs.mini.world import CLASSES


@pytest.fixture(scope="module")
def lab():
    return load_lab("mini")


def answer(generator, question):
    return asyncio.run(generator.answer(question))


def test_the_mini_generator_is_the_labs_describer(lab):
    generator = generator_of(lab, "mini?stray=25&vocabulary=open&synonyms=no")
    describer = Describer(stray=25, vocabulary="open", synonyms=False, seed=lab.seed)
    reply = answer(generator, Question("?", category="harp", count=7))
    expected = describer.about(subjects_by_name()["harp"], 0, 7)
    assert list(read_sentences(reply.text).rows) == expected
    assert reply.model == "mini-describer-1"


def test_another_question_has_other_sentences(lab):
    generator = generator_of(lab, "mini")
    first, other = (
        read_sentences(answer(generator, Question("?", category="harp", count=50, number=n)).text)
        for n in (0, 1)
    )
    assert len(set(first.rows) & set(other.rows)) < 10


def test_items_are_described_as_the_labs_own_knowledge_base_does(lab):
    knowledge = lab.knowledge("kb")
    items = knowledge.items("audio")
    generator = generator_of(lab, "mini")
    for row in (0, 7):
        item = Item(items.ids[row], "audio", None)
        assert answer(generator, Question("?", item=item)).text == items.descriptions[row]


@pytest.mark.parametrize(
    ("task", "part"),
    [("caltech101", "train"), ("ncaltech101", "train"), ("esc50", "fold1"), ("msrvtt", "train")],
)
def test_training_parts_are_described(lab, task, part):
    data = lab.split(task, part)
    item = Item(data.queries.items(3, 4)[0].id, data.queries.modality, None)
    generator = generator_of(lab, "mini?noun_error=0&synonyms=no&omit=0")
    assert generator.why_not("", item) is None
    text = answer(generator, Question("?", item=item)).text
    items = getattr(data.queries, "whole", data.queries)  # of folds, the set
    row = int(item.id.rpartition("/")[2])
    assert CLASSES[items.stream.scenes(row, row + 1).kind.item()] in text


def test_recordings_are_described_on_the_pictures_of_the_same(lab):
    job = item_job(
        lab.named_corpus("ncaltech101:train"),
        "ncaltech101:train",
        generator_of(lab, "mini"),
        choose_prompts("", (), None, for_items=True),
        pictures=lab.named_corpus("caltech101:train"),
    )
    assert "that show the same" in job.notices[0]
    with pytest.raises(DataError, match="no picture"):
        item_job(
            lab.named_corpus("ncaltech101:train"),
            "ncaltech101:train",
            generator_of(lab, "mini"),
            choose_prompts("", (), None, for_items=True),
            pictures=lab.named_corpus("caltech101"),  # other scenes
        )


@pytest.mark.parametrize(
    "question",
    [
        Question("?", category="unicorn"),
        Question("?", item=Item("mine/1", "image", None)),
        Question("?", item=Item("kb-items-image/1", "audio", None)),
        Question("?", item=Item("mini-caltech101-train/1000", "image", None)),
        Question("?", item=Item("mini-caltech101-train/1", "audio", None)),
        Question("?", item=Item("mini-coco/1", "image", None)),
        Question("?", item=Item("mini-llvip-train/1", "thermal", None)),  # an empty place
    ],
)
def test_what_is_not_of_the_world_is_trouble_for_good(lab, question):
    with pytest.raises(Trouble) as caught:
        answer(generator_of(lab, "mini"), question)
    assert caught.value.is_final


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mini:big", "has no model 'big'"),
        ("mini?strey=1", "did you mean 'stray'"),
        ("mini?stray=101", "101 is not from 0 to 100"),
        ("mini?vocabulary=opne", "did you mean 'open'"),
        ("mini?synonyms=perhaps", "true or false"),
    ],
)
def test_mistakes_are_refused(lab, text, words):
    with pytest.raises(UsageError) as caught:
        generator_of(lab, text)
    assert words in str(caught.value)


def test_other_labs_have_no_mini_generator(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lab = load('[lab]\nname = "own"\n')
    with pytest.raises(UsageError) as caught:
        generator_of(lab, "mini")
    assert "--lab mini" in caught.value.fix


def test_classes_come_from_a_task_or_a_file(lab, tmp_path):
    name, classes = classes_of(lab, "esc")
    assert (name, classes) == ("esc50", lab.benchmark("esc50").classes)
    path = tmp_path / "my classes.txt"
    path.write_bytes("\ufeffé cat\r\n\r\n  dog  \n".encode())
    assert classes_of(lab, str(path)) == ("my classes", ("é cat", "dog"))


@pytest.mark.parametrize(
    ("text", "error"),
    [("no/such/file", MissingError), ("esc50,imagenet", UsageError), ("esc5", UsageError)],
)
def test_classes_that_are_nowhere_are_refused(lab, text, error):
    with pytest.raises(error):
        classes_of(lab, text)


def test_items_have_the_classes_of_their_scenes_or_tasks(lab):
    corpus = lab.named_corpus("world:image:20")
    scenes = corpus.stream.scenes(0, 20)
    assert categories_of(lab, "world:image:20", corpus) == [CLASSES[k] for k in scenes.kind]
    data = lab.benchmark("esc50")
    corpus = lab.named_corpus("esc50")
    assert categories_of(lab, "esc50", corpus)[:3] == [data.classes[i] for i in data.labels[:3]]
    data = lab.split("esc50", "fold1")
    corpus = lab.named_corpus("esc50:fold1")
    assert categories_of(lab, "esc50:fold1", corpus) == [data.classes[i] for i in data.labels]
    assert categories_of(lab, "image", lab.named_corpus("image")) is None
    retrieval = lab.named_corpus("coco")
    assert categories_of(lab, "coco", retrieval) is None
