"""The command line as users start it, without the seconds that Python takes to import torch.

Each command is forked from a process that has imported what commands need. Tests of what is
imported when, of signals, and of other installations start processes of their own.
"""

import os
import subprocess

from forked import Forked

IMPORTED = (
    "torch",
    "torch._dynamo",  # which the first optimizer imports
    "numpy",
    "pydantic",
    "typer",
    "rich.table",
    "rich.live",
    "safetensors.torch",
    "PIL.Image",
    "soundfile",
    "lark",
    "reactions.session",
    "reactions.run.local",
    "reactions.labs.lab_file",
    "reactions.encoders.registry",
    "reactions.labs.mini.describer",
    "molspace_cli.app",
)
IF_INSTALLED = (
    "ftfy",
    "transformers.models.clip.modeling_clip",
    "transformers.models.clap.modeling_clap",
)
"""What the encoders of official checkpoints need."""


def molspace(*arguments, cwd=None, env=None, stdin="", timeout_s=120, is_text=True):
    """Run a command; return what ``subprocess.run`` returns.

    Args:
        arguments: of ``molspace``; text, bytes or paths.
        cwd: folder to be in.
        env: all of the environment; by default this process's own. What its PYTHONPATH has
            besides is where packages are installed for this command.
        stdin: text, or bytes.
        timeout_s: after which the test fails.
        is_text: decode what it writes, as UTF-8.
    """
    with Started(*arguments, cwd=cwd, env=env, stdin=stdin) as started:
        out, err = started.communicate(timeout_s)
    if is_text:
        out, err = out.decode(), err.decode()
    return subprocess.CompletedProcess(["molspace", *arguments], started.returncode, out, err)


class Started(Forked):
    """A command that runs; takes what ``molspace`` takes."""

    def __init__(self, *arguments, **options):
        program = {"arguments": [os.fsdecode(argument) for argument in arguments]}
        super().__init__(IMPORTED + IF_INSTALLED, program, **options)
