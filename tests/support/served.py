"""A bench of tiny spaces whose encoders draw rows by id, and a client of its application."""

import io
import wave
from dataclasses import replace

import numpy as np
from indexed import add, load_fake, mixture, session_here, target_at
from media_files import image_bytes, sound_bytes
from starlette.testclient import TestClient

from reactions.core.types import Item
from reactions.inference.embedder import LoadedParts
from reactions.search.index import SearchIndex
from reactions.serving.access import Access
from reactions.serving.app import make_app
from reactions.serving.bench import Bench

HOST = "http://127.0.0.1:8765"


def media_items(folder, n=3):
    """Items that lie in files, and texts."""
    items = []
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        picture, sound = folder / f"picture-{i}.png", folder / f"sound-{i}.wav"
        picture.write_bytes(image_bytes(i))
        sound.write_bytes(sound_bytes(i))
        items += [
            Item(f"image-{i}", "image", picture),
            Item(f"audio-{i}", "audio", sound),
            Item(f"text-{i}", "text", f"text number {i}"),
        ]
    return items


def bench_at(path, items=None, space=None, **limits):
    """A bench of a product with one index; of in-memory items where none are given."""
    target = target_at(path / "bundle", space)
    items = mixture(6) if items is None else items
    index = add(path / "index", target, items, path / "digests").index
    assert isinstance(index, SearchIndex)
    from reactions.serving.limits import LIMITS

    parts = LoadedParts(target, load_fake, "cpu")
    bounds = replace(LIMITS, **limits)
    return Bench(session_here(), target, [index], parts=parts, limits=bounds)


def client_of(bench, access=None, **options):
    """A client that asks as the page does."""
    app = make_app(bench, access or Access())
    return TestClient(app, base_url=HOST, raise_server_exceptions=False, **options)


def send_file(client, content, name, **query):
    return client.post(
        "/api/uploads",
        params={"name": name, **query},
        content=content,
        headers={"Content-Type": "application/octet-stream"},
    )


def wav_bytes(n=400, rate_hz=8000):
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes((np.sin(np.arange(n) / 5) * 9000).astype("<i2").tobytes())
    return stream.getvalue()
