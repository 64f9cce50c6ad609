"""Options that several commands share, and the texts they parse."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from molspace_cli import complete
from molspace_cli.groups import Group

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from reactions.labs.lab import Lab as LoadedLab
    from reactions.products.target import Target
    from reactions.products.tree import Adjustment, Factors
    from reactions.run.events import Event
    from reactions.session import Session

Lab = Annotated[
    str | None,
    typer.Option(
        "--lab",
        metavar="NAME|FILE",
        autocompletion=complete.labs,
        help="Where spaces, corpora and tasks come from.  [default: ./molspace.toml, else mini]",
    ),
]
Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help="Where evaluation sets lie, in their published layouts; also $MOLSPACE_DATA.",
    ),
]
Weights = Annotated[
    list[str] | None,
    typer.Option(
        "--weights",
        metavar="NAME=PATH",
        autocompletion=complete.weights,
        help="A file or folder with the weights of one space. Repeatable.",
    ),
]
Trust = Annotated[
    list[str] | None,
    typer.Option(
        "--trust-remote-code",
        metavar="PIN",
        help="Run code that comes with weights (InternVL): ORG/REPO@COMMIT, or a folder with the "
        "digest that its refusal prints, FOLDER@sha256:DIGEST. Repeatable.",
    ),
]
Online = Annotated[
    bool,
    typer.Option(
        "--online", help="Look at remote places, too; without it the network is not used."
    ),
]
Seed = Annotated[int | None, typer.Option("--seed", metavar="N", help="Instead of the lab's seed.")]
Device = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="auto|cpu|cuda|cuda:N,...",
        autocompletion=complete.devices,
        help="Where to run: every GPU if there is one (auto), or those named, steps side by side.",
    ),
]
Executor = Annotated[
    str,
    typer.Option(
        "--executor",
        metavar="NAME",
        autocompletion=complete.executors,
        help="What runs the steps: this machine (local), or what an installed package adds.",
    ),
]
Precision = Annotated[
    Literal["fast", "exact"] | None,
    typer.Option(
        "--precision",
        metavar="fast|exact",
        case_sensitive=False,
        help="Of collecting and training: 16-bit products where the device has fast ones, or "
        "float32 throughout.  [default: the lab's, else fast]",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before a long run.")]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="No progress and no notes; warnings and errors still come."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
SpaceRef = Annotated[
    str | None,
    typer.Option(
        "--space",
        metavar="BUNDLE|EXPR|NAME|URI",
        autocompletion=complete.targets,
        help="What to use.  [default: the bundle of the last react in this folder and lab, "
        "or in the nearest folder above]",
    ),
]
Sigma = Annotated[
    list[str] | None,
    typer.Option(
        "--sigma",
        metavar="FACTORS",
        help="Share of combined experts: 0.5,0.1 in the order of the shared modalities "
        "(audio,text), or audio=0.5,text=0.1, or for one expert CLAP_m:0.8,0.5. Repeatable.",
    ),
]
Lambda = Annotated[
    list[str] | None,
    typer.Option("--lambda", metavar="FACTORS", help="Share of displacing experts, likewise."),
]
Experts = Annotated[
    str | None,
    typer.Option(
        "--experts",
        metavar="NAME,...",
        autocompletion=complete.experts,
        help="Use only these experts.",
    ),
]


@dataclass(frozen=True)
class LabOptions(Group):
    """Where spaces and data come from."""

    lab: Lab = None
    data: Data = None
    weights: Weights = None
    trust: Trust = None


@dataclass(frozen=True)
class SpaceOptions(Group):
    """Where spaces come from."""

    lab: Lab = None
    weights: Weights = None
    trust: Trust = None


@dataclass(frozen=True)
class PlanOptions(LabOptions):
    """Of commands that plan a reaction and run nothing."""

    seed: Seed = None
    precision: Precision = None
    online: Online = False

    def open(self) -> Session:
        """Open the lab and the store."""
        return open_session(self.lab, quiet=True, **_without(self, "lab"))


@dataclass(frozen=True)
class RunOptions(LabOptions):
    """Of commands that train."""

    seed: Seed = None
    precision: Precision = None
    device: Device = "auto"
    executor: Executor = "local"
    yes: Yes = False
    quiet: Quiet = False

    def open(self) -> Session:
        """Open the lab and the store, with progress on stderr."""
        return open_session(self.lab, **_without(self, "lab", "yes"))


@dataclass(frozen=True)
class InferOptions(LabOptions):
    """Of commands that embed, and train where what they use is a reaction."""

    device: Device = "auto"
    executor: Executor = "local"
    yes: Yes = False
    quiet: Quiet = False

    def open(self) -> Session:
        """Open the lab and the store, with progress on stderr."""
        return open_session(self.lab, **_without(self, "lab", "yes"))


@dataclass(frozen=True)
class TargetOptions(Group):
    """Which space is used, and how its experts are weighed."""

    space: SpaceRef = None
    sigma: Sigma = None
    lambda_: Lambda = None
    experts: Experts = None

    def adjustment(self) -> Adjustment:
        """Read the options about experts.

        Raises:
            UsageError: a text is not a factor.
        """
        return adjustment(self.sigma, self.lambda_, self.experts)


def _without(group: Group, *names: str) -> dict[str, Any]:
    return {name: value for name, value in vars(group).items() if name not in names}


def lab(
    name: str | None,
    *,
    seed: int | None = None,
    weights: Sequence[str] | None = None,
    data: Path | None = None,
    quiet: bool = True,
    online: bool = True,
) -> LoadedLab:
    """Open a lab, with the digests and scans that earlier runs remembered.

    Without ``online`` nothing remote is looked at: a command that only lists or plans contacts
    no server.
    """
    from molspace_cli.confirm import agree
    from molspace_cli.progress import scans
    from reactions.core.protocols import allow_network, deny_network
    from reactions.labs.lab_file import load_lab
    from reactions.weights.locate import digest_cache

    if online:
        allow_network()
    else:
        deny_network("a command that only lists or plans does not use the network", "--online")
    return load_lab(
        name,
        seed=seed,
        digests=digest_cache(),
        data=data,
        weights=_weights(weights or (), name),
        on_progress=scans(quiet=quiet),
        agree=agree,
    )


def _weights(texts: Sequence[str], lab_name: str | None) -> dict[str, Path]:
    """Read ``--weights``.

    Raises:
        UsageError: one is not NAME=PATH, or is given twice.
        MissingError: there is no such path.
    """
    from reactions.core.errors import MissingError, UsageError
    from reactions.weights.locate import parse_override

    named: dict[str, Path] = {}
    for text in texts:
        name, path = parse_override(text)
        if name in named:
            raise UsageError(f"--weights is given twice for {name}", fix="leave one out")
        if not os.path.exists(path):  # noqa: PTH110  (False, too, for what no name can be)
            path_fix = f"--weights {name}=PATH of the file, or of the folder that holds it"
            raise MissingError(
                f"--weights {text}: there is no such file or folder",
                fix=_other_name(name, lab_name) or path_fix,
                space=name,
                path=str(path),
            )
        named[name] = path
    return named


def _other_name(name: str, lab_name: str | None) -> str:
    """Return the name of a lab's space that was probably meant; "" if the lab has this one."""
    from reactions.core.errors import MolspaceError, suggestion
    from reactions.labs.lab_file import load_lab

    try:
        catalogue = load_lab(lab_name).catalogue
    except MolspaceError:  # it is reported when it matters
        return ""
    return "" if name in catalogue else suggestion(name, catalogue.names())


