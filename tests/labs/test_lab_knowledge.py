"""``[kb.NAME]`` in lab files, and the corpora that knowledge bases describe."""

import dataclasses
from pathlib import Path

import pytest
from knowledge_rows import METADATA, ROWS
from lab_files import SPACE, load, refused, write

from reactions.core.errors import DataError, MissingError, UsageError
from reactions.knowledge.base import DescribedCorpus, Description, KnowledgeMetadata
from reactions.knowledge.files import write_knowledge
from reactions.labs import mini
from reactions.labs.lab_file import load_lab

pytestmark = pytest.mark.usefixtures("own_folder")

FILE = '[kb.pets]\npath = "deep/kb.parquet"\n'
TEXTS = '[corpora.text]\npath = "captions.txt"\n'


@pytest.fixture
def pets():
    write_knowledge(Path("deep/kb.parquet"), ROWS, METADATA)


# --- which ---


def test_the_mini_lab_has_two():
    lab = load_lab("mini", seed=4)
    kb, other = lab.knowledge("kb"), lab.knowledge("open")
    assert (kb.name, other.name) == ("kb", "open")
    assert len(kb.of_category("dog")) == 1000
    assert kb is lab.knowledge("kb")
    assert kb.digest != other.digest
    assert kb.digest != load_lab("mini").knowledge("kb").digest
    assert (kb.describer.stray, kb.describer.bias, kb.describer.silent) == (10, 70, 65)
    assert (kb.describer.noun_error, kb.describer.omit, kb.describer.mistake) == (10, 30, 8)
    assert other.describer == dataclasses.replace(kb.describer, vocabulary="open")


def test_a_file_of_ones_own(pets):
    lab = load(FILE)
    assert lab.knowledge("pets").name == "pets"
    assert "mini" not in lab.label
    by_path = lab.knowledge("deep/kb.parquet")
    assert (by_path.name, by_path.digest) == ("deep/kb.parquet", lab.knowledge("pets").digest)


def test_it_starts_beside_the_lab_file(pets):
    write('[kb.pets]\npath = "kb.parquet"\n', "deep/molspace.toml")
    assert len(load_lab("deep").knowledge("pets")) == len(ROWS)


def test_labs_that_extend_have_those_of_the_other_too(pets):
    lab = load('[lab]\nextends = "mini"\n' + FILE)
    assert list(lab.knowledge_bases) == ["kb", "open", "pets"]
    lab = load('[lab]\nextends = "mini"\n[kb.kb]\npath = "deep/kb.parquet"\n')
    assert len(lab.knowledge("kb")) == len(ROWS)


def test_one_of_the_world_is_a_rehearsal():
    lab = load(SPACE + "[kb.small]\nworld = 3\nscenes = 2\nstray = 0\nsynonyms = false\n")
    assert lab.label.startswith("mini")
    kb = lab.knowledge("small")
    assert (kb.n_sentences, kb.n_scenes) == (3, 2)
    assert (kb.describer.stray, kb.describer.synonyms) == (0, False)


def test_names_that_are_not_there(pets):
    lab = load(FILE)
    with pytest.raises(UsageError, match="no knowledge base 'pest'\n  fix: did you mean 'pets'"):
        lab.knowledge("pest")
    with pytest.raises(UsageError, match=r"\[kb\.kb\] with path"):
        load(SPACE).knowledge("kb")
    with pytest.raises(MissingError, match="there is no knowledge base at"):
        lab.knowledge("other.parquet")
    Path("x.jsonl").write_text("{}")
    with pytest.raises(DataError, match=r"fix: molspace kb import table x\.jsonl"):
        lab.knowledge("x.jsonl")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[kb]\nx = 3", "'kb.x' is not a table"),
        ("[kb.x]", r"kb\.x\.path is missing.*kb\.parquet"),
        ("[kb.x]\npaht = 'y'", "unknown key kb.x.paht.*'path'"),
        ("[kb.x]\npath = ' '", r"kb\.x\.path is empty"),
        ("[kb.x]\npath = 'https://a/b.parquet'", "is the address.*download it"),
        ("[kb.x]\npath = 'y'\nitems = 3", "items' is not a table"),
        ("[kb.x]\npath = 'y'\nstray = 3", "takes path and items"),
        ("[kb.x]\nworld = 3\npath = 'y'", "takes nothing beside world"),
        ("[kb.x]\nworld = 3\nstrya = 1", "unknown key kb.x.strya.*'stray'"),
        ("[kb.x]\nworld = 3\nvocabulary = 'opne'", "is 'opne'.*'open'"),
        ("[kb.x]\nworld = 3\nbias = 101", "the describer's bias is 101"),
        ("[kb.x]\nworld = 3\nbias = 0.5", "must be a whole number"),
        ("[kb.'a/b']\nworld = 3", "reads as a path"),
    ],
)
def test_mistakes(text, words):
    refused(text, words)


