"""Options that several commands share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from molspace_cli import complete, factors, opening
from molspace_cli.groups import Group

if TYPE_CHECKING:
    from reactions.core.centre_options import CentreOptions
    from reactions.products.tree import Adjustment
    from reactions.session import Session


def target_argument(meaning: str) -> Any:
    """Return the argument that names a product or a space.

    Args:
        meaning: its help.
    """
    return typer.Argument(
        metavar="BUNDLE|EXPR|NAME|URI",
        autocompletion=complete.targets,
        help=meaning,
        show_default=False,
    )


Bundle = Annotated[
    str,
    typer.Argument(
        metavar="BUNDLE",
        autocompletion=complete.bundles,
        help="A bundle's directory.",
        show_default=False,
    ),
]
Lab = Annotated[
    str | None,
    typer.Option(
        "--lab",
        metavar="NAME|FILE",
        autocompletion=complete.labs,
        help="Where spaces, corpora and tasks come from.  [default: $MOLSPACE_LAB, else "
        "./molspace.toml, else mini]",
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
    str | None,
    typer.Option(
        "--device",
        metavar="auto|cpu|cuda|cuda:N,...",
        autocompletion=complete.devices,
        help="Where to run: every GPU if there is one (auto), or those named, steps side by side.  "
        "[default: $MOLSPACE_DEVICE, else auto]",
        show_default=False,
    ),
]
Executor = Annotated[
    str,
    typer.Option(
        "--executor",
        metavar="NAME[:ADDRESS]",
        autocompletion=complete.executors,
        help="What runs the steps: this machine (local), a cluster (ray, ray:HOST:PORT), or what "
        "an installed package adds.",
    ),
]
Precision = Annotated[
    Literal["fast", "exact"] | None,
    typer.Option(
        "--precision",
        metavar="fast|exact",
        case_sensitive=False,
        help="Of collecting and training: 16-bit products where the device has fast ones (a CPU "
        "without draws among keys that weigh little), or float32 throughout.  [default: "
        "$MOLSPACE_PRECISION, else the lab's, else fast]",
    ),
]
Track = Annotated[
    str | None,
    typer.Option(
        "--track",
        metavar="DIR|URI",
        help="Write losses and scores as they come: to a folder, for TensorBoard, or to "
        "trackio:PROJECT or wandb:PROJECT.",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before a long run.")]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="No progress and no notes; warnings and errors still come."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
ClassNames = Annotated[
    str | None,
    typer.Option(
        "--classes",
        metavar="FILE|TASK",
        help="Of these classes alone: a file with one a line, or a task's.  [default: all that are "
        "described]",
    ),
]
ClassTemplates = Annotated[
    list[str] | None,
    typer.Option(
        "--template",
        metavar="TEXT",
        help='A prompt for classes: "a photo of a {class}." Repeatable.  [default: by modality]',
    ),
]
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

K = Annotated[
    int | None,
    typer.Option("--k", metavar="N", help="Descriptions kept of each class.  [default: 50]"),
]
Selection = Annotated[
    str | None,
    typer.Option(
        "--selection",
        metavar="central|items|medoids|all",
        autocompletion=complete.selections,
        help="Which: nearest to their mean (central, default), nearest to training items (items: "
        "not zero-shot), medoids, or all.",
    ),
]
Rule = Annotated[
    str | None,
    typer.Option(
        "--rule",
        metavar="mean|nearest-row|sum|top-M",
        autocompletion=complete.rules,
        help="How they score: their mean (default), the nearest one (as UniBind published), "
        "their sum, or the M nearest.",
    ),
]
Items = Annotated[
    str | None,
    typer.Option(
        "--items",
        metavar="TASK:SPLIT",
        help="Labelled training items that --selection items goes by.",
    ),
]


@dataclass(frozen=True)
class LabOptions(Group):
    """Where spaces and data come from."""

    lab: Lab = None
    data: Data = None
    weights: Weights = None
    trust: Trust = None

    def open(self, **more: Any) -> Session:
        """Open the lab and the store, as these options say; see ``open_session``."""
        settings = {name: value for name, value in vars(self).items() if name not in ("lab", "yes")}
        return opening.open_session(self.lab, **settings, **more)


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


@dataclass(frozen=True)
class RunOptions(LabOptions):
    """Of commands that train."""

    seed: Seed = None
    precision: Precision = None
    device: Device = None
    executor: Executor = "local"
    track: Track = None
    yes: Yes = False
    quiet: Quiet = False


@dataclass(frozen=True)
class InferOptions(LabOptions):
    """Of commands that embed, and train where what they use is a reaction."""

    device: Device = None
    executor: Executor = "local"
    yes: Yes = False
    quiet: Quiet = False


@dataclass(frozen=True)
class DescriptionOptions(Group):
    """Which descriptions of classes are used, and how."""

    k: K = None
    selection: Selection = None
    rule: Rule = None
    items: Items = None

    def read(self) -> CentreOptions:
        """Read the options.

        Raises:
            UsageError: one is unknown, or they do not go together.
        """
        from reactions.core.centre_options import CentreOptions

        return CentreOptions.read(
            k=self.k,
            selection=self.selection or "central",
            rule=self.rule or "mean",
            items=self.items,
        )

    def refuse_without(self, option: str) -> None:
        """Refuse options that say nothing without the one that names descriptions.

        Raises:
            UsageError: some are given.
        """
        from reactions.core.errors import UsageError

        names = [f"--{name}" for name, value in vars(self).items() if value is not None]
        if names:
            raise UsageError(
                f"{' and '.join(names)} choose{'s' if len(names) == 1 else ''} among descriptions, "
                "and none are named",
                fix=f"{option} KB, such as {option} kb in the mini lab",
            )


@dataclass(frozen=True)
class FactorOptions(Group):
    """How the experts of a space are weighed."""

    sigma: Sigma = None
    lambda_: Lambda = None
    experts: Experts = None

    def adjustment(self) -> Adjustment:
        """Read the options about experts.

        Raises:
            UsageError: a text is not a factor.
        """
        return factors.adjustment(self.sigma, self.lambda_, self.experts)


@dataclass(frozen=True)
class TargetOptions(FactorOptions):
    """Which space is used, and how its experts are weighed."""

    space: SpaceRef = None
