"""What an adapter is: it describes, checks and loads the spaces of one family of models."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar, cast

from reactions.core.errors import DataError, MediaError, MissingError
from reactions.core.file_digests import DigestCache
from reactions.core.types import Digest, Encoder, Modality, SpaceSpec
from reactions.encoders.packages import need_package
from reactions.encoders.uri import split_options
from reactions.weights.locate import Requirement, WeightLocator
from reactions.weights.locate import digest_cache as remembered_digests


class HasPath(Protocol):
    """What was found for a space.

    Attributes:
        path: the file or folder that messages name.
    """

    @property
    def path(self) -> Path: ...  # noqa: D102


Files = TypeVar("Files", bound=HasPath)


@dataclass(frozen=True, slots=True)
class SpaceRequest:
    """A space that is asked for by its URI.

    Attributes:
        uri: as it was written.
        rest: what follows the scheme, without the options.
        options: option to its value, as written.
        name: what the space is called; "" leaves that to whatever it is.
        locator: where its weights may lie.
    """

    uri: str
    rest: str
    options: Mapping[str, str]
    name: str
    locator: WeightLocator

    @property
    def path(self) -> Path:
        """The rest, read as a path."""
        return Path(self.rest)


class Adapter(ABC, Generic[Files]):
    """Describes, checks and loads the spaces of one family of models.

    A family says where its files lie (``locate``), what a space is like before anything is
    loaded (``describe``), what decides its outputs (``digest``), and how it is opened
    (``open``). Where weights may lie, the digests remembered between runs, options of URIs,
    and weights that changed since they were described, are looked after here, once for all.

    ``Files`` is what ``locate`` finds and the other methods are given; a family that needs no
    files leaves ``locate`` out and is given the ``SpaceRequest`` itself.

    Attributes:
        scheme: of the family's URIs, which is also ``SpaceSpec.adapter``.
        options: that a URI may have after ``?``. Without any, ``?`` has no meaning.
        precision: of ``uri.PRECISIONS``, where a URI names none.
        packages: that loading needs.
        extra: our optional dependencies that bring them.
        trains: whether its encoders have towers that can be tuned (``TrainableEncoder``).
        gives_norms: whether the norm that its models give their rows means something, and its
            encoders keep it (``RawEncoder``).
    """

    scheme: ClassVar[str]
    options: ClassVar[tuple[str, ...]] = ()
    precision: ClassVar[str] = "fp32"
    packages: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str] = ""
    trains: ClassVar[bool] = False
    gives_norms: ClassVar[bool] = False

    # --- what a family implements ---

    def locate(self, request: SpaceRequest) -> Files:
        """Find on this machine what a URI names; nothing is downloaded, hashed or loaded.

        Raises:
            MissingError: it is not on this machine.
            DataError: it is there, but damaged or another kind of model.
            UsageError: the URI cannot name anything.
        """
        return cast(Files, request)

    def locate_again(self, spec: SpaceSpec) -> Files:
        """Find what a description names: by default, its ``source`` is a URI of the family's.

        Raises:
            MissingError: it is no longer on this machine.
        """
        return self.locate(self.request(spec.source, spec.name))

    def describe(self, files: Files, digests: DigestCache) -> SpaceSpec:
        """Describe a space: its width, its modalities, and what decides its embeddings.

        Args:
            files: from ``locate``.
            digests: remembers digests of large files.

        Raises:
            MissingError: a part of it is not on this machine; or, by default, spaces of this
                family cannot be described by a URI.
            DataError: it is damaged.
        """
        raise MissingError(
            f"'{self.scheme}:' opens no space",
            why="spaces of this adapter are described in full, in a lab file",
            fix="[spaces.NAME] with adapter, source, dim and modalities",
        )

    def digest(self, files: Files, digests: DigestCache) -> Digest:
        """Return the digest that ``describe`` gives as ``weights_digest``; "" checks nothing."""
        return ""

    def tower_path(self, files: Files, modality: Modality) -> Path:
        """Return the file of a tower that lies in one of its own (``SpaceSpec.tower_digests``)."""
        return tower_file(files.path, modality)

    def require(self, spec: SpaceSpec, files: Files) -> None:
        """Check cheaply what else loading needs.

        Raises:
            MissingError: a package or a file is missing.
            UsageError: it was not allowed to run.
        """

    @abstractmethod
    def open(self, spec: SpaceSpec, files: Files, device: str) -> Encoder:
        """Load a space whose files are those that it was described by.

        Args:
            spec: what is known of it.
            files: from ``locate`` or ``locate_again``.
            device: ``"cpu"``, ``"cuda:0"``, ...

        Raises:
            MissingError: a package or a file is missing.
            DataError: the weights are damaged, or do not fit ``spec``.
        """

    def requirements(self, uri: str) -> tuple[Requirement, ...]:
        """Return what has to be fetched before a URI can be resolved; () for what lies here.

        Raises:
            MissingError: it names no known model.
            UsageError: it cannot name anything.
        """
        return ()

    # --- what every family does alike ---

    def request(
        self, uri: str, name: str = "", locator: WeightLocator | None = None
    ) -> SpaceRequest:
        """Take a URI apart; where weights may lie is asked of the environment by default.

        Raises:
            MissingError: it has an unknown option or precision.
        """
        options: Mapping[str, str] = {}
        if self.options:
            rest, options = split_options(uri, self.options)
        else:
            rest = uri.partition(":")[2]
        return SpaceRequest(uri, rest, options, name, locator or WeightLocator.of_environment())

    def resolve(
        self,
        uri: str,
        *,
        name: str = "",
        digest_cache: DigestCache | None = None,
        locator: WeightLocator | None = None,
    ) -> SpaceSpec:
        """Describe the space that a URI names; its weights are hashed, not loaded.

        Args:
            uri: see the family's module.
            name: what the space is called; "" leaves that to whatever it is.
            digest_cache: remembers digests of large files; None takes those of the machine.
            locator: where weights lie; None asks the environment.

        Raises:
            MissingError: it, or a part of it, is not on this machine.
            DataError: it is there, but cannot be used.
            UsageError: the URI cannot name anything.
        """
        digests = digest_cache or remembered_digests()
        spec = self.describe(self.locate(self.request(uri, name, locator)), digests)
        digests.save()
        return spec

    def check(self, spec: SpaceSpec) -> None:
        """Find out, without loading anything heavy, whether ``load`` has what it needs.

        Raises:
            MissingError: a package, the weights or a part of them are missing.
            UsageError: it was not allowed to run.
        """
        self._ready(spec)

    def load(self, spec: SpaceSpec, *, device: str = "cpu") -> Encoder:
        """Load a described space; nothing is downloaded.

        Args:
            spec: what is known of it.
            device: ``"cpu"``, ``"cuda:0"``, ...

        Raises:
            MissingError: a package, the weights or a part of them are missing.
            DataError: the weights are not those that ``spec`` names, are damaged, or do not
                fit.
            UsageError: it was not allowed to run.
        """
        files = self._ready(spec)
        digests = remembered_digests()
        if spec.weights_digest:
            actual = self.digest(files, digests)
            if actual not in ("", spec.weights_digest):
                raise self.changed(spec, files.path, spec.weights_digest, actual)
        for modality, expected in spec.tower_digests:
            path = self.tower_path(files, modality)
            actual = digests.of(path)
            if actual != expected:
                raise self.changed(spec, path, expected, actual)
        digests.save()
        return self.open(spec, files, device)

    def changed(self, spec: SpaceSpec, path: Path, expected: Digest, found: Digest) -> DataError:
        """Return the error for weights that are not those that a space was described by."""
        return DataError(
            f"the weights of space '{spec.name}' changed",
            why=f"'{path}' is not what this was planned or trained with",
            fix="restore the file, or run the reaction again",
            space=spec.name,
            path=str(path),
            expected=expected,
            found=found,
        )

    def _ready(self, spec: SpaceSpec) -> Files:
        for package in self.packages:
            need_package(package, spec.source, self.extra)
        files = self.locate_again(spec)
        self.require(spec, files)
        return files


class Unusable(MediaError):
    """A decoded value that a tower cannot take; ``TowerEncoder`` adds which item it was.

    Args:
        modality: of the value.
        why: such as ``"it needs finite samples"``.
        fix: what can be done about it.
    """

    def __init__(self, modality: Modality, why: str, *, fix: str = "", **fields: Any) -> None:
        super().__init__(f"cannot embed {modality}", why=why, fix=fix, **fields)


def tower_file(source: Path, modality: Modality) -> Path:
    """Return where a tower in a file of its own lies: ``Base-thermal.safetensors`` beside Base."""
    return source.with_name(f"{source.stem}-{modality}.safetensors")


def misfit(spec: SpaceSpec, path: Path | str, why: str) -> DataError:
    """Return the error for weights of another width, or other modalities, than described."""
    return DataError(
        f"the weights of space '{spec.name}' do not fit its description",
        why=why,
        space=spec.name,
        path=str(path),
    )
