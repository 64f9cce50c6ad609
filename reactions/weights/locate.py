"""Where weights lie on this machine: a pure look-up that never reaches the network.

A file is looked for, in this order,

1. where ``--weights NAME=PATH`` says: a file, or a folder that holds it;
2. in ``$MOLSPACE_WEIGHTS``, then in ``$XDG_CACHE_HOME/molspace/weights``
   (``~/.cache/molspace/weights``): in the space's own folder there, or, where the file's name
   says whose it is, directly;
3. in the Hugging Face hub's cache.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reactions.core.errors import DataError, MissingError, UsageError
from reactions.core.file_digests import DigestCache
from reactions.core.local_files import expand_user, is_file
from reactions.core.paths import cache_root, weights_folders, weights_root
from reactions.core.protocols import OFFLINE_VARIABLES as OFFLINE_VARIABLES
from reactions.core.protocols import offline as offline
from reactions.core.types import Digest
from reactions.weights.hub import hub_cache, hub_snapshot, repo_folder

_SHARED_NAMES = frozenset(
    f"{stem}.{suffix}"
    for stem in ("checkpoint", "model", "open_clip_model", "open_clip_pytorch_model", "weights")
    for suffix in ("bin", "ckpt", "pt", "pth", "safetensors")
) | {"pytorch_model.bin", "best.pt"}
"""Names that many models give their file: found outside the space's folder, they prove nothing."""


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """One file that a space needs, and where it can be had.

    Attributes:
        filename: its path within the repository, or its name alone.
        repo: hub repository that holds it, ``ORG/NAME``; "" for none.
        revision: commit, tag or branch of ``repo``; "" for its main branch.
        url: where else it can be downloaded; "" for nowhere.
        sha256: of its bytes; "" where unknown.
        size_bytes: 0 where unknown.
        licence: SPDX identifier or short name; "" where unknown.
    """

    filename: str
    repo: str = ""
    revision: str = ""
    url: str = ""
    sha256: Digest = ""
    size_bytes: int = 0
    licence: str = ""

    @property
    def name(self) -> str:
        """The file's name without folders."""
        return self.filename.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class WeightsRepo:
    """A hub repository that a space needs as a folder.

    Attributes:
        repo: ``ORG/NAME``.
        revision: commit, tag or branch; "" for the main branch.
        files: globs of what is needed beside the weights, where the repository has it.
        weights: globs, the best form first: only the first that matches anything is needed.
        licence: SPDX identifier or short name; "" where unknown.
    """

    repo: str
    revision: str = ""
    files: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()
    licence: str = ""


Requirement = WeightsFile | WeightsRepo
"""What ``molspace spaces fetch`` has to bring."""


class NamedWeights(dict[str, Path]):
    """Space name to the file or folder that a person named for it, and what came of it.

    Attributes:
        used: names that were looked up: an option that nothing looks at is a mistake.
    """

    def __init__(self, paths: Mapping[str, Path] | None = None) -> None:
        super().__init__(paths or {})
        self.used: set[str] = set()

    def __contains__(self, name: object) -> bool:
        is_in = super().__contains__(name)
        if is_in:
            self.used.add(str(name))
        return is_in

    def __getitem__(self, name: str) -> Path:
        path = super().__getitem__(name)
        self.used.add(name)
        return path

    def get(self, name: str, default: Any = None) -> Any:
        """Return a space's path, and note that it was asked for."""
        # dict's own get calls neither __getitem__ nor __contains__.
        if name not in self:
            return default
        return super().get(name)

    def unused(self) -> list[str]:
        """Return the names that nothing looked up."""
        return [name for name in self if name not in self.used]


@dataclass(frozen=True)
class WeightLocator:
    """Where to look for weights.

    Attributes:
        overrides: space name to the file or folder that a person named for it.
        folders: searched in order; each may hold a folder for every space.
        hub: the Hugging Face hub's cache.
        offline: the setting that forbids the network, such as ``MOLSPACE_OFFLINE=1``; "".
    """

    overrides: Mapping[str, Path] = field(default_factory=dict)
    folders: tuple[Path, ...] = ()
    hub: Path = Path("~/.cache/huggingface/hub")
    offline: str = ""

    @classmethod
    def of_environment(cls, overrides: Mapping[str, Path] | None = None) -> WeightLocator:
        """Return what the environment says, with the overrides of a command line."""
        return cls(
            overrides={} if overrides is None else overrides,
            folders=(*weights_folders(), weights_root()),
            hub=hub_cache(),
            offline=offline(),
        )

    def own_folder(self, space: str) -> Path:
        """Return the folder into which a space's weights are to be fetched."""
        return self.folders[-1] / folder_name(space)


def parse_override(text: str) -> tuple[str, Path]:
    """Split ``NAME=PATH`` as given to ``--weights``; the path becomes absolute.

    Raises:
        UsageError: it is not of that form.
    """
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise UsageError(
            f"cannot read --weights {text}", fix="--weights NAME=PATH, such as CLAP_g=~/clap.pt"
        )
    return name, expand_user(path).absolute()


def folder_name(space: str) -> str:
    """Return the name of a space's folder: lower case, other signs than ``.`` and ``_`` as ``-``.

    Raises:
        UsageError: nothing is left of the name.
    """
    name = re.sub(r"[^\w.]+", "-", space.casefold()).strip("-.")
    if not name:
        raise UsageError(f"a space cannot be called '{space}'", fix="use letters or digits")
    return name


