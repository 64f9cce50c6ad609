"""Ids of embeddings in a column of a csv or tsv beside them."""

from pathlib import Path

import numpy as np
import pytest
from embedding_folder import resolve, rows
from media_files import put

from reactions.core.errors import DataError
from reactions.encoders.precomputed import corpora

NAMES = ["c", "a", "e", "b", "d"]
X = rows(n=len(NAMES))


@pytest.mark.parametrize(
    ("name", "header", "row"),
    [
        ("ids.csv", "id", "{}"),
        ("text.ids.csv", "name,text_id,image_id", "n,{},x"),
        ("text_ids.tsv", "key\tlabel", "{}\tx"),
        ("text.keys.csv", "\ufeffid", "{}"),
    ],
)
def test_a_column_of_a_table_holds_ids(name, header, row, tmp_path: Path) -> None:
    np.save(tmp_path / "text.npy", X)
    put(tmp_path / name, "\n".join([header, *map(row.format, NAMES)]) + "\n")
    assert corpora.corpus(resolve(tmp_path), "text").ids() == NAMES


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("c\na\ne\nb\nd\n", "no column of ids in"),
        ("id\nc\na\n", "mismatched ids: 'ids.csv' has 2"),
        ('id,n\nc,1\n"",2\n', "no id in line 3 of"),
        ("id,n\nc,1,2\n", "no id in line 2 of"),
        ("id\n" + "x\n" * 2000, "mismatched ids"),
    ],
)
def test_a_table_that_does_not_say_the_ids_of_all_rows_is_refused(text, words, tmp_path) -> None:
    np.save(tmp_path / "text.npy", X)
    put(tmp_path / "ids.csv", text)
    with pytest.raises(DataError, match=words) as caught:
        corpora.corpus(resolve(tmp_path), "text")
    assert caught.value.fix
