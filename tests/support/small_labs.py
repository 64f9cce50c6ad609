"""Sessions of small labs in a folder, and runs of them that are killed and go on."""

import signal
import subprocess
import sys
from dataclasses import dataclass

from processes import DIE_ONCE_SAVED

from reactions.labs.lab_file import load_lab
from reactions.session import Session
from reactions.store import Store

_RUN = """
import sys
from pathlib import Path
from reactions.labs.lab_file import load_lab
from reactions.session import Session
from reactions.store import Store
lab, store, out, reaction = sys.argv[1:]
session = Session(load_lab(lab), Store(Path(store)), "cpu")
session.react(session.check(reaction), out=Path(out), current=False)
"""


@dataclass(frozen=True)
class SmallLab:
    """A lab file with a place for its ``holdout``."""

    text: str

    def write(self, folder, holdout=0.0):
        """Return the path of the lab file, which is written."""
        path = folder / "lab.toml"
        path.write_text(self.text.format(holdout=holdout))
        return str(path)

    def session(self, folder, name="store", **changes):
        """Return a session with a store in the same folder."""
        return Session(load_lab(self.write(folder, **changes)), Store(folder / name), "cpu")

    def react_after_a_kill(self, reaction, trainer, folder, monkeypatch):
        """Kill a run once it has saved its state, run it again, and return that one's bundle.

        Args:
            reaction: what is run; one step of it saves states.
            trainer: the class with ``restore`` and ``done`` that goes on from a state.
            folder: for the lab, store and bundle.
            monkeypatch: pytest's.
        """
        store, out = folder / "store", folder / "bundle"
        child = subprocess.run(
            [sys.executable, "-c", DIE_ONCE_SAVED + _RUN, self.write(folder), store, out, reaction],
            timeout=300,
        )
        assert child.returncode == -signal.SIGKILL
        assert len(list(store.glob("partial/*/checkpoint.npz"))) == 1
        assert not out.exists()
        resumed = []
        original_restore = trainer.restore

        def restore(self, arrays):
            original_restore(self, arrays)
            resumed.append(self.done)

        monkeypatch.setattr(trainer, "restore", restore)
        lab_session = self.session(folder)
        bundle = lab_session.react(lab_session.check(reaction), out=out, current=False)
        assert resumed
        assert 0 < resumed[0] < 12
        assert not list(store.glob("partial/*"))
        return bundle
