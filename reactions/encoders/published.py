"""Families whose models are one checkpoint each: a published file, or one of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from reactions.core.errors import MissingError
from reactions.core.file_digests import DigestCache
from reactions.core.local_files import expand_user, is_file
from reactions.core.types import Digest, SpaceSpec
from reactions.encoders.base import Adapter, SpaceRequest
from reactions.weights.locate import Requirement, WeightsFile, find_file, verify


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A file of weights.

    Attributes:
        space: what the space is called.
        path: of the file, absolute.
        published: what is known of it where it is a published one.
        options: of the URI that names it.
    """

    space: str
    path: Path
    published: WeightsFile | None = None
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def licence(self) -> str:
        """Of the weights; "" where unknown."""
        return self.published.licence if self.published else ""

    def digest(self, digests: DigestCache) -> Digest:
        """Return the SHA-256 of the file, held against that of the published one.

        Raises:
            DataError: they differ, or the file cannot be read.
        """
        published = self.published or WeightsFile(self.path.name)
        return verify(self.space, published, self.path, digests)


class CheckpointAdapter(Adapter[Checkpoint]):
    """An adapter whose ``SpaceSpec.source`` is the path of a checkpoint.

    Attributes:
        published: file name to what is known of it: these can be named without a folder.
        default: the published file that a bare ``SCHEME:`` names; "" for none.
    """

    published: ClassVar[Mapping[str, WeightsFile]]
    default: ClassVar[str] = ""

    def locate(self, request: SpaceRequest) -> Checkpoint:
        """Find the file that a URI names: a path, or a published name wherever weights lie."""
        return find_checkpoint(request, self.scheme, self.published, self.default)

    def locate_again(self, spec: SpaceSpec) -> Checkpoint:
        """Find the file that a description names."""
        path = Path(spec.source)
        _require(path, spec.name, f"restore it, or {self.scheme}:FILE with another path")
        return Checkpoint(spec.name, path)

    def digest(self, files: Checkpoint, digests: DigestCache) -> Digest:
        """Return the SHA-256 of the file."""
        return files.digest(digests)

    def requirements(self, uri: str) -> tuple[Requirement, ...]:
        """Return the published file that a URI names by its name alone."""
        file = self.published.get(self.request(uri).rest or self.default)
        return () if file is None else (file,)


def find_checkpoint(
    request: SpaceRequest, scheme: str, published: Mapping[str, WeightsFile], default: str
) -> Checkpoint:
    """Find a checkpoint; the arguments are as in ``CheckpointAdapter``.

    Raises:
        MissingError: there is no such file.
        DataError: a published file is not whole.
    """
    file, locator = request.rest or default, request.locator
    space = request.name or Path(file).stem
    published_file = published.get(Path(file).name)
    path = expand_user(file).absolute()
    # A bare name is that of a published file, unless a file of that name lies here.
    if space in locator.overrides or (Path(file).name == file and not is_file(path)):
        if published_file is not None:
            path = find_file(space, published_file, locator, fetch=f"{scheme}:{file}")
            return Checkpoint(space, path, published_file)
        path = locator.overrides.get(space, path)
    _require(path, space, f"{scheme}:FILE with a path, or one of {', '.join(published)}")
    return Checkpoint(space, path, published_file)


def _require(path: Path, space: str, fix: str) -> None:
    if not is_file(path):
        raise MissingError(
            f"no weights for space '{space}'",
            why=f"there is no file '{path}'",
            fix=fix,
            space=space,
            path=str(path),
        )
