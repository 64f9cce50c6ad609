"""Files that were dropped on the page: decoded, to know what they are, and held for a while."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from reactions.core.errors import MediaError, MolspaceError, UsageError, suggestion
from reactions.core.printable import printable_cell
from reactions.core.types import Item, Modality
from reactions.modalities import noticed, registry
from reactions.modalities.suffixes import modality_of, suffix_of
from reactions.serving.kept import Kept
from reactions.serving.limits import LIMITS, NotThere, ServingLimits, TooLarge
from reactions.serving.pictures import encoded_picture, peaks, picture_of


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that was dropped.

    Attributes:
        key: by which the page names it: of its contents and modality.
        name: the file's, for people.
        modality: what it was decoded as.
        others: modalities that decode it, too.
        content: its bytes.
        picture: a small one, encoded; b"" where there is none.
        peaks: the outline of a sound; () for anything else.
    """

    key: str
    name: str
    modality: Modality
    others: tuple[Modality, ...]
    content: bytes
    picture: bytes
    peaks: tuple[float, ...]

    @property
    def item(self) -> Item:
        """The upload, as encoders take it."""
        return Item(self.name, self.modality, self.content, own_id=False)

    @property
    def size_bytes(self) -> int:
        """What it takes in memory."""
        return len(self.content) + len(self.picture)


class Uploads:
    """Files that are held in memory, never on disk; the one used least recently goes.

    Args:
        modalities: what is embedded and can be decoded.
        limits: bounds.
    """

    def __init__(self, modalities: Sequence[Modality], limits: ServingLimits = LIMITS) -> None:
        self._modalities = tuple(modalities)
        self._limits = limits
        self._uploads: Kept[Upload] = Kept(
            limits.held_bytes, lambda upload: upload.size_bytes, limits.uploads
        )

    def add(self, content: bytes, name: str, modality: Modality | None = None) -> Upload:
        """Decode a file and hold it.

        Args:
            content: its bytes.
            name: which decides only where several modalities decode it.
            modality: what it holds; None finds out.

        Raises:
            TooLarge: it has too many bytes.
            UsageError: the space does not embed the modality.
            MediaError: nothing decodes it.
        """
        if len(content) > self._limits.upload_bytes:
            raise too_large(len(content), self._limits)
        name = printable_cell(name.replace("\\", "/").rpartition("/")[2])[: self._limits.name]
        name = name or "unnamed"
        if not content:
            raise MediaError(f"'{name}' is empty", fix="drop a file with something in it")
        if modality is not None and modality not in self._modalities:
            raise UsageError(
                f"a file of {modality} cannot be embedded",
                why=f"files of {', '.join(self._modalities) or 'no modality'} can",
                fix=suggestion(modality, self._modalities),
            )
        decoded: dict[Modality, Any] = {}
        refusals: dict[Modality, MolspaceError] = {}
        for candidate in (modality,) if modality else self._modalities:
            try:
                with noticed.unnoticed():  # as what it is taken, its notes come when it is embedded
                    decoded[candidate] = _decoded(candidate, content, name)
            except MolspaceError as error:
                refusals[candidate] = error
        if not decoded:
            raise self._undecodable(name, refusals)
        taken_as = _first(decoded, name)
        value = decoded[taken_as]
        picture = picture_of(taken_as, value)
        upload = Upload(
            key=hashlib.sha256(f"{taken_as}:".encode() + content).hexdigest()[:32],
            name=name,
            modality=taken_as,
            others=tuple(other for other in decoded if other != taken_as),
            content=content,
            picture=b"" if picture is None else encoded_picture(picture),
            peaks=tuple(peaks(value)) if taken_as == "audio" else (),
        )
        self._uploads.put(upload.key, upload)
        return upload

    def get(self, key: str) -> Upload:
        """Return a file that is held.

        Raises:
            NotThere: it is not, or no longer.
        """
        upload = self._uploads.get(key)
        if upload is None:
            raise NotThere(
                "this file is no longer held",
                why=f"the server keeps the last {self._limits.uploads}, until it ends",
                fix="drop it again",
                upload=key[:64],
            )
        return upload

    def _undecodable(self, name: str, refusals: dict[Modality, MolspaceError]) -> MediaError:
        """Return the error for a file that nothing decodes: that of what its name says it is."""
        by_name = modality_of(name)
        error = refusals.get(by_name or "") or next(
            (refusals[m] for m in refusals if suffix_of(name) in registry.get(m).shared), None
        )
        if error is None and len(refusals) == 1:
            (error,) = refusals.values()
        if error is not None:
            kind = next(m for m, refusal in refusals.items() if refusal is error)
            return MediaError(
                f"'{name}' cannot be decoded as {kind}",
                why=error.why or error.what,
                fix=error.fix or "open it in the program that made it, and save it again",
                refused_by=sorted(refusals),
            )
        if by_name is not None:
            return MediaError(
                f"'{name}' cannot be decoded",
                why=f"its name is that of {by_name}, which this space does not embed, and it holds "
                f"none of {', '.join(self._modalities)}",
                fix="drop another file",
                refused_by=sorted(refusals),
            )
        kinds = {
            s: kind for m in refusals for kind in registry.get(m).undecoded for s in kind.suffixes
        }
        other_kind = kinds.get(suffix_of(name))
        return MediaError(
            f"'{name}' cannot be decoded",
            why=f"its name is that of {other_kind.name}, which is not decoded"
            if other_kind
            else f"it is none of {', '.join(self._modalities) or 'what can be decoded here'}",
            fix=other_kind.fix
            if other_kind
            else "drop a picture (PNG, JPEG, WebP) or a sound (WAV, FLAC, MP3), or type a text",
            refused_by=sorted(refusals),
        )


def decodable(modalities: Collection[Modality]) -> list[Modality]:
    """Return the modalities whose files are decoded here, molspace's own order first."""
    return [
        name
        for name, record in registry.registered().items()
        if name in modalities and record.decode is not None and not record.inline
    ]


def too_large(n_bytes: int, limits: ServingLimits) -> TooLarge:
    """Return the error for a file that is too large."""
    return TooLarge(
        f"the file has more than {limits.upload_bytes >> 20} MiB",
        why=f"it has at least {n_bytes >> 20} MiB" if n_bytes >> 20 else "",
        fix="cut it up, or use molspace search on the command line",
        limit_bytes=limits.upload_bytes,
    )


def _decoded(modality: Modality, content: bytes, name: str) -> Any:
    """Decode bytes as a modality, and check that they can be embedded.

    Raises:
        MolspaceError: they cannot.
    """
    record = registry.get(modality)
    value = record.load(content, name)
    if why := record.why_unusable(value):
        raise MediaError(f"'{name}' cannot be used as {modality}", why=why)
    return value


def _first(decoded: dict[Modality, Any], name: str) -> Modality:
    """Return what a file is taken as, where several modalities decode it: as its name says."""
    by_name = modality_of(name)
    if by_name in decoded:
        return by_name
    by_suffix = [m for m in decoded if suffix_of(name) in registry.get(m).shared]
    # A picture is a picture unless someone says that it shows heat.
    return (
        next((m for m in decoded if registry.get(m).suffixes), None)
        or (by_suffix or list(decoded))[0]
    )
