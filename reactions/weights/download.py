"""Bringing weights to this machine: the only part of molspace that uses the network.

A file by URL is downloaded beside its place and renamed when it is whole; what a stopped
download left is continued, if it is still the same file. What lies in a hub repository goes to
the hub's own cache, by its own library.
"""

from __future__ import annotations

import fnmatch
import hashlib
import http.client
import importlib
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from email.message import Message
from pathlib import Path
from typing import Any

from reactions.core.errors import DataError, MissingError, StoreError
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

OnProgress = Callable[[str, int, int], None]
"""OnProgress of a download: what, bytes so far, bytes in all (0 if unknown)."""

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
        on_progress: of progress.

    Raises:
        MissingError: offline mode is on, or a library is missing, or the place does not
            have it.
        DataError: what came is not what was published.
        StoreError: it cannot be written.
    """
    found = []
    for wanted in requirements:
        if isinstance(wanted, WeightsFile):
            found.append(_file(space, wanted, locator, digests, on_progress))
        else:
            found.append(_repository(space, wanted, locator))
    digests.save()
    return found


def _file(
    space: str,
    wanted: WeightsFile,
    locator: WeightLocator,
    digests: DigestCache,
    on_progress: OnProgress,
) -> Fetched:
    try:
        path, was_there = find_file(space, wanted, locator), True
    except MissingError:
        was_there = False
        _refuse_offline(space, wanted.name, locator)
        if wanted.repo:
            path = _from_hub(space, wanted.repo, wanted.revision, locator, (wanted.filename,))
            path = path / wanted.filename
        elif wanted.url:
            path = locator.own_folder(space) / wanted.name
            download(wanted, path, on_progress)
        else:
            raise
    sha256 = verify(space, wanted, path, digests)
    return Fetched(wanted.name, path, was_there, wanted.licence, sha256)


def _repository(space: str, wanted: WeightsRepo, locator: WeightLocator) -> Fetched:
    # Code is looked for at the commit that a person trusts: the same has to be brought.
    wanted = replace(wanted, revision=wanted.revision or trusted_commit(wanted.repo))
    try:
        path = find_folder(space, wanted, locator)
        if _complete(path, wanted):
            return Fetched(wanted.repo, path, True, wanted.licence or licence_of(path))
    except MissingError:
        pass
    _refuse_offline(space, wanted.repo, locator)
    weights = _first_present(space, wanted)
    path = _from_hub(space, wanted.repo, wanted.revision, locator, (*wanted.files, *weights))
    return Fetched(wanted.repo, path, False, wanted.licence or licence_of(path))


def _complete(folder: Path, wanted: WeightsRepo) -> bool:
    """Return whether a folder holds weights, and what they cannot do without."""
    if not wanted.weights:
        return True
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    gone = set(named_files(folder)).difference(names)
    if any(fnmatch.filter(gone, form) for form in (*wanted.files, *wanted.weights)):
        return False
    return any(fnmatch.filter(names, form) for form in wanted.weights)


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
    space: str, repo: str, revision: str, locator: WeightLocator, patterns: Sequence[str]
) -> Path:
    hub = _hub(space)
    try:
        names = hub.list_repo_files(repo, revision=revision or None)
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
            fix='pip install "molspace[hub]"   or   pip install huggingface_hub',
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


def download(wanted: WeightsFile, path: Path, on_progress: OnProgress) -> None:
    """Download a file by URL, going on where an earlier download stopped.

    It goes on only with the same file: the server's ETag (or date) of the first part is kept
    beside it and sent along, and where there is none, only a known digest will do.

    Args:
        wanted: has a URL; its size and digest are checked where they are known.
        path: where the whole file goes; until then it is ``path`` with ``.part`` appended.
        on_progress: of progress.

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
            _stream(wanted, part, have, path.name, on_progress)
        _check(wanted, part)
        part.replace(path)
        _tag_file(part).unlink(missing_ok=True)
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


