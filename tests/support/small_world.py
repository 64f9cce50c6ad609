"""The mini lab, small: a product that trains in seconds, and the first items of its tasks."""

from lab_files import mini_lab
from small_sets import load_small_lab

from reactions.session import Session
from reactions.store import Store

EXPRESSION = "ImageBind + Dr(InternVL, data=TVA) | Cr(CLAP_m, data=TVA) & Cr(CLAP_g, data=TVA)"
"""One projector each."""

LAB = (
    mini_lab(300, 200, hidden_dim=32, batch_size=64, dr_epochs=1, cr_epochs=1, shard_rows=200)
    + '[pairs.scenes]\nworld = 1000\nseen_by = "ImageBind"\ndefault = true\n'
)


def small_session(folder, seed=None):
    """Return a session with a store of its own in a folder."""
    path = folder / "molspace.toml"
    path.write_text(LAB)
    return Session(load_small_lab(path).with_seed(seed), Store(folder / "cache"), "cpu")


def small_target(session, folder, expression=EXPRESSION):
    """Train a product and return it as a target."""
    bundle = session.react(session.check(expression), out=folder / "bundle", current=False)
    return session.target(bundle.path)
