"""What is asked about items, and which pictures belong to them."""

import asyncio

import numpy as np
import pytest
from fake_generators import FakeGenerator

from reactions.core.errors import DataError, UsageError
from reactions.core.types import Item, Waveform
from reactions.data.corpora import ListCorpus
from reactions.knowledge.base import UNLABELLED
from reactions.knowledge.generation.engine import Engine
from reactions.knowledge.generation.jobs import MAX_DESCRIPTIONS, category_job, item_job
from reactions.knowledge.generation.journal import AnswerJournal
from reactions.knowledge.generation.media import MAX_SIDE, attachments_of
from reactions.knowledge.generation.prompts import choose_prompts
from reactions.knowledge.generation.settings import Bounds
from reactions.modalities.videos.frames import Frames

PROMPTS = choose_prompts("", [], None, for_items=True)


def picture(shade):
    return np.full((4, 5, 3), shade, np.uint8)


def corpus(modality, ids, value=lambda i: picture(i)):
    items = [Item(id, modality, value(i)) for i, id in enumerate(ids)]
    return ListCorpus(f"my {modality}", modality, items)


def events(ids):
    return corpus("event", ids, lambda i: np.zeros((1, i + 1), np.int64))


def questions(job):
    return [job.making.question(subject, 0, 1) for subject in job.subjects]


def shade_of(question):
    (attached,) = question.attachments
    from io import BytesIO

    from PIL import Image

    return int(np.asarray(Image.open(BytesIO(attached.data)))[0, 0, 0])


def test_pictures_are_attached_to_the_supplements_prompt():
    job = item_job(corpus("image", ["a", "b"]), "image", FakeGenerator(), PROMPTS)
    first, second = questions(job)
    assert first.prompt == "Generate a detailed description of this photo"
    assert (first.item.id, second.item.id) == ("a", "b")
    assert [shade_of(question) for question in (first, second)] == [0, 1]
    assert [subject.category for subject in job.subjects] == [UNLABELLED] * 2
    assert UNLABELLED in job.notices[0]


def test_what_a_corpus_leaves_out_is_told():
    items = corpus("image", ["a"])
    items.notices = ("1 of 2 items cannot be used",)
    job = item_job(items, "image", FakeGenerator(), PROMPTS)
    assert job.notices[0] == "1 of 2 items cannot be used"


def test_events_need_pictures():
    with pytest.raises(UsageError) as caught:
        item_job(events(["a"]), "event", FakeGenerator(), PROMPTS)
    assert "--pictures NAME" in caught.value.fix


def test_points_and_texts_are_refused():
    points = corpus("point", ["a"], lambda i: np.zeros((8, 3), np.float32))
    with pytest.raises(UsageError, match="point items cannot be sent"):
        item_job(points, "point", FakeGenerator(), PROMPTS)
    texts = corpus("text", ["a"], lambda i: "A cat.")
    with pytest.raises(UsageError, match="texts already"):
        item_job(texts, "text", FakeGenerator(), PROMPTS)


def test_a_generator_takes_what_it_takes():
    generator = FakeGenerator()
    generator.modalities = ("image",)
    sounds = corpus("audio", ["a"], lambda i: Waveform(np.zeros(9, np.float32), 8000))
    with pytest.raises(UsageError) as caught:
        item_job(sounds, "audio", generator, PROMPTS)
    assert "does not take audio" in caught.value.what
    assert "task=audio-text-to-text" in caught.value.fix


def test_pictures_are_paired_by_id_whatever_their_order():
    pictures = corpus("image", ["c", "b", "a"])
    job = item_job(events(["a", "b", "c"]), "event", FakeGenerator(), PROMPTS, pictures=pictures)
    assert [shade_of(question) for question in questions(job)] == [2, 1, 0]
    assert "with the same ids" in job.notices[0]
    assert questions(job)[0].item.modality == "event"


@pytest.mark.parametrize(
    ("ids", "others"),
    [
        (["x/1.bin", "x/2.bin"], ["x/2.jpg", "x/1.jpg"]),
        (["kb-event/1", "kb-event/2"], ["kb-image/2", "kb-image/1"]),
        (["ncaltech101/ant/1", "ncaltech101/bee/1"], ["caltech101/bee/1", "caltech101/ant/1"]),
    ],
)
def test_endings_and_names_of_modalities_may_differ(ids, others):
    pictures = corpus("image", others)
    job = item_job(events(ids), "event", FakeGenerator(), PROMPTS, pictures=pictures)
    assert [shade_of(question) for question in questions(job)] == [1, 0]
    assert "but for endings" in job.notices[0]


@pytest.mark.parametrize(
    "others",
    [
        ["a", "b"],  # one is missing
        ["x", "y", "z"],  # none fits; as many are not pairs
        ["a.jpg", "a.png", "b.jpg", "c.jpg"],  # two for one
    ],
)
def test_items_without_a_picture_are_refused(others):
    pictures = corpus("image", others)
    with pytest.raises(DataError, match="have no picture") as caught:
        item_job(events(["a", "b", "c"]), "event", FakeGenerator(), PROMPTS, pictures=pictures)
    assert "not made by position" in caught.value.fix


