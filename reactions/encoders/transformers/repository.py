"""Repositories in transformers' layout: their configuration, weights and tokeniser on disk."""

from __future__ import annotations

import importlib
import logging
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from reactions.core.errors import DataError, MissingError
from reactions.core.extras import install_extra
from reactions.core.file_digests import DigestCache
from reactions.core.hashing import digest
from reactions.core.local_files import expand_user, is_dir, is_file
from reactions.core.types import Digest, Modality, SpaceSpec
from reactions.encoders.base import Adapter, SpaceRequest
from reactions.encoders.flops import transformer_flops
from reactions.encoders.packages import import_package
from reactions.encoders.uri import join_options
from reactions.weights.hub import (
    TOKENISER_FILES,
    commit_of,
    licence_of,
    split_repo,
    tokeniser_files,
    trusted_commit,
)
from reactions.weights.hub_layout import WEIGHTS_FORMS, read_json, weights_form, weights_parts
from reactions.weights.locate import WeightsRepo, find_folder
from reactions.weights.safe_load import shape_text, unfit

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
        request: what was asked for.
        uri: canonical, without options: pinned to a commit where it lies in the hub's cache.
        name: its last part, or what the space was called.
        folder: where its files are.
        config: its ``config.json``.
    """

    request: SpaceRequest
    uri: str
    name: str
    folder: Path
    config: Mapping[str, Any]

    @property
    def path(self) -> Path:
        """Its folder."""
        return self.folder

    @property
    def family(self) -> str:
        """The ``model_type`` of its configuration."""
        return str(self.config.get("model_type", ""))

    def part(self, name: str) -> Mapping[str, Any]:
        """Return a tower's configuration; older ones keep what matters under ``NAME_dict``."""
        settings: dict[str, Any] = {}
        for key in (name, f"{name}_dict"):
            value = self.config.get(key)
            if value is not None and not isinstance(value, Mapping):
                raise self.damaged(f"{key} is not an object")
            settings.update(value or {})
        return settings

    def number(self, part: str, key: str, default: int) -> int:
        """Return a whole number above 0 of a tower's configuration ("" for the top)."""
        value = (self.part(part) if part else self.config).get(key)
        value = default if value is None else value
        # Not isinstance, by which true is a number.
        if type(value) is not int or value < 1:
            raise self.damaged(f"{part + '.' if part else ''}{key} is {value!r}")
        return value

    def tower_flops(
        self,
        part: str,
        *,
        tokens: int,
        width: int,
        inner: int = 0,
        layers: int = 12,
        matrices: int = 2,
    ) -> float:
        """Estimate the operations of a tower on one item.

        Args:
            part: of the configuration, whose sizes hold; the others where it has none.
            tokens: of an item.
            width: of a token.
            inner: of the multilayer perceptrons; 0 for four times the width.
            layers: of the tower.
            matrices: of a multilayer perceptron: three where it is gated.
        """
        width = self.number(part, "hidden_size", width)
        inner = self.number(part, "intermediate_size", inner or 4 * width)
        layers = self.number(part, "num_hidden_layers", layers)
        mlp_ratio = matrices / 2 * inner / width
        return transformer_flops(layers=layers, width=width, tokens=tokens, mlp_ratio=mlp_ratio)

    @property
    def is_own(self) -> bool:
        """Whether it is a folder of the user's: nothing can be fetched into it."""
        return Path(self.uri.partition(":")[2]).is_absolute()

    @cached_property
    def weights(self) -> list[Path]:
        """The files that hold its weights: safetensors before pickles.

        Raises:
            MissingError: some or all are not here.
            DataError: the index of a split checkpoint is damaged.
        """
        form = weights_form(self.folder)
        if form is None:
            raise MissingError(
                f"no weights for space '{self.name}'",
                why=f"there is none of {', '.join(WEIGHTS_FORMS)}",
                fix=self.bring("the weights", self.request.uri),
                looked_in=[str(self.folder)],
                space=self.name,
            )
        if form.suffix != ".json":
            return [form]
        paths = [self.folder / name for name in weights_parts(form)]
        absent = [path.name for path in paths if not is_file(path)]
        if absent or not paths:
            raise MissingError(
                f"{len(absent)} of {len(paths)} weights files of space '{self.name}' are missing",
                why=f"there is no {', '.join(absent[:3])}",
                fix=self.bring("them", self.request.uri) if absent else "fetch the index again",
                looked_in=[str(self.folder)],
                space=self.name,
            )
        return paths

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


def find(request: SpaceRequest) -> Repository:
    """Find the repository that a URI names.

    Args:
        request: of ``hf:ORG/REPO[@REVISION]`` or ``hf:./FOLDER``; without a revision the commit
            that ``MOLSPACE_TRUST_REMOTE_CODE`` names is taken, or the main branch.

    Raises:
        MissingError: it is not on this machine.
        DataError: its configuration is damaged.
        UsageError: the URI names no repository.
    """
    name, rest, locator = request.name, request.rest, request.locator
    if rest.startswith(("/", "./", "../", "~")) or rest in (".", ".."):
        folder = expand_user(locator.overrides.get(name, Path(rest))).absolute()
        if not is_dir(folder):
            raise MissingError(
                f"no folder '{folder}'",
                why="it should hold the files of a repository: config.json and what goes with it",
                path=str(folder),
            )
        # Resolved: .. is called like the folder that it leads to.
        return _read(request, str(folder), name or folder.resolve().name, folder)
    repo, revision = split_repo(rest)
    name = name or repo.rpartition("/")[2]
    revision = revision or trusted_commit(repo)
    needed = WeightsRepo(repo, revision, FILES, WEIGHTS)
    fetch = f"{SCHEME}:{repo}@{revision}" if revision else f"{SCHEME}:{repo}"
    try:
        folder = find_folder(name, needed, locator, fetch=fetch)
    except MissingError as error:
        if is_dir(Path(rest)):
            error.fix += f"   or, for the folder, {SCHEME}:./{rest}"
        raise
    commit = commit_of(folder)
    place = f"{repo}@{commit}" if commit else str(folder.absolute())
    return _read(request, place, name, folder)


