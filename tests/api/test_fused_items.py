"""Items against items: similarities, indexes, searches, classes."""

import json

import numpy as np
import pytest
import torch

from reactions import Item
from reactions.core.errors import DataError, DimensionMismatch, UsageError
from reactions.search.index import SearchIndex

# --- similarity ---


IMAGE = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)


def test_similarities_are_cosines_of_embeddings(fused):
    texts, images = ["a", "b", "c"], [IMAGE, IMAGE + 1]
    rows = fused.embed(text=texts, image=images, sigma=0.2)
    similarity = fused.similarity(text=texts, image=images, sigma=0.2)
    np.testing.assert_allclose(similarity.cosines, rows["text"] @ rows["image"].T, atol=1e-6)
    np.testing.assert_array_equal(np.asarray(similarity), similarity.cosines)
    assert np.asarray(similarity, np.float64).dtype == np.float64
    assert (similarity.left, similarity.right, similarity.shape) == ("text", "image", (3, 2))
    assert similarity.row_labels == ("a", "b", "c")
    turned = fused.similarity(image=images, text=texts, sigma=0.2)
    np.testing.assert_allclose(turned.cosines, similarity.cosines.T, atol=1e-6)
    for alternative in (
        fused.similarity(rows["text"], rows["image"]),
        fused.similarity(rows["text"] * 7, rows["image"].tolist()),
    ):
        np.testing.assert_allclose(alternative.cosines, similarity.cosines, atol=1e-6)
    mixed = fused.similarity(rows["text"], image=images, sigma=0.2)
    np.testing.assert_allclose(mixed.cosines, similarity.cosines, atol=1e-6)
    assert (mixed.left, mixed.right) == ("rows", "image")


def test_within_one_modality(fused):
    similarity = fused.similarity(text=["a", "b"])
    np.testing.assert_allclose(np.diag(similarity.cosines), 1, atol=1e-6)
    assert (similarity.left, similarity.right) == ("text", "text")
    np.testing.assert_allclose(
        fused.similarity(fused.embed(text=["a", "b"])["text"]).cosines,
        similarity.cosines,
        atol=1e-6,
    )
    assert [row_best[0][0] for row_best in similarity.best()] == ["a", "b"]
    assert len(similarity.best(9)[0]) == 2
    with pytest.raises(UsageError, match="k is 0"):
        similarity.best(0)


def test_a_similarity_as_a_table(fused):
    similarity = fused.similarity(text=["a", "<b>"], image=[IMAGE])
    frame = similarity.to_dataframe()
    assert list(frame.index) == ["a", "<b>"]
    assert frame.loc["a", "0"] == pytest.approx(similarity.cosines[0, 0])
    assert frame.attrs["lab"] == "mini (tiny)"
    assert json.loads(json.dumps(similarity.to_json()))["cosines"][0][0] == pytest.approx(
        frame.iat[0, 0]
    )
    page = similarity._repr_html_()
    assert "lab: mini (tiny)" in page
    assert "&lt;b&gt;" in page
    assert "<b>" not in page
    big = fused.similarity(text=[f"text {i}" for i in range(30)])
    assert "the first 12 x 12 of 30 x 30" in repr(big)
    assert "text 11" in big._repr_html_()
    assert "text 12" not in big._repr_html_()


def test_tensors_of_16_bits_are_compared(fused):
    rows = torch.eye(6, dtype=torch.bfloat16)
    np.testing.assert_allclose(fused.similarity(rows, rows), np.eye(6), atol=1e-6)


@pytest.mark.parametrize(
    ("rows", "error"),
    [
        (np.zeros((2, 6)), DataError),
        (np.full((2, 6), np.nan), DataError),
        (np.eye(5), DimensionMismatch),
        (np.ones(6), DimensionMismatch),
        (["a", "b"], UsageError),
    ],
)
def test_rows_that_cannot_be_compared(fused, rows, error):
    with pytest.raises(error):
        fused.similarity(rows)


def test_a_matrix_that_would_not_fit(fused, monkeypatch):
    monkeypatch.setattr("reactions.api.similarities.MOST_CELLS", 8)
    with pytest.raises(UsageError, match=r"3 times 3") as caught:
        fused.similarity(np.ones((3, 6)))
    assert "search" in caught.value.fix


# --- index and search ---


