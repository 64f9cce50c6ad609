"""A corpus that the lab names is the corpus; folders of embeddings supply its rows by id."""

import json
from pathlib import Path

import numpy as np
import pytest
from lab_files import load
from media_files import image_bytes, put

from reactions.core.errors import DataError
from reactions.dsl import check, parse
from reactions.labs.lab_file import load_lab
from reactions.planning.corpora import made_up_notices
from reactions.planning.planner import Planner

N = 40


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Two folders of forty texts and images, and a lab file without corpora."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("clip", "clap")):
        folder(name, seed, text=ids("t"), image=ids("i"))
    return tmp_path


def ids(prefix: str, n: int = N) -> list[str]:
    return [f"{prefix}{k}" for k in range(n)]


def folder(name: str, seed: int, **ids_by_modality: list[str]) -> None:
    for modality, names in ids_by_modality.items():
        rows = np.random.default_rng(seed).normal(size=(len(names), 4)).astype(np.float32)
        path = Path(name) / f"{modality}.npy"
        path.parent.mkdir(exist_ok=True)
        np.save(path, rows)
        path.with_name(f"{modality}.ids.txt").write_text("\n".join(names))


SPACES = "[reaction]\nholdout = 0\n[spaces.clip]\npath = 'clip'\n[spaces.clap]\npath = 'clap'\n"


def lines(**records: object) -> str:
    return "".join(f"{json.dumps(record)}\n" for record in records["of"])


def planned(corpora: str = "") -> tuple[dict[str, list[str]], tuple[str, ...]]:
    """Plan a reaction of both folders; return the embedded ids by modality, and the notices."""
    lab = load(SPACES + corpora)
    checked = check(parse("clip + Cr(clap)"), lab.catalogue, factors=lab.factors)
    plan = Planner(lab).react(checked.expression, checked.space)
    embedded = {step.corpus.modality: step.corpus for step in plan.steps() if step.corpus}
    ids_used = {m: [item.id for item in c.items(0, len(c))] for m, c in embedded.items()}
    return ids_used, tuple(n for n in plan.notices if "hidden " not in n)


def test_without_a_corpus_all_rows_are_used(root):
    ids_used, notices = planned()
    assert ids_used == {"text": ids("t"), "image": ids("i")}
    assert notices == ()


def test_held_out_rows_are_never_trained_on(root):
    train = [{"id": f"t{k}", "text": f"caption {k}"} for k in range(0, N, 2)]
    put(root / "train.jsonl", lines(of=train))
    ids_used, notices = planned('[corpora.text]\nmanifest = "train.jsonl"\n')
    assert ids_used == {"text": [f"t{k}" for k in range(0, N, 2)], "image": ids("i")}
    (note,) = [notice for notice in notices if "held-out" in notice]
    assert note.startswith("image: all rows of the folders are trained on")
    assert "a corpus of text alone" in note


def test_tables_of_captions_name_rows_by_their_column_of_ids(root):
    put(root / "train.csv", "key,caption\nt3,rain\nt1,wind\n")
    table = '[corpora.text]\npath = "train.csv"\n'
    ids_used, _ = planned(table + 'id = "key"\n')
    assert ids_used["text"] == ["t3", "t1"]
    with pytest.raises(DataError, match="has no id of its own") as caught:
        planned(table)
    assert "[corpora.text]" in caught.value.fix


def test_files_of_a_manifest_need_not_be_there(root):
    records = [{"id": f"i{k}", "image": f"gone/{k}.png"} for k in (5, 2)]
    put(root / "train.jsonl", lines(of=records))
    ids_used, _ = planned('[corpora.image]\nmanifest = "train.jsonl"\nskip = ["i5"]\n')
    assert ids_used["image"] == ["i2"]
    put(root / "train.jsonl", lines(of=[*records, {"image": "gone/3.png"}]))
    with pytest.raises(DataError, match=r"line 3 of .* has no id of its own"):
        planned('[corpora.image]\nmanifest = "train.jsonl"\n')


