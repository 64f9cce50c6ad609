"""What CLAP reads: RoBERTa's tokens, from files on this machine."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from clap_toys import TEXTS, tokenizer

from reactions.core.errors import DataError, MissingError
from reactions.encoders.clap.text import ROBERTA, Tokens, find
from reactions.weights.locate import WeightLocator

pytest.importorskip("tokenizers")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("roberta")
    tokenizer(folder)
    return folder


def test_tokens_are_those_of_transformers(folder):
    transformers = pytest.importorskip("transformers")
    reference = transformers.RobertaTokenizer.from_pretrained(folder)
    ours = Tokens(folder)
    for text in (*TEXTS, "a <pad> and </s> in the text", " two  spaces "):
        expected = reference(text, truncation=True, max_length=77)["input_ids"]
        assert ours.of(text).tolist() == expected
    assert len(ours) == len(reference)


def test_both_ends_are_there_and_long_texts_lose_their_tail(folder):
    tokens = Tokens(folder)
    assert tokens.of("").tolist() == [0, 2]
    assert tokens.of("the").tolist() == [0, 262, 2]
    long = tokens.of("the " * 200)
    assert (len(long), long[0], long[-1], long.dtype) == (77, 0, 2, np.int64)


def test_one_file_serves_as_well(folder, tmp_path):
    Tokens(folder)._tokenizer.save(str(tmp_path / "tokenizer.json"))
    plain, saved = Tokens(folder), Tokens(tmp_path)
    assert len(saved) == len(plain)
    assert all(saved.of(text).tolist() == plain.of(text).tolist() for text in TEXTS)


def test_threads_may_share_it(folder):
    tokens = Tokens(folder)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(tokens.of, TEXTS * 50))
    assert all(
        r.tolist() == tokens.of(t).tolist() for r, t in zip(results, TEXTS * 50, strict=True)
    )


def test_damaged_files_are_reported(folder, tmp_path):
    (tmp_path / "vocab.json").write_text("{")
    (tmp_path / "merges.txt").write_text("")
    with pytest.raises(DataError, match="cannot read the tokenizer"):
        Tokens(tmp_path)


# --- where it lies -------------------------------------------------------------------


def test_missing_files_say_which_and_where(tmp_path):
    with pytest.raises(MissingError, match="no tokenizer for space 'CLAP_g'") as caught:
        find("CLAP_g", tmp_path, WeightLocator(hub=tmp_path / "hub"))
    assert "vocab.json" in caught.value.why
    assert str(tmp_path) in caught.value.why
    assert "molspace spaces fetch CLAP_g" in caught.value.fix


def test_beside_the_checkpoint_comes_first(tmp_path):
    checkpoint_folder, other = tmp_path / "beside", tmp_path / "other"
    locator = WeightLocator(folders=(other,), hub=tmp_path / "hub")
    tokenizer(other / "roberta-base")
    assert find("x", checkpoint_folder, locator) == other / "roberta-base"
    tokenizer(checkpoint_folder / "roberta-base")
    assert find("x", checkpoint_folder, locator) == checkpoint_folder / "roberta-base"
    tokenizer(checkpoint_folder)
    assert find("x", checkpoint_folder, locator) == checkpoint_folder


@pytest.mark.parametrize("repo", [ROBERTA.repo, "roberta-base"])
@pytest.mark.parametrize("commit", [ROBERTA.revision, "0" * 40])
def test_the_hubs_cache_serves(tmp_path, repo, commit):
    folder = tmp_path / ("models--" + repo.replace("/", "--"))
    tokenizer(folder / "snapshots" / commit)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(commit)
    assert find("x", tmp_path, WeightLocator(hub=tmp_path)) == folder / "snapshots" / commit


def test_half_a_tokenizer_does_not_count(tmp_path):
    tokenizer(tmp_path)
    (tmp_path / "merges.txt").unlink()
    with pytest.raises(MissingError):
        find("x", tmp_path, WeightLocator(hub=tmp_path / "hub"))
