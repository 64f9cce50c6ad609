"""Which remote addresses may be opened, and when: every use of fsspec passes through here.

fsspec opens far more than files: ``reference::`` reads a list of further addresses and, before
release 2026.6, rendered templates in it, which can run commands; ``github``, ``sftp``, ``smb`` and
others connect to hosts with whatever credentials they find. So addresses are held against a list
of plain protocols, and against what the command may do: a command that only lists or plans does
not use the network, nor does anything that an unknown lab file asks for.
"""

from __future__ import annotations

import os
import re
from urllib.parse import urlsplit

from reactions.core.errors import MissingError, UsageError, suggestion

PROTOCOLS = frozenset(
    {"file", "http", "https", "s3", "gs", "gcs", "az", "abfs", "hf"},
)
"""Protocols of plain files: nothing that they open can name what else is to be opened."""

CACHES = frozenset({"simplecache", "filecache", "blockcache"})
"""File systems that keep a copy of what another gives: they may stand in front, with ``::``."""

OFFLINE_VARIABLES = (
    "MOLSPACE_OFFLINE",
    "HF_HUB_OFFLINE",
    "HF_DATASETS_OFFLINE",
    "TRANSFORMERS_OFFLINE",
)
"""Settings of the environment that forbid the network."""

_LOCAL = frozenset({"file", "memory"})
_AZURE_HOST = re.compile(r"[\w-]+@[\w-]+(\.[\w-]+)+")
"""``CONTAINER@ACCOUNT.dfs.core.windows.net``: an @ that parts no password from a host."""

_denied: tuple[str, str] | None = None


class NotLookedAt(MissingError):
    """A remote place that a command leaves alone."""


def deny_network(why: str, fix: str) -> None:
    """Open nothing remote in this process from now on, until ``allow_network``.

    Args:
        why: for the error.
        fix: likewise.
    """
    global _denied
    _denied = why, fix


def allow_network() -> None:
    """Open remote places again, unless the environment says offline."""
    global _denied
    _denied = None


def offline() -> str:
    """Return the setting that forbids the network, as ``NAME=VALUE``; "" where none does.

    Raises:
        UsageError: our own variable says neither yes nor no. Those of others are read as they
            read them: what is not a yes is a no.
    """
    for name in OFFLINE_VARIABLES:
        value = os.environ.get(name, "").strip()
        if value.upper() in ("1", "ON", "YES", "TRUE"):
            return f"{name}={value}"
        if name == OFFLINE_VARIABLES[0] and value.upper() not in ("", "0", "OFF", "NO", "FALSE"):
            raise UsageError(f"{name} is '{value}'", fix="1, or 0")
    return ""


def check_address(url: str) -> None:
    """Refuse an address that is never opened, whatever the command.

    Args:
        url: with ``://``.

    Raises:
        UsageError: its protocol is not one of ``PROTOCOLS``, it chains file systems other than
            ``CACHES``, or it holds a user's name or password.
    """
    *caches, plain = url.split("::")
    protocol, separator, rest = plain.partition("://")
    unknown = [name for name in caches if name not in CACHES]
    if unknown or not separator or protocol not in PROTOCOLS:
        name = unknown[0].partition("://")[0] if unknown else protocol if separator else plain
        raise UsageError(
            f"cannot read '{shown(url)}'",
            why=f"'{name}' is not among the protocols that are opened: "
            + ", ".join(sorted(PROTOCOLS))
            + (f"; before '::' may stand {', '.join(sorted(CACHES))}" if "::" in url else ""),
            fix=suggestion(name, PROTOCOLS)
            if not unknown and name.lower() in PROTOCOLS
            else "bring the files to this machine first, and name their folder",
            url=shown(url),
        )
    host = rest.partition("/")[0]
    if "@" in host and not (protocol in ("az", "abfs") and _AZURE_HOST.fullmatch(host)):
        raise UsageError(
            f"cannot read '{shown(url)}'",
            why="the address holds a name or password, which would be kept and shown with it",
            fix="leave them out, and set the credentials as the service's own tools have it "
            "(environment variables, or their configuration)",
            url=shown(url),
        )


def check_use(url: str) -> None:
    """Refuse an address that must not be opened now.

    Args:
        url: as ``check_address`` takes it.

    Raises:
        UsageError: it is never opened.
        NotLookedAt: this command, or the environment, keeps from the network.
    """
    check_address(url)
    if url.rpartition("::")[2].partition("://")[0] in _LOCAL:
        return
    why, fix = _denied or ("", "")
    if not why and (setting := offline()):
        why, fix = f"offline mode is on ({setting})", "unset it, or bring the files here"
    if why:
        raise NotLookedAt(f"'{shown(url)}' was not looked at", why=why, fix=fix, url=shown(url))


def without_password(url: str) -> str:
    """Return an address without a user's name and password, for messages.

    What stands before an ``@`` of Azure's is a container, unless there is a colon in it.
    """
    return re.sub(r"(?:(?<!abfs)(?<!az)://[^/@]*|://[^/@]*:[^/@]*)@", "://...@", url)


def without_credentials(text: str) -> str:
    """Return an address without password and query, where keys and signatures are; for messages.

    What is not an address is returned as it is.
    """
    if "://" not in text:
        return text
    return re.sub(r"\?.*", "?...", without_password(text), flags=re.DOTALL)


def shown(url: str) -> str:
    """Return an address for messages: by HTTP, where queries hold signatures, without those.

    Elsewhere a question mark may be a wildcard.
    """
    by_http = url.rpartition("::")[2].startswith(("http://", "https://"))
    return without_credentials(url) if by_http else without_password(url)


def host_of(url: str) -> str:
    """Return an address's protocol and host, such as ``https://example.org`` or ``s3://bucket``."""
    plain = url.rpartition("::")[2]
    return f"{urlsplit(plain).scheme}://{plain.partition('://')[2].partition('/')[0]}"
