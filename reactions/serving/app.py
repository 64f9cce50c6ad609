"""The server's addresses: the page, its files, and answers in JSON."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from reactions.core.errors import MolspaceError, StepError, UsageError
from reactions.search.hits import Hit
from reactions.serving.access import Access, Gate
from reactions.serving.answers import error_answer, json_answer
from reactions.serving.bench import Bench, Probe
from reactions.serving.factors import command_line, options_of
from reactions.serving.lanes import ClientGone, Lane
from reactions.serving.limits import NotThere, TooLarge
from reactions.serving.media import Medium, picture_medium, played
from reactions.serving.requests import (
    integer,
    names,
    read_asked,
    read_many,
    read_object,
    read_settings,
)
from reactions.serving.transfer import read_body, sent
from reactions.serving.uploads import Upload, too_large

T = TypeVar("T")

_PAGE = files("reactions.serving") / "page"
_ASSETS = {
    "page.css": "text/css",
    "page.js": "text/javascript",
    "controls.js": "text/javascript",
    "results.js": "text/javascript",
    "tray.js": "text/javascript",
    "server.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}


class Desk:
    """Answers requests about a bench.

    Args:
        bench: what is served.

    Attributes:
        models: where models run, one at a time.
        weighing: where what is embedded is weighed and searched.
        reading: where pictures and sounds are decoded.
    """

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self.models = Lane("model", waiting=bench.limits.waiting)
        self.weighing = Lane("weighing", waiting=bench.limits.waiting)
        self.reading = Lane("media", waiting=bench.limits.waiting_media, threads=2)

    def routes(self) -> list[Route]:
        """Return the addresses."""
        item = "/api/indexes/{index:int}/{modality}/{number:int}"
        post, get = ["POST"], ["GET"]
        return [
            Route("/", self._page, methods=get),
            Route("/assets/{name}", self._asset, methods=get),
            Route("/api/about", self._about, methods=get),
            Route("/api/uploads", self._upload, methods=post),
            Route("/api/uploads/{key}/picture", self._upload_picture, methods=get),
            Route("/api/uploads/{key}/play", self._upload_play, methods=get),
            Route("/api/search", self._search, methods=post),
            Route("/api/similarity", self._similarity, methods=post),
            Route("/api/classes", self._classes, methods=post),
            Route("/api/indexes/{index:int}/{modality}", self._items, methods=get),
            Route(f"{item}/picture", self._picture, methods=get),
            Route(f"{item}/outline", self._outline, methods=get),
            Route(f"{item}/play", self._play, methods=get),
        ]

    # --- the page ----------------------------------------------------------------------

    async def _page(self, request: Request) -> Response:
        return Response((_PAGE / "index.html").read_bytes(), media_type="text/html")

    async def _asset(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in _ASSETS:
            raise NotThere(f"there is no '{name[:80]}'")
        content = (_PAGE / name).read_bytes()
        return Response(content, media_type=_ASSETS[name], headers={"Cache-Control": "no-cache"})

    async def _about(self, request: Request) -> Response:
        return json_answer("about", self._bench.about())

    # --- files -------------------------------------------------------------------------

    async def _upload(self, request: Request) -> Response:
        """Take a file: its bytes are the body, its name and modality are in the address."""
        limits = self._bench.limits
        kind = request.headers.get("content-type", "").partition(";")[0].strip()
        if kind != "application/octet-stream":
            raise UsageError(
                f"a file of type '{kind[:80]}'",
                why="the body is the file itself",
                fix="Content-Type: application/octet-stream",
            )
        content = await read_body(request, limits.upload_bytes, lambda n: too_large(n, limits))
        name = request.query_params.get("name", "")[: 4 * limits.name]
        modality = request.query_params.get("modality") or None
        upload = await self.reading.run(lambda: self._bench.uploads.add(content, name, modality))
        return json_answer("upload", _upload_json(upload))

    async def _upload_picture(self, request: Request) -> Response:
        upload = self._bench.uploads.get(request.path_params["key"])
        if not upload.picture:
            raise NotThere(f"there is nothing to see of '{upload.name}'")
        return sent(request, picture_medium(upload.picture))

    async def _upload_play(self, request: Request) -> Response:
        upload = self._bench.uploads.get(request.path_params["key"])
        kind = played(upload.modality, upload.content[:16])
        if not kind:
            raise NotThere(f"a browser cannot play '{upload.name}'")
        return sent(request, Medium(kind, upload.content, size_bytes=len(upload.content)))

    # --- questions ---------------------------------------------------------------------

    async def _search(self, request: Request) -> Response:
        bench = self._bench
        body = await self._object(request, ("query", "index", "into", "k"))
        adjustment = read_settings(bench, body)
        probe = read_asked(bench, body.get("query"))
        k = integer(body, "k", 10, low=1, high=bench.limits.k)
        number = integer(body, "index", 0, low=0, high=1 << 20)
        into = names(body, "into")
        bench.index(number)
        start = time.perf_counter()
        await self._prepared(request, [probe])
        embedded = time.perf_counter()

        def work() -> dict[str, Any]:
            hits_of_modalities = bench.search(number, probe, adjustment, into=into, k=k)
            return {m: self._group(number, hits) for m, hits in hits_of_modalities.items()}

        groups = await self._weighed(request, work)
        done = time.perf_counter()
        return json_answer(
            "search",
            {
                "index": number,
                "groups": groups,
                **bench.acting(adjustment),
                "command": self._command(number, probe, into, k, adjustment),
                "embedding_ms": round(1000 * (embedded - start), 2),
                "search_ms": round(1000 * (done - embedded), 2),
            },
        )

    async def _similarity(self, request: Request) -> Response:
        bench = self._bench
        body = await self._object(request, ("items",))
        adjustment = read_settings(bench, body)
        items = read_many(bench, body.get("items"), bench.limits.compared)
        await self._prepared(request, items)
        cosines = await self._weighed(request, lambda: bench.similarity(items, adjustment))
        rows = [[round(float(value), 4) for value in row] for row in cosines]
        return json_answer("similarity", {"cosines": rows, **bench.acting(adjustment)})

    async def _classes(self, request: Request) -> Response:
        bench = self._bench
        body = await self._object(request, ("query", "knowledge", "top"))
        adjustment = read_settings(bench, body)
        probe = read_asked(bench, body.get("query"))
        top = integer(body, "top", 10, low=1, high=bench.limits.classes)
        knowledge = body.get("knowledge")
        if not isinstance(knowledge, str):
            raise UsageError(
                "'knowledge' must be a string", fix=f"one of {', '.join(bench.knowledge)}"
            )
        await self._prepared(request, [probe])

        def work() -> dict[str, Any]:
            classifier = bench.classifier(knowledge, adjustment)
            (best,) = classifier.best(bench.row(probe, adjustment), top)
            return {
                "classes": [{"class": name, "score": round(score, 6)} for name, score in best],
                "of": len(classifier.classes),
                "centres": classifier.about,
                "notices": list(classifier.notices),
            }

        answer = await self.models.run(work, gone=_gone(request))
        return json_answer("classes", {**answer, **bench.acting(adjustment)})

    async def _object(self, request: Request, keys: tuple[str, ...]) -> dict[str, Any]:
        kind = request.headers.get("content-type", "").partition(";")[0].strip()
        if kind != "application/json":
            raise UsageError(
                f"a request of type '{kind[:80]}'", fix="Content-Type: application/json"
            )
        most = self._bench.limits.body_bytes
        content = await read_body(
            request, most, lambda n: TooLarge(f"the request has more than {most >> 10} KiB")
        )
        return read_object(content, keys)

    async def _prepared(self, request: Request, items: list[Probe]) -> None:
        """Embed what has not been embedded yet, in turn."""
        waiting = [probe for probe in items if not self._bench.is_ready(probe)]
        if waiting:
            await self.models.run(lambda: self._bench.prepare(waiting), gone=_gone(request))

    async def _weighed(self, request: Request, work: Callable[[], T]) -> T:
        return await self.weighing.run(work, gone=_gone(request))

    def _group(self, index: int, hits: list[Hit] | MolspaceError) -> dict[str, Any]:
        if isinstance(hits, MolspaceError):
            return {"hits": [], "error": hits.to_json()}
        places = self._bench.media.places
        return {"hits": [{**h.to_json(), **places(index, h.item, h.number)} for h in hits]}

    def _command(self, number: int, probe: Probe, into: Any, k: int, adjustment: Any) -> str | None:
        """Return the command line that does the same; None where a command cannot name the query.

        A file that was dropped goes by its name: the server does not know its folder.
        """
        index = self._bench.index(number)
        value = probe.upload.name if probe.upload else probe.text
        if probe.kind == "item":
            item = self._bench.index(probe.index).item(probe.modality, probe.number)
            value = "" if item.within else item.source  # no argument names a part of a file
        if not value:
            return None
        return command_line(
            str(index.directory),
            (probe.modality, value),
            into=into[0] if into and len(into) == 1 else None,
            k=k,
            options=options_of(self._bench.controls, adjustment),
        )

    # --- items of indexes --------------------------------------------------------------

    async def _items(self, request: Request) -> Response:
        """Return some items of an index, to begin with."""
        number, modality = request.path_params["index"], request.path_params["modality"]
        index = self._bench.index(number)
        try:
            start, n = (
                int(request.query_params.get(x, d)) for x, d in (("start", "0"), ("n", "12"))
            )
        except ValueError:
            raise UsageError("'start' and 'n' must be whole numbers") from None
        n, start = max(1, min(n, self._bench.limits.k)), max(0, start)

        def work() -> list[dict[str, Any]]:
            items = []
            for place, (row, item) in enumerate(index.items(modality)):
                if place >= start + n:
                    break
                if place >= start:
                    facts = {
                        "modality": modality,
                        "number": row,
                        "id": item.id,
                        "label": item.label,
                    }
                    items.append({**facts, **self._bench.media.places(number, item, row)})
            return items

        items = await self.reading.run(work, gone=_gone(request))
        return json_answer("items", {"index": number, "modality": modality, "items": items})

    async def _picture(self, request: Request) -> Response:
        medium = await self._read(request, self._bench.media.picture)
        return sent(request, medium)

    async def _outline(self, request: Request) -> Response:
        peaks = await self._read(request, self._bench.media.outline)
        return json_answer("outline", {"peaks": peaks})

    async def _play(self, request: Request) -> Response:
        return sent(request, await self._read(request, self._bench.media.play))

    async def _read(self, request: Request, read: Callable[..., T]) -> T:
        of = request.path_params
        index = self._bench.index(of["index"])
        return await self.reading.run(
            lambda: read(index, of["modality"], of["number"]), gone=_gone(request)
        )


def make_app(bench: Bench, access: Access) -> Starlette:
    """Return the application that serves a bench.

    Args:
        bench: what is served.
        access: who may ask.
    """
    desk = Desk(bench)
    app = Starlette(
        routes=desk.routes(),
        exception_handlers={
            MolspaceError: _on_error,
            ClientGone: _on_gone,
            Exception: _on_bug,
            404: _on_unknown,
            405: _on_unknown,
        },
    )
    app.add_middleware(Gate, access=access)
    app.state.desk = desk
    return app


async def _on_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, MolspaceError)
    return error_answer(error)


async def _on_bug(request: Request, error: Exception) -> Response:
    failed = StepError("the server failed", why=type(error).__name__, fix="see its terminal")
    return error_answer(failed, 500)


async def _on_gone(request: Request, error: Exception) -> Response:
    return Response(status_code=499)


async def _on_unknown(request: Request, error: Exception) -> Response:
    what = f"there is nothing at {request.method} '{request.url.path[:80]}'"
    status = getattr(error, "status_code", 404)
    return error_answer(NotThere(what, fix="see docs/serve.md for the addresses"), status)


def _gone(request: Request) -> Callable[[], Awaitable[object]]:
    """Return what waits until the client of a request, whose body was read, has hung up."""

    async def wait() -> None:
        while not await request.is_disconnected():
            await asyncio.sleep(0.1)

    return wait


def _upload_json(upload: Upload) -> dict[str, Any]:
    base = f"/api/uploads/{upload.key}"
    can_play = bool(played(upload.modality, upload.content[:16]))
    return {
        "upload": upload.key,
        "name": upload.name,
        "modality": upload.modality,
        "others": list(upload.others),
        "size_bytes": len(upload.content),
        "picture": f"{base}/picture" if upload.picture else None,
        "play": f"{base}/play" if can_play else None,
        "peaks": list(upload.peaks),
    }
