"""Small annotation files in the layouts of published sets: three pictures or sounds, captions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CAPTIONS = {
    "a": ["a black square", "a dark one"],
    "b": ["a grey square"],
    "c": ["a light square", "white"],
}


def coco() -> dict[str, Any]:
    """Return COCO's captions: each of the annotations names its image by number."""
    images = [
        {"id": 10 * i, "file_name": f"{name}.png", "height": 4, "width": 4}
        for i, name in enumerate(CAPTIONS)
    ]
    annotations = [
        {"id": 500 + 10 * i + j, "image_id": 10 * i, "caption": text}
        for i, texts in enumerate(CAPTIONS.values())
        for j, text in enumerate(texts)
    ]
    licences = [{"id": 1, "name": "CC"}]
    return {"info": {"year": 2014}, "licenses": licences, "images": images} | {
        "annotations": annotations
    }


def karpathy(*, folder: str = "val2014") -> dict[str, Any]:
    """Return a split of Karpathy's, the last image of which is for training.

    Args:
        folder: where its images lie, as of COCO; "" as of Flickr.
    """
    splits = ("test", "test", "restval")
    images = [
        {
            **({"filepath": folder} if folder else {}),
            "filename": f"{name}.png",
            "imgid": i,
            "sentences": [{"raw": t, "tokens": t.split(), "imgid": i} for t in texts],
            "split": splits[i],
        }
        for i, (name, texts) in enumerate(CAPTIONS.items())
    ]
    return {"images": images, "dataset": "coco"}


def msrvtt() -> dict[str, Any]:
    """Return MSR-VTT's: sentences name their video, whose file is called by its id."""
    videos = [
        {"video_id": name, "split": "train" if name == "c" else "test", "category": 3}
        for name in CAPTIONS
    ]
    sentences = [
        {"video_id": name, "sen_id": i, "caption": text}
        for name, texts in CAPTIONS.items()
        for i, text in enumerate(texts)
    ]
    return {"info": {}, "videos": videos, "sentences": sentences}


def token_lines() -> str:
    """Return a list of captions as of Flickr8k."""
    return "".join(
        f"{name}.png#{i}\t{text}\n"
        for name, texts in CAPTIONS.items()
        for i, text in enumerate(texts)
    )


def audiocaps() -> str:
    """Return AudioCaps' csv, which names no files."""
    rows = (
        f"{900 + i}{j},{name * 11},{30 * i},{text}"
        for i, (name, texts) in enumerate(CAPTIONS.items())
        for j, text in enumerate(texts)
    )
    return "\n".join(("audiocap_id,youtube_id,start_time,caption", *rows, ""))


def clotho() -> str:
    """Return Clotho's csv: a row a sound, whose name has blanks; five columns of captions."""
    rows = (f"the {name}.wav,{','.join((texts * 5)[:5])}" for name, texts in CAPTIONS.items())
    return "\n".join(("file_name," + ",".join(f"caption_{i}" for i in range(1, 6)), *rows, ""))


def write_json(path: Path, document: Any) -> Path:
    """Write a document, and return its path."""
    path.write_text(json.dumps(document), encoding="utf-8")
    return path