@pytest.mark.parametrize("key", ["world", "scenes"])
def test_empty_worlds(key):
    both = {"world": 1, "scenes": 1, key: 0}
    text = "".join(f"{name} = {value}\n" for name, value in both.items())
    refused(f"[kb.x]\n{text}", rf"kb\.x is empty \({key} = 0\)", DataError)


# --- corpora by name ---


def test_corpora_by_name():
    lab = load_lab("mini")
    assert lab.named_corpus("image") is lab.corpus("image")
    assert lab.named_corpus("imagenet") is lab.benchmark("imagenet").queries
    assert lab.named_corpus("vggss") is lab.benchmark("vggss").left
    assert lab.named_corpus("world:image").digest == mini.described_corpus(
        "image", n=2000, seed=0
    ).digest  # fmt: skip
    assert len(lab.named_corpus("world:audio:30")) == 30


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("imagnet", UsageError, "no corpus 'imagnet'\n  fix: did you mean 'imagenet'"),
        ("imgae", UsageError, "did you mean 'image'"),
        ("world:imgae", UsageError, "did you mean 'image'"),
        ("world:image:x", UsageError, "'x' is not a number of scenes"),
        ("world:image:0", DataError, "is empty"),
        ("", UsageError, "no corpus ''"),
        ("imagenet:trian", UsageError, "task 'imagenet' has no split 'trian'"),
        ("imagenet:", UsageError, "task 'imagenet' has no split ''"),
    ],
)
def test_corpora_that_are_not_there(name, error, words):
    with pytest.raises(error, match=words):
        load_lab("mini").named_corpus(name)


def test_training_splits_by_name(monkeypatch):
    lab, names_asked = load_lab("mini"), []
    data = lab.benchmark("imagenet")
    monkeypatch.setattr(type(lab), "split", lambda lab, *names: names_asked.append(names) or data)
    assert lab.named_corpus("imagenet:train") is data.queries
    assert names_asked == [("imagenet", "train")]


def test_the_world_is_of_the_mini_lab():
    with pytest.raises(MissingError, match="--lab mini"):
        load(SPACE).named_corpus("world:image")


# --- what is described ---


def test_the_world_describes_its_own():
    lab = load_lab("mini", seed=2)
    for name in ("kb", "open"):
        kb = lab.knowledge(name)
        for modality in kb.modalities:
            corpus = lab.item_corpus(kb, modality)
            assert corpus.modality == modality
            assert corpus.ids() == kb.items(modality).ids


def test_a_world_with_other_scenes():
    lab = load('[lab]\nextends = "mini"\n[kb.small]\nworld = 1\nscenes = 4\n')
    kb = lab.knowledge("small")
    assert lab.item_corpus(kb, "image").ids() == kb.items("image").ids


def described(items):
    rows = [Description("captions.txt:1", "dog", "a dog", "MLLM", "text")]
    write_knowledge(Path("kb.parquet"), rows, KnowledgeMetadata(items=items))


def test_the_file_says_what_is_described():
    Path("captions.txt").write_text("a\nb\n")
    digest = load(TEXTS).corpus("text").digest
    described({"text": DescribedCorpus("text", digest)})
    lab = load(TEXTS)
    assert lab.item_corpus(lab.knowledge("kb.parquet"), "text") is lab.corpus("text")
    Path("captions.txt").write_text("a\nc\n")
    lab = load(TEXTS)
    with pytest.raises(DataError, match=r"(?s)have changed since.*describe --corpus text"):
        lab.item_corpus(lab.knowledge("kb.parquet"), "text")


def test_the_lab_may_say_it_instead():
    Path("captions.txt").write_text("a\nb\n")
    described({})
    lab = load(TEXTS)
    with pytest.raises(UsageError, match=r"nothing says which text items.*\n.*items = \{ text ="):
        lab.item_corpus(lab.knowledge("kb.parquet"), "text")
    described({"text": DescribedCorpus("elsewhere", "ab" * 32)})
    section = '[kb.mine]\npath = "kb.parquet"\nitems = { text = "text" }\n'
    lab = load(TEXTS + section)
    assert lab.item_corpus(lab.knowledge("mine"), "text") is lab.corpus("text")
    lab = load(TEXTS + section.replace('"text" }', '"txt" }'))
    with pytest.raises(UsageError, match="did you mean 'text'"):
        lab.item_corpus(lab.knowledge("mine"), "text")


def test_items_of_another_modality():
    described({})
    lab = load('[lab]\nextends = "mini"\n[kb.x]\npath = "kb.parquet"\nitems = { text = "image" }\n')
    with pytest.raises(DataError, match="the items of 'image' are image"):
        lab.item_corpus(lab.knowledge("x"), "text")
