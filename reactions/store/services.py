"""The services that a store can be kept in, and the packages that speak to them."""

from __future__ import annotations

import asyncio
import inspect
import os
import re
from collections.abc import Mapping
from importlib import metadata
from types import MethodType
from typing import Any, Final

from reactions.core import clouds
from reactions.core.errors import MissingError, UsageError, suggestion
from reactions.core.extras import install_extra
from reactions.core.protocols import check_address, offline, without_credentials

PACKAGES = clouds.PACKAGES
"""What each protocol that can be written to needs."""

_LOWER_CASE = ("gs", "gcs", "az", "abfs")
"""Services without a bucket whose name has capitals; S3 still has old ones."""

_LEAST: Final = (2024, 12)
"""The first versions of all of them that put an object only if there is none. Earlier ones drop the
condition silently, so that every process would get every lock, or do not know it."""

_COPY_PAUSE_S = 0.5
"""Between two questions whether a copy is whole."""

_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    # botocore tries again by itself, which would multiply with our tries.
    "s3": {"config_kwargs": {"retries": {"total_max_attempts": 1}}},
}


def normal_url(url: str) -> str:
    """Return the URL of a store in the one form that all processes use.

    Raises:
        UsageError: a store cannot lie there.
        MissingError: offline mode is on.
    """
    protocol, _, rest = url.strip().partition("://")
    protocol = protocol.lower()
    fix = "set MOLSPACE_CACHE to a folder, or to a URL such as s3://bucket/prefix"
    shown = without_credentials(url)
    if protocol not in PACKAGES:
        raise UsageError(
            f"the store cannot lie at '{shown}'",
            why=f"'{protocol}' is not among what a store is kept in: file, "
            + ", ".join(sorted(PACKAGES)),
            fix=suggestion(protocol, PACKAGES) if protocol not in ("http", "https", "hf") else fix,
            url=shown,
        )
    check_address(f"{protocol}://{rest}")
    rest = re.sub(r"/+", "/", rest).strip("/")
    if not rest or any(c in rest for c in "*?#[]{}"):
        raise UsageError(
            f"the store cannot lie at '{shown}'",
            why="it names no bucket" if not rest else "it has wildcards, or a query",
            fix=fix,
            url=shown,
        )
    bucket = rest.partition("/")[0].rpartition("@")[0] or rest.partition("/")[0]
    if protocol in _LOWER_CASE and bucket != bucket.lower():
        raise UsageError(
            f"the store cannot lie at '{shown}'",
            why=f"names of buckets and containers are in lower case there, and '{bucket}' is not",
            fix=f"set MOLSPACE_CACHE to {protocol}://{rest.replace(bucket, bucket.lower(), 1)}",
            url=shown,
        )
    if setting := offline():
        raise MissingError(
            f"the store at '{shown}' was not looked at",
            why=f"offline mode is on ({setting})",
            fix="unset it, or set MOLSPACE_CACHE to a folder",
            url=shown,
        )
    return f"{protocol}://{rest}"


def open_service(url: str) -> Any:
    """Return a file system of fsspec's for a URL that ``normal_url`` returned.

    Raises:
        MissingError: the package that its protocol needs is not installed, or too old.
    """
    protocol = url.partition("://")[0]
    package = PACKAGES.get(protocol, "fsspec")
    try:
        # Others change what is there: nothing may be answered from an earlier listing.
        options = {**_OPTIONS.get(protocol, {}), **clouds.options(url)}
        fs = clouds.file_system(protocol)(
            use_listings_cache=False, skip_instance_cache=True, **options
        )
    except ImportError as error:
        extra = install_extra("s3") if package == "s3fs" else f"pip install {package}"
        raise MissingError(
            f"the store at '{url}' needs the package {package}",
            why=str(error).rstrip("."),
            fix=f"{extra}   or set MOLSPACE_CACHE to a folder",
            url=url,
        ) from error
    # Every package raises errors of its own, or of the library below it.
    except Exception as error:
        raise MissingError(
            f"the store at '{url}' cannot be opened",
            why=said(error),
            fix="set the credentials as the service's own tools have it (for Azure "
            "AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT_NAME)   "
            "or set MOLSPACE_CACHE to a folder",
            url=url,
        ) from None
    _check_version(url, package)
    clouds.check_account(url, fs)
    _ask_once(fs)
    return fs


