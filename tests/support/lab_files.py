"""Lab files in the working directory, read or refused."""

from pathlib import Path

import pytest

from reactions.core.errors import UsageError
from reactions.labs.lab_file import load_lab

SPACE = """
[spaces.Mine]
adapter = "my_model"
source = "org/model"
dim = 12
modalities = ["text", "audio"]
"""


def mini_lab(n_texts, n_others, **reaction):
    """Return a lab file: the mini lab with small corpora, and other settings of its reactions.

    Args:
        n_texts: items of the text corpus.
        n_others: items of the image corpus, and of the audio corpus.
        reaction: what stands under ``[reaction]``.
    """
    settings = "".join(f"{name} = {value}\n" for name, value in reaction.items())
    sizes = {"text": n_texts, "image": n_others, "audio": n_others}
    corpora = "".join(f"{name} = {{ world = {n} }}\n" for name, n in sizes.items())
    return f'[lab]\nname = "small"\nextends = "mini"\n[reaction]\n{settings}[corpora]\n{corpora}'


def write(text, path="molspace.toml"):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def load(text, **options):
    write(text)
    # By name: what is found by itself is not used before the user agrees (test_lab_trust.py).
    return load_lab(**{"name": "molspace.toml", **options})


def refused(text, words, error=UsageError):
    with pytest.raises(error, match=f"(?s){words}") as caught:
        load(text)
    return caught.value