def _stream(wanted: WeightsFile, part: Path, have: int, name: str, on_progress: OnProgress) -> None:
    tag_file = _tag_file(part)
    tag = tag_file.read_text(encoding="utf-8") if tag_file.exists() else ""
    if not (tag or wanted.sha256):  # another file could follow, and nobody would know
        have = 0
    try:
        response = _open(wanted.url, have, tag)
    except urllib.error.HTTPError as error:
        if not have or error.code != 416:  # nothing beyond what we have
            raise
        error.close()
        if _is_all(error.headers, have, tag, checked=bool(wanted.sha256)):
            return
        have = 0
        response = _open(wanted.url)
    if response.status == 206 and not _continues(response.headers, have, tag):
        response.close()
        have = 0
        response = _open(wanted.url)
    with response:
        if response.status != 206:  # the server starts from the beginning
            have = 0
        rest = int(response.headers.get("Content-Length") or 0)
        total = have + rest if rest else 0
        with part.open("ab" if have else "wb") as stream:
            if not have:  # after the old bytes are gone, before new ones come
                _keep(tag_file, _tag(response.headers))
            while chunk := response.read(_CHUNK_BYTES):
                stream.write(chunk)
                have += len(chunk)
                on_progress(name, have, total)
            stream.flush()
            os.fsync(stream.fileno())
        if total and have != total:
            raise http.client.IncompleteRead(b"", total - have)


def _open(url: str, have: int = 0, tag: str = "") -> Any:
    request = urllib.request.Request(url, headers={"User-Agent": "molspace"})
    if have:
        request.add_header("Range", f"bytes={have}-")
        if tag:
            request.add_header("If-Range", tag)
    return _OPENER.open(request, timeout=_TIMEOUT_S)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follow to http and https alone, never from https to http, and leave secrets behind."""

    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, url: str
    ) -> Any:
        """Return the request to follow with.

        Raises:
            URLError: it leads where nothing is protected, or to another protocol.
        """
        scheme = urllib.parse.urlsplit(url).scheme
        if scheme not in ("http", "https") or (req.type == "https" and scheme != "https"):
            raise urllib.error.URLError(f"the server sends on to an address by {scheme or 'none'}")
        following = super().redirect_request(req, fp, code, msg, headers, url)
        if following is not None and following.host != req.host:
            for name in ("Authorization", "Cookie", "Proxy-authorization"):
                following.remove_header(name)
        return following


_OPENER = urllib.request.build_opener(_Redirects)


def _tag_file(part: Path) -> Path:
    return part.with_name(part.name + ".tag")


def _keep(tag_file: Path, tag: str) -> None:
    if tag:
        tag_file.write_text(tag, encoding="utf-8")
    else:
        tag_file.unlink(missing_ok=True)


def _tag(headers: Message) -> str:
    """Return what tells a version of a file: its strong ETag, or its date; "" for neither."""
    etag = headers.get("ETag") or ""
    weak = etag.startswith("W/")  # of files that only mean the same
    return etag if etag and not weak else headers.get("Last-Modified") or ""


def _same(headers: Message, tag: str) -> bool:
    """Return whether an answer is of the version that was begun, as far as both are known."""
    return not tag or _tag(headers) in ("", tag)


def _continues(headers: Message, have: int, tag: str) -> bool:
    given = re.match(r"bytes (\d+)-", headers.get("Content-Range") or "")
    return _same(headers, tag) and (given is None or int(given[1]) == have)


def _is_all(headers: Message, have: int, tag: str, *, checked: bool) -> bool:
    """Tell by the answer that nothing follows whether what we have is the whole file.

    Args:
        headers: of the answer.
        have: bytes.
        tag: of the version that was begun.
        checked: the digest decides where the answer does not tell the file's size.
    """
    given = re.fullmatch(r"bytes \*/(\d+)", headers.get("Content-Range") or "")
    return _same(headers, tag) and (checked if given is None else int(given[1]) == have)


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
        _tag_file(part).unlink(missing_ok=True)
        raise DataError(
            f"what was downloaded as {wanted.name} is not the published file",
            why=why,
            fix="try again; if it happens again, the server has another file now",
            url=wanted.url,
        )


def _unreachable(wanted: WeightsFile, part: Path, why: str) -> MissingError:
    usable = part.exists() and (wanted.sha256 or _tag_file(part).exists())
    kept = part.stat().st_size if usable else 0
    return MissingError(
        f"cannot download {wanted.name}",
        why=why,
        fix=f"try again: {kept:,} bytes are kept" if kept else "check the network, then try again",
        url=wanted.url,
    )
