"""Tables whose columns are those of published sets: what they mean is known, and is said.

A layout is recognised by its columns alone, whatever the file is called. Some name no files: clips
of videos are called by their ids, in one of several ways, of which the folder's files decide.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from reactions.core.errors import UsageError
from reactions.core.file_names import nfc
from reactions.core.storage import entry_of
from reactions.core.types import Modality
from reactions.data.sources.config import Source
from reactions.data.sources.row_plan import composed_of
from reactions.data.sources.stems import Stems
from reactions.data.sources.table_rows import read_table_rows


@dataclass(frozen=True)
class KnownLayout:
    """What a published set's columns mean.

    Attributes:
        title: of the set.
        needs: columns by which it is recognised.
        media: columns of modalities, plain or composed.
        called: of a modality whose files no column names: how they may be called, without endings.
        split: (column, value) that is taken where nothing else is asked for.
    """

    title: str
    needs: tuple[str, ...]
    media: Mapping[Modality, str]
    called: Mapping[Modality, tuple[str, ...]] = field(default_factory=dict)
    split: tuple[str, str] | None = None

    def fits(self, given: Collection[Modality], n: int) -> bool:
        """Return whether it completes modalities whose columns are given to n of them."""
        modalities = {*self.media, *self.called}
        return {*given} <= modalities and len(modalities) == n


_KARPATHY: Final = "a split of Karpathy's"
LAYOUTS: Final = (
    KnownLayout(
        _KARPATHY,
        ("filepath", "filename", "split", "sentences.raw"),
        {"image": "{filepath}/{filename}", "text": "sentences.raw"},
        split=("split", "test"),
    ),
    KnownLayout(
        _KARPATHY,
        ("filename", "split", "sentences.raw"),
        {"image": "filename", "text": "sentences.raw"},
        split=("split", "test"),
    ),
    KnownLayout(
        "AudioCaps",
        ("youtube_id", "start_time", "caption"),
        {"text": "caption"},
        {"audio": ("{youtube_id}_{start_time}", "{youtube_id}", "Y{youtube_id}", "{audiocap_id}")},
    ),
    KnownLayout(
        "MSR-VTT",
        ("video_id", "caption"),
        {"text": "caption"},
        {"video": ("{video_id}",)},
        split=("split", "test"),
    ),
)


def known_layout(header: Sequence[str]) -> KnownLayout | None:
    """Return the first layout whose columns a table has."""
    return next((layout for layout in LAYOUTS if {*layout.needs} <= {*header}), None)


def file_names(
    table: Path,
    header: Sequence[str],
    layout: KnownLayout,
    modality: Modality,
    folder: Path,
    chosen: Mapping[str, Sequence[str]],
) -> tuple[str, str]:
    """Return how a table's files are called, by those that are there.

    Args:
        table: on this machine.
        header: its columns.
        layout: its own.
        modality: of the files.
        folder: that holds them.
        chosen: which rows count: of each column, those with one of the values.

    Returns:
        The composed column, and how many of the rows' files it finds.

    Raises:
        UsageError: none is there, or files are called in several ways.
        DataError: the table cannot be read.
    """
    there = Stems(modality).in_folder(folder)
    patterns = [p for p in layout.called[modality] if all(c in header for c in composed_of(p))]
    where = tuple((column, tuple(values)) for column, values in chosen.items())
    counts: dict[str, int] = {}
    n_named: dict[str, int] = {}
    for pattern in patterns:
        rows = read_table_rows(entry_of(table), Source(columns=(pattern,), where=where), [])
        names = {nfc(str(row.values[0])) for row in rows if not row.why}
        n_named[pattern] = len(names)
        if n_found := sum(name in there for name in names):
            counts[pattern] = n_found
    if len(counts) == 1:
        ((pattern, n_found),) = counts.items()
        return pattern, f"{n_found:,} of {n_named[pattern]:,} are there"
    listed = ", ".join(patterns)
    found = ", ".join(f"{n:,} by {pattern}" for pattern, n in counts.items())
    raise UsageError(
        f"cannot tell how the {modality} files of '{table.name}' are called",
        why=f"looked in '{folder}' for {listed}: {f'found {found}' if found else 'none is there'}",
        fix=f'--columns {modality}="{next(iter(counts), patterns[0])}" says it'
        + ("" if found else "; --folder FOLDER says where they lie"),
    )
