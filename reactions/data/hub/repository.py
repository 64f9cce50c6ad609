"""Where the files of a data set are: in a folder, in the hub's cache, or on the hub.

What a commit holds never changes. So its list of files is kept once it is known, and what the
hub's cache has of them is used without a look at the network.
"""

from __future__ import annotations

import importlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from reactions.core.addresses import Entry
from reactions.core.errors import DataError, MissingError, MolspaceError, UsageError
from reactions.core.extras import install_extra
from reactions.core.local_files import (
    exists,
    is_dir,
    is_file,
    read_small_file,
    read_text_file,
    replace_file,
)
from reactions.core.paths import cache_root
from reactions.core.protocols import NotLookedAt, check_use, offline
from reactions.core.storage import entry_of, find, walk
from reactions.data.hub.config import DatasetPlace
from reactions.data.hub.splits import check_numbered, data_names
from reactions.weights.hub import hub_cache, is_commit
from reactions.weights.hub_answers import check_commit, check_names, checked_answers

CARD = "README.md"
_LIST_BYTES = 1 << 28
_REF_BYTES = 1 << 10


class DatasetFiles(ABC):
    """The files of a data set."""

    @abstractmethod
    def names(self) -> list[str]:
        """Return the names of all files, card included, sorted.

        Raises:
            MissingError: it is not there, or nothing here knows it and the network is not used.
            DataError: it cannot be read.
        """

    @abstractmethod
    def card(self) -> Path:
        """Return the path of its card, which need not be there."""

    @abstractmethod
    def folder(self, names: Sequence[str]) -> Path:
        """Return a folder that has some files, brought there if need be."""

    def entries(self, names: Sequence[str]) -> list[Entry]:
        """Return some files, in order."""
        folder = self.folder(names)
        return [entry_of(folder / name) for name in names]


def repository_of(place: DatasetPlace) -> DatasetFiles:
    """Return the files of a data set; nothing is looked at yet."""
    return _Folder(place) if place.is_folder else _Hub(place)


class _Folder(DatasetFiles):
    def __init__(self, place: DatasetPlace) -> None:
        self._folder = Path(place.name)

    def names(self) -> list[str]:
        if not is_dir(self._folder):
            raise MissingError(
                f"there is no folder '{self._folder}'",
                fix='a data set of the hub is dataset = "ORG/NAME", without ./',
                path=str(self._folder),
            )
        return [entry.name for entry in walk(str(self._folder))]

    def card(self) -> Path:
        return self._folder / CARD

    def folder(self, names: Sequence[str]) -> Path:
        return self._folder


