"""Repositories in transformers' layout: their configuration, weights and tokeniser on disk."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reactions.core.errors import DataError, MissingError
from reactions.core.file_digests import DigestCache
from reactions.core.hashing import digest
from reactions.core.local_files import expand_user, is_dir, is_file
from reactions.core.types import Digest
from reactions.encoders.packages import import_package
from reactions.encoders.uri import split_options
from reactions.weights.hub import (
    TOKENISER_FILES,
    commit_of,
    split_repo,
    tokeniser_files,
    trusted_commit,
)
from reactions.weights.hub_layout import WEIGHTS_FORMS, read_json, weights_form, weights_parts
from reactions.weights.locate import WeightLocator, WeightsRepo, find_folder
from reactions.weights.safe_load import unfit

SCHEME = "hf"
EXTRA = "hf"
OPTIONS = ("precision",)
FILES = ("*.json", "*.py", "README.md", *TOKENISER_FILES)
"""What is needed beside the weights; code is brought as data, and runs only where it is trusted."""
WEIGHTS = ("model*.safetensors", "pytorch_model*.bin")


@dataclass(frozen=True)
class Repository:
    """A repository on this machine.

    Attributes:
        uri: canonical, without options: pinned to a commit where it lies in the hub's cache.
        name: its last part, or what the space was called.
        folder: where its files are.
        config: its ``config.json``.
    """

    uri: str
    name: str
    folder: Path
    config: Mapping[str, Any]

    @property
    def family(self) -> str:
        """The ``model_type`` of its configuration."""
        return str(self.config.get("model_type", ""))

    def part(self, name: str) -> Mapping[str, Any]:
        """Return a tower's configuration; older ones keep what matters under ``NAME_dict``."""
        found: dict[str, Any] = {}
        for key in (name, f"{name}_dict"):
            value = self.config.get(key)
            if value is not None and not isinstance(value, Mapping):
                raise self.damaged(f"{key} is not an object")
            found.update(value or {})
        return found

    def number(self, part: str, key: str, default: int) -> int:
        """Return a whole number above 0 of a tower's configuration ("" for the top)."""
        value = (self.part(part) if part else self.config).get(key)
        value = default if value is None else value
        if type(value) is not int or value < 1:
            raise self.damaged(f"{part + '.' if part else ''}{key} is {value!r}")
        return value

    @property
    def is_own(self) -> bool:
        """Whether it is a folder of someone's own: nothing can be fetched into it."""
        return Path(self.uri.partition(":")[2]).is_absolute()

    def bring(self, what: str, uri: str = "") -> str:
        """Return the advice for something of it that is not there.

        Args:
            what: is not there.
            uri: of the repository as it was written; "" for the canonical one.
        """
        if self.is_own:
            return f"put {what} of the original repository into {self.folder}"
        return f'molspace spaces fetch "{uri or self.uri}"'

    def damaged(self, why: str) -> DataError:
        """Return the error for a configuration that cannot be right."""
        path = self.folder / "config.json"
        return DataError(f"cannot use '{path}'", why=why, path=str(path), space=self.name)


def find(uri: str, name: str, locator: WeightLocator) -> tuple[Repository, dict[str, str]]:
    """Find the repository that a URI names; its options come beside.

    Args:
        uri: ``hf:ORG/REPO[@REVISION]`` or ``hf:./FOLDER``; without a revision the commit that
            ``MOLSPACE_TRUST_REMOTE_CODE`` names is taken, or the main branch.
        name: what the space is called; "" calls it after the repository.
        locator: where weights lie.

    Raises:
        MissingError: it is not on this machine.
        DataError: its configuration is damaged.
        UsageError: the URI is none.
    """
    rest, options = split_options(uri, OPTIONS)
    if rest.startswith(("/", "./", "../", "~")) or rest in (".", ".."):
        folder = expand_user(locator.overrides.get(name, Path(rest))).absolute()
        if not is_dir(folder):
            raise MissingError(
                f"no folder '{folder}'",
                why="it should hold the files of a repository: config.json and what goes with it",
                path=str(folder),
            )
        return _read(f"{SCHEME}:{folder}", name or folder.resolve().name, folder), options
    repo, revision = split_repo(rest)
    called = name or repo.rpartition("/")[2]
    revision = revision or trusted_commit(repo)
    wanted = WeightsRepo(repo, revision, FILES, WEIGHTS)
    fetch = f"{SCHEME}:{repo}@{revision}" if revision else f"{SCHEME}:{repo}"
    try:
        folder = find_folder(called, wanted, locator, fetch=fetch)
    except MissingError as error:
        if is_dir(Path(rest)):
            error.fix += f"   or, for the folder, {SCHEME}:./{rest}"
        raise
    pinned = commit_of(folder)
    canonical = f"{repo}@{pinned}" if pinned else str(folder.absolute())
    return _read(f"{SCHEME}:{canonical}", called, folder), options


