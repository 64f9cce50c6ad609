"""What the server takes, holds and does at once, at most."""

from __future__ import annotations

from dataclasses import dataclass

from reactions.core.errors import MolspaceError


@dataclass(frozen=True, slots=True)
class ServingLimits:
    """ServingLimits of a server.

    Attributes:
        upload_bytes: of one file.
        uploads: files that are held; the one that was used least recently goes.
        held_bytes: of all of them.
        body_bytes: of a request in JSON.
        text: characters of a query.
        name: characters of a file's name.
        k: hits of one modality.
        compared: items of a matrix of similarities.
        classes: classes that are returned.
        waiting: requests that wait for a model; more are sent away.
        waiting_media: requests that wait for pictures and sounds.
        cache_bytes: pictures and sounds that are kept, ready to be sent.
        sound_seconds: of a sound that is decoded to be played, where a browser cannot play its
            file.
        rows: embedded queries that are kept for other factors.
    """

    upload_bytes: int = 32 << 20
    uploads: int = 48
    held_bytes: int = 192 << 20
    body_bytes: int = 64 << 10
    text: int = 2000
    name: int = 200
    k: int = 100
    compared: int = 16
    classes: int = 50
    waiting: int = 8
    waiting_media: int = 256
    cache_bytes: int = 64 << 20
    sound_seconds: int = 60
    rows: int = 512


LIMITS = ServingLimits()


class TooLarge(MolspaceError):
    """A request that is larger than the server takes."""


class Busy(MolspaceError):
    """More requests than the server lets wait."""


class ForeignRequest(MolspaceError):
    """A request that does not come from the page, or from whoever has the token."""


class NotThere(MolspaceError):
    """A file that was dropped and is no longer held, or a place that the server does not have."""