def _ask_once(fs: Any) -> None:
    """Let a package try each request once, where that can be set.

    Its tries would multiply with ours: gcsfs pauses for half a minute in all, azure-storage-blob
    for a minute and a half.
    """
    if hasattr(fs, "retries"):  # s3fs
        fs.retries = 1
    for name in ("_request", "_get_file_request", "_get_file_concurrent"):  # gcsfs
        once = getattr(getattr(type(fs), name, None), "__wrapped__", None)
        if once is not None:
            setattr(fs, name, MethodType(once, fs))
    pipeline = getattr(getattr(fs, "service_client", None), "_pipeline", None)  # adlfs
    for policy in getattr(pipeline, "_impl_policies", ()):
        if hasattr(policy, "total_retries"):
            policy.total_retries = 0


def call_within(timeout_s: float, fs: Any, method: str, *args: Any, **options: Any) -> Any:
    """Call a method of a file system, and give it up after a while where that is possible."""
    if not getattr(fs, "async_impl", False):
        return getattr(fs, method)(*args, **options)
    from fsspec.asyn import sync

    return sync(fs.loop, getattr(fs, f"_{method}"), *args, timeout=timeout_s, **options)


def copy_file(fs: Any, source: str, target: str) -> None:
    """Copy an object within the service, and return when the copy is whole.

    Azure may answer that it has begun: were the source removed then, the copy would stay empty.
    """
    fs.cp_file(source, target)
    if hasattr(fs, "service_client"):
        from fsspec.asyn import sync

        sync(fs.loop, _wait_for_copy, fs, target)


async def _wait_for_copy(fs: Any, target: str) -> None:
    container, blob, _ = fs.split_path(target)
    async with fs.service_client.get_blob_client(container, blob) as client:
        while (copy := (await client.get_blob_properties()).copy).status == "pending":
            await asyncio.sleep(_COPY_PAUSE_S)
    if copy.status in ("failed", "aborted"):
        raise ConnectionError(f"a copy within the service {copy.status}: {copy.status_description}")


def read_options(fs: Any) -> dict[str, int]:
    """Return what makes reading a whole object one request.

    s3fs asks for the size first, to read large objects in several parts at a time; ours are small.
    """
    method = getattr(fs, "_cat_file", fs.cat_file)
    knows = "max_concurrency" in inspect.signature(method).parameters
    return {"max_concurrency": 1} if knows else {}


def _check_version(url: str, package: str) -> None:
    """Refuse a package that would put what must not be replaced over what is there."""
    if package not in PACKAGES.values():
        return
    version = metadata.version(package)
    if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < _LEAST:
        least = ".".join(map(str, _LEAST))
        raise MissingError(
            f"the store at '{url}' needs {package} {least} or later",
            why=f"{package} {version} puts a lock although another process has it",
            fix=f"pip install --upgrade '{package}>={least}'   or set MOLSPACE_CACHE to a folder",
            url=url,
        )


_SECRET = re.compile(r"KEY|SECRET|TOKEN|PASSWORD|CREDENTIAL|SAS|CONNECTION_STRING", re.IGNORECASE)


def said(error: BaseException) -> str:
    """Return an error's message on one line, without what may be a credential."""
    text = " ".join(str(error).split()) or type(error).__name__
    for name, value in os.environ.items():
        if _SECRET.search(name) and len(value) >= 4:
            text = text.replace(value, "...")
    text = re.sub(r"(AccountKey|SharedAccessSignature)=[^;\s'\"]+", r"\1=...", text)
    text = re.sub(r"\s*RequestId:.*", "", text)  # of Azure's, which says all of it twice
    text = re.sub(r"\?[^\s'\"]*", "?...", text)  # of a signed address
    return re.sub(r"(?<=://)[^/@\s]*@", "...@", text)[:400]
