"""Downloading a file by its URL: continued where it stopped, and renamed when it is whole."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from email.message import Message
from pathlib import Path
from typing import Any

from reactions.core.errors import DataError, MissingError, StoreError
from reactions.weights.locate import WeightsFile

OnProgress = Callable[[str, int, int], None]
"""Called with the file's name, the bytes so far, and the bytes in all (0 if unknown)."""

_CHUNK_BYTES = 1 << 20
_TIMEOUT_S = 60.0


def download(file: WeightsFile, path: Path, on_progress: OnProgress) -> None:
    """Download a file by URL, going on where an earlier download stopped.

    It goes on only with the same file: the server's ETag (or date) of the first part is kept
    beside it and sent along, and where there is none, only a known digest will do.

    Args:
        file: has a URL; its size and digest are checked where they are known.
        path: where the whole file goes; until then it is ``path`` with ``.part`` appended.
        on_progress: called after each piece.

    Raises:
        MissingError: the server does not have it, or cannot be reached.
        DataError: what came has another size or digest; it is removed.
        StoreError: it cannot be written.
    """
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        have = part.stat().st_size if part.exists() else 0
        if not (file.size_bytes and have == file.size_bytes):
            _stream(file, part, have, path.name, on_progress)
        _check(file, part)
        part.replace(path)
        _tag_file(part).unlink(missing_ok=True)
    # The network's errors first, most of which are OSErrors: those left are the disk's.
    except urllib.error.HTTPError as error:
        error.close()
        raise _unreachable(file, part, f"the server says {error.code} {error.reason}") from error
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError) as error:
        raise _unreachable(file, part, str(getattr(error, "reason", error))) from error
    except ConnectionError as error:
        raise _unreachable(file, part, str(error)) from error
    except OSError as error:
        raise StoreError(
            f"cannot write {path}",
            why=error.strerror or str(error),
            fix="free space, or choose another place with XDG_CACHE_HOME",
        ) from error


def _stream(file: WeightsFile, part: Path, have: int, name: str, on_progress: OnProgress) -> None:
    tag_file = _tag_file(part)
    tag = tag_file.read_text(encoding="utf-8") if tag_file.exists() else ""
    if not (tag or file.sha256):  # another file could follow, and nobody would know
        have = 0
    try:
        response = _open(file.url, have, tag)
    except urllib.error.HTTPError as error:
        if not have or error.code != 416:  # 416: there is nothing after the bytes we have
            raise
        error.close()
        if _is_all(error.headers, have, tag, checked=bool(file.sha256)):
            return
        have = 0
        response = _open(file.url)
    # Not every server heeds If-Range: it may go on in another version, or from another place.
    if response.status == 206 and not _continues(response.headers, have, tag):
        response.close()
        have = 0
        response = _open(file.url)
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
            # Or the rename could reach the disk before the bytes, and a crash leave a damaged file.
            os.fsync(stream.fileno())
        # read(n) returns b"" where a connection breaks off, as it does at the end of the body.
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
            # As urllib's Request spells header names: remove_header compares them exactly.
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
    """Return what identifies a version of a file: its strong ETag, or its date; "" for neither."""
    etag = headers.get("ETag") or ""
    weak = etag.startswith("W/")  # bytes may differ, so that If-Range does not take it
    return etag if etag and not weak else headers.get("Last-Modified") or ""


def _same(headers: Message, tag: str) -> bool:
    """Return whether an answer is of the version that was begun, as far as both are known."""
    return not tag or _tag(headers) in ("", tag)


def _continues(headers: Message, have: int, tag: str) -> bool:
    served = re.match(r"bytes (\d+)-", headers.get("Content-Range") or "")
    return _same(headers, tag) and (served is None or int(served[1]) == have)


def _is_all(headers: Message, have: int, tag: str, *, checked: bool) -> bool:
    """Tell by the answer that nothing follows whether what we have is the whole file.

    Args:
        headers: of the answer.
        have: bytes.
        tag: of the version that was begun.
        checked: the digest decides where the answer does not tell the file's size.
    """
    total = re.fullmatch(r"bytes \*/(\d+)", headers.get("Content-Range") or "")
    return _same(headers, tag) and (checked if total is None else int(total[1]) == have)


def _check(file: WeightsFile, part: Path) -> None:
    size = part.stat().st_size
    why = ""
    if file.size_bytes and size != file.size_bytes:
        why = f"it has {size:,} bytes, not {file.size_bytes:,}"
    elif file.sha256:
        with part.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        if sha256 != file.sha256:
            why = f"its SHA-256 is {sha256[:12]}..., not {file.sha256[:12]}..."
    if why:
        part.unlink()
        _tag_file(part).unlink(missing_ok=True)
        raise DataError(
            f"what was downloaded as {file.name} is not the published file",
            why=why,
            fix="try again; if it happens again, the server has another file now",
            url=file.url,
        )


def _unreachable(file: WeightsFile, part: Path, why: str) -> MissingError:
    usable = part.exists() and (file.sha256 or _tag_file(part).exists())
    n_bytes = part.stat().st_size if usable else 0
    return MissingError(
        f"cannot download {file.name}",
        why=why,
        fix=f"try again: {n_bytes:,} bytes are kept"
        if n_bytes
        else "check the network, then try again",
        url=file.url,
    )
