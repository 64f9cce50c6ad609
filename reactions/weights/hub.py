"""The Hugging Face hub's names, and its cache on this machine: read, never fetched into.

models--ORG--NAME/refs/main                 the commit a branch or tag stood at
models--ORG--NAME/snapshots/COMMIT/FILE     a file at that commit
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path

from reactions.core.errors import DataError, MissingError, UsageError
from reactions.core.local_files import expand_user, is_dir, read_text_file
from reactions.core.paths import cache_home

_REPO = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")
_REVISION = re.compile(r"[\w-][\w./-]*")
_COMMIT = re.compile(r"[0-9a-f]{40}")

_REF_BYTES = 1 << 10
_SHA256 = re.compile(r"[0-9a-f]{64}")

TRUST_VARIABLE = "MOLSPACE_TRUST_REMOTE_CODE"
"""What code that comes with weights may run: ``ORG/REPO@COMMIT``, ``FOLDER@sha256:DIGEST``, ..."""

_WEIGHTS = (".bin", ".ckpt", ".gguf", ".h5", ".msgpack", ".onnx", ".pt", ".pth", ".safetensors")
"""Files that code may come beside; everything else in a folder counts as a part of its code."""

TOKENISER_FILES = (
    "*.model",
    "added_tokens.json",
    "merges.txt",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
)
"""Globs of what a transformers tokeniser may be made of."""


def hub_cache() -> Path:
    """Return where the hub's own package keeps its cache, by the same settings."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if folder := os.environ.get(name):
            return expand_user(folder)
    if home := os.environ.get("HF_HOME"):
        return expand_user(home) / "hub"
    return cache_home() / "huggingface" / "hub"


def repo_folder(repo: str, hub: Path) -> Path:
    """Return a repository's folder in the cache, whether or not it is there.

    Raises:
        UsageError: it cannot be a repository's name.
    """
    if not _REPO.fullmatch(repo):
        raise UsageError(f"'{repo}' names no repository", fix="ORG/NAME")
    return expand_user(hub) / ("models--" + repo.replace("/", "--"))


def hub_snapshot(repo: str, revision: str, hub: Path) -> Path | None:
    """Return the folder of a repository's snapshot in the hub's cache, or None.

    Args:
        repo: ``ORG/NAME``.
        revision: commit, tag or branch; "" for the main branch.
        hub: the cache.

    Raises:
        UsageError: the names are not a repository or revision.
    """
    folder = repo_folder(repo, hub)
    name = revision or "main"
    # The name becomes a part of a path below, which must stay inside the cache.
    if not _REVISION.fullmatch(name) or ".." in name:
        raise UsageError(f"'{revision}' is not a revision", fix="a commit, tag or branch")
    try:
        commit = read_text_file(folder / "refs" / name, _REF_BYTES).strip()
    except (DataError, MissingError):
        # Not a branch or tag that the cache knows, but it may be a commit.
        commit = name
    snapshot = folder / "snapshots" / commit
    return snapshot if re.fullmatch(r"[\w.-]*\w[\w.-]*", commit) and is_dir(snapshot) else None


def commit_of(snapshot: Path) -> str:
    """Return the commit of a snapshot in the hub's cache; "" for any other folder."""
    inside = snapshot.parent.name == "snapshots" and snapshot.parents[1].name.startswith("models--")
    return snapshot.name if inside and _COMMIT.fullmatch(snapshot.name) else ""


def is_repository(text: str) -> bool:
    """Return whether a text can be a repository's name: ``ORG/NAME``, or ``NAME``."""
    return _REPO.fullmatch(text) is not None and ".." not in text and "--" not in text


def is_commit(revision: str) -> bool:
    """Return whether a revision is a full commit, which cannot move."""
    return _COMMIT.fullmatch(revision) is not None


def trusted() -> list[str]:
    """Return what a person trusts to run code of its own, as they wrote it.

    Names are parted by commas and blanks, or, where there are several lines, by those alone.
    """
    text = os.environ.get(TRUST_VARIABLE, "")
    words = text.split("\n") if "\n" in text else text.replace(",", " ").split()
    return [word.strip() for word in words if word.strip()]


