"""Who may ask: hosts, origins and the token; and what every answer tells the browser."""

from __future__ import annotations

import hmac
import ipaddress
import re
import secrets
import socket
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reactions.serving.limits import ForeignRequest

COOKIE: Final = "molspace-token"
_PORT = re.compile(r":\d{1,5}\Z")

POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)

_HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@dataclass(frozen=True, slots=True)
class Access:
    """Who may ask a server.

    Attributes:
        hosts: names and addresses, lower case, that a browser may have in its address bar.
        any_address: whether any address in digits will do, as where all interfaces are served.
        token: what a request must bring; "" for none.
    """

    hosts: frozenset[str] = frozenset(("localhost", "127.0.0.1", "::1"))
    any_address: bool = False
    token: str = field(default="", repr=False)

    def knows(self, host: str) -> bool:
        """Return whether a Host header names this server, and not a name rebound to it."""
        name = _PORT.sub("", host.strip().lower()).strip("[]")
        if name in self.hosts:
            return True
        return self.any_address and _is_address(name)

    def accepts(self, token: str) -> bool:
        """Compare a token in constant time."""
        return hmac.compare_digest(token.encode(errors="replace"), self.token.encode())


def access_of(host: str, *, allowed: Collection[str] = (), with_token: bool = False) -> Access:
    """Return who may ask a server that listens at an address.

    Args:
        host: ``127.0.0.1``, or what ``--host`` gives.
        allowed: further names by which it is reached.
        with_token: ask for a token even where only this machine reaches it.
    """
    hosts = {"localhost", "127.0.0.1", "::1", *(name.lower() for name in allowed)}
    if is_loopback(host):
        return Access(frozenset(hosts | {host.lower()}), token=new_token() if with_token else "")
    everywhere = host in ("", "0.0.0.0", "::")
    server_names = {socket.gethostname().lower()} if everywhere else {host.lower().strip("[]")}
    return Access(frozenset(hosts | server_names), any_address=everywhere, token=new_token())


def new_token() -> str:
    """Return a token that cannot be guessed: 256 bits."""
    return secrets.token_urlsafe(32)


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches an address."""
    if host.lower() == "localhost":
        return True
    return _is_address(host) and ipaddress.ip_address(host).is_loopback


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class Gate:
    """Middleware that refuses what does not come from the page, and adds headers to all answers.

    Args:
        app: what is behind it.
        access: who may ask.
        refuse: makes an answer of an error and a status.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # no web sockets are served
            await send({"type": "websocket.close", "code": 1008})
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        request = Request(scope, receive)
        answer = self._refusal(request) or self._handshake(request)
        await (answer or self._app)(scope, receive, with_headers)

    def _refusal(self, request: Request) -> Response | None:
        headers = request.headers
        host = headers.get("host", "")
        if len(headers.getlist("host")) != 1 or not self._access.knows(host):
            error = ForeignRequest(
                f"this server is not called '{host[:80]}'",
                why="another name in the address bar may be an attack (DNS rebinding)",
                fix="use the address that molspace serve printed, or --allow-host NAME",
            )
            return refused(request, error, 421)
        is_page = request.method in ("GET", "HEAD") and request.url.path == "/"
        if not is_page and _is_foreign(request):
            error = ForeignRequest(
                "another page asked",
                why=f"its origin is '{headers.get('origin', 'another site')[:80]}'",
                fix="open the page that this server has",
            )
            return refused(request, error, 403)
        return None

    def _handshake(self, request: Request) -> Response | None:
        """Ask for the token, and let a browser keep it in a cookie; None goes on."""
        if not self._access.token:
            return None
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._access.accepts(bearer.strip()):
            return None
        if self._access.accepts(request.cookies.get(COOKIE, "")):
            return None
        if request.url.path == "/" and request.method == "GET":
            token = dict(parse_qsl(request.url.query)).get("token")
            if token is not None and self._access.accepts(token.strip()):
                # The token leaves the address bar, and with it the browser's history.
                answer = RedirectResponse("/", status_code=303)
                answer.set_cookie(COOKIE, self._access.token, httponly=True, samesite="strict")
                return answer
            return Response(_ASK, status_code=401, media_type="text/html")
        if request.url.path == "/assets/page.css":
            return None
        error = ForeignRequest(
            "no token, or a wrong one", fix="use the address that molspace serve printed"
        )
        return refused(request, error, 401)


def refused(request: Request, error: ForeignRequest, status: int) -> Response:
    """Return an error as JSON."""
    from reactions.serving.answers import error_answer

    return error_answer(error, status)


def _is_foreign(request: Request) -> bool:
    """Return whether a page of another origin sends a request.

    Browsers say so by ``Sec-Fetch-Site``, and by ``Origin`` with every POST; other programs send
    neither.
    """
    headers = request.headers
    site = headers.get("sec-fetch-site")
    if site is not None and site not in ("same-origin", "none"):
        return True
    origin = headers.get("origin")
    if origin is None:
        return False
    return urlsplit(origin).netloc.lower() != headers.get("host", "").lower()


_ASK: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>molspace: token</title><link rel="stylesheet" href="/assets/page.css">
<body class="ask"><main><h1>molspace</h1>
<form action="/" method="get"><label for="token">Token, as <code>molspace serve</code> printed
it</label><input id="token" name="token" type="password" autocomplete="off" autofocus required>
<button class="primary">Open</button></form></main></body></html>
"""