class _Hub(DatasetFiles):
    def __init__(self, place: DatasetPlace) -> None:
        self._place = place
        self._cache = hub_cache()
        self._repo_folder = self._cache / ("datasets--" + place.name.replace("/", "--"))
        self._listed = cache_root() / "datasets" / place.name.replace("/", "--")

    def names(self) -> list[str]:
        self._refuse_floating()
        record = self._listed / f"{self._place.revision}.json"
        with suppress(MolspaceError, ValueError, KeyError, TypeError):
            return [str(name) for name in json.loads(read_small_file(record, _LIST_BYTES))["names"]]
        try:
            self._need_network()
        except MissingError as error:
            if not (names := self._whole_snapshot()):
                raise
            self._need_named(names, error)
            return names
        names = sorted(self._list(self._place.revision)[1])
        with suppress(OSError):  # a cache
            replace_file(record, json.dumps({"names": names}))
        return names

    def card(self) -> Path:
        if CARD not in self.names():
            return self._snapshot / CARD
        return self.folder([CARD]) / CARD

    def folder(self, names: Sequence[str]) -> Path:
        missing = [name for name in names if not is_file(self._snapshot / name)]
        if missing:
            self._need_network(len(missing), len(names))
            self._bring(missing)
        return self._snapshot

    def entries(self, names: Sequence[str]) -> list[Entry]:
        if not self._place.streaming or all(is_file(self._snapshot / name) for name in names):
            return super().entries(names)
        _library()  # fsspec's own error does not say what to install
        root = f"hf://datasets/{self._place.name}@{self._place.revision}"
        return [entry for name in names for entry in find(f"{root}/{name}")]

    @property
    def _snapshot(self) -> Path:
        return self._repo_folder / "snapshots" / self._place.revision

    def _whole_snapshot(self) -> list[str]:
        """Return the files of a snapshot that others brought, if none of its numbers is missing."""
        if not is_dir(self._snapshot):
            return []
        names = [entry.name for entry in walk(str(self._snapshot))]
        data = [name for name in data_names(names) if name.endswith((".parquet", ".tar"))]
        numbered = [name for name in data if "-of-" in name]
        if not data or len(numbered) < len(data):
            return []
        check_numbered(data, self._place)
        return names

    def _need_named(self, names: Sequence[str], error: MissingError) -> None:
        """Refuse to tell by what a snapshot has what is meant: another split may not be there."""
        missing = [] if self._place.splits else ['split = "NAME"']
        # Without a card files are of the default configuration, or of none that can be told.
        if CARD not in names and not self._place.config:
            missing.append('config = "default" (or bring its card, README.md)')
        if not missing:
            return
        if isinstance(error, NotLookedAt):
            raise error
        raise MissingError(
            f"what is meant of the data set '{self._place}' cannot be told from the files here",
            why=f"they may be a part of it, and its list of files is not here; {error.why}",
            fix=f"name it: {', '.join(missing)}; or unset offline mode once",
            dataset=self._place.name,
        ) from error

    def _refuse_floating(self) -> None:
        """Refuse a revision that may stand for other files tomorrow; name the commit of today."""
        place = self._place
        if is_commit(place.revision):
            return
        revision = place.revision or "main"
        why = "its files may change, and what was computed from them would not be found again"
        fix = 'revision = "COMMIT", the 40 hex digits of a commit: see its files on the hub'
        commit = ""
        with suppress(MolspaceError):
            commit = self._commit_of(revision)
        if commit:
            fix = f'revision = "{commit}"   ({revision}, as of now)'
        what = f"a revision that moves, '{revision}'" if place.revision else "no revision"
        raise UsageError(
            f"the data set '{place.name}' has {what}", why=why, fix=fix, dataset=place.name
        )

    def _commit_of(self, revision: str) -> str:
        try:
            self._need_network()
            return self._list(revision)[0]
        except MissingError:
            if ".." in revision.split("/"):
                raise
            text = read_text_file(self._repo_folder / "refs" / revision, _REF_BYTES)
            return check_commit(text.strip(), self._place.name)

    def _list(self, revision: str) -> tuple[str, list[str]]:
        """Ask the hub for the commit of a revision, and for its files."""
        name = self._place.name
        with self._explained(), checked_answers(name):
            info = _library().HfApi().dataset_info(name, revision=revision)
            names = [str(file.rfilename) for file in info.siblings or ()]
            commit = check_commit(info.sha, name)
        check_names(names, name)
        if is_commit(revision) and commit != revision:
            raise DataError(
                f"the hub's answer about '{name}' cannot be used",
                why=f"it is of {commit}, not of {revision}",
                fix="check HF_ENDPOINT and the network",
            )
        return commit, names

    def _bring(self, names: Sequence[str]) -> None:
        name = self._place.name
        check_names(names, name)
        with self._explained(), checked_answers(name):
            _library().snapshot_download(
                name,
                repo_type="dataset",
                revision=self._place.revision,
                cache_dir=self._cache,
                allow_patterns=[_literally(file_name) for file_name in names],
            )
        missing = [file_name for file_name in names if not exists(self._snapshot / file_name)]
        if missing:
            raise DataError(
                f"the hub did not give {len(missing)} files of '{self._place}'",
                why=f"such as '{missing[0]}'",
                fix="run it again: what is there already is kept",
                dataset=name,
            )

    def _need_network(self, n_missing: int = 0, n: int = 0) -> None:
        """Refuse to go on where the network must not be used.

        Raises:
            MissingError: the environment forbids it.
            NotLookedAt: the command does.
        """
        name, revision = self._place.name, self._place.revision
        what = f"{n_missing} of {n} files" if n_missing else "its list of files"
        if setting := offline():
            raise MissingError(
                f"the data set '{self._place}' is not on this machine",
                why=f"{what} would have to be fetched, and offline mode is on ({setting})",
                fix=f"unset it once; or bring it where there is a network, with the cache "
                f"{self._cache}: hf download {name} --repo-type dataset --revision {revision}",
                dataset=name,
            )
        check_use(f"hf://datasets/{name}@{revision}")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except MolspaceError:
            raise
        except Exception as error:  # the hub's library has no common base for what can go wrong
            lines = str(error).strip().splitlines()
            raise MissingError(
                f"cannot fetch the data set '{self._place}'",
                why=f"{type(error).__name__}: {lines[0] if lines else ''}".rstrip(": "),
                fix="check the network, the name, the revision and (for gated sets) your login; "
                "then again: what is there already is kept",
                dataset=self._place.name,
            ) from error


def _literally(name: str) -> str:
    """Return a pattern that matches a name alone."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def _library() -> Any:
    try:
        return importlib.import_module("huggingface_hub")
    except ImportError:
        raise MissingError(
            "cannot fetch data sets from the hub",
            why="the package huggingface_hub is not installed",
            fix=install_extra("hub"),
        ) from None