def trust(pins: Sequence[str]) -> None:
    """Let code run that a person names, for as long as this process lives.

    Args:
        pins: ``ORG/REPO@COMMIT`` or ``FOLDER@sha256:DIGEST``.

    Raises:
        UsageError: one of them, or of those that the environment names, pins nothing: it has no
            full commit and no digest.
    """
    for pin in pins:
        _check_pin(pin, "--trust-remote-code ")
    for pin in trusted():
        _check_pin(pin, f"{TRUST_VARIABLE}: ")
    if pins:
        # The empty last line marks even a single pin as lines: its folder may hold blanks.
        os.environ[TRUST_VARIABLE] = "\n".join([*trusted(), *pins, ""])


def _check_pin(pin: str, prefix: str) -> None:
    place, _, revision = pin.rpartition("@")
    kind, _, digest = revision.partition(":")
    in_full = kind == "sha256" and _SHA256.fullmatch(digest)
    if not place or not (in_full or (_REPO.fullmatch(place) and is_commit(revision))):
        raise UsageError(
            f"{prefix}{pin} pins no code",
            why="a name alone, a branch or a tag can stand for other code tomorrow",
            fix="ORG/REPO@COMMIT (40 hex digits)   or, for a folder, FOLDER@sha256:DIGEST, which "
            "is printed where the code is refused",
        )


def code_digest(folder: Path) -> str:
    """Return the digest of a folder's code: of all its files but weights, with their names.

    Raises:
        OSError: one cannot be read.
    """
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        # rglob does not enter linked folders: code in one would run without being in the digest.
        if path.is_symlink() and path.is_dir():
            raise OSError(0, f"{path} is a link to another folder")
        if path.suffix.lower() in _WEIGHTS or "__pycache__" in path.parts or not path.is_file():
            continue
        name = os.fsencode(path.relative_to(folder).as_posix())
        with path.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").digest()
        # The length keeps a name from running into what follows it.
        digest.update(len(name).to_bytes(8, "big") + name + content)
    return digest.hexdigest()


def trusts_folder(folder: Path, digest: str) -> bool:
    """Return whether a person named a folder with this digest of its code."""
    for word in trusted():
        place, _, pinned = word.rpartition("@sha256:")
        if place and pinned == digest and expand_user(place).resolve() == folder.resolve():
            return True
    return False


def trusted_commit(repo: str) -> str:
    """Return the commit at which a person trusts a repository; "" where they named none."""
    for word in trusted():
        name, _, revision = word.partition("@")
        if name == repo and is_commit(revision):
            return revision
    return ""


def split_repo(text: str) -> tuple[str, str]:
    """Split ``ORG/NAME[@REVISION]``.

    Raises:
        UsageError: it names no repository.
    """
    repo, at, revision = text.partition("@")
    if not _REPO.fullmatch(repo) or (at and not revision):
        raise UsageError(
            f"'{text}' names no repository",
            fix="ORG/NAME or ORG/NAME@REVISION; for a folder ./NAME",
        )
    return repo, revision


def licence_of(folder: Path) -> str:
    """Return the licence that a repository's model card names; "" where it names none."""
    try:
        with (folder / "README.md").open(encoding="utf-8", errors="replace") as stream:
            head = stream.read(4096)
    except OSError:
        return ""
    # Within the YAML front matter only: the text below may name other licences.
    match = re.search(r"\A---\n(?:(?!---).*\n)*?licen[sc]e:[ \t]*([\w.+-]+)", head)
    return match.group(1) if match else ""


def tokeniser_files(folder: Path) -> list[Path]:
    """Return a folder's tokeniser files, sorted; [] where none holds a vocabulary."""
    files = sorted({path for glob in TOKENISER_FILES for path in folder.glob(glob)})
    names = ("tokenizer.json", "vocab.json", "vocab.txt")
    return files if any(p.suffix == ".model" or p.name in names for p in files) else []