def test_hits_are_the_nearest(fused, tmp_path):
    texts = [f"text {i}" for i in range(20)]
    index = fused.index(tmp_path / "idx", text=texts, image=[IMAGE, IMAGE + 1])
    assert index.counts == {"image": 2, "text": 20}
    assert index.lab == "mini (tiny)"
    for factors in ({}, {"sigma": 0.1}, {"experts": ["CLAP_m"]}):
        results = fused.search(index, text=["text 3", "new"], into="text", k=4, **factors)
        rows = fused.embed(text=["text 3", "new"], **factors)["text"]
        all_rows = fused.embed(text=texts, **factors)["text"]
        cosines = rows @ all_rows.T
        order = np.argsort(-cosines, axis=1)[:, :4]
        assert [[h.item.source for h in query.hits] for query in results] == [
            [texts[j] for j in places] for places in order
        ]
        np.testing.assert_allclose(
            [[h.score for h in query.hits] for query in results],
            np.take_along_axis(cosines, order, 1),
            atol=1e-5,
        )
    assert results[0].query == "text 3"
    mixed = fused.search(str(tmp_path / "idx"), image=[IMAGE], text=["text 1"], k=1)
    assert [query.modality for query in mixed] == ["image", "text"]
    assert mixed[0].hits[0].item.modality == "image"
    with pytest.raises(UsageError, match="k is '3'"):
        fused.search(index, text=["text 1"], k="3")
    frame = results.to_dataframe()
    assert list(frame["rank"]) == [1, 2, 3, 4, 1, 2, 3, 4]
    assert json.loads(json.dumps(results.to_json()))["queries"][1]["query"] == "new"
    assert "lab: mini (tiny)" in results._repr_html_()


def test_what_is_there_is_not_indexed_again(fused, tmp_path):
    place = tmp_path / "idx"
    fused.index(place, text=["a"], image=[IMAGE])
    second = fused.index(place, text=["a", "b"], image=[IMAGE + 9, IMAGE])
    assert (second.added, second.replaced, second.kept) == ({"text": 1, "image": 1}, {}, 2)
    further = fused.index(place, image=[Item("mine", "image", IMAGE + 30)])
    assert further.added == {"image": 1}
    assert "mine" in {item.id for _, item in SearchIndex(place, fused._target).items("image")}


def test_an_index_that_grows_is_opened_again(fused, tmp_path, monkeypatch):
    opened = []

    class Counted(SearchIndex):
        def __init__(self, *arguments):
            opened.append(arguments)
            super().__init__(*arguments)

    monkeypatch.setattr("reactions.api.loaded_space.SearchIndex", Counted)
    fused.index(tmp_path / "idx", text=["a"])
    for _ in range(3):
        assert len(fused.search(tmp_path / "idx", text=["a"])[0].hits) == 1
    assert len(opened) == 1
    fused.index(tmp_path / "idx", text=["b"])
    assert len(fused.search(tmp_path / "idx", text=["a"])[0].hits) == 2
    assert len(opened) == 2


def test_items_that_cannot_be_embedded_are_counted(fused, tmp_path, caplog):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no picture")

    index = fused.index(tmp_path / "idx", image=[bad, IMAGE], text=["a"])
    assert (index.skipped, index.counts) == (1, {"image": 1, "text": 1})
    assert "bad.png is left out" in index.notices[0]
    assert "bad.png is left out" in caplog.text
    assert "note: " in index._repr_html_()


def test_a_corpus_is_indexed(fused, tmp_path, monkeypatch):
    from reactions.labs.lab import Lab

    monkeypatch.setattr(Lab, "named_corpus", lambda self, name: self.corpus(name), raising=False)
    index = fused.index(tmp_path / "idx", corpora=["image"])
    assert index.counts == {"image": 40}


# --- classify ---


def test_classes_of_items(tmp_path, loaded):
    """On the mini lab's own knowledge base and encoders of rows by id: the wiring."""
    from bundles import record_of, tensors_of
    from fakes import headline

    import reactions
    from reactions.products.bundles.bundle import write_bundle

    space = headline()
    bundle_path = write_bundle(tmp_path / "b", record_of(space), tensors_of(space))
    with reactions.load(bundle_path, lab="mini", device="cpu") as fused:
        classified = fused.classify("kb", classes=["dog", "cat"], top=1, text=["x"], image=[IMAGE])
        assert [item.modality for item in classified] == ["text", "image"]
        assert {item.classes[0][0] for item in classified} <= {"dog", "cat"}
        assert list(classified.to_dataframe()["rank"]) == [1, 1]
        assert classified.to_json()["centres"]["k"] == 50
        assert len(loaded) == len(set(loaded))
        by_prompts = fused.classify(classes=["dog", "cat", "dog"], top=3, image=[IMAGE])
        assert {name for name, _ in by_prompts[0].classes} == {"dog", "cat"}
        assert by_prompts.about["prompts"] == {"image": ["a photo of a {class}."]}
        own = fused.classify(classes=["dog"], templates=["the {class}"], image=[IMAGE])
        assert own.to_json()["centres"]["prompts"] == {"image": ["the {class}"]}


def test_all_that_is_described_is_a_choice_that_is_said(fused, monkeypatch):
    class Naming:
        classes, about, notices = ("a", "b", "c"), {"k": 50}, ()

        def of_items(self, items, rows, n):
            assert rows.shape == (1, 6)
            return [[("a", 0.5), ("b", 0.25)][:n]]

    monkeypatch.setattr("reactions.api.operations.classifier", lambda *arguments: Naming())
    monkeypatch.setattr("reactions.api.operations.open_source", lambda lab, name: name)
    classified = fused.classify("kb", top=2, text=["x"])
    assert classified[0].classes == (("a", 0.5), ("b", 0.25))
    assert "among all 3 classes that are described" in classified.notices[0]
    assert fused.classify("kb", classes=["a"], text=["x"]).notices == ()