def refuse_endless(option: str, value: float | None) -> None:
    """Refuse a number that is infinite or NaN."""
    from reactions.core.errors import UsageError

    if value is not None and not math.isfinite(value):
        raise UsageError(f"{option}: '{value}' is not a number that can be used", fix=f"{option} 5")


def allow_remote_code(pins: Sequence[str] | None) -> None:
    """Let code that comes with weights run, as far as ``--trust-remote-code`` pins it."""
    if pins:
        from reactions.weights.hub import trust

        trust(pins)


def open_session(
    lab_name: str | None,
    *,
    seed: int | None = None,
    weights: Sequence[str] | None = None,
    data: Path | None = None,
    trust: Sequence[str] | None = None,
    precision: str | None = None,
    device: str = "auto",
    executor: str = "local",
    quiet: bool = False,
    online: bool = True,
) -> Session:
    """Open the lab and the store, with progress on stderr."""
    from molspace_cli.progress import progress
    from reactions.run.device import check_device
    from reactions.run.executor import check_executor
    from reactions.session import Session
    from reactions.store import Store

    check_device(device)
    check_executor(executor)
    store = Store()
    allow_remote_code(trust)
    found = lab(lab_name, seed=seed, weights=weights, data=data, quiet=quiet, online=online)
    found = found.with_precision(precision)
    speed = partial(_speed, device, found.settings.precision)
    events: Callable[[Event], None] = progress(quiet=quiet, speed=speed)
    return Session(found, store, device, events, executor)


