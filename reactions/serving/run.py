"""Running the server until it is interrupted."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable

from reactions.core.errors import UsageError
from reactions.serving.access import Access, access_of
from reactions.serving.app import make_app
from reactions.serving.bench import Bench

_GRACE_S = 2


def bound(host: str, port: int) -> socket.socket:
    """Return a socket that is bound to an address; port 0 takes a free one.

    Raises:
        UsageError: it cannot be had.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        elsewhere = isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL
        raise UsageError(
            f"cannot serve at {host}, port {port}",
            why=(error.strerror or str(error)).lower(),
            fix="--port 0 takes a free port"
            if port and not elsewhere
            else "--host with an address of this machine, such as 127.0.0.1",
        ) from None
    return listener


def address_of(host: str, listener: socket.socket, access: Access) -> str:
    """Return the address to open in a browser, with the token if there is one."""
    name = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)
    name = f"[{name}]" if ":" in name and not name.startswith("[") else name
    address = f"http://{name}:{listener.getsockname()[1]}/"
    return f"{address}?token={access.token}" if access.token else address


def serve(bench: Bench, access: Access, listener: socket.socket, ready: Callable[[], None]) -> None:
    """Serve until interrupted; requests that are being answered then have two seconds.

    Args:
        bench: what is served.
        access: who may ask.
        listener: from ``bound``.
        ready: called once requests are answered.
    """
    import uvicorn

    class _Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                ready()

    config = uvicorn.Config(
        make_app(bench, access),
        log_level="error",
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        timeout_graceful_shutdown=_GRACE_S,
        timeout_keep_alive=30,
        limit_concurrency=256,
        proxy_headers=False,
    )
    _Server(config).run(sockets=[listener])


__all__ = ["access_of", "address_of", "bound", "serve"]