def weights_files(found: Repository, uri: str) -> list[Path]:
    """Return the files that hold a repository's weights: safetensors before pickles.

    Raises:
        MissingError: some or all are not here.
        DataError: the index of a split checkpoint is damaged.
    """
    first = weights_form(found.folder)
    if first is None:
        raise MissingError(
            f"no weights for space '{found.name}'",
            why=f"there is none of {', '.join(WEIGHTS_FORMS)}",
            fix=found.bring("the weights", uri),
            looked_in=[str(found.folder)],
            space=found.name,
        )
    if first.suffix != ".json":
        return [first]
    paths = [found.folder / name for name in weights_parts(first)]
    gone = [path.name for path in paths if not is_file(path)]
    if gone or not paths:
        raise MissingError(
            f"{len(gone)} of {len(paths)} weights files of space '{found.name}' are missing",
            why=f"there is no {', '.join(gone[:3])}",
            fix=found.bring("them", uri) if gone else "fetch the index again",
            looked_in=[str(found.folder)],
            space=found.name,
        )
    return paths


def weights_digest(found: Repository, files: list[Path], digests: DigestCache) -> Digest:
    """Return the digest of what decides a model's outputs apart from preprocessing."""
    config = digests.of(found.folder / "config.json")
    return digest("transformers", [config, [digests.of(path) for path in files]])


def tokeniser_tag(found: Repository, digests: DigestCache) -> str:
    """Return what names a repository's tokeniser in preprocessing tags.

    Raises:
        MissingError: it has no tokeniser.
    """
    files = tokeniser_files(found.folder)
    if not files:
        raise MissingError(
            f"no tokeniser for space '{found.name}'",
            why=f"there is none of {', '.join(TOKENISER_FILES)}",
            fix=found.bring("the tokeniser's files"),
            looked_in=[str(found.folder)],
            space=found.name,
        )
    return f"tokens-{digest('tokeniser', [digests.of(path) for path in files])[:8]}"


def tokeniser(found: Repository) -> Any:
    """Load a repository's tokeniser.

    Raises:
        MissingError: it needs a package that is not installed.
        DataError: its files are damaged.
    """
    transformers = import_package("transformers", found.uri, EXTRA)
    try:
        with quiet():
            return transformers.AutoTokenizer.from_pretrained(
                str(found.folder), local_files_only=True, trust_remote_code=False
            )
    except ImportError as error:
        raise MissingError(
            f"cannot load the tokeniser of space '{found.name}'",
            why=" ".join(str(error).split()),
            fix=f'pip install "molspace[{EXTRA}]"',
            space=found.name,
        ) from error
    # The set is open: each tokeniser raises what its own parser meets.
    except Exception as error:
        raise DataError(
            f"cannot load the tokeniser of space '{found.name}'",
            why=f"'{found.folder}': {' '.join(str(error).split())}",
            fix="fetch it again",
            space=found.name,
        ) from error


def refuse_unfit(found: Repository, info: Mapping[str, Any]) -> None:
    """Check what transformers reports of loading, with sizes that do not match ignored.

    Raises:
        DataError: the weights are not those of the model; the message names keys and shapes.
    """
    # Older versions stored position numbers, which are the same for every model.
    unexpected = sorted(k for k in info["unexpected_keys"] if not k.endswith("position_ids"))
    missing = sorted(info["missing_keys"])
    # The last releases of version 4 name the keys alone.
    sized = [(e, "?", "?") if isinstance(e, str) else e for e in info["mismatched_keys"]]
    shapes = [(key, _sizes(has), _sizes(wants)) for key, has, wants in sorted(sized)]
    if unexpected or missing or shapes:
        raise unfit(
            found.name, found.folder, missing=missing, unexpected=unexpected, mismatched=shapes
        )


def _sizes(shape: Any) -> str:
    return ", ".join(map(str, shape))


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers' progress bars and reports off the terminal; errors still raise."""
    library_logging = importlib.import_module("transformers.utils.logging")
    level, bars = library_logging.get_verbosity(), library_logging.is_progress_bar_enabled()
    library_logging.set_verbosity(logging.CRITICAL)
    library_logging.disable_progress_bar()
    try:
        yield
    finally:
        library_logging.set_verbosity(level)
        if bars:
            library_logging.enable_progress_bar()


def _read(uri: str, name: str, folder: Path) -> Repository:
    return Repository(uri, name, folder, read_json(folder / "config.json"))
