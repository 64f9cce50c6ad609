"""Pushing a bundle to the Hugging Face hub, and pulling one: the network, by the hub's library."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from reactions.core.errors import BundleError, MissingError, MolspaceError, StoreError, UsageError
from reactions.core.hashing import digest
from reactions.core.local_files import exists
from reactions.core.paths import data_root
from reactions.exchange.card_data import hub_library
from reactions.exchange.model_card import model_card
from reactions.exchange.results import MetricScore
from reactions.products.bundles.bundle import (
    PROJECTORS,
    RECORD,
    Bundle,
    check_replaceable,
    install,
    load_bundle,
)
from reactions.products.bundles.current import default_directory
from reactions.products.bundles.folder import locked_folder
from reactions.products.part_kinds import is_part_file
from reactions.weights.hub import hub_cache, hub_snapshot
from reactions.weights.hub_answers import check_commit, checked_answers
from reactions.weights.locate import offline

CARD, CONFIG = "README.md", "config.json"
_REPO = re.compile(r"\w[\w.-]*/\w[\w.-]*")
_REVISION = re.compile(r"\w[\w./-]*")
_ADDRESS = re.compile(
    r"(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/(?:datasets/)?([\w.-]+/[\w.-]+).*"
)
_SHOWN = 3
_WEIGHTS = (".bin", ".ckpt", ".gguf", ".h5", ".msgpack", ".onnx", ".pt", ".pth", ".safetensors")
# re.S: a file's name may have line breaks, and must not pass because of them.
_CODE = re.compile(r".*\.(py|pyc|so|dll|dylib|pkl|pickle|joblib|npz|bin|ckpt|pt|pth)", re.I | re.S)
"""Files that can run, or whose readers run what they hold: a bundle never comes with them."""


@dataclass(frozen=True, slots=True)
class Pushed:
    """What was pushed, or would be.

    Attributes:
        repo: ``ORG/NAME``.
        card: text of its ``README.md``.
        files: name to size in bytes.
        url: of the commit; "" where nothing was sent.
    """

    repo: str
    card: str
    files: dict[str, int]
    url: str = ""


@dataclass(frozen=True)
class Pulled:
    """A bundle brought here.

    Attributes:
        bundle: where it lies now.
        commit: it was at; "" from a cache that does not say.
        ignored: names of files beside it, which were not brought.
    """

    bundle: Bundle
    commit: str
    ignored: tuple[str, ...] = ()


def check_repo(repo: str, kind: str = "model") -> str:
    """Return a repository's name.

    Args:
        repo: ``ORG/NAME``.
        kind: what it holds, for the error.

    Raises:
        UsageError: it is not of the form ``ORG/NAME``.
    """
    # The hub allows neither; its cache writes ORG/NAME as ORG--NAME in a folder's name.
    if _REPO.fullmatch(repo) and ".." not in repo and "--" not in repo:
        return repo
    address = _ADDRESS.fullmatch(repo)
    fix = f"give {address[1]}" if address else f"ORG/NAME: a name or organisation, then the {kind}"
    raise UsageError(f"'{repo}' names no repository", fix=fix)


# --- pushing -------------------------------------------------------------------------


def push(
    bundle: Bundle,
    repo: str,
    *,
    results: Sequence[MetricScore] = (),
    datasets: Sequence[str] = (),
    private: bool = False,
    dry_run: bool = False,
) -> Pushed:
    """Send a bundle to a repository on the hub, with a model card.

    Where the spaces' weights lie on this machine stays private: paths are cut to their last
    part, which gives the published record a digest of its own.

    Args:
        bundle: verified.
        repo: ``ORG/NAME``; made if it is not there.
        results: for the card.
        datasets: of the hub that it was trained on, as ``ORG/NAME``, for the card.
        private: make the repository private, if it has to be made.
        dry_run: write everything, check it, and send nothing.

    Raises:
        UsageError: ``repo`` or one of ``datasets`` is not a name.
        MissingError: offline mode is on, the hub's library is missing, or the hub refuses.
        BundleError: the repository holds a model that is not a bundle.
        StoreError: no room for a copy.
    """
    check_repo(repo)
    for dataset in datasets:
        check_repo(dataset, "data set")
    with _staging(None) as folder:
        for name in bundle.files:
            shutil.copyfile(bundle.path / name, folder / name)
        body = _portable(bundle)
        (folder / RECORD).write_text(json.dumps(body, indent=1, sort_keys=True), encoding="utf-8")
        card = model_card(load_bundle(folder), repo, results, datasets)
        (folder / CARD).write_text(card, encoding="utf-8")
        # The hub counts a model's downloads by requests for this file.
        (folder / CONFIG).write_text('{"model_type": "molspace"}\n', encoding="utf-8")
        names = (CARD, CONFIG, RECORD, *bundle.files)
        files = {name: (folder / name).stat().st_size for name in names}
        url = "" if dry_run else _send(folder, names, repo, bundle.expression, private)
    return Pushed(repo, card, files, url)


def _send(folder: Path, names: Sequence[str], repo: str, expression: str, private: bool) -> str:
    if setting := offline():
        raise MissingError(
            f"cannot push to {repo}",
            why=f"offline mode is on ({setting})",
            fix="unset it, or look at what would be sent: --dry-run",
        )
    hub = hub_library(f"cannot push to {repo}").HfApi()
    with _explained(f"cannot push to {repo}"):
        stale: list[str] = []  # parts of the bundle that was there, if this one has fewer
        if hub.repo_exists(repo):
            repo_files = hub.list_repo_files(repo)
            _check_foreign(repo, repo_files)
            if CONFIG in repo_files:  # it is not ours, or says the same
                names = [name for name in names if name != CONFIG]
            stale = [name for name in repo_files if is_part_file(name) and name not in names]
        else:
            hub.create_repo(repo, private=private, exist_ok=True)
        done = hub.upload_folder(
            repo_id=repo,
            folder_path=str(folder),
            allow_patterns=list(names),
            delete_patterns=stale or None,
            commit_message=f"molspace: {expression}"[:200],
        )
    return str(getattr(done, "commit_url", "") or f"https://huggingface.co/{repo}")


def _portable(bundle: Bundle) -> dict[str, Any]:
    """Return the record without this machine's paths, with a digest that fits."""
    body = {key: value for key, value in bundle.record.items() if key != "digest"}
    body["spaces"] = [{**spec, "source": _short(str(spec["source"]))} for spec in body["spaces"]]
    return {**body, "digest": digest("bundle", body)}


