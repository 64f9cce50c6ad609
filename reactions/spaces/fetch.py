"""Bringing weights to this machine: the only part of molspace that uses the network.

A file by URL is downloaded beside its place and renamed when it is whole; what a stopped
download left is continued. What lies in a hub repository goes to the hub's own cache, by
its own library.
"""

from __future__ import annotations

import fnmatch
import hashlib
import http.client
import importlib
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reactions.data.digests import DigestCache
from reactions.errors import DataError, MissingError, StoreError
from reactions.spaces.weights import (
    Places,
    Requirement,
    WeightsFile,
    WeightsRepo,
    find_file,
    find_folder,
    verify,
)

Told = Callable[[str, int, int], None]
"""Told of a download: what, bytes so far, bytes in all (0 if unknown)."""

_CHUNK_BYTES = 1 << 20
_TIMEOUT_S = 60.0


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
    places: Places,
    digests: DigestCache,
    *,
    told: Told = lambda what, done, total: None,
) -> list[Fetched]:
    """Bring what a space needs to this machine, as far as it is not there.

    Args:
        space: its name: the folder its files go to.
        requirements: from ``adapters.requirements``.
        places: where weights lie.
        digests: remembers digests of large files.
        told: of progress.

    Raises:
        MissingError: offline mode is on, or a library is missing, or the place does not
            have it.
        DataError: what came is not what was published.
        StoreError: it cannot be written.
    """
    found = []
    for wanted in requirements:
        if isinstance(wanted, WeightsFile):
            found.append(_file(space, wanted, places, digests, told))
        else:
            found.append(_repository(space, wanted, places))
    digests.save()
    return found


def _file(
    space: str, wanted: WeightsFile, places: Places, digests: DigestCache, told: Told
) -> Fetched:
    try:
        path, was_there = find_file(space, wanted, places), True
    except MissingError:
        was_there = False
        _refuse_offline(space, wanted.name, places)
        if wanted.repo:
            path = _from_hub(space, wanted.repo, wanted.revision, places, (wanted.filename,))
            path = path / wanted.filename
        elif wanted.url:
            path = places.own_folder(space) / wanted.name
            download(wanted, path, told)
        else:
            raise
    sha256 = verify(space, wanted, path, digests)
    return Fetched(wanted.name, path, was_there, wanted.licence, sha256)


def _repository(space: str, wanted: WeightsRepo, places: Places) -> Fetched:
    try:
        path = find_folder(space, wanted, places)
        if _complete(path, wanted):
            return Fetched(wanted.repo, path, True, wanted.licence)
    except MissingError:
        pass
    _refuse_offline(space, wanted.repo, places)
    weights = _first_present(space, wanted)
    path = _from_hub(space, wanted.repo, wanted.revision, places, (*wanted.files, *weights))
    return Fetched(wanted.repo, path, False, wanted.licence)


def _complete(folder: Path, wanted: WeightsRepo) -> bool:
    names = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]
    return not wanted.weights or any(fnmatch.filter(names, form) for form in wanted.weights)


def _first_present(space: str, wanted: WeightsRepo) -> tuple[str, ...]:
    """Return the glob of the best form of weights that the repository has."""
    if not wanted.weights:
        return ()
    hub = _hub(space)
    try:
        names = hub.list_repo_files(wanted.repo, revision=wanted.revision or None)
    except Exception as error:  # the hub's library has no common base for what can go wrong
        raise _not_there(space, wanted.repo, error) from error
    for form in wanted.weights:
        if fnmatch.filter(names, form):
            return (form,)
    raise MissingError(
        f"'{wanted.repo}' holds no weights that can be used",
        why=f"none of its {len(names)} files is like {', '.join(wanted.weights)}",
        space=space,
        repo=wanted.repo,
    )


