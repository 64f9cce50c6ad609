"""Where the trained parts of a product are: plain data that a worker loads them by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from reactions.core.errors import BundleError
from reactions.core.hashing import digest
from reactions.core.types import Digest, Leaf, Space, Tuned
from reactions.products.bundles.bundle import PROJECTORS, Bundle, load_bundle
from reactions.products.bundles.part_files import load_part
from reactions.products.bundles.record import read_parts
from reactions.products.tree import tuned_leaf, tunes
from reactions.products.tuned import TunedPath

if TYPE_CHECKING:
    from reactions.products.parts import Parts


class Trained(Protocol):
    """Trained parts of a product, by reference; ``pickle`` must take it."""

    @property
    def digest(self) -> Digest:
        """Digest of all that was trained, for keys."""

    def load(self, device: str) -> Parts:
        """Load them onto a device, projectors in eval mode."""


@dataclass(frozen=True, slots=True)
class TrainedFile:
    """The trained parts in a bundle.

    Attributes:
        directory: the bundle's.
        digest: of the files in it that hold them.
        space: the product, with the weights of this machine.
    """

    directory: Path
    digest: Digest
    space: Space = field(repr=False)

    @classmethod
    def of(cls, bundle: Bundle) -> TrainedFile:
        """Return the reference to a bundle's trained parts."""
        return cls(bundle.path.absolute(), _digest(bundle), bundle.space)

    def load(self, device: str) -> Parts:
        """Load them onto a device, projectors in eval mode.

        Raises:
            MissingError: the bundle is gone.
            BundleError: it is damaged, or another one.
        """
        bundle = load_bundle(self.directory)
        if _digest(bundle) != self.digest:
            raise BundleError(
                f"{self.directory} is another bundle by now",
                why="it was replaced after this was planned",
                fix="run again",
            )
        return replace(bundle, space=self.space).parts(device)


@dataclass(frozen=True, slots=True)
class TunedFile:
    """What an Ft trained, in a bundle.

    Attributes:
        directory: the bundle's.
        file: in it.
        digest: of the file.
        node: that it belongs to.
    """

    directory: Path
    file: str
    digest: Digest
    node: Tuned = field(repr=False)

    @classmethod
    def all_of(cls, bundle: Bundle) -> Mapping[Leaf, TunedFile]:
        """Return the files that hold a bundle's tuned encoders, by ``tuned_leaf``."""
        return {
            tuned_leaf(part.node): cls(
                bundle.path.absolute(), part.file, str(files[part.file]["sha256"]), part.node
            )
            for files in (bundle.record["files"],)
            for part in read_parts(bundle.record, bundle.space)
            if isinstance(part.node, Tuned) and tunes(part.node, part.node.arguments[0])
        }

    def load(self, device: str) -> TunedPath:
        """Load it onto a device.

        Raises:
            MissingError: the bundle is gone.
            BundleError: it is damaged, or another one.
        """
        bundle = load_bundle(self.directory)
        for part in read_parts(bundle.record, bundle.space):
            sha256 = bundle.record["files"][part.file]["sha256"]
            if (part.file, sha256) == (self.file, self.digest):
                loaded = load_part(bundle.path, part, device)
                assert isinstance(loaded, TunedPath), "its kind is known by its digest"
                return loaded
        raise BundleError(
            f"{self.directory} is another bundle by now",
            why="it was replaced after this was planned",
            fix="run again",
        )


def _digest(bundle: Bundle) -> Digest:
    digests = {name: str(entry["sha256"]) for name, entry in bundle.record["files"].items()}
    # That of the one file, where there is one: keys of scores hold it.
    return digests[PROJECTORS] if len(digests) == 1 else digest("parts", digests)
