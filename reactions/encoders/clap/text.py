"""The input of CLAP's text tower: RoBERTa's byte-pair tokens, at most 77 of them.

The tokenizer's files lie beside a checkpoint or in the hub's cache on this machine.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reactions.core.errors import DataError, MissingError
from reactions.encoders.packages import import_package
from reactions.encoders.preprocessing.tokens import cut_limits, note_cut
from reactions.weights.hub import hub_snapshot
from reactions.weights.locate import WeightLocator, WeightsRepo

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_TOKENS = 77
"""With both ends; all published CLAP models were trained with it."""

LIMITS = cut_limits(MAX_TOKENS)
"""What ``Tokens.of`` notes of texts."""

_JSON, _VOCABULARY, _MERGES = "tokenizer.json", "vocab.json", "merges.txt"

ROBERTA = WeightsRepo(
    "FacebookAI/roberta-base",
    revision="e2da8e2f811d1448a5b465c236feacd80ffbac7b",
    files=(_VOCABULARY, _MERGES),
    licence="MIT",
)
"""Whose tokenizer laion_clap uses."""

_FOLDER = "roberta-base"
_OLDER_NAME = "roberta-base"
"""The repository's name before it moved; caches filled then still use it."""

_START, _PAD, _END, _UNKNOWN, _MASK = "<s>", "<pad>", "</s>", "<unk>", "<mask>"


class Tokens:
    """RoBERTa's tokenizer.

    Args:
        folder: holds ``vocab.json`` and ``merges.txt``, or ``tokenizer.json``.

    Raises:
        MissingError: the tokenizers package or a file is missing.
        DataError: the files are damaged.
    """

    def __init__(self, folder: Path) -> None:
        self._tokenizer = _open(folder)
        # A tokenizer.json may bring padding, and a length, of its own.
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self.folder = folder

    def __len__(self) -> int:
        """Return the size of the vocabulary."""
        return int(self._tokenizer.get_vocab_size())

    def of(self, text: str) -> NDArray[np.int64]:
        """Return a text's token ids, both ends included: (2 <= n <= 77,) int64, not padded.

        Longer texts lose their tail, as they did in training, which is noted. Safe to call from
        several threads.
        """
        encoded = self._tokenizer.encode(text)
        if encoded.overflowing:
            note_cut(MAX_TOKENS)
        return np.array(encoded.ids, np.int64)


def find(space: str, beside: Path, locator: WeightLocator) -> Path:
    """Return the folder with RoBERTa's tokenizer; nothing is downloaded.

    Args:
        space: its name, for the message.
        beside: a folder to look in first, and in its ``roberta-base``.
        locator: where to look then: ``roberta-base`` in its folders, and the hub's cache.

    Raises:
        MissingError: it is nowhere.
    """
    folders = [beside, beside / _FOLDER, *(folder / _FOLDER for folder in locator.folders)]
    for repo in (ROBERTA.repo, _OLDER_NAME):
        for revision in (ROBERTA.revision, ""):
            snapshot = hub_snapshot(repo, revision, locator.hub)
            if snapshot is not None:
                folders.append(snapshot)
    for folder in folders:
        if complete(folder):
            return folder
    raise MissingError(
        f"no tokenizer for space '{space}'",
        why=f"{_VOCABULARY} and {_MERGES} of {ROBERTA.repo} are neither in '{beside}' "
        "nor in the hub's cache",
        fix=f"molspace spaces fetch {space}   or put both files there",
        space=space,
        files=list(ROBERTA.files),
        looked_in=[str(folder) for folder in folders],
    )


def complete(folder: Path) -> bool:
    """Return whether a folder holds a tokenizer's files."""
    plain = all((folder / name).is_file() for name in (_VOCABULARY, _MERGES))
    return plain or (folder / _JSON).is_file()


def _open(folder: Path) -> Any:
    tokenizers = import_package("tokenizers", str(folder), "clap")
    try:
        # Plain files first: they are what RoBERTa published, and leave no choice open.
        if (folder / _VOCABULARY).is_file() and (folder / _MERGES).is_file():
            return _from_plain_files(tokenizers, folder)
        return tokenizers.Tokenizer.from_file(str(folder / _JSON))
    # The package raises bare Exceptions for files it cannot read.
    except Exception as error:
        raise DataError(
            f"cannot read the tokenizer in '{folder}'",
            why=" ".join(str(error).split()),
            fix=f"get {_VOCABULARY} and {_MERGES} of {ROBERTA.repo} again",
            path=str(folder),
        ) from error


def _from_plain_files(tokenizers: Any, folder: Path) -> Any:
    model = tokenizers.models.BPE.from_file(str(folder / _VOCABULARY), str(folder / _MERGES))
    built = tokenizers.Tokenizer(model)
    built.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    token = tokenizers.AddedToken
    plain = [token(name, normalized=False) for name in (_START, _PAD, _END, _UNKNOWN)]
    built.add_special_tokens([*plain, token(_MASK, lstrip=True, normalized=False)])
    ends = {name: built.token_to_id(name) for name in (_START, _END)}
    built.post_processor = tokenizers.processors.TemplateProcessing(
        single=f"{_START} $A {_END}", special_tokens=list(ends.items())
    )
    return built
