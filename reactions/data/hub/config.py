"""Which data set, in words of a lab file; nothing here looks at a disk or a network."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DatasetPlace:
    """A data set of the Hugging Face hub, or a folder that looks like one.

    Attributes:
        name: ``ORG/NAME``; or the absolute path of a folder.
        revision: commit, 40 hex digits; "" of a folder. Anything else is refused, with the commit,
            before any file is read.
        config: name of a configuration; "" takes the only one, or the default.
        splits: names, in order; () takes the only one.
        streaming: read files where they lie, piece by piece, and keep no copy.
    """

    name: str
    revision: str = ""
    config: str = ""
    splits: tuple[str, ...] = ()
    streaming: bool = False

    @property
    def is_folder(self) -> bool:
        """Whether it lies on this machine, rather than on the hub."""
        return self.name.startswith("/")

    def __str__(self) -> str:
        return f"{self.name}@{self.revision[:12]}" if self.revision else self.name