def _speed(device: str, precision: str) -> float | None:
    """Return the FLOP/s that steps can be expected to reach; None where it cannot be measured."""
    from reactions.core.errors import MolspaceError
    from reactions.planning.throughput import pace
    from reactions.run.device import resolve_devices

    try:
        return pace(resolve_devices(device), precision)
    except (MolspaceError, RuntimeError):  # the run itself says what is wrong with the device
        return None


def say_bundle(target: Target, *, quiet: bool) -> None:
    """Say which bundle is used, and why; if quiet, only where that was not the user's choice."""
    if target.bundle is not None and (target.is_guess or not quiet):
        say_current(target.bundle.path, target.reason)


def say_current(directory: Path, reason: str) -> None:
    """Say which bundle is used, and why; a terminal's line is short where it can be."""
    from molspace_cli.console import say, shortened

    say(shortened(f"bundle: {directory} ({reason})"))


def make_current(directory: Path) -> None:
    """Make a bundle the current one of this folder; where that fails, only warn."""
    from molspace_cli.console import say
    from reactions.core.errors import StoreError
    from reactions.products.bundle_dir import set_current

    try:
        set_current(directory)
    except StoreError as error:
        say(f"warning: {error.what}: {error.why}")


def adjustment(
    sigma: Sequence[str] | None, lambda_: Sequence[str] | None, experts: str | None
) -> Adjustment:
    """Read ``--sigma``, ``--lambda`` and ``--experts``.

    Raises:
        UsageError: a text is not a factor.
    """
    from reactions.core.errors import UsageError
    from reactions.products.tree import Adjustment

    names = None
    if experts is not None:
        names = [name.strip() for name in experts.split(",") if name.strip()]
        if not names:
            raise UsageError(
                "--experts names none", fix="--experts CLAP_m,CLAP_g   or leave it out"
            )
    return Adjustment(
        sigma=_factors("--sigma", sigma),
        lambda_=_factors("--lambda", lambda_),
        experts=None if names is None else frozenset(names),
    )


def _factors(option: str, texts: Sequence[str] | None) -> dict[str, Factors]:
    from reactions.core.errors import UsageError

    found: dict[str, Factors] = {}
    for text in texts or ():
        expert, colon, values = text.rpartition(":")
        parts = [part.strip() for part in values.split(",")]
        try:
            if all("=" in part for part in parts):
                pairs = [part.partition("=") for part in parts]
                factors: Factors = {name.strip(): float(value) for name, _, value in pairs}
            else:
                factors = tuple(float(part) for part in parts)
        except ValueError:
            raise UsageError(
                f"{option}: '{text}' is not a list of factors",
                fix=f"{option} 0.5,0.1   or   {option} audio=0.5,text=0.1",
            ) from None
        if (key := expert.strip() if colon else "") in found:
            raise UsageError(f"{option} is given twice" + (f" for {key}" if key else ""))
        found[key] = factors
    return found
