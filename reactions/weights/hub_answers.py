"""What a hub answers, before it becomes a path: names of files, commits and ETags.

The hub's library files downloads under ``blobs/ETAG`` and ``snapshots/COMMIT`` as the server named
them. A hostile or broken server (``HF_ENDPOINT``, a proxy) must not choose where that is.
"""

from __future__ import annotations

import importlib
import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from reactions.core.errors import DataError

_COMMIT = re.compile(r"[0-9a-f]{40}")
_ETAG = re.compile(r"[\w+=-][\w.+=-]{0,199}")
_DRIVE = re.compile(r"[A-Za-z]:")
_MAX_NAME_BYTES = 255
# The library's functions are replaced for the whole process, so for one repository at a time.
_lock = threading.RLock()


def check_names(names: Iterable[str], repo: str) -> None:
    """Refuse names of files that lead out of a folder, or that a file system reads otherwise.

    Raises:
        DataError: one is absolute, climbs with ``..``, holds a backslash, a drive letter or a
            control character, or is longer than file systems take.
    """
    for name in names:
        parts = name.split("/")
        bad = (
            any(part in ("", ".", "..") for part in parts)
            or _DRIVE.match(name)
            or "\\" in name
            or any(not character.isprintable() for character in name)
            or any(len(part.encode("utf-8", "replace")) > _MAX_NAME_BYTES for part in parts)
        )
        if bad:
            raise _hostile(repo, f"a file of it is called {ascii(name)[:120]}")


def check_commit(commit: object, repo: str) -> str:
    """Return a commit.

    Raises:
        DataError: it is not 40 hex digits.
    """
    if not isinstance(commit, str) or not _COMMIT.fullmatch(commit):
        raise _hostile(repo, f"{ascii(commit)[:120]} is not a commit (40 hex digits)")
    return commit


def check_etag(etag: object, repo: str) -> str:
    """Return an ETag.

    Raises:
        DataError: it holds anything but letters, digits and ``+ = . _ -``, or is too long.
    """
    if not isinstance(etag, str) or not _ETAG.fullmatch(etag) or ".." in etag:
        raise _hostile(repo, f"{ascii(etag)[:120]} is not an ETag")
    return etag


@contextmanager
def checked_answers(repo: str) -> Iterator[None]:
    """Check what the hub's library receives within this block by the same rules.

    The library asks and files in one call; between its two halves only its own functions stand.

    Raises:
        DataError: an answer could not be used.
    """
    with _lock:
        wrapped = [
            (holder, name, getattr(holder, name))
            for holder, name in _functions()
            if hasattr(holder, name)
        ]
        try:
            for holder, name, real in wrapped:
                setattr(holder, name, _checked(real, repo))
            yield
        finally:
            for holder, name, real in wrapped:
                setattr(holder, name, real)


def _functions() -> list[tuple[Any, str]]:
    try:
        downloads = importlib.import_module("huggingface_hub.file_download")
        api = importlib.import_module("huggingface_hub.hf_api").HfApi
    except (ImportError, AttributeError):  # a stand-in for the library
        return []
    return [
        (downloads, "get_hf_file_metadata"),
        (api, "repo_info"),
        (api, "model_info"),
        (api, "dataset_info"),
    ]


def _checked(real: Any, repo: str) -> Any:
    def call(*args: Any, **options: Any) -> Any:
        try:
            answer = real(*args, **options)
        except Exception as error:  # the library files that a file is missing, by this commit
            headers = getattr(getattr(error, "response", None), "headers", None) or {}
            if (commit := headers.get("X-Repo-Commit")) is not None:
                check_commit(commit, repo)
            raise
        for name in ("sha", "commit_hash"):
            if (commit := getattr(answer, name, None)) is not None:
                check_commit(commit, repo)
        if (etag := getattr(answer, "etag", None)) is not None:
            check_etag(etag, repo)
        return answer

    return call


def _hostile(repo: str, why: str) -> DataError:
    return DataError(
        f"the hub's answer about '{repo}' cannot be used",
        why=why,
        fix="check HF_ENDPOINT and the network; an honest hub does not answer so",
        repo=repo,
    )
