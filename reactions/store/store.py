"""The content-addressed store: what steps made, found again by key."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from reactions.core.errors import StoreError
from reactions.core.step import Artifact, Step
from reactions.core.types import Digest
from reactions.store import explain, maintenance
from reactions.store.files import disk_errors, temporary_folder, write_json
from reactions.store.heartbeats import SILENT_S
from reactions.store.layout import MANIFEST_JSON
from reactions.store.leases import Hold
from reactions.store.made_by import Hardware, MadeBy
from reactions.store.manifest import EntryManifest, write_arrays
from reactions.store.opened import OpenedStore, ignore
from reactions.store.partial import Incomplete, Partial
from reactions.store.places import EntryClaim, Held
from reactions.store.saved_state import SavedState
from reactions.store.shards import stored_rows


class Store(OpenedStore):
    """Artifacts by step key; see ``OpenedStore`` for its arguments and attributes."""

    # --- reading ---------------------------------------------------------------------

    def lookup(self, key: Digest) -> Artifact | None:
        """Return an entry, its arrays memory-mapped, or None.

        A damaged entry is put aside, if possible, with a warning and counts as missing.

        Raises:
            StoreError: the store is of another version, or cannot be read.
        """
        try:
            return self.lookup_or_refuse(key)
        except maintenance.EntryInTheWay as error:
            self._warn_of(error)
            return None

    def lookup_or_refuse(self, key: Digest) -> Artifact | None:
        """Return an entry as ``lookup`` does, for a caller who makes what is missing.

        Raises:
            EntryInTheWay: it is damaged and cannot be put aside: no other can take its place.
            StoreError: the store is of another version, or cannot be read.
        """
        self._check_format()
        folder = self.layout.entry(key)
        path = folder / MANIFEST_JSON
        with disk_errors(self.address, "read"):
            if not self._place.is_published(folder, MANIFEST_JSON):
                return None
            # Before the files are checked, so that gc leaves them alone.
            lease: Hold | EntryClaim | None = self._hold([key])
            claim = self._place.claim(path)
            if claim.refused:
                return None  # gc of an earlier version is removing it
            if lease is None:  # a store that is only read: a descriptor for each entry has to do
                lease = claim
            # Closes its descriptor, unless the entry is held by that alone.
            del claim
            try:
                manifest = EntryManifest.read(path, self._place)
                # Sizes alone: to hash every file of every hit would take long; ``verify`` does it.
                problems = manifest.problems(folder, full=False, place=self._place)
                if manifest.key != key:
                    problems.append("it belongs to another step")
            except FileNotFoundError:
                problems = ["its manifest is missing"]
            except ValueError as error:
                problems = [str(error)]
        if problems:
            if self._is_published(folder):  # else gc was faster
                self._quarantine(folder, problems)
            return None
        with suppress(OSError):  # a store that is only read keeps no record of use
            self._place.mark_used(path)
        arrays = {
            name: stored_rows(folder, record, lease, self._place)
            for name, record in manifest.arrays.items()
        }
        return Artifact(arrays, dict(manifest.meta))

    def explain(self, step: Step) -> str:
        """Return ``"hit"``, or in a few words why the store lacks a step's result.

        Raises:
            StoreError: the store is of another version, or cannot be read.
        """
        return self.explain_all([step])[step.key]

    def explain_all(self, steps: Iterable[Step]) -> dict[Digest, str]:
        """Return ``explain`` of many steps by key, reading the store once."""
        steps = list(steps)
        hits = {step.key for step in steps if self.has(step.key)}
        entries = self._manifests() if len(hits) < len(steps) else []
        return {
            step.key: "hit" if step.key in hits else explain.miss(step, entries) for step in steps
        }

    def ls(self) -> list[maintenance.EntryInfo]:
        """Return all readable entries, by kind and label.

        Raises:
            StoreError: the store is of another version, or cannot be read.
        """
        self._check_format()
        with disk_errors(self.address, "read"):
            return sorted(maintenance.entries(self.layout), key=lambda e: (e.kind, e.label, e.key))

    def verify(self, *, repair: bool = False) -> Iterator[maintenance.EntryProblem]:
        """Hash every file of every entry again and yield what is wrong.

        Args:
            repair: put damaged entries aside, so that the next run makes them anew.

        Raises:
            StoreError: the store is of another version, or cannot be read.
        """
        self._check_format()
        with disk_errors(self.address, "read"):
            repaired: dict[Path, bool] = {}
            for problem in maintenance.verify(self.layout):
                path = problem.path
                if repair and path not in repaired:
                    try:
                        repaired[path] = self._quarantine(path, [problem.what])
                    except maintenance.EntryInTheWay as error:
                        self._warn_of(error)
                        repaired[path] = False
                yield replace(problem, is_repaired=repaired.get(path, False))

    # --- writing ---------------------------------------------------------------------

    def put(
        self,
        step: Step,
        artifact: Artifact,
        *,
        seconds: float | None = None,
        hardware: Hardware | None = None,
    ) -> None:
        """Store what a step made, in how many seconds and on what, unless an entry is there.

        Raises:
            StoreError: it cannot be written; nothing of it is left visible.
        """

        def fill(folder: Path) -> EntryManifest:
            arrays = write_arrays(folder, artifact, self._place.prefix())
            names = (step.key, step.kind, step.label, step.preimage)
            made_by = (MadeBy(hardware, 0, None),) if hardware else ()
            return EntryManifest(
                *(*names, artifact.meta, arrays),
                seconds=seconds,
                made_by=made_by,
                left_out=artifact.left_out,
            )

        self._write_entry(step.key, fill)

    def partial(self, step: Step, *, verify: bool = True) -> Partial:
        """Return the finished shards of a step made by rows.

        Args:
            step: whose shards they are.
            verify: hash all files and drop what is damaged; not while others add shards.

        Raises:
            StoreError: the store is of another version, or cannot be read.
        """
        self._check_format()
        with disk_errors(self.address, "read"):
            shards = Partial(step, self.layout)
            if verify:
                shards.verify(self.warn)
            return shards

    def checkpoint(self, key: Digest) -> SavedState:
        """Return where a running step saves what it has done so far."""
        return SavedState(self.layout.partial / key, self.layout)

    def add_shard(
        self,
        shards: Partial,
        start: int,
        stop: int,
        artifact: Artifact,
        *,
        seconds: float | None = None,
        hardware: Hardware | None = None,
    ) -> None:
        """Keep rows ``start`` to ``stop`` of a step for this run or a later one.

        Raises:
            StepError: the shard does not fit the earlier ones.
            StoreError: it cannot be written; nothing of it is left visible.
        """
        with self._writing():
            shards.add(start, stop, artifact, seconds, hardware)

    def complete(self, shards: Partial) -> bool:
        """Make an entry of all shards of a step, unless it is there already.

        Returns:
            False when shards are missing; those that turned out damaged are dropped.

        Raises:
            StepError: the shards do not fit each other.
            StoreError: it cannot be written; nothing of it is left visible.
        """
        try:
            self._write_entry(shards.key, shards.assemble)
        except Incomplete:
            if not self.has(shards.key):
                shards.verify(self.warn)
                return False
        except StoreError as error:
            # Another process may have used up the shards.
            if not (isinstance(error.__cause__, FileNotFoundError) and self.has(shards.key)):
                raise
        shards.discard()
        return True

    @contextmanager
    def lock(
        self,
        key: Digest,
        on_busy: Callable[[int | None], None] = ignore,
        *,
        part: str = "",
        shared: bool = False,
    ) -> Iterator[Held | None]:
        """Hold the right to make an entry, unless another has it; never waits.

        Processes that make shards of one entry share its lock, and have one for each part.
        Locks are advisory: without them two processes do the same work, and both end well. A
        process that has lost a lock gets a warning when it gives it back.

        Args:
            key: of the entry.
            on_busy: called with the process id of the holder, if known, when another has it.
            part: of the entry, or "" for all of it.
            shared: see ``locks.locked``.

        Yields:
            The lock, or None when another process has it.

        Raises:
            StoreError: the store cannot be written.
        """
        with ExitStack() as stack:
            with self._writing():
                path = self.layout.lock(key, part)
                lock_held = stack.enter_context(self._place.locked(path, on_busy, shared=shared))
            if not self._has_cautioned and (caveat := self._place.caveat()):
                self._has_cautioned = True
                self.warn(caveat)
            yield lock_held
        if lock_held is not None and lock_held.is_lost:
            self.warn(
                f"another process took over {path.stem[:12]}: this one gave no sign of life for "
                f"{SILENT_S:.0f} s; the result was perhaps made twice, and one of the two is kept"
            )

    @contextmanager
    def using(self, keys: Iterable[Digest]) -> Iterator[None]:
        """Keep entries from ``gc`` for a while: those that are there, and those being made.

        Without effect in a store that may not be written to.
        """
        hold = self._hold(keys)
        try:
            yield
        finally:
            if hold is not None:
                hold.release()

    def gc(
        self,
        *,
        keep: set[Digest] | None = None,
        older_than_s: float | None = None,
        max_bytes: int | None = None,
        dry_run: bool = False,
    ) -> maintenance.Freed:
        """Remove debris and, if asked, entries. What a living process uses stays.

        Without criteria only debris goes: folders that killed processes left, damaged
        entries, and unfinished work that was not touched for a week.

        Args:
            keep: keys that stay in any case; with no other criterion, all others go.
            older_than_s: entries not used for so many seconds go.
            max_bytes: the least recently used go until the rest takes at most so much.
            dry_run: only report what would go.

        Raises:
            StoreError: the store is of another version, or cannot be changed.
        """
        self._check_format()
        with disk_errors(self.address, "write to"):
            self._leases.settle()
            return maintenance.gc(self.layout, keep, older_than_s, max_bytes, dry_run)

    # --- within ----------------------------------------------------------------------

    def _write_entry(self, key: Digest, fill: Callable[[Path], EntryManifest]) -> None:
        with self._writing():
            self._place.making_room(lambda: self._write_once(key, fill))

    def _write_once(self, key: Digest, fill: Callable[[Path], EntryManifest]) -> None:
        with temporary_folder(self.layout.tmp) as folder:
            manifest = fill(folder)
            write_json(folder / MANIFEST_JSON, manifest.to_json())
            target = self.layout.entry(key)
            if not self._place.publish(folder, target, MANIFEST_JSON) and not self.has(key):
                # A broken folder has the name: put it aside and try once more.
                self._quarantine(target, ["its manifest is missing"])
                self._place.publish(folder, target, MANIFEST_JSON)
            self.index.add(key, manifest.kind, manifest.preimage)

    def _quarantine(self, folder: Path, problems: Sequence[str]) -> bool:
        """Move a damaged entry out of the way; see ``maintenance.put_aside``."""
        return maintenance.put_aside(self.layout, folder, problems, self.warn)

    def _warn_of(self, error: maintenance.EntryInTheWay) -> None:
        self.warn(f"{error.what}, and is not used: {error.why}")

    def _manifests(self) -> list[EntryManifest]:
        self._check_format()
        with disk_errors(self.address, "read"):
            return [manifest for manifest, _ in maintenance.manifests(self.layout)]

    def _hold(self, keys: Iterable[Digest]) -> Hold | None:
        """Lease keys; None in a store that may not be written to, or cannot."""
        try:
            return self._leases.hold(keys)
        except OSError:
            return None
