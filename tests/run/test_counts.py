"""A run counts what its encoders left out of items; a later run reports it from the store."""

import json
import logging
import shutil
from dataclasses import replace

import numpy as np
import pytest
from fakes import IB, Encoder

from reactions.core.left_out import by_space, longer_than, note
from reactions.data.corpora import TextCorpus
from reactions.modalities import noticed
from reactions.run.local import LocalExecutor
from reactions.run.logs import log
from reactions.steps.embed import EmbedLeaf
from reactions.store import Store
from reactions.store.maintenance import records

CUT = longer_than("9 letters")


class Reading(Encoder):
    """Reads nine letters of a text, and says so."""

    def limits(self, modality):
        return {self.spec.name: (CUT,)}

    def preprocess(self, modality, item):
        if len(item.value) > 9:
            with by_space(self.spec.name):
                note(CUT)
        return np.arange(min(9, len(item.value)) + 1)

    def forward(self, modality, inputs):
        rows = np.zeros((len(inputs), self.spec.dim), np.float32)
        rows[:, 0] = 1
        return rows


class Silent(Reading):
    """Reads as much, and does not say so."""

    limits = None

    def preprocess(self, modality, item):
        return np.arange(min(9, len(item.value)) + 1)


@pytest.fixture(autouse=True)
def _nothing_noticed():
    noticed.take()
    yield
    noticed.take()


def embedding(shard_rows=4):
    # 1 of the first shard, 2 of the second, none of the third is too long.
    lengths = [3, 12, 9, 1, 10, 9, 11, 2, 5, 5]
    corpus = TextCorpus("captions", ["x" * n for n in lengths])
    return EmbedLeaf(space=IB.spec, corpus=corpus, dtype="float32", shard_rows=shard_rows)


def run(store, step, encoder=Reading):
    LocalExecutor(store, device="cpu", load_encoder=lambda spec, device: encoder(spec)).run([step])
    return noticed.take()


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "cache")


def test_a_run_and_a_later_one_report_the_same(store):
    step = embedding()
    expected = [
        f"3 of 10 texts are longer than {IB.spec.name}'s 9 letters; the rest of each is ignored"
    ]
    assert run(store, step) == expected
    counts = records(store.layout, [step.key])[step.key].left_out
    assert (counts.n_items, counts.counts, counts.n_uncounted) == (10, {CUT: 3}, 0)
    assert run(Store(store.root), step) == expected
    # How rows are cut into shards changes neither the key nor the counts.
    assert embedding(3).key == step.key
    assert run(Store(store.root.with_name("other")), embedding(3)) == expected


def test_python_logs_it_when_a_plan_ends(store, caplog):
    with caplog.at_level(logging.WARNING, logger="reactions"):
        executor = LocalExecutor(
            store, device="cpu", load_encoder=lambda spec, device: Reading(spec), events=log
        )
        executor.run([embedding()])
    assert [r.message for r in caplog.records if "3 of 10 texts are longer" in r.message]


def test_what_nobody_counted_is_not_0(store):
    step = embedding()
    expected = [f"what {IB.spec.name} left out of 10 items is not known"]
    assert run(store, step, Silent) == expected
    # As is what an earlier version made.
    (path,) = store.root.glob("entries/*/*/manifest.json")
    body = json.loads(path.read_text())
    assert body.pop("left_out")["not_counted"] == 10
    path.write_text(json.dumps(body))
    assert run(Store(store.root), step) == expected


def test_of_what_folders_of_embeddings_hold_nothing_is_left_out(store):
    step = embedding()
    step = replace(step, space=replace(step.space, adapter="precomputed"))
    run(store, step, Silent)
    (path,) = store.root.glob("entries/*/*/manifest.json")
    body = json.loads(path.read_text())
    del body["left_out"]  # as in what was taken over from another corpus
    path.write_text(json.dumps(body))
    assert run(Store(store.root), step) == []


def test_a_store_that_was_removed_meanwhile_is_made_again(store):
    step = embedding()
    first = run(store, step)
    shutil.rmtree(store.root)
    assert run(store, step) == first
    assert run(Store(store.root), step) == first
