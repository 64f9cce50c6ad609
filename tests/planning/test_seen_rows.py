"""What is scored by ids of embeddings, and was trained on, is counted and said."""

from pathlib import Path

import pytest
from lab_files import load
from media_files import put
from twin_folders import ids, twins, write_space

from reactions.planning.scoring import plan_scores
from reactions.session import Session
from reactions.store import Store

N = 60
LAB = """
[lab]
name = "own"
[spaces.A]
path = "a"
[spaces.B]
path = "b"
[reaction]
hidden_dim = 8
batch_size = 32
cr_epochs = 1
[tasks.found]
kind = "retrieval"
path = "pairs.csv"
image = "id"
text = "id"
by_id = true
"""
NAMED = '[corpora.{0}]\nmanifest = "{0}.jsonl"\n'


@pytest.fixture
def notices(tmp_path, monkeypatch):
    """Return what a run says of scores of a product that was trained in one lab, in another."""
    monkeypatch.chdir(tmp_path)
    for name, space in zip("ab", twins(N, noise=(0.5, 0.5), dims=(8, 8), latent=4), strict=True):
        write_space(Path(name), space, ids(N))
    put(Path("pairs.csv"), "\n".join(["id", *ids(N)]) + "\n")
    for modality, key in (("image", "image"), ("text", "text")):
        lines = [f'{{"id": "{id}", "{key}": "x"}}\n' for id in ids(N)[: N // 2]]
        put(Path(f"{modality}.jsonl"), "".join(lines))

    def scored(trained_in: str, scored_in: str) -> list[str]:
        session = Session(load(trained_in), Store("store"), "cpu")
        target = session.target("A + Cr(B)")
        lab = load(scored_in)
        (scoring,) = plan_scores(lab, target, lab.parse_tasks("found"))
        return [note for note in scoring.plan.notices if "trained on" in note]

    return scored


def test_rows_that_were_trained_on_are_counted(notices):
    (note,) = notices(LAB, LAB)
    n = int(note.split(" of 60 image")[0].rpartition(" ")[2])
    assert N / 2 < n < N  # but those that are held back
    assert f"{n} of 60 text items" in note


def test_rows_of_another_corpus_are_told_apart(notices):
    corpora = NAMED.format("image") + NAMED.format("text")
    (note,) = notices(LAB + corpora, LAB + corpora)
    assert 0 < int(note.split(" of 60 image")[0].rpartition(" ")[2]) <= N / 2


def test_what_was_trained_on_in_another_lab_is_not_known(notices):
    corpora = NAMED.format("image") + NAMED.format("text")
    (note,) = notices(LAB + corpora, LAB)
    assert "trained on what is scored is not known: it was trained with other" in note
