from pathlib import Path

import numpy as np
import pytest

from reactions.core.errors import DataError
from reactions.core.types import Corpus, Item, Waveform
from reactions.data.corpora import IdCorpus, ListCorpus, TextCorpus, ids_of


def test_texts_get_row_numbers_for_ids() -> None:
    corpus: Corpus = TextCorpus("t", ["a", "b", "c"])
    assert len(corpus) == 3
    assert corpus.items(1, 3) == [Item("1", "text", "b"), Item("2", "text", "c")]


def test_digest_covers_ids_contents_order_and_modality_but_no_names() -> None:
    digest = TextCorpus("t", ["a", "b"]).digest
    assert TextCorpus("renamed", ["a", "b"]).digest == digest
    assert TextCorpus("t", ["a", "b"], ["0", "1"]).digest == digest
    items = [Item("0", "text", "a"), Item("1", "text", "b")]
    assert ListCorpus("l", "text", items).digest == digest
    different = {
        digest,
        TextCorpus("t", ["b", "a"]).digest,
        TextCorpus("t", ["a", "b"], ["1", "0"]).digest,
        TextCorpus("t", ["ab", ""]).digest,
        TextCorpus("t", ["a", "b", "c"]).digest,
        IdCorpus("t", "text", ["0", "1"]).digest,
        IdCorpus("t", "audio", ["0", "1"]).digest,
    }
    assert len(different) == 7


def test_a_golden_digest_holds_between_versions() -> None:
    assert TextCorpus("t", ["a"]).digest == (
        "0e1fb9262e70701e7efc6212f1970d54bceed48405a03f1c137ac2c3949138ae"
    )


def test_media_digests_see_values(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"1")
    zeros = np.zeros((2, 3, 3), np.uint8)
    values = [
        zeros,
        zeros.reshape(3, 2, 3),
        zeros + 1,
        zeros.astype(np.int8),
        Waveform(np.zeros(4, np.float32), 8000),
        Waveform(np.zeros(4, np.float32), 16000),
        tmp_path / "x",
        "x",
        None,
    ]
    digests = {ListCorpus("l", "m", [Item("0", "m", value)]).digest for value in values}
    assert len(digests) == len(values)
    flipped = np.asfortranarray(zeros)
    assert ListCorpus("l", "m", [Item("0", "m", flipped)]).digest in digests


def test_bad_corpora(tmp_path: Path) -> None:
    for make in (
        lambda: TextCorpus("t", []),
        lambda: ListCorpus("t", "audio", []),
        lambda: IdCorpus("t", "audio", []),
    ):
        with pytest.raises(DataError, match="corpus 't' is empty"):
            make()
    with pytest.raises(DataError, match="repeats 2 of its text ids, first 'b'"):
        TextCorpus("t", list("vwxyz"), list("abbcc"))
    with pytest.raises(DataError, match="1 ids for 2 texts"):
        TextCorpus("t", ["a", "b"], ["x"])
    with pytest.raises(DataError, match="corpus 't' of audio holds an item of text"):
        ListCorpus("t", "audio", [Item("a", "text", "x")])
    for value, words in ((3, "type int"), (tmp_path / "gone", "cannot read")):
        corpus = ListCorpus("t", "audio", [Item("a", "audio", value)])
        with pytest.raises(DataError, match=words):
            _ = corpus.digest


def test_ids_without_values() -> None:
    class Bare:
        name, modality, digest = "bare", "text", ""

        def __len__(self) -> int:
            return 9000

        def items(self, start: int, stop: int) -> list[Item]:
            return [Item(str(row), "text", "x") for row in range(start, min(stop, 9000))]

    assert ids_of(Bare()) == [str(row) for row in range(9000)]
    assert ids_of(IdCorpus("a", "text", ["x", "y"])) == ["x", "y"]
