"""Evaluation sets whose items are named by the ids of their embeddings; no file is there."""

from pathlib import Path

import numpy as np
import pytest
from embedding_folder import write
from lab_files import load
from media_files import put

from reactions.core.errors import DataError, UsageError
from reactions.dsl import check, parse
from reactions.labs.table_tasks import table_task
from reactions.planning.like_ids import how_alike
from reactions.planning.planner import Planner
from reactions.planning.scoring import plan_scores
from reactions.session import Session
from reactions.store import Store

N = 5
IDS = [f"im{n}" for n in range(N)]
CAPTIONS = [f"c{n}" for n in range(N)]
LAB = """
[lab]
name = "own"
[spaces.clip]
path = "clip"
"""
PAIRS = (
    LAB
    + """
[tasks.found]
kind = "retrieval"
path = "pairs.csv"
image = "key"
text = "caption_key"
by_id = true
"""
)
LABELS = (
    LAB
    + """
[tasks.named]
kind = "classification"
path = "labels.csv"
image = "key"
class = "class"
by_id = true
"""
)


@pytest.fixture(autouse=True)
def clip(tmp_path, monkeypatch):
    """Pictures n and captions n are the n-th axis; cat and dog lie between some of them."""
    monkeypatch.chdir(tmp_path)
    axes = np.eye(N, dtype=np.float32)
    classes = np.stack([axes[0] + axes[1], axes[2] + axes[3]])
    write(tmp_path / "clip", "image", axes, ids=IDS)
    write(tmp_path / "clip", "text", np.vstack([axes, classes]), ids=[*CAPTIONS, "cat", "dog"])
    return tmp_path / "clip"


def table(name, header, *rows):
    put(Path(name), "\n".join([header, *rows]) + "\n")


def pairs(*more, n=N):
    table("pairs.csv", "key,caption_key", *(f"im{i},c{i}" for i in range(n)), *more)


def labels(*more):
    rows = ("im0,cat", "im1,cat", "im2,dog", "im3,dog")
    table("labels.csv", "key,class", *rows, *more)


def plan(text, space="clip", **options):
    lab = load(text, **options)
    (own_set,) = lab.own_tasks.values()
    session = Session(lab, Store("store"), "cpu")
    target = session.target(space)
    return session, target, plan_scores(lab, target, [own_set.task])


def score(text, space="clip", **options):
    session, target, scorings = plan(text, space, **options)
    (result,) = session.score(target, scorings, lambda plan: None)
    return result.record


def test_pairs_are_scored_without_any_file():
    pairs()
    record = score(PAIRS)
    assert (record["n"], record["metrics"]["mean R@1"]) == (N, 100.0)
    table("pairs.csv", "key,caption_key", *(f"im{i},c{(i + 1) % N}" for i in range(N)))
    assert score(PAIRS)["metrics"]["mean R@1"] == 0


def test_classes_are_rows_that_are_called_like_them():
    labels()
    record = score(LABELS)
    assert record["metrics"]["accuracy"] == 100.0
    assert record["prompts"] == ["{class}"]


def test_classes_with_several_prompts_are_numbered(clip):
    labels()
    ids = ["cat/0", "cat/1", "dog/0", "dog/1"]
    write(clip, "text", np.eye(N, dtype=np.float32)[:4], ids=ids)
    record = score(LABELS + 'templates = ["a {class}", "the {class}"]')
    assert record["metrics"]["accuracy"] == 100.0


def test_a_class_without_a_row_is_refused_with_the_ids_on_both_sides():
    labels("im4,bird")
    with pytest.raises(DataError, match="no text embedding for 1 of 3 classes") as caught:
        plan(LABELS)
    assert (
        "looked for the ids 'bird'; text ids that are there: 'c0', 'c1', 'c2'" in caught.value.why
    )
    assert "CLASS/0" in caught.value.fix


