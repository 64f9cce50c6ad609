"""What gcsfs and adlfs do that their users are not to notice."""

from __future__ import annotations

import logging
import re
from importlib import import_module
from typing import Any

from reactions.core.errors import UsageError
from reactions.core.protocols import shown

PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}
"""What each protocol needs that our extras do not all install."""

_HOST = re.compile(r"\w+://(?:[\w-]+@)?([\w-]+)\.(?:dfs|blob)\.core\.windows\.net(?:/|$)")

_LOGGERS = {
    "gs": ("gcsfs", "google"),
    "gcs": ("gcsfs", "google"),
    "az": ("adlfs", "azure"),
    "abfs": ("adlfs", "azure"),
}


def file_system(protocol: str) -> Any:
    """Return the class of fsspec's that speaks a protocol.

    What its package logs, tracebacks included, stays off the screen unless somebody set up
    logging for it: what matters of it is in the errors that it raises.

    Raises:
        ImportError: its package is not installed.
    """
    for name in _LOGGERS.get(protocol, ()):
        logger = logging.getLogger(name)
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())
    if protocol in ("gs", "gcs"):
        # What gcsfs registers asks what kind each bucket is, with a right that few have, and where
        # it gets no answer it asks, and complains, again with every request.
        return import_module("gcsfs.core").GCSFileSystem
    import fsspec

    return fsspec.get_filesystem_class(protocol)


def options(url: str) -> dict[str, str]:
    """Return adlfs's option for the account that an address of Azure's names, if it does."""
    host = _HOST.match(url)
    return {"account_name": host[1]} if host else {}


def check_account(url: str, fs: Any) -> None:
    """Refuse an address in another account than a file system of adlfs's was opened for.

    adlfs takes the account of the connection string or of the environment, whatever the address
    says: results would go to another account, and items come from it, without a word.

    Args:
        url: of any protocol.
        fs: what it is opened with.

    Raises:
        UsageError: the address names another account.
    """
    named = options(url).get("account_name")
    account = getattr(getattr(fs, "service_client", None), "account_name", named)
    if named is not None and account != named:
        raise UsageError(
            f"'{shown(url)}' cannot be opened",
            why=f"it names the account '{named}', and the environment's is '{account}'",
            fix=f"set AZURE_STORAGE_ACCOUNT_NAME to {named} (and unset "
            "AZURE_STORAGE_CONNECTION_STRING), or leave the account out of the address",
            url=shown(url),
        )
