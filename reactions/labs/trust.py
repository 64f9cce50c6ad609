"""Lab files that the user did not name: what they could do, and whether the user agreed.

``./molspace.toml`` is picked up by itself, so the author of a folder controls it. As long as it
names folders of embeddings and local media only, it is data. As soon as it names what is fetched,
imported or run, the user has to agree once, as with direnv: to this path with this content.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reactions.core.addresses import is_url
from reactions.core.errors import MolspaceError, StoreError, UsageError
from reactions.core.local_files import read_small_file, replace_file
from reactions.core.paths import data_root
from reactions.core.protocols import host_of, without_password
from reactions.encoders.registry import ADAPTERS, MODELS
from reactions.labs.toml_files import TomlFile

_MODEL_ADAPTERS = frozenset({*MODELS, "hf_clap", "internvl"})
"""Our adapters that load models; the others read arrays alone."""

_FOLDERS = ("file", "precomputed")
"""Schemes of URIs that are folders of embeddings."""

_PICKLES = (".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth", ".th")
_RECORD_BYTES = 1 << 16
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Mention:
    """Something in a lab file that is more than local data.

    Attributes:
        kind: in a few words.
        key: where it is named, such as ``spaces.CLAP.uri``.
        value: what is named.
        path: the file that names it.
    """

    kind: str
    key: str
    value: str
    path: Path

    def to_json(self) -> dict[str, str]:
        """Return it as a JSON object."""
        return {"kind": self.kind, "key": self.key, "value": self.value, "path": str(self.path)}


def mentions(files: Sequence[TomlFile]) -> list[Mention]:
    """Return what a lab file, with all that it extends, names beyond local data."""
    mentioned = []
    for file in files:
        for kind, key, value in (*_places(file.data), *_datasets(file.data), *_spaces(file.data)):
            mentioned.append(Mention(kind, key, value, file.path))
    return mentioned


def _places(data: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for table, keys in (("corpora", ("path",)), ("pairs", ("path", "video"))):
        for name, entry in _table(data, table).items():
            for source in entry if isinstance(entry, list) else [entry]:
                for key in keys if isinstance(source, Mapping) else ():
                    for place in _remote(source.get(key)):
                        yield f"remote place {host_of(place)}", f"{table}.{name}.{key}", place


def _datasets(data: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for table in ("corpora", "pairs", "tasks"):
        for name, entry in _table(data, table).items():
            for source in entry if isinstance(entry, list) else [entry]:
                dataset = source.get("dataset") if isinstance(source, Mapping) else None
                if isinstance(dataset, str) and not dataset.startswith((".", "/", "~", "$")):
                    yield "data set of the Hugging Face hub", f"{table}.{name}.dataset", dataset


def _remote(paths: Any) -> Iterator[str]:
    for text in paths if isinstance(paths, list) else [paths]:
        if isinstance(text, str) and is_url(text) and not text.startswith("file://"):
            yield without_password(text)


def _spaces(data: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for name, entry in _table(data, "spaces").items():
        if not isinstance(entry, Mapping):
            continue
        if isinstance(uri := entry.get("uri"), str):
            if uri.partition(":")[0] not in _FOLDERS:
                yield _uri_kind(uri), f"spaces.{name}.uri", uri
        # An entry with none of the three names nothing; reading it says which key is missing.
        elif "adapter" in entry and "path" not in entry:
            adapter, source = str(entry["adapter"]), str(entry.get("source", ""))
            if adapter in ADAPTERS and adapter not in _MODEL_ADAPTERS:
                continue
            kind = "model" if adapter in ADAPTERS else "adapter of an installed package"
            yield kind, f"spaces.{name}.adapter", f"{adapter} ({source})" if source else adapter


def _uri_kind(uri: str) -> str:
    scheme, _, rest = uri.partition(":")
    if scheme not in MODELS:
        return "model of an installed package"
    if rest.partition("?")[0].lower().endswith(_PICKLES):
        return "checkpoint that is unpickled, by a reader of tensors alone"
    if scheme == "hf":
        return "model, whose repository may bring code (which runs only where you pin it)"
    return "model"


def _table(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = data.get(key)
    return value if isinstance(value, Mapping) else {}


def listing(mentioned: Sequence[Mention]) -> list[str]:
    """Return a line for people for each of them."""
    return [f"{mention.key} = {json.dumps(mention.value)}: {mention.kind}" for mention in mentioned]


# --- what the user said --------------------------------------------------------------


def content_digest(files: Sequence[TomlFile]) -> str:
    """Return the digest of a lab file and of all files that it extends (64 hex digits)."""
    digest = hashlib.sha256()
    for file in files:
        for part in (os.fsencode(file.path), file.raw):
            # Lengths first: without them bytes could move from one part to the next unnoticed.
            digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def allow(files: Sequence[TomlFile]) -> None:
    """Remember that the user agrees to a lab file as it is.

    Raises:
        StoreError: it cannot be written down.
    """
    _write(files[0].path, {"digest": content_digest(files)})


def deny(path: Path) -> None:
    """Remember that a lab file is not to be used by itself, whatever it holds.

    Raises:
        StoreError: it cannot be written down.
    """
    _write(path, {"denied": True})


def verdict(files: Sequence[TomlFile]) -> str:
    """Return ``"allowed"``, ``"denied"``, ``"changed"`` since it was allowed, or ``"new"``."""
    try:
        record = json.loads(read_small_file(_record(files[0].path), _RECORD_BYTES))
        if record.get("denied") is True:
            return "denied"
        return "allowed" if record["digest"] == content_digest(files) else "changed"
    # A record that is missing or damaged allows nothing: the user is asked again.
    except (MolspaceError, ValueError, KeyError, AttributeError, RecursionError):
        return "new"


def refusal(files: Sequence[TomlFile], mentioned: Sequence[Mention]) -> UsageError:
    """Return the error for a lab file that the user has not agreed to."""
    path, state = files[0].path, verdict(files)
    if state == "denied":
        why = "you denied it"
    else:
        lines = listing(mentioned)
        more = f"; and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
        why = "it names what would be fetched, imported or run: " + "; ".join(lines[:_SHOWN]) + more
    changed = " has changed since you allowed it" if state == "changed" else " is not allowed"
    return UsageError(
        f"{path}, found in the working folder,{changed}",
        why=why,
        fix="read it, then: molspace lab allow   or name the lab: --lab FILE, --lab mini",
        path=str(path),
        verdict=state,
        names=[mention.to_json() for mention in mentioned],
    )


def _record(path: Path) -> Path:
    name = hashlib.sha256(os.fsencode(path)).hexdigest()
    return data_root() / "labs" / f"{name}.json"


def _write(path: Path, record: Mapping[str, Any]) -> None:
    target = _record(path)
    body = json.dumps({"path": str(path), **record})
    try:
        replace_file(target, body)
    except OSError as error:
        raise StoreError(
            f"cannot write {target}", why=error.strerror or str(error), fix="set XDG_DATA_HOME"
        ) from None