def test_items_without_a_row_are_left_out_and_counted():
    pairs("im9,c2", "im1,c9", "im3,c8")
    record = score(PAIRS + "max_bad = 0.4")
    assert (record["n"], record["expected"]) == (N, N + 1)
    notes = " ".join(record["notices"])
    # c2 stands beside im2 already: that row is bad in the table, the others in the folder.
    assert "text 'c2' stands beside image 'im2' already" in notes
    assert "text: 2 of 7 items are left out, as folders have no rows" in notes
    assert "'c9' in 'clip'" in notes
    table("pairs.csv", "key,caption_key", *(f"im{i},c{i}" for i in range(4)), "x,c4", "y,c")
    with pytest.raises(DataError, match="have no rows for 2 of 6 image items") as caught:
        plan(PAIRS + "max_bad = 0.2")
    assert "raise max_bad (now 0.2) under [tasks.found]" in caught.value.fix


def test_where_both_halves_of_no_pair_are_there_it_is_said():
    table("pairs.csv", "key,caption_key", "im0,c9", "im9,c1")
    with pytest.raises(DataError, match="no pair of task 'found' has the embeddings of both"):
        plan(PAIRS + "max_bad = 0.5")


def test_ids_of_which_none_is_there_are_shown_beside_those_that_are():
    table("pairs.csv", "key,caption_key", *(f"{i}.jpg,c{i}" for i in range(N)))
    with pytest.raises(DataError, match="none of the 5 image ids of task 'found' is in") as caught:
        plan(PAIRS)
    assert "the table has '0.jpg', '1.jpg', '2.jpg', ..." in caught.value.why
    assert "the folder has 'im0', 'im1', 'im2', ..." in caught.value.why
    assert "name the column" in caught.value.fix


@pytest.mark.parametrize(
    ("ids", "stored", "words"),
    [
        (["1", "2"], ["im1.jpg", "im2.jpg"], 'image = "im{key}.jpg"'),
        (["a/1.jpg", "a/2.jpg"], ["1", "2"], "differ in folders and endings: write 'a/1.jpg'"),
        (["A", "B"], ["a", "b"], "they differ in case"),
        (["7", "8"], ["007", "008"], 'image = "00{key}"'),
        (["7", "10"], ["007", "010"], "they differ in leading zeros"),
        (["a", "b"], ["x", "y"], ""),
    ],
)
def test_how_ids_are_alike_is_seen(ids, stored, words):
    hint = how_alike(ids, stored, "image", ["key"])
    assert words in hint
    assert bool(hint) == bool(words)


def test_a_composed_column_makes_ids_alike():
    table("pairs.csv", "n,caption_key", *(f"{i},c{i}" for i in range(N)))
    assert score(PAIRS.replace('image = "key"', 'image = "im{n}"'))["metrics"]["mean R@1"] == 100


def test_rows_without_ids_are_not_paired_by_their_numbers(clip):
    (clip / "image.ids.txt").unlink()
    table("pairs.csv", "key,caption_key", *(f"{i},c{i}" for i in range(N)))
    with pytest.raises(DataError, match="has no ids for its image rows") as caught:
        plan(PAIRS)
    assert "named by task 'found'" in caught.value.why
    assert "image.ids.txt" in caught.value.fix


def test_most_items_beside_several_are_a_table_to_be_turned_round():
    rows = [f"im{i},{'c0' if i < 4 else 'c1'}" for i in range(N)]
    table("pairs.csv", "key,caption_key", *rows)
    with pytest.raises(DataError, match="most text ids of task 'found' stand beside") as caught:
        plan(PAIRS)
    assert "--labels FILE" in caught.value.fix


def test_a_pair_that_comes_again_counts_once_and_is_said():
    pairs("im1,c1", "im1,c1")
    record = score(PAIRS)
    assert record["n"] == N
    assert any("2 pairs are in the table once more" in note for note in record["notices"])


def test_several_captions_of_an_item_are_ids_in_columns_or_lists():
    table("pairs.csv", "key,one,two", "im0,c0,c1", "im2,c2,", "im3,,c3")
    columns = PAIRS.replace('"caption_key"', '["one", "two"]')
    data = load(columns).benchmark("found")
    assert data.right.ids() == ["c0", "c1", "c2", "c3"]
    assert data.owner.tolist() == [0, 0, 1, 2]
    table("pairs.jsonl", '{"key": "im0", "caption_key": ["c0", "c1"]}', '{"key": 7}')
    text = PAIRS.replace("pairs.csv", "pairs.jsonl") + "max_bad = 0.5"
    assert load(text).benchmark("found").right.ids() == ["c0", "c1"]


