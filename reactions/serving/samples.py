"""An index of a lab's sample items, for a page that was given none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from reactions.core.errors import MolspaceError
from reactions.core.paths import cache_root
from reactions.core.types import Item, Modality
from reactions.eval.task_data import sides_of
from reactions.inference.embedder import LoadedParts
from reactions.labs.lab import Lab
from reactions.modalities.registry import content_digest
from reactions.modalities.text import TEXT
from reactions.products.target import Target
from reactions.search.atom_rows import AtomEmbedder
from reactions.search.build import add_items
from reactions.search.hits import IndexedItem
from reactions.search.index import SearchIndex
from reactions.search.made_by import space_digest
from reactions.session import Session, load_encoder

N_ITEMS: Final = 96
"""Of each modality."""

_TASKS: Final = ("flickr30k", "audiocaps")
"""Whose captions are the sample's texts, half of each."""


def sample_index(
    session: Session,
    target: Target,
    parts: LoadedParts,
    on_progress: Callable[[int], None] = lambda n: None,
) -> SearchIndex | None:
    """Return an index of the mini world's items, made or found in the cache.

    Returns:
        None where the lab is not of the mini world, or the target embeds none of it.

    Raises:
        StoreError: the cache cannot be written.
    """
    if not session.lab.world_tasks:
        return None
    directory = cache_root() / "samples" / space_digest(target)[:16]
    embedder = AtomEmbedder(target, load_encoder=load_encoder, device=parts.device, parts=parts)
    items = _items(session.lab, target)
    done = add_items(
        directory, target, embedder, items, digests=session.lab.digests, on_progress=on_progress
    )
    return done.index if len(done.index) else None


def _items(lab: Lab, target: Target) -> Iterator[Item]:
    from reactions.labs import mini

    for modality in target.space.modalities:
        if modality in mini.described_modalities():
            yield from lab.named_corpus(f"world:{modality}:{N_ITEMS}").items(0, N_ITEMS)
    if TEXT.name in target.space.modalities:
        for task in _TASKS:
            captions = next(s for s in sides_of(lab.benchmark(task)) if s.modality == TEXT.name)
            yield from captions.items(0, min(N_ITEMS // 2, len(captions)))


class LabItems:
    """Finds items of the mini world again, which lie in no file, by their ids.

    Args:
        lab: whose.
    """

    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    def find(self, indexed: IndexedItem) -> Item | None:
        """Return an item with its value; None where it is not there, or is another one."""
        if not self._lab.world_tasks:
            return None
        name, slash, row = indexed.id.rpartition("/")
        if not slash or not row.isascii() or not row.isdecimal() or len(row) > 7:
            return None
        with suppress(MolspaceError):
            return self._at(name, int(row), indexed)
        return None

    def _at(self, name: str, row: int, indexed: IndexedItem) -> Item | None:
        modality = indexed.modality
        corpora = []
        if name == f"kb-items-{modality}":
            corpora.append(self._lab.named_corpus(f"world:{modality}:{row + 1}"))
        elif name.startswith("mini-"):
            task, _, part = name.removeprefix("mini-").partition("-")
            if self._lab.may_have(task):
                if part:
                    corpora.append(self._lab.named_corpus(f"{task}:{part}"))
                else:
                    corpora += sides_of(self._lab.benchmark(task))
        if (lab_corpus := self._lab.corpus(modality)) is not None:
            corpora.append(lab_corpus)
        for corpus in corpora:
            if corpus.modality == modality and row < len(corpus):
                (item,) = corpus.items(row, row + 1)
                same = item.id == indexed.id
                if same and content_digest(item, self._lab.digests) == indexed.digest:
                    return item
        return None


def is_sample(directory: Path) -> bool:
    """Return whether an index is one that ``sample_index`` made."""
    return directory.parent == cache_root() / "samples"


def modalities_with_samples(lab: Lab, target: Target) -> list[Modality]:
    """Return the modalities of which there are samples."""
    from reactions.labs import mini

    if not lab.world_tasks:
        return []
    sampled = {*mini.described_modalities(), TEXT.name}
    return [modality for modality in target.space.modalities if modality in sampled]
