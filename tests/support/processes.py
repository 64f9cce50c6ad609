"""Other processes that use a store: spawned, waited for, and what they noted."""

import subprocess
import sys
import textwrap
from pathlib import Path

SUPPORT = Path(__file__).parent

DIE_ONCE_SAVED = """
import os, signal
from reactions.store.saved_state import SavedState
write = SavedState.write
SavedState.write = lambda *given: (write(*given), os.kill(os.getpid(), signal.SIGKILL))
"""
"""What a program begins with that is to be killed as soon as a step has saved its state."""


def spawn(code, root):
    """Run code that has a store, the toy steps, and a file to append to, in another process."""
    prelude = f"""
        import os, signal, sys, time
        os.fsync = lambda fd: None  # as in conftest.py
        from pathlib import Path
        sys.path[:0] = [{str(SUPPORT)!r}]
        from toy import by_rows, counting, executor
        from reactions.store import Store
        store = Store(Path({str(root)!r}))
        log = Path({str(root)!r} + ".log")
        def note(text):
            with log.open("a") as f: f.write(f"{{text}}\\n")
    """
    source = textwrap.dedent(prelude) + textwrap.dedent(code)
    return subprocess.Popen(
        [sys.executable, "-c", source],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process, returncode=0):
    """Wait for a process; return what it printed on stdout and stderr."""
    out, err = process.communicate(timeout=300)
    assert process.returncode == returncode, err
    return out, err


def log_of(root):
    """Return the words that processes noted, in order."""
    path = Path(f"{root}.log")
    return path.read_text().split() if path.exists() else []
