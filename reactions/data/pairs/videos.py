"""Videos as pairs: a row a file, whose clip gives a sound and a picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reactions.core.addresses import Entry, is_url
from reactions.core.errors import MediaError, MolspaceError
from reactions.core.hashing import bytes_digest, file_digest
from reactions.core.storage import find, walk
from reactions.core.transient import TransientError, is_transient, run_again
from reactions.data.pairs.config import VIDEO
from reactions.data.sources.files import Look, named, names_folder
from reactions.data.sources.parts import FilePart, no_items, signature_of
from reactions.data.sources.sides import Side
from reactions.modalities.base import CheckDepth
from reactions.modalities.encoded import too_large
from reactions.modalities.suffixes import COMPANIONS, suffix_of
from reactions.modalities.videos.choice import ClipChoice
from reactions.modalities.videos.clips import (
    Clip,
    ClipHalf,
    Half,
    check_clip,
    find_clip,
    half_tag,
    open_file,
)
from reactions.modalities.videos.files import SUFFIXES


def video_side(path: str) -> Side:
    """Return the videos of a folder with all below it, of a pattern, or a single one.

    Args:
        path: absolute path, URL or pattern.

    Raises:
        MissingError: there are none.
        DataError: a folder or a remote place cannot be read.
    """
    is_one_folder = names_folder(path)
    files = walk(path) if is_one_folder else find(path)
    videos = [file for file in files if suffix_of(file.name) in SUFFIXES]
    other_kinds = Counter(
        suffix_of(file.name)
        for file in files
        if suffix_of(file.name) not in (*SUFFIXES, *COMPANIONS)
    )
    if not videos:
        kinds = ", ".join(
            f"{kind or 'no extension'} ({n})" for kind, n in other_kinds.most_common(5)
        )
        fix = "give a folder of videos (.mp4, .mkv, .webm, ...), a pattern, or a file"
        if ".tar" in other_kinds:
            fix = "unpack the shards: videos are read from files of their own"
        raise no_items(VIDEO, path, f"its files end in {kinds}" if kinds else "it is empty", fix)
    side = Side(VIDEO, others=dict(other_kinds.most_common()))
    for name, entry in ((file.name, file) for file in videos) if is_one_folder else named(videos):
        side.add(name, entry.url if entry else "", entry=entry)
    return side


def clip_look(choice: ClipChoice) -> Look:
    """Return what looks at a video: its tag says where its clip lies, beside its digest."""
    return partial(_look, choice=choice)


def _look(entry: Entry, *, depth: CheckDepth, choice: ClipChoice) -> tuple[str, str]:
    try:
        if is_url(entry.url) and (why := too_large(entry.size_bytes)) is not None:
            return "file:", why
        with open_file(entry.url) as stream:
            sha256 = (
                bytes_digest(stream.read()) if is_url(entry.url) else file_digest(Path(entry.url))
            )
            clip = find_clip(stream, entry.url, choice)
            if depth == "full":
                check_clip(stream, entry.url, clip)
    except MediaError as error:
        return "file:", error.why
    except TransientError:
        raise
    except (OSError, MemoryError) as error:
        if is_transient(error):
            raise run_again(entry.url, error) from error
        return "file:", (str(getattr(error, "strerror", "") or error)).lower()
    except MolspaceError as error:
        return "file:", error.why or error.what
    return f"clip:{clip.start_us}+{clip.length_us}:{clip.picture_us}:{sha256}", ""


class HalfPart(FilePart):
    """The sounds or the pictures of scanned videos.

    Args:
        videos: the files, whose tags say where their clips lie.
        half: which of the two.
        choice: of the clips.
    """

    def __init__(self, videos: FilePart, half: Half, choice: ClipChoice) -> None:
        # The choice is not in the files' signature, and decides contents all the same.
        signature = signature_of([videos.signature, choice.key])
        super().__init__(videos.name, videos.table, signature, videos.size_bytes)
        self._half = half

    def values(self, rows: NDArray[np.int64]) -> list[Any]:
        """Return halves of clips, which are decoded when they are read."""
        urls = self.table.strings("url").at(rows)
        return [
            ClipHalf(url, tag=tag, clip=clip, half=self._half)
            for url, tag, clip in zip(urls, self.tags(rows), self._clips(rows), strict=True)
        ]

    def tags(self, rows: NDArray[np.int64]) -> Sequence[str]:
        """Return digests of the files and of what is taken from them."""
        shas = (tag.rpartition(":")[2] for tag in self.table.strings("tag").at(rows))
        return [
            half_tag(self._half, clip, sha256)
            for clip, sha256 in zip(self._clips(rows), shas, strict=True)
        ]

    def _clips(self, rows: NDArray[np.int64]) -> Iterable[Clip]:
        return map(_clip_of, self.table.strings("tag").at(rows))


def _clip_of(tag: str) -> Clip:
    _, span, picture, _ = tag.split(":")
    start, length = span.split("+")
    return Clip(int(start), int(length), int(picture))
