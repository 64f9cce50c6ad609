"""Texts that encoders cut are noted, no others: held against tokenizers that do not cut."""

import hf_tiny
import imagebind_reference
import open_clip_tiny
import pytest
from clap_toys import tokenizer

from reactions.core.left_out import gathered, longer_than
from reactions.encoders import registry
from reactions.encoders.preprocessing import clip_bpe

WORDS = ["cat ", "a red dog ", "Ünïcode ", "red, red; ", "!!! "]
TEXTS = ["", *(word * n for word in WORDS for n in range(1, 90))]


def are_cut(prepare, clause, texts=TEXTS):
    cut = []
    for text in texts:
        with gathered() as notes:
            prepare(text)
        assert {note.clause for note in notes} <= {clause}
        cut.append(bool(notes))
    assert 0 < sum(cut) < len(cut)
    return cut


def test_those_of_clip_are_what_open_clips_tokenizer_cuts():
    open_clip = pytest.importorskip("open_clip")
    reference = open_clip.SimpleTokenizer()
    expected = [len(reference.encode(text)) + 2 > 77 for text in TEXTS]
    assert are_cut(clip_bpe.tokenize, longer_than("77 tokens")) == expected


def test_those_of_imagebind_are_what_its_package_cuts():
    loaders = imagebind_reference.data()
    reference = loaders.SimpleTokenizer(bpe_path=loaders.return_bpe_path())
    expected = [len(reference.encode(text)) + 2 > 77 for text in TEXTS]
    assert are_cut(clip_bpe.tokenize, longer_than("77 tokens")) == expected


def test_those_of_clap_are_what_robertas_tokenizer_cuts(tmp_path):
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("tokenizers")
    from reactions.encoders.clap.text import Tokens

    tokenizer(tmp_path)
    reference = transformers.RobertaTokenizer.from_pretrained(tmp_path)
    expected = [len(reference(text)["input_ids"]) > 77 for text in TEXTS]
    assert are_cut(Tokens(tmp_path).of, longer_than("77 tokens")) == expected


def test_those_of_open_clip_are_what_its_tokenizer_cuts(tmp_path):
    open_clip = pytest.importorskip("open_clip")
    with open_clip_tiny.known(tmp_path):
        path = open_clip_tiny.save(tmp_path / "weights.pt", open_clip_tiny.state())
        spec = registry.resolve_uri(f"open_clip:Tiny-16/{path}")
        encoder = registry.load(spec)
    reference = open_clip.SimpleTokenizer()
    expected = [len(reference.encode(text)) + 2 > 12 for text in TEXTS]
    clause = longer_than("12 tokens")
    assert encoder.limits("text") == {spec.name: (clause,)}
    prepare = encoder.towers["text"].prepare
    assert are_cut(prepare, clause) == expected


@pytest.mark.parametrize("family", hf_tiny.FAMILIES)
def test_those_of_transformers_are_what_its_tokenizer_cuts(tmp_path, family):
    transformers = pytest.importorskip("transformers")
    getattr(hf_tiny, f"save_{family}")(tmp_path / "model")
    encoder = hf_tiny.opened(f"hf:{tmp_path / 'model'}")
    reference = transformers.AutoTokenizer.from_pretrained(tmp_path / "model")
    ((clause,),) = encoder.limits("text").values()
    context = int(clause.split("'s ")[1].split()[0])
    expected = [len(reference(text)["input_ids"]) > context for text in TEXTS]
    assert are_cut(encoder.towers["text"].prepare, clause) == expected