def test_what_is_skipped_needs_no_row():
    pairs("gone,c9")
    record = score(PAIRS + 'skip = ["gone"]')
    assert (record["n"], record["notices"]) == (N, [])


MINI = '[lab]\nextends = "mini"\n'


def test_encoders_cannot_embed_ids():
    pairs()
    with pytest.raises(UsageError, match="names image items by id, and 'ImageBind' embeds") as e:
        plan(PAIRS.replace('[lab]\nname = "own"\n', MINI), space="ImageBind")
    assert "leave by_id out" in e.value.fix


def test_items_by_id_and_texts_that_are_written_out():
    table("pairs.csv", "key,caption", *(f"im{i},a dog {i}" for i in range(N)))
    text = PAIRS.replace('"caption_key"', '"caption"').replace("= true", '= "image"')
    data = load(text).benchmark("found")
    assert data.left.ids() == IDS
    assert [item.value for item in data.right.items(0, 2)] == ["a dog 0", "a dog 1"]
    assert data.right.ids()[0] == "found/im0/0"


def test_classes_may_be_prompted_where_items_are_named():
    labels()
    data = load(LABELS.replace("= true", '= ["image"]')).benchmark("named")
    assert not data.classes_by_id
    lab = load(LABELS.replace("= true", '= ["image"]'))
    assert lab.own_tasks["named"].task.templates == ("a photo of a {class}.",)


def test_tables_without_a_lab_file():
    table("pairs.csv", "image_id,caption_id,caption", *(f"im{i},c{i},a {i}" for i in range(N)))
    lab = load(LAB)
    added = table_task(lab, "pairs.csv", "pairs", by_id=True)
    assert added.section["image"] == "image_id"
    assert added.section["text"] == "caption_id"
    assert added.section["by_id"] is True
    assert "text: the column caption_id, not caption" in " ".join(added.notices)
    session = Session(added.lab, Store("store"), "cpu")
    target = session.target("clip")
    scorings = plan_scores(added.lab, target, [added.task])
    (result,) = session.score(target, scorings, lambda plan: None)
    assert result.record["metrics"]["mean R@1"] == 100


@pytest.mark.parametrize(
    ("header", "kind", "options", "message"),
    [
        ("audio_id,image_id,text_id", "pairs", {}, "--columns audio=audio_id --columns image="),
        ("id,class", "labels", {}, "--columns MODALITY=COLUMN"),
        ("image_id,text_id", "pairs", {"id_column": "text_id"}, "--id says nothing about ids"),
        ("image_id,text_id", "pairs", {"folder": "clip"}, "--folder says nothing about ids"),
        ("image_id,text_id", "pairs", {"by_id": ["imag"]}, "did you mean 'image'"),
        ("image_id,text_id", "pairs", {"by_id": False}, "--by-id if the columns hold ids"),
    ],
)
def test_what_is_not_clear_of_ids_is_refused(header, kind, options, message):
    table("t.csv", header, *[",".join("abc"[: header.count(",") + 1])] * 2)
    with pytest.raises(UsageError) as refused:
        table_task(load(LAB), "t.csv", kind, **{"by_id": True, **options})
    assert message in str(refused.value) + refused.value.fix


def test_names_of_files_that_are_ids_get_the_hint():
    pairs()
    labels()
    for text, name in ((PAIRS, "found"), (LABELS, "named")):
        with pytest.raises(DataError) as caught:
            load(text.replace("by_id = true", "")).benchmark(name)
        assert "if they are ids of embeddings: --by-id" in caught.value.fix


def test_pairs_of_ids_cannot_tune_an_encoder():
    table("mine.csv", "a,b", "x1,y1", "x2,y2")
    text = MINI + '[pairs.mine]\npath = "mine.csv"\naudio = "a"\nimage = "b"\nby_id = true\n'
    lab = load(text)
    reaction = parse("ImageBind | Ft(audio~image, pairs=mine, heads=true)")
    checked = check(reaction, lab.catalogue, factors=lab.factors)
    with pytest.raises(UsageError, match=r"\[pairs.mine\] names audio items by id") as caught:
        Planner(lab).react(checked.expression, checked.space)
    assert caught.value.fix.startswith("leave by_id out; or take spaces")
