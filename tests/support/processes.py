"""Other processes that use a store: spawned, waited for, and what they noted."""

import textwrap
from pathlib import Path

from forked import Forked

SUPPORT = Path(__file__).parent

DIE_ONCE_SAVED = """
import os, signal
from reactions.store.saved_state import SavedState
write = SavedState.write
SavedState.write = lambda *given: (write(*given), os.kill(os.getpid(), signal.SIGKILL))
"""
"""What a program begins with that is to be killed as soon as a step has saved its state."""


NAMES = (
    "torch",
    "s3fs",
    "reactions.run.local",
    "reactions.store",
    "toy",
    "plain_steps",
    "store_toys",
)


def run_code(code, names=NAMES, **options):
    """Run code in another process, which has imported modules of these names."""
    return Forked(names, {"code": textwrap.dedent(code)}, **options)


def spawn(code, root, **options):
    """Run code that has a store, the toy steps, and a file to append to, in another process."""
    prelude = f"""
        import os, signal, sys, time
        from pathlib import Path
        from toy import by_rows, counting, executor
        from reactions.store import Store
        store = Store(Path({str(root)!r}))
        log = Path({str(root)!r} + ".log")
        def note(text):
            with log.open("a") as f: f.write(f"{{text}}\\n")
    """
    return run_code(textwrap.dedent(prelude) + textwrap.dedent(code), **options)


def finish(process, returncode=0):
    """Wait for a process; return what it printed on stdout and stderr."""
    with process:
        out, err = (text.decode() for text in process.communicate(300))
    assert process.returncode == returncode, err
    return out, err


def log_of(root):
    """Return the words that processes noted, in order."""
    path = Path(f"{root}.log")
    return path.read_text().split() if path.exists() else []