def test_running_numbers_of_two_sets_are_no_pairs():
    pictures = corpus("image", ["imagenet/0", "imagenet/1"])
    job = (events(["esc50/0", "esc50/1"]), "event", FakeGenerator(), PROMPTS)
    with pytest.raises(DataError, match="have no picture"):
        item_job(*job, pictures=pictures)


def test_of_videos_some_frames_are_attached():
    pixels = np.zeros((20, 6, 8, 3), np.uint8)
    video = Frames(pixels, np.arange(20) / 10)
    attached = attachments_of(Item("a", "video", video), frames=4)
    assert [frame.media_type for frame in attached] == ["image/jpeg"] * 4


def test_an_item_that_cannot_be_decoded_is_told_and_the_rest_is_described(tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no picture")
    items = [Item("a", "image", picture(1)), Item("bad", "image", tmp_path / "bad.png")]
    generator = FakeGenerator(lambda question, before: f"It is {question.item.id}.")
    job = item_job(ListCorpus("x", "image", items), "image", generator, PROMPTS)
    journal = AnswerJournal(tmp_path / "j", job.settings)
    engine = Engine(generator, journal, job.making, Bounds())
    outcome = asyncio.run(engine.run(job.subjects))
    journal.close()
    assert [row.text for row in outcome.rows["a"]] == ["It is a."]
    assert outcome.short == {"bad": 1}
    assert "cannot be decoded" in outcome.failed["bad"]


def test_items_may_share_a_description(tmp_path):
    generator = FakeGenerator(lambda question, before: "A cat.")
    job = item_job(corpus("image", ["a", "b"]), "image", generator, PROMPTS)
    journal = AnswerJournal(tmp_path / "j", job.settings)
    outcome = asyncio.run(Engine(generator, journal, job.making, Bounds()).run(job.subjects))
    journal.close()
    assert not outcome.short


@pytest.mark.parametrize("number", [0, -3])
def test_numbers_below_one_are_refused(number):
    with pytest.raises(UsageError, match="--per-item is"):
        item_job(corpus("image", ["a"]), "x", FakeGenerator(), PROMPTS, per_item=number)
    prompts = choose_prompts("", [], None, for_items=False)
    with pytest.raises(UsageError, match="--per-class is"):
        category_job("x", ["a"], FakeGenerator(), prompts, per_class=number)
    with pytest.raises(UsageError, match="--batch is"):
        category_job("x", ["a"], FakeGenerator(), prompts, batch=number)


def test_large_pictures_are_made_smaller():
    from io import BytesIO

    from PIL import Image

    (attached,) = attachments_of(Item("a", "image", np.zeros((1000, 2000, 3), np.uint8)))
    assert Image.open(BytesIO(attached.data)).size == (MAX_SIDE, MAX_SIDE // 2)
    (thin,) = attachments_of(Item("a", "image", np.zeros((1, 5000, 3), np.uint8)))
    assert Image.open(BytesIO(thin.data)).size == (MAX_SIDE, 1)


def test_what_corpora_show_pairs_them_and_several_pictures_of_one_thing_do_not():
    items, pictures = events(["e0", "e1"]), corpus("image", ["p0", "p1", "p2"])
    items.subjects = lambda: ["x", "y"]
    pictures.subjects = lambda: ["y", "z", "x"]
    job = item_job(items, "event", FakeGenerator(), PROMPTS, pictures=pictures)
    assert [shade_of(question) for question in questions(job)] == [2, 0]
    pictures.subjects = lambda: ["y", "y", "x"]
    with pytest.raises(DataError, match="no picture"):
        item_job(items, "event", FakeGenerator(), PROMPTS, pictures=pictures)


def test_more_than_a_run_can_hold_is_refused_before_it_is_counted_out():
    prompts = choose_prompts("", [], None, for_items=False)
    with pytest.raises(UsageError) as caught:
        category_job("two", ("a", "b"), FakeGenerator(), prompts, per_class=99_999_999_999)
    assert caught.value.fix == f"--per-class {MAX_DESCRIPTIONS // 2} at most"
    with pytest.raises(UsageError, match="10,000,001 descriptions"):
        item_job(
            corpus("image", ["a"]), "image", FakeGenerator(), PROMPTS, per_item=MAX_DESCRIPTIONS + 1
        )


def test_classes_of_one_name_are_asked_for_once():
    prompts = choose_prompts("", [], None, for_items=False)
    job = category_job("birds", ("crane", "dog", "crane"), FakeGenerator(), prompts, per_class=3)
    assert [subject.key for subject in job.subjects] == ["crane", "dog"]
    assert job.notices == (
        "2 classes of 'birds' are called 'crane': they are one category, described once",
    )
    assert not category_job("pets", ("cat", "dog"), FakeGenerator(), prompts).notices


def test_items_that_only_positions_tell_apart_are_refused():
    rows = [Item(str(k), "image", picture(k), own_id=False) for k in range(3)]
    numbered = ListCorpus("numbered", "image", rows)
    for items, pictures in (
        (numbered, None),
        (numbered, corpus("image", "012")),
        (events("012"), numbered),
    ):
        with pytest.raises(DataError, match="numbered: items have no ids of their own"):
            item_job(items, "x", FakeGenerator(), PROMPTS, pictures=pictures)
