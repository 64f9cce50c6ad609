"""What a published package is to a comparison: which spaces it fits, and how it embeds an item."""

from __future__ import annotations

import logging
import os
import random
import sys
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from typing import Any, ClassVar
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from reactions.core.errors import MissingError
from reactions.core.types import Item, Modality, SpaceSpec
from reactions.encoders.packages import import_package, need_package

EmbedOne = Callable[[Item], Tensor]
"""An item to its embedding, (dim,) of any norm and type of number."""

_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE")


@dataclass(frozen=True)
class OfficialModel:
    """A model of a published package, with the weights of a space.

    Attributes:
        embed: modality to the package's own way from an item (a text, or the path of a file) to
            an embedding, with what ``pins`` names held fixed.
        as_published: the same without pins, of the modalities that have any.
        networks: modality to the package's network alone, for items whose values are prepared
            already: where no preprocessing was published.
    """

    embed: Mapping[Modality, EmbedOne]
    as_published: Mapping[Modality, EmbedOne] = field(default_factory=dict)
    networks: Mapping[Modality, EmbedOne] = field(default_factory=dict)


class OfficialPackage(ABC):
    """A published package that runs the models of some of our adapters.

    Attributes:
        name: by which people choose it, and which is imported.
        adapters: whose spaces it runs.
        modalities: that it embeds, from items or from prepared values.
        pins: modality to what is held fixed in the package for the comparison, and why.
    """

    name: ClassVar[str]
    adapters: ClassVar[tuple[str, ...]]
    modalities: ClassVar[tuple[Modality, ...]]
    pins: ClassVar[Mapping[Modality, str]] = {}

    @abstractmethod
    def install(self) -> str:
        """Return the command that installs it."""

    @abstractmethod
    def open(self, spec: SpaceSpec, device: str) -> OfficialModel:
        """Build the package's model from the files of a space; nothing is downloaded.

        Args:
            spec: of one of ``adapters``.
            device: ``"cpu"``, ``"cuda:0"``, ...

        Raises:
            MissingError: files or packages are missing.
            DataError: the package cannot run these weights.
        """

    @property
    def of_items(self) -> tuple[Modality, ...]:
        """The modalities that it embeds from texts and files, by its own preprocessing."""
        return tuple(m for m in self.modalities if not self.network_inputs(m))

    def network_inputs(self, modality: Modality) -> Sequence[Item]:
        """Return prepared values to try a network alone on, where nothing else was published."""
        return ()

    def require(self) -> None:
        """Check that the package is installed, without importing it.

        Raises:
            MissingError: it is not.
        """
        with self._install_hint():
            need_package(self.name, self.name)

    def imported(self, module: str) -> Any:
        """Import a module of the package, or of those that it needs.

        Raises:
            MissingError: it is not installed, or what is installed does not fit together.
        """
        with self._install_hint():
            return import_package(module, self.name)

    @contextmanager
    def _install_hint(self) -> Iterator[None]:
        try:
            yield
        except MissingError as error:
            error.what = f"cannot compare with {self.name}"
            error.fix = self.install()
            raise


@contextmanager
def alone() -> Iterator[None]:
    """Run a package's code without a hub, without its messages, and without any trace.

    The environment, warnings, random states, the levels of loggers and the path of imports are
    what they were before when the block ends. What it prints is dropped, because stdout is for
    data.
    """
    numpy_state, python_state = np.random.get_state(), random.getstate()
    cuda = [*range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    disabled, path = logging.root.manager.disable, list(sys.path)
    with ExitStack() as stack:
        stack.enter_context(patch.dict(os.environ, dict.fromkeys(_OFFLINE, "1")))
        # Read once, when it was imported: by then the environment may have said otherwise.
        if (hub := sys.modules.get("huggingface_hub.constants")) is not None:
            stack.enter_context(patch.object(hub, "HF_HUB_OFFLINE", True))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        stack.enter_context(redirect_stdout(StringIO()))
        stack.enter_context(torch.random.fork_rng(cuda))
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(disabled)
            sys.path[:] = path
            np.random.set_state(numpy_state)
            random.setstate(python_state)


def seeded(seed: int = 0) -> None:
    """Seed every source of chance that a package may draw from."""
    np.random.seed(seed)
    random.seed(seed)
    torch.manual_seed(seed)
