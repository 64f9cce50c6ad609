"""An entry in the making: finished shards that outlive a killed run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from reactions.core.errors import StepError
from reactions.core.hashing import canonical
from reactions.core.left_out import joined_counts
from reactions.core.step import Artifact, Step
from reactions.core.types import Digest
from reactions.store.files import disk_errors, temporary_folder, write_json
from reactions.store.located import LocatedStore
from reactions.store.made_by import Hardware, MadeBy, joined
from reactions.store.manifest import ArrayRecord, EntryManifest, ShardFile, write_arrays

SHARD_JSON = "shard.json"

_ADDING = threading.Lock()

Range: TypeAlias = tuple[int, int]
"""(first row, row after the last)"""


class Incomplete(Exception):
    """Shards are missing, or damaged."""


class Partial:
    """The finished shards of one step made by rows.

    Each lies in a folder of its own, named ``<start>-<stop>``, that appeared whole. Several
    processes may add shards at the same time, so what is finished is read from the disk each
    time. Shards of different sizes may stand beside each other: a later run may choose another
    size.

    Args:
        step: whose shards they are.
        layout: of the store; the folder is made when the first shard is added.
    """

    def __init__(self, step: Step, layout: LocatedStore) -> None:
        self._step = step
        self._layout = layout
        self._place = layout.place
        self._folder = layout.partial / step.key

    @property
    def key(self) -> Digest:
        """Key of the step."""
        return self._step.key

    @property
    def finished(self) -> list[Range]:
        """Rows [start, stop) of each finished shard: ascending, without overlap."""
        ranges: list[Range] = []
        for rows in self._ranges():
            if not self._misplaced(rows, ranges):
                ranges.append(rows)
        return ranges

    def missing(self) -> list[Range]:
        """Return the shards [start, stop) still to be made, ``step.shard_rows`` long or less.

        Two processes with the same ``shard_rows`` cut the rows alike, whatever was finished
        between.
        """
        n_rows = self._step.n_rows or 0
        shard_rows = self._step.shard_rows or n_rows
        finished = self.finished
        ranges, cursor = [], 0
        for start, stop in [*finished, (n_rows, n_rows)]:
            while cursor < start:
                end = min(start, cursor + shard_rows)
                ranges.append((cursor, end))
                cursor = end
            cursor = stop
        if n_rows == 0 and not finished:
            # Empty results are made too: the shard says which arrays there are, and their widths.
            ranges.append((0, 0))
        return ranges

    def is_finished(self, start: int, stop: int) -> bool:
        """Return whether exactly this shard is there."""
        return self._place.is_published(self._shard(start, stop), SHARD_JSON)

    def verify(self, warn: Callable[[str], None]) -> None:
        """Hash all files; remove shards that are damaged, odd or overlapping.

        Args:
            warn: called with a sentence for every shard that is removed.
        """
        sound_ranges: list[Range] = []
        model: EntryManifest | None = None
        for rows in self._ranges():
            problem = self._misplaced(rows, sound_ranges)
            if not problem:
                try:
                    manifest = self._read(*rows, full=True)
                    problem = _difference(model or manifest, manifest)
                except (OSError, ValueError) as error:
                    problem = str(error)
            if problem:
                path = self._shard(*rows)
                warn(
                    f"dropped rows {path.name} of '{self._step.label}', made by an earlier run: "
                    f"{problem}"
                )
                with suppress(OSError):
                    self._place.remove(path)
                continue
            model = model or manifest
            sound_ranges.append(rows)

    def add(
        self,
        start: int,
        stop: int,
        artifact: Artifact,
        seconds: float | None = None,
        hardware: Hardware | None = None,
    ) -> None:
        """Keep a finished shard; safe to call from several threads and processes.

        Args:
            start: first row.
            stop: row after the last.
            artifact: (stop - start, ...) arrays.
            seconds: that making it took, if known.
            hardware: that made it, if known.

        Raises:
            StepError: names, types, widths or record differ from earlier shards of the step.
            OSError: it cannot be written.
        """
        made_by = (MadeBy(hardware, start, stop),) if hardware else ()
        self._place.making_room(lambda: self._add(start, stop, artifact, seconds, made_by))

    def _add(
        self,
        start: int,
        stop: int,
        artifact: Artifact,
        seconds: float | None,
        made_by: tuple[MadeBy, ...],
    ) -> None:
        with temporary_folder(self._layout.tmp) as temp:
            arrays = write_arrays(temp, artifact, self._place.prefix())
            manifest = replace(
                _manifest(self._step, artifact.meta, arrays, seconds, made_by),
                left_out=artifact.left_out,
            )
            write_json(temp / SHARD_JSON, manifest.to_json())
            # Or two threads, each with a first shard, would both find nothing to agree with.
            # Those of two processes are compared by ``assemble``.
            with _ADDING:
                self._refuse_difference(self._model(), manifest, start, stop)
                # Another's twin is as good.
                self._place.publish(temp, self._shard(start, stop), SHARD_JSON)

    def assemble(self, folder: Path) -> EntryManifest:
        """Link all shards into ``folder`` and return the manifest of the whole entry.

        Raises:
            Incomplete: a shard is missing or damaged.
            StepError: the shards do not fit each other.
            OSError: one cannot be linked.
        """
        if self.missing():
            raise Incomplete
        finished = self.finished  # once: it is read from the disk, where others may add to it
        try:
            shards = [(start, self._read(start, stop)) for start, stop in finished]
            first = shards[0][1]
        except (FileNotFoundError, IndexError, ValueError) as error:
            raise Incomplete from error
        for (start, stop), (_, manifest) in zip(finished, shards, strict=True):
            self._refuse_difference(first, manifest, start, stop)
        arrays: dict[str, ArrayRecord] = {}
        prefix = self._place.prefix()
        for number, (name, record) in enumerate(sorted(first.arrays.items())):
            files = []
            for start, manifest in shards:
                (part,) = manifest.arrays[name].shards
                file = f"{prefix}{number}-{start:012d}.npy"
                source = self._shard(start, start + part.rows) / part.file
                self._place.link(source, folder / file)
                files.append(ShardFile(file, part.rows, part.size_bytes, part.sha256))
            n_rows = sum(shard.rows for shard in files)
            arrays[name] = ArrayRecord(record.dtype, (n_rows, *record.shape[1:]), tuple(files))
        times = [manifest.seconds for _, manifest in shards]
        recorded = [seconds for seconds in times if seconds is not None]
        seconds = sum(recorded) if len(recorded) == len(times) else None
        made_by = joined(part for _, manifest in shards for part in manifest.made_by)
        whole = _manifest(self._step, first.meta, arrays, seconds, made_by)
        counts = [
            (manifest.left_out, stop - start)
            for (start, stop), (_, manifest) in zip(finished, shards, strict=True)
        ]
        return replace(whole, left_out=joined_counts(counts))

    def discard(self) -> None:
        """Remove the finished shards; they lie in an entry now."""
        with suppress(OSError):
            self._place.remove(self._folder)

    # --- within ----------------------------------------------------------------------

    def _shard(self, start: int, stop: int) -> Path:
        return self._folder / f"{start}-{stop}"

    def _ranges(self) -> list[Range]:
        """Return the rows of all shards on disk, usable or not, ascending."""
        ranges: list[Range] = []
        with disk_errors(self._layout.address, "read"):
            for name in self._place.names(self._folder, SHARD_JSON):
                first, _, last = name.partition("-")
                if first.isdecimal() and last.isdecimal():
                    ranges.append((int(first), int(last)))
        return sorted(ranges)

    def _misplaced(self, rows: Range, before: Sequence[Range]) -> str:
        """Return why a shard cannot stand after those before it, or ""."""
        start, stop = rows
        if before and start < before[-1][1]:
            return "they overlap others"
        if stop < start or stop > (self._step.n_rows or 0):
            return "the step has no such rows"
        return ""

    def _read(self, start: int, stop: int, *, full: bool = False) -> EntryManifest:
        """Return the record of a shard whose files are there; ``full`` hashes them, too.

        Raises:
            OSError: the record cannot be read.
            ValueError: something is wrong with the shard; the message says what.
        """
        path = self._shard(start, stop)
        manifest = EntryManifest.read(path / SHARD_JSON, self._place)
        if manifest.key != self.key:
            raise ValueError("it belongs to another step")
        if any(record.shape[0] != stop - start for record in manifest.arrays.values()):
            raise ValueError("it has the wrong number of rows")
        if problems := manifest.problems(path, full=full, place=self._place):
            raise ValueError("; ".join(problems))
        return manifest

    def _model(self) -> EntryManifest | None:
        """Return the record of a finished shard, that others have to agree with."""
        for rows in self.finished:
            with suppress(OSError, ValueError):
                return self._read(*rows)
        return None

    def _refuse_difference(
        self, model: EntryManifest | None, manifest: EntryManifest, start: int, stop: int
    ) -> None:
        if model is not None and (difference := _difference(model, manifest)):
            raise StepError(
                f"'{self._step.label}' made rows {start} to {stop} unlike earlier ones",
                why=difference,
                fix="fix the step: names, types, widths and meta may not depend on the shard",
                step=self._step.label,
            )


def _manifest(
    step: Step,
    meta: Mapping[str, Any],
    arrays: dict[str, ArrayRecord],
    seconds: float | None,
    made_by: tuple[MadeBy, ...],
) -> EntryManifest:
    names = (step.key, step.kind, step.label, step.preimage)
    return EntryManifest(*names, meta, arrays, seconds=seconds, made_by=made_by)


def _difference(model: EntryManifest, other: EntryManifest) -> str:
    """Return how two shards disagree in what they must share, or ""."""
    layouts = [
        {name: (record.dtype, record.shape[1:]) for name, record in manifest.arrays.items()}
        for manifest in (model, other)
    ]
    if layouts[0] != layouts[1]:
        return f"arrays {layouts[1]} instead of {layouts[0]}"
    if canonical(model.meta) != canonical(other.meta):
        return "their records (meta) differ"
    return ""