def _from_hub(
    space: str, repo: str, revision: str, places: Places, patterns: Sequence[str]
) -> Path:
    hub = _hub(space)
    try:
        folder = hub.snapshot_download(
            repo, revision=revision or None, cache_dir=places.hub, allow_patterns=list(patterns)
        )
    except Exception as error:  # as above
        raise _not_there(space, repo, error) from error
    return Path(folder)


def _hub(space: str) -> Any:
    try:
        return importlib.import_module("huggingface_hub")
    except ImportError:
        raise MissingError(
            f"cannot fetch the weights of '{space}' from a hub",
            why="the package huggingface_hub is not installed",
            fix='pip install "molspace[open-clip]"   or   pip install huggingface_hub',
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


def _refuse_offline(space: str, name: str, places: Places) -> None:
    if places.offline:
        raise MissingError(
            f"cannot fetch {name}",
            why=f"offline mode is on ({places.offline})",
            fix=f"unset it, or bring the file yourself: --weights {space}=PATH",
            space=space,
        )


def download(wanted: WeightsFile, path: Path, told: Told) -> None:
    """Download a file by URL, going on where an earlier download stopped.

    Args:
        wanted: has a URL; its size and digest are checked where they are known.
        path: where the whole file goes; until then it is ``path`` with ``.part`` appended.
        told: of progress.

    Raises:
        MissingError: the server does not have it, or cannot be reached.
        DataError: what came has another size or digest; it is removed.
        StoreError: it cannot be written.
    """
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        have = part.stat().st_size if part.exists() else 0
        if not (wanted.size_bytes and have == wanted.size_bytes):
            _stream(wanted.url, part, have, path.name, told)
        _check(wanted, part)
        part.replace(path)
    except urllib.error.HTTPError as error:
        error.close()
        raise _unreachable(wanted, part, f"the server says {error.code} {error.reason}") from error
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError) as error:
        raise _unreachable(wanted, part, str(getattr(error, "reason", error))) from error
    except ConnectionError as error:
        raise _unreachable(wanted, part, str(error)) from error
    except OSError as error:
        raise StoreError(
            f"cannot write {path}",
            why=error.strerror or str(error),
            fix="free space, or choose another place with MOLSPACE_WEIGHTS",
        ) from error


def _stream(url: str, part: Path, have: int, name: str, told: Told) -> None:
    request = urllib.request.Request(url, headers={"User-Agent": "molspace"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if have and error.code == 416:  # nothing beyond what we have: all of it, or too much
            error.close()
            return
        raise
    with response:
        if response.status != 206:  # the server starts from the beginning
            have = 0
        rest = int(response.headers.get("Content-Length") or 0)
        total = have + rest if rest else 0
        with part.open("ab" if have else "wb") as stream:
            while chunk := response.read(_CHUNK_BYTES):
                stream.write(chunk)
                have += len(chunk)
                told(name, have, total)
            stream.flush()
            os.fsync(stream.fileno())
        if total and have != total:
            raise http.client.IncompleteRead(b"", total - have)


def _check(wanted: WeightsFile, part: Path) -> None:
    size = part.stat().st_size
    why = ""
    if wanted.size_bytes and size != wanted.size_bytes:
        why = f"it has {size:,} bytes, not {wanted.size_bytes:,}"
    elif wanted.sha256:
        with part.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        if found != wanted.sha256:
            why = f"its SHA-256 is {found[:12]}..., not {wanted.sha256[:12]}..."
    if why:
        part.unlink()
        raise DataError(
            f"what was downloaded as {wanted.name} is not the published file",
            why=why,
            fix="try again; if it happens again, the server has another file now",
            url=wanted.url,
        )


def _unreachable(wanted: WeightsFile, part: Path, why: str) -> MissingError:
    kept = part.stat().st_size if part.exists() else 0
    return MissingError(
        f"cannot download {wanted.name}",
        why=why,
        fix=f"try again: {kept:,} bytes are kept" if kept else "check the network, then try again",
        url=wanted.url,
    )
