"""An entry in the making: finished shards that outlive a killed run."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from reactions.core.errors import StepError
from reactions.core.hashing import canonical
from reactions.core.step import Artifact, Step
from reactions.core.types import Digest
from reactions.store.files import link, publish, temporary_folder, write_json
from reactions.store.manifest import ArrayRecord, Manifest, ShardFile, write_arrays

SHARD_JSON = "shard.json"


class Partial:
    """The finished shards of one step made by rows.

    Each lies in a folder of its own, named ``<start>-<stop>``, that appeared whole. Shards
    of different sizes may stand beside each other: a later run may choose another size.

    Args:
        step: whose shards they are.
        folder: ``partial/<key>``; made when the first shard is added.
        temp: where temporary folders go, on the same file system.
        warn: called with a sentence for every shard that had to be dropped.
    """

    def __init__(self, step: Step, folder: Path, temp: Path, warn: Callable[[str], None]) -> None:
        self._step = step
        self._folder = folder
        self._temp = temp
        self._lock = threading.Lock()
        self._shards = _read_shards(step, folder, warn)

    @property
    def key(self) -> Digest:
        """Key of the step."""
        return self._step.key

    @property
    def finished(self) -> list[tuple[int, int]]:
        """Rows [start, stop) of each finished shard: ascending, without overlap."""
        return sorted(self._shards)

    def missing(self) -> list[tuple[int, int]]:
        """Return the shards [start, stop) still to be made, ``step.shard_rows`` long or less."""
        n_rows = self._step.n_rows or 0
        shard_rows = self._step.shard_rows or n_rows
        ranges, cursor = [], 0
        for start, stop in [*self.finished, (n_rows, n_rows)]:
            while cursor < start:
                end = min(start, cursor + shard_rows)
                ranges.append((cursor, end))
                cursor = end
            cursor = stop
        if n_rows == 0 and not self._shards:
            ranges.append((0, 0))
        return ranges

    def add(self, start: int, stop: int, artifact: Artifact) -> None:
        """Keep a finished shard; safe to call from several threads.

        Args:
            start: first row.
            stop: row after the last.
            artifact: (stop - start, ...) arrays.

        Raises:
            StepError: names, types, widths or record differ from earlier shards of the step.
            OSError: it cannot be written.
        """
        with temporary_folder(self._temp) as temp:
            manifest = _manifest(self._step, artifact.meta, write_arrays(temp, artifact))
            write_json(temp / SHARD_JSON, manifest.to_json())
            with self._lock:  # two first shards must not miss each other
                first = next(iter(self._shards.values()), None)
                if first is not None and (difference := _difference(first, manifest)):
                    raise StepError(
                        f"'{self._step.label}' made rows {start} to {stop} unlike earlier ones",
                        why=difference,
                        fix="mend the step: names, types, widths and meta may not depend on "
                        "the shard",
                        step=self._step.label,
                    )
                publish(temp, self._folder / f"{start}-{stop}")  # another's twin is as good
                self._shards[start, stop] = manifest

    def assemble(self, folder: Path) -> Manifest:
        """Link all shards into ``folder`` and return the manifest of the whole entry.

        Raises:
            OSError: a shard is gone, or cannot be linked.
        """
        shards = sorted(self._shards.items())
        first = shards[0][1]
        arrays: dict[str, ArrayRecord] = {}
        for number, (name, record) in enumerate(sorted(first.arrays.items())):
            files = []
            for (start, stop), manifest in shards:
                (part,) = manifest.arrays[name].shards
                file = f"{number}-{start:012d}.npy"
                link(self._folder / f"{start}-{stop}" / part.file, folder / file)
                files.append(ShardFile(file, part.rows, part.size_bytes, part.sha256))
            n_rows = sum(shard.rows for shard in files)
            arrays[name] = ArrayRecord(record.dtype, (n_rows, *record.shape[1:]), tuple(files))
        return _manifest(self._step, first.meta, arrays)

    def discard(self) -> None:
        """Remove the finished shards; they lie in an entry now."""
        shutil.rmtree(self._folder, ignore_errors=True)


def _manifest(step: Step, meta: Mapping[str, Any], arrays: dict[str, ArrayRecord]) -> Manifest:
    return Manifest(step.key, step.kind, step.label, step.preimage, meta, arrays)


def _read_shards(
    step: Step, folder: Path, warn: Callable[[str], None]
) -> dict[tuple[int, int], Manifest]:
    """Return the sound shards; remove those that are damaged, odd or overlapping."""
    found: list[tuple[int, int, Path]] = []
    with suppress(FileNotFoundError):
        for path in folder.iterdir():
            first, _, last = path.name.partition("-")
            if first.isdigit() and last.isdigit():
                found.append((int(first), int(last), path))
    shards: dict[tuple[int, int], Manifest] = {}
    cursor, model = 0, None
    for start, stop, path in sorted(found):
        manifest = None
        if start < cursor:
            problem = "they overlap others"
        elif stop > (step.n_rows or 0):
            problem = "the step has no such rows"
        else:
            manifest, problem = _read_shard(path, step.key, stop - start)
            if manifest is not None and model is not None:
                problem = _difference(model, manifest)
        if problem or manifest is None:
            warn(f"dropped rows {path.name} of '{step.label}', made by an earlier run: {problem}")
            shutil.rmtree(path, ignore_errors=True)
            continue
        model = model or manifest
        shards[start, stop] = manifest
        cursor = stop
    return shards


def _read_shard(path: Path, key: Digest, rows: int) -> tuple[Manifest | None, str]:
    try:
        manifest = Manifest.read(path / SHARD_JSON)
    except (OSError, ValueError) as error:
        return None, str(error)
    if manifest.key != key:
        return None, "it belongs to another step"
    if any(record.shape[0] != rows for record in manifest.arrays.values()):
        return None, "it has the wrong number of rows"
    if problems := manifest.problems(path, full=True):
        return None, "; ".join(problems)
    return manifest, ""


def _difference(one: Manifest, other: Manifest) -> str:
    """Return how two shards disagree in what they must share, or ""."""
    layouts = [
        {name: (record.dtype, record.shape[1:]) for name, record in manifest.arrays.items()}
        for manifest in (one, other)
    ]
    if layouts[0] != layouts[1]:
        return f"arrays {layouts[1]} instead of {layouts[0]}"
    if canonical(one.meta) != canonical(other.meta):
        return "their records (meta) differ"
    return ""