def _short(source: str) -> str:
    """Return a source without folders of this machine: paths, and paths within URIs."""
    if PurePosixPath(source).is_absolute():
        return PurePosixPath(source).name
    if PureWindowsPath(source).is_absolute():
        return PureWindowsPath(source).name
    # A path after a scheme or in an option; "//" after a scheme is an address.
    path = r"(?<=[:=])(?:file:)?(?:~|/(?!/)|[A-Za-z]:\\)[^?&]*?([^/\\?&]+)(?=[?&]|$)"
    return re.sub(path, r"\1", source)


def _check_foreign(repo: str, names: Sequence[str]) -> None:
    """Refuse a repository of another model, whose card would be replaced (BundleError).

    A licence, a configuration, results of evaluations: what others put there stays there.
    """
    if RECORD in names:
        return
    weights = sorted(n for n in names if n.lower().endswith(_WEIGHTS) and not _is_bundles(n))
    if weights:
        raise BundleError(
            f"{repo} holds something other than a bundle",
            why=f"there is {_listed(weights)}, and no {RECORD}",
            fix="choose another repository, or remove these from it first",
            files=weights,
        )


# --- pulling -------------------------------------------------------------------------


def pull(repo: str, *, revision: str = "", out: Path | None = None) -> Pulled:
    """Bring a bundle from the hub, and put it in its place once it is verified.

    Args:
        repo: ``ORG/NAME``.
        revision: commit, tag or branch; "" for the main branch.
        out: the bundle's directory; by default one named after the repository.

    Raises:
        UsageError: ``repo`` or ``revision`` is not a name.
        MissingError: there is no such repository or revision, the hub cannot be reached, or
            its library is missing.
        BundleError: it holds code beside a bundle, or its bundle is damaged.
        DataError: the hub's answers cannot be used.
        StoreError: it cannot be written.
    """
    check_repo(repo)
    if revision and (not _REVISION.fullmatch(revision) or ".." in revision):
        raise UsageError(f"'{revision}' is not a revision", fix="a commit, tag or branch")
    if out is not None and exists(out):
        check_replaceable(out)  # now, not after a download
    snapshot, names, commit, ignored = _download(repo, revision)
    with _staging(out.parent if out is not None else None) as folder:
        for name in names:
            # Copied: a snapshot's files are mostly links into the hub's cache.
            shutil.copyfile(snapshot / name, folder / name)
        digest_ = load_bundle(folder).digest
        directory = out or default_directory(repo.rpartition("/")[2], digest_)
        install(folder, directory)
    return Pulled(load_bundle(directory), commit, tuple(ignored))


