"""A FusedSpace of the headline reaction, on encoders that draw rows by what items hold."""

import hashlib
import shutil

import fakes
from report_lab import HEADLINE, tiny_session

from reactions import session as module
from reactions.api import FusedSpace
from reactions.core.types import Item
from reactions.modalities.values import value_digest
from reactions.products.bundles.bundle import load_bundle


class ByContents(fakes.Encoder):
    """Embeds equal values equally, whatever their ids; by id what has no value."""

    def embed(self, modality, items):
        return super().embed(modality, [self._named(item) for item in items])

    @staticmethod
    def _named(item):
        value = item.value
        digest = value_digest(value) if value is not None else ""
        if isinstance(value, bytes):
            digest = hashlib.sha256(value).hexdigest()
        return Item(digest or item.id, item.modality, value)


def use_counted(monkeypatch):
    """Let sessions load fake encoders, and return the names of those that are, as they are."""
    loaded = []

    def load(spec, device):
        loaded.append(spec.name)
        return ByContents(spec)

    monkeypatch.setattr(module, "load_encoder", load)
    monkeypatch.setattr(module, "check_space", lambda spec: None)
    return loaded


def train_toy(folder, reaction=HEADLINE):
    """Train a reaction of fakes into a folder, from which ``fused_toy`` makes spaces."""
    session = tiny_session(folder / "store")
    session.react(session.check(reaction), out=folder / "bundle", current=False)


def fused_toy(trained, folder):
    """Return a space of what ``train_toy`` has trained, with a store of its own in a folder."""
    shutil.copytree(trained, folder)
    return FusedSpace(load_bundle(folder / "bundle"), tiny_session(folder / "store"))
