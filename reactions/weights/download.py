"""Bringing weights to this machine: the only part of molspace that uses the network.

A file by URL is downloaded beside its place and renamed when it is whole; what a stopped
download left is continued, if it is still the same file. What lies in a hub repository goes to
the hub's own cache, by its own library.
"""

from __future__ import annotations

import fnmatch
import importlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reactions.core.errors import DataError, MissingError
from reactions.core.extras import install_extra
from reactions.core.file_digests import DigestCache
from reactions.weights.hub import licence_of, trusted_commit
from reactions.weights.hub_answers import check_names, checked_answers
from reactions.weights.hub_layout import named_files
from reactions.weights.locate import (
    Requirement,
    WeightLocator,
    WeightsFile,
    WeightsRepo,
    find_file,
    find_folder,
    verify,
)
from reactions.weights.url_download import OnProgress, download


@dataclass(frozen=True, slots=True)
class Fetched:
    """What fetching one requirement came to.

    Attributes:
        name: of the file or repository.
        path: where it lies.
        was_there: nothing had to be downloaded.
        licence: of the weights; "" where unknown.
        sha256: of a single file; "" for a repository.
    """

    name: str
    path: Path
    was_there: bool
    licence: str
    sha256: str = ""


def fetch(
    space: str,
    requirements: Sequence[Requirement],
    locator: WeightLocator,
    digests: DigestCache,
    *,
    on_progress: OnProgress = lambda what, done, total: None,
) -> list[Fetched]:
    """Bring what a space needs to this machine, as far as it is not there.

    Args:
        space: its name: the folder its files go to.
        requirements: from ``adapters.requirements``.
        locator: where weights lie.
        digests: remembers digests of large files.
        on_progress: called as a file by URL arrives.

    Raises:
        MissingError: offline mode is on, or a library is missing, or the place does not
            have it.
        DataError: what came is not what was published.
        StoreError: it cannot be written.
    """
    fetched = []
    for requirement in requirements:
        if isinstance(requirement, WeightsFile):
            fetched.append(_file(space, requirement, locator, digests, on_progress))
        else:
            fetched.append(_repository(space, requirement, locator))
    digests.save()
    return fetched


def _file(
    space: str,
    file: WeightsFile,
    locator: WeightLocator,
    digests: DigestCache,
    on_progress: OnProgress,
) -> Fetched:
    try:
        path, was_there = find_file(space, file, locator), True
    except MissingError:
        was_there = False
        _refuse_offline(space, file.name, locator)
        if file.repo:
            path = _from_hub(space, file.repo, file.revision, locator, (file.filename,))
            path = path / file.filename
        elif file.url:
            path = locator.own_folder(space) / file.name
            download(file, path, on_progress)
        else:
            raise
    sha256 = verify(space, file, path, digests)
    return Fetched(file.name, path, was_there, file.licence, sha256)


def _repository(space: str, needed: WeightsRepo, locator: WeightLocator) -> Fetched:
    # Code is looked for at the commit that a person trusts: the same has to be brought.
    needed = replace(needed, revision=needed.revision or trusted_commit(needed.repo))
    try:
        path = find_folder(space, needed, locator)
        if _complete(path, needed):
            return Fetched(needed.repo, path, True, needed.licence or licence_of(path))
    except MissingError:
        pass
    _refuse_offline(space, needed.repo, locator)
    weights = _first_present(space, needed)
    path = _from_hub(space, needed.repo, needed.revision, locator, (*needed.files, *weights))
    return Fetched(needed.repo, path, False, needed.licence or licence_of(path))


def _complete(folder: Path, needed: WeightsRepo) -> bool:
    """Return whether a folder holds weights, and what they cannot do without."""
    if not needed.weights:
        return True
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    missing = set(named_files(folder)).difference(names)
    if any(fnmatch.filter(missing, form) for form in (*needed.files, *needed.weights)):
        return False
    return any(fnmatch.filter(names, form) for form in needed.weights)


def _first_present(space: str, needed: WeightsRepo) -> tuple[str, ...]:
    """Return the glob of the best form of weights that the repository has."""
    if not needed.weights:
        return ()
    hub = _hub(space)
    try:
        names = hub.list_repo_files(needed.repo, revision=needed.revision or None)
    except Exception as error:  # the hub's library has no common base for what can go wrong
        raise _not_there(space, needed.repo, error) from error
    for form in needed.weights:
        if fnmatch.filter(names, form):
            return (form,)
    raise MissingError(
        f"'{needed.repo}' holds no weights that can be used",
        why=f"none of its {len(names)} files is like {', '.join(needed.weights)}",
        space=space,
        repo=needed.repo,
    )


def _from_hub(
    space: str, repo: str, revision: str, locator: WeightLocator, patterns: Sequence[str]
) -> Path:
    hub = _hub(space)
    try:
        names = hub.list_repo_files(repo, revision=revision or None)
        # Before anything is written: the library creates files by the names that the server lists.
        check_names((n for n in names if any(fnmatch.fnmatch(n, p) for p in patterns)), repo)
        with checked_answers(repo):
            folder = hub.snapshot_download(
                repo,
                revision=revision or None,
                cache_dir=locator.hub,
                allow_patterns=list(patterns),
            )
    except DataError:
        raise
    except Exception as error:  # no common base, as in _first_present
        raise _not_there(space, repo, error) from error
    return Path(folder)


def _hub(space: str) -> Any:
    try:
        return importlib.import_module("huggingface_hub")
    except ImportError:
        raise MissingError(
            f"cannot fetch the weights of '{space}' from a hub",
            why="the package huggingface_hub is not installed",
            fix=install_extra("hub"),
        ) from None


def _not_there(space: str, repo: str, error: Exception) -> MissingError:
    lines = str(error).strip().splitlines()
    return MissingError(
        f"cannot fetch the weights of '{space}' from '{repo}'",
        why=f"{type(error).__name__}: {lines[0] if lines else ''}".rstrip(": "),
        fix="check the network, the name and (for gated models) your login; then again: "
        "what is there already is kept",
        space=space,
        repo=repo,
    )


def _refuse_offline(space: str, name: str, locator: WeightLocator) -> None:
    if locator.offline:
        raise MissingError(
            f"cannot fetch {name}",
            why=f"offline mode is on ({locator.offline})",
            fix=f"unset it, or bring the file yourself: --weights {space}=PATH",
            space=space,
        )