def test_several_sources_give_ids_as_they_are_written(root):
    put(root / "a.csv", "key,caption\nt3,rain\nt1,wind\n")
    put(root / "b.jsonl", lines(of=[{"id": "t5", "text": "x"}]))
    source = '[[corpora.text]]\npath = "a.csv"\nid = "key"\n'
    ids_used, _ = planned(source + '[[corpora.text]]\nmanifest = "b.jsonl"\n')
    assert ids_used["text"] == ["t3", "t1", "t5"]
    put(root / "a.jsonl", lines(of=[{"id": "t9", "text": "x"}]))
    both = "".join(f'[[corpora.text]]\nmanifest = "{name}.jsonl"\n' for name in "ab")
    ids_used, _ = planned(both)
    assert ids_used["text"] == ["t9", "t5"]
    put(root / "a.jsonl", lines(of=[{"id": "t5", "text": "y"}]))
    with pytest.raises(DataError, match="repeats 1 of its text ids"):
        planned(both)


def test_folders_of_files_name_rows_by_their_paths(root):
    put(root / "pictures/a.png", image_bytes())
    folder("clip", 0, image=["a.png", "b.png"])
    folder("clap", 1, image=["b.png", "a.png"])
    ids_used, _ = planned('[corpora.image]\npath = "pictures"\n')
    assert ids_used["image"] == ["a.png"]


def test_absent_rows_are_counted_or_refused(root):
    put(root / "m.jsonl", lines(of=[{"id": f"t{k}", "text": "x"} for k in range(N + 2)]))
    corpus = '[corpora.text]\nmanifest = "m.jsonl"\n'
    with pytest.raises(DataError, match="no rows for 2 of 42 items of corpus") as caught:
        planned(corpus)
    assert "'t40' in 'clap'" in caught.value.why
    assert caught.value.fields["missing"] == ["t40", "t41"]
    ids_used, notices = planned(corpus + "max_bad = 0.05\n")
    assert ids_used["text"] == ids("t")
    assert [n for n in notices if n.startswith("text corpus: 2 of 42 items are left out")]


def test_folders_without_ids_cannot_supply_named_items(root):
    (root / "clap/text.ids.txt").unlink()
    put(root / "m.jsonl", lines(of=[{"id": str(k), "text": "x"} for k in range(N)]))
    with pytest.raises(DataError, match="space 'clap' has no ids for its text rows"):
        planned('[corpora.text]\nmanifest = "m.jsonl"\n')


def test_a_made_up_world_is_not_a_corpus_of_folders(root):
    ids_used, notices = planned("[corpora.text]\nworld = 100\n")
    assert ids_used["text"] == ids("t")
    assert any("the text corpus of lab" in n and "not used" in n for n in notices)


def test_rows_that_are_paired_by_number_are_counted(root):
    for name in ("clip", "clap"):
        (root / name / "text.ids.txt").unlink()
    _, notices = planned()
    assert notices == (
        "40 text rows of 'clip' and 'clap' are paired by their numbers: there are no text ids "
        "in clip and clap",
    )
    folder("clap", 1, image=ids("i", N + 3))
    _, notices = planned()
    assert "3 of 43 image rows of 'clap' are not used, as 'clip' lacks them" in notices


def test_the_lab_file_is_the_one_in_the_working_directory(root):
    put(root / "m.jsonl", lines(of=[{"id": "t1", "text": "x"}]))
    load(SPACES + '[corpora.text]\nmanifest = "m.jsonl"\n')
    assert load_lab().corpora["text"].sources


def test_made_up_corpora_are_named_in_one_sentence():
    assert made_up_notices("mini", {"ib": ["audio", "image", "text"], "clap": ["text"]}) == [
        "the audio, image and text corpora of lab 'mini' are made up, and not used: the rows of "
        "'ib' are",
        "the text corpus of lab 'mini' is made up, and not used: the rows of 'clap' are",
    ]


def test_lines_of_other_modalities_are_reported(root):
    put(root / "m.jsonl", lines(of=[{"id": "t1", "text": "a"}, {"id": "i1", "image": None}]))
    ids_used, notices = planned('[corpora.text]\nmanifest = "m.jsonl"\n')
    assert ids_used["text"] == ["t1"]
    assert any("'m.jsonl': 1 image lines are of other modalities" in note for note in notices)