class RepositoryAdapter(Adapter[Repository]):
    """An adapter of repositories in transformers' layout.

    A family implements ``accept`` and ``describe``, the latter by ``description``.
    """

    options = OPTIONS
    packages: ClassVar[tuple[str, ...]] = ("transformers",)
    extra = EXTRA

    @abstractmethod
    def accept(self, repo: Repository) -> Repository:
        """Return a repository if it is one of the family.

        Raises:
            DataError: it is another kind of model.
            UsageError: it may not be used like this.
        """

    def locate(self, request: SpaceRequest) -> Repository:
        """Find the repository that a URI names."""
        return self.accept(find(request))

    def digest(self, files: Repository, digests: DigestCache) -> Digest:
        """Return the digest of what decides the outputs apart from preprocessing."""
        config = digests.of(files.folder / "config.json")
        return digest("transformers", [config, [digests.of(path) for path in files.weights]])

    def require(self, spec: SpaceSpec, files: Repository) -> None:
        """Check that all weights are here."""
        # Looking for them raises where one is missing.
        _ = files.weights

    def precision_of(self, repo: Repository) -> str:
        """Return the precision that a URI asks for, or the family's."""
        return repo.request.options.get("precision", self.precision)

    def description(
        self,
        repo: Repository,
        digests: DigestCache,
        *,
        dim: int,
        preprocessing: tuple[tuple[Modality, str], ...],
        flops_per_item: tuple[tuple[Modality, float], ...],
    ) -> SpaceSpec:
        """Return the description of a repository's space.

        Args:
            repo: the repository.
            digests: remembers digests of large files.
            dim: width of the embeddings.
            preprocessing: as in ``SpaceSpec``, for each of its modalities.
            flops_per_item: as in ``SpaceSpec``.
        """
        return SpaceSpec(
            name=repo.name,
            dim=dim,
            modalities=tuple(modality for modality, _ in preprocessing),
            adapter=self.scheme,
            source=join_options(repo.uri, repo.request.options, precision=self.precision),
            revision=commit_of(repo.folder),
            licence=licence_of(repo.folder),
            weights_digest=self.digest(repo, digests),
            preprocessing=preprocessing,
            flops_per_item=flops_per_item,
        )


def tokeniser_tag(repo: Repository, digests: DigestCache) -> str:
    """Return what names a repository's tokeniser in preprocessing tags.

    Raises:
        MissingError: it has no tokeniser.
    """
    files = tokeniser_files(repo.folder)
    if not files:
        raise MissingError(
            f"no tokeniser for space '{repo.name}'",
            why=f"there is none of {', '.join(TOKENISER_FILES)}",
            fix=repo.bring("the tokeniser's files"),
            looked_in=[str(repo.folder)],
            space=repo.name,
        )
    return f"tokens-{digest('tokeniser', [digests.of(path) for path in files])[:8]}"


def tokeniser(repo: Repository) -> Any:
    """Load a repository's tokeniser.

    Raises:
        MissingError: it needs a package that is not installed.
        DataError: its files are damaged.
    """
    transformers = import_package("transformers", repo.uri, EXTRA)
    try:
        with quiet():
            return transformers.AutoTokenizer.from_pretrained(
                str(repo.folder), local_files_only=True, trust_remote_code=False
            )
    except ImportError as error:
        raise MissingError(
            f"cannot load the tokeniser of space '{repo.name}'",
            why=" ".join(str(error).split()),
            fix=install_extra(EXTRA),
            space=repo.name,
        ) from error
    # The set is open: each tokeniser raises what its own parser meets.
    except Exception as error:
        raise DataError(
            f"cannot load the tokeniser of space '{repo.name}'",
            why=f"'{repo.folder}': {' '.join(str(error).split())}",
            fix="fetch it again",
            space=repo.name,
        ) from error


def refuse_unfit(repo: Repository, info: Mapping[str, Any]) -> None:
    """Check what transformers reports of loading, with sizes that do not match ignored.

    Raises:
        DataError: the weights are not those of the model; the message names keys and shapes.
    """
    # Older versions stored position numbers, which are the same for every model.
    unexpected = sorted(k for k in info["unexpected_keys"] if not k.endswith("position_ids"))
    missing = sorted(info["missing_keys"])
    # The last releases of version 4 name the keys alone.
    sized = [(e, "?", "?") if isinstance(e, str) else e for e in info["mismatched_keys"]]
    shapes = [(key, shape_text(has), shape_text(wants)) for key, has, wants in sorted(sized)]
    if unexpected or missing or shapes:
        raise unfit(
            repo.name, repo.folder, missing=missing, unexpected=unexpected, mismatched=shapes
        )


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


def _read(request: SpaceRequest, place: str, name: str, folder: Path) -> Repository:
    config = read_json(folder / "config.json")
    return Repository(request, f"{SCHEME}:{place}", name, folder, config)