def digest_cache() -> DigestCache:
    """Return the digests remembered beside the store, where planning keeps them too."""
    return DigestCache(cache_root())


# --- one file ------------------------------------------------------------------------


def find_file(
    space: str,
    files: WeightsFile | Sequence[WeightsFile],
    locator: WeightLocator,
    *,
    fetch: str = "",
) -> Path:
    """Return where a space's file lies.

    Args:
        space: its name.
        files: the file, or forms of it that serve equally, the best first.
        locator: where to look.
        fetch: what to give ``molspace spaces fetch``; "" for the space's name.

    Raises:
        MissingError: it is nowhere; the message says where was looked.
        DataError: its size is not the known one.
    """
    forms = (files,) if isinstance(files, WeightsFile) else tuple(files)
    looked_in: list[Path] = []
    for file in forms:
        for path in _candidates(space, file, locator):
            if is_file(path):
                return _whole(space, file, path)
            looked_in.append(path if space in locator.overrides else path.parent)
    raise missing(space, looked_in, locator, fetch=fetch)


def _candidates(space: str, file: WeightsFile, locator: WeightLocator) -> Iterator[Path]:
    override = locator.overrides.get(space)
    if override is not None:  # a person's word is not second-guessed
        yield override / file.name if override.is_dir() else override
        return
    for folder in locator.folders:
        yield folder / folder_name(space) / file.name
        if file.name not in _SHARED_NAMES:
            yield folder / file.name
    if file.repo:
        snapshot = hub_snapshot(file.repo, file.revision, locator.hub)
        yield (snapshot or repo_folder(file.repo, locator.hub)) / file.filename


def _whole(space: str, file: WeightsFile, path: Path) -> Path:
    size_bytes = path.stat().st_size
    if file.size_bytes and size_bytes != file.size_bytes:
        raise DataError(
            f"the weights of space '{space}' are not whole",
            why=f"'{path}' has {size_bytes} of {file.size_bytes} bytes",
            fix=f"remove it, then: molspace spaces fetch {space}",
            space=space,
            path=str(path),
            expected=file.size_bytes,
            found=size_bytes,
        )
    return path


def verify(space: str, file: WeightsFile, path: Path, digests: DigestCache) -> Digest:
    """Return a file's SHA-256, having held it against the known one.

    Raises:
        DataError: they differ, or the file cannot be read.
    """
    sha256 = digests.of(path)
    if file.sha256 and sha256 != file.sha256:
        raise DataError(
            f"the weights of space '{space}' are not the published ones",
            why=f"'{path}' has SHA-256 {sha256[:12]}..., not {file.sha256[:12]}...",
            fix=f"remove it, then: molspace spaces fetch {space}",
            space=space,
            path=str(path),
            expected=file.sha256,
            found=sha256,
        )
    return sha256


# --- a repository --------------------------------------------------------------------


def find_folder(space: str, repo: WeightsRepo, locator: WeightLocator, *, fetch: str = "") -> Path:
    """Return the folder that holds a repository's files: an override, a fetched one, a snapshot.

    Args:
        space: its name.
        repo: what is needed.
        locator: where to look.
        fetch: what to give ``molspace spaces fetch``; "" for the space's name.

    Raises:
        MissingError: it is nowhere; the message says where was looked.
    """
    override = locator.overrides.get(space)
    if override is not None:
        candidates = [override]
    else:
        # Only the hub's cache tells revisions apart: it keeps snapshots by commit.
        fetched = [] if repo.revision else [p / folder_name(space) for p in locator.folders]
        snapshot = hub_snapshot(repo.repo, repo.revision, locator.hub)
        candidates = [*fetched, snapshot or repo_folder(repo.repo, locator.hub) / "snapshots"]
        if snapshot is None:
            candidates[-1] /= repo.revision or "main"
    for folder in candidates:
        if folder.is_dir():
            return folder
    raise missing(space, candidates, locator, fetch=fetch)


def missing(
    space: str, looked_in: Sequence[Path], locator: WeightLocator, *, fetch: str = ""
) -> MissingError:
    """Return the error for weights that are nowhere.

    Args:
        space: its name.
        looked_in: where was looked.
        locator: where it could be.
        fetch: what to give ``molspace spaces fetch``; "" for the space's name.
    """
    shown = list(dict.fromkeys(_short(path) for path in looked_in))
    if space in locator.overrides:
        why = f"--weights {space}=PATH names something that is not there"
    elif locator.offline:
        why = f"offline mode is on ({locator.offline})"
    else:
        why = "they have not been fetched to this machine"
    target = fetch or space
    # The line is to be pasted into a shell, which would split or expand it.
    if re.search(r"[^\w./-]", target):
        target = f'"{target}"'
    return MissingError(
        f"no weights for space '{space}'",
        why=why,
        fix=f"molspace spaces fetch {target}   or   --weights {space}=PATH",
        space=space,
        looked_in=shown,
    )


def _short(path: Path) -> str:
    home = str(Path.home())
    text = str(path)
    return "~" + text.removeprefix(home) if text.startswith(home + os.sep) else text