def _download(repo: str, revision: str) -> tuple[Path, list[str], str, list[str]]:
    """Return a folder in the hub's cache, the bundle's files in it, the commit, and other files.

    The name of a bundle's file alone is asked for: what else there is stays on the hub.
    """
    if setting := offline():
        snapshot = hub_snapshot(repo, revision, hub_cache())
        if snapshot is None:
            raise MissingError(
                f"cannot pull {repo}",
                why=f"offline mode is on ({setting}), and it is not in the hub's cache",
                fix="unset it, or copy the bundle's folder here",
            )
        names = [path.relative_to(snapshot).as_posix() for path in _files(snapshot)]
        bundle_files = _bundle_files(repo, names)
        return snapshot, bundle_files, snapshot.name, _others(names, bundle_files)
    library = hub_library(f"cannot pull {repo}")
    with _explained(f"cannot pull {repo}"):
        info = library.HfApi().model_info(repo, revision=revision or None)
        names = [str(entry.rfilename) for entry in info.siblings or ()]
    commit = check_commit(info.sha, repo)
    bundle_files = _bundle_files(repo, names)
    ignored = _others(names, bundle_files)
    with _explained(f"cannot pull {repo}"), checked_answers(repo):
        # By commit: a branch could move between the look at the files and the download. Only a
        # bundle's files are downloaded, whatever else is there.
        folder = library.snapshot_download(
            repo,
            revision=commit,
            cache_dir=hub_cache(),
            # config.json is asked for to be counted as a download.
            allow_patterns=[*bundle_files, *({CONFIG} & set(names))],
        )
    return Path(folder), bundle_files, commit, ignored


def _others(names: Sequence[str], bundle_files: Sequence[str]) -> list[str]:
    usual = {*bundle_files, CARD, CONFIG, ".gitattributes"}
    return sorted(name for name in names if name not in usual)


def _is_bundles(name: str) -> bool:
    """Return whether a file is named as one of a bundle's."""
    return name in (RECORD, PROJECTORS) or is_part_file(name)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _bundle_files(repo: str, names: Sequence[str]) -> list[str]:
    """Return which files of a repository are a bundle's.

    Raises:
        BundleError: it holds none, or code beside it.
    """
    missing = [name for name in (RECORD, PROJECTORS) if name not in names]
    if missing:
        raise BundleError(
            f"{repo} holds no bundle",
            why=f"there is no {', '.join(missing)}",
            fix="check the name; a bundle is pushed by: molspace push",
            missing=missing,
        )
    code = sorted(name for name in names if _CODE.fullmatch(name))
    if code:
        raise BundleError(
            f"{repo} holds more than a bundle",
            why=f"there is {_listed(code)}; a bundle is {RECORD} and .safetensors files, and "
            "nothing in it can run",
            fix="ask its author to remove them",
            files=code,
        )
    return [name for name in names if _is_bundles(name)]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")


@contextlib.contextmanager
def _staging(parent: Path | None) -> Iterator[Path]:
    """Give a folder to work in, on the disk where the result goes; it is removed afterwards."""
    parent = data_root() / "bundles" if parent is None else parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with (
            tempfile.TemporaryDirectory(prefix=".share.", dir=parent) as name,
            locked_folder(Path(name)),
        ):
            folder = Path(name) / "bundle"
            folder.mkdir()
            yield folder
    except OSError as error:
        raise StoreError(
            f"cannot write to {parent}",
            why=error.strerror or str(error),
            fix="free space, or choose another place with --out or XDG_DATA_HOME",
        ) from None


# --- the hub's library ---------------------------------------------------------------


@contextlib.contextmanager
def _explained(what: str) -> Iterator[None]:
    """Turn whatever the hub's library raises into one error; it has no common base."""
    try:
        yield
    except (MolspaceError, MemoryError):
        raise
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise MissingError(
            what,
            why=f"{type(error).__name__}: {lines[0] if lines else ''}".rstrip(": "),
            fix="check the name, the revision, the network, and that you may (hf auth login)",
        ) from error
