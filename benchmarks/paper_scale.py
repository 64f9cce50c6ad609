"""The paper's reaction at the paper's size, on synthetic embeddings: measured, or extrapolated.

    python benchmarks/paper_scale.py [--minutes 5] [--json FILE] [--quick] [--device cuda:0]

Plans `ImageBind + Dr(InternVL) | Cr(CLAP_m) & Cr(CLAP_g)` for 2.33 M texts, 1.3 M images and
1.8 M sounds, and runs the plan's own steps: the whole of it where that fits the minutes (for
collecting and for training, each), else two smaller sizes, from which the time of the whole is
extrapolated in proportion to floating-point operations. Embeddings are made beforehand and results
are dropped: neither encoders nor the disk are timed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from synthetic import PAPER_ROWS, Column, embeddings, paper_specs
from timing import Table, parser, progress, publish, seconds

from reactions.core.catalogue import Catalogue
from reactions.core.hashing import digest
from reactions.core.memory_budget import free_bytes
from reactions.core.settings import PAPER_SETTINGS
from reactions.core.step import Artifact, Step
from reactions.core.types import Fusion, Leaf, Space, leaves
from reactions.dsl import check, parse
from reactions.labs.lab import Lab
from reactions.planning.plan import ordered
from reactions.planning.planner import Planner
from reactions.products.tree import mixtures

EXPRESSION = "ImageBind + Dr(InternVL) | Cr(CLAP_m) & Cr(CLAP_g)"
STAGES = ("Dr(InternVL)", "Cr(CLAP_m) & Cr(CLAP_g)")
PAPER_HOURS = {"collect": (10.0, 2 * 10.0), "train": (6.0, 2 * 1.5)}
"""By stage, on one RTX 4090; see WHOLE."""

SPENT = 0.7
"""Share of the minutes that the larger of two sizes takes; the smaller takes a quarter of it."""

PARTS = ["Training below 100 % is one projector on all three pseudo sets, for one epoch."]
WHOLE = [
    "Extrapolated: the larger size's seconds, times the ratio of the operations. The paper gives "
    "10 hours a group of pseudo sets, 6 hours a displacement's projectors and 1.5 hours a "
    "combination's; the second stage has two experts: two of each."
]

BATCH_ROWS = PAPER_SETTINGS.batch_size or 0


@dataclass(frozen=True)
class Items:
    """A corpus of which only the length is known."""

    name: str
    modality: str
    n: int

    @property
    def digest(self) -> str:
        return digest("corpus", [self.modality, self.n])

    def __len__(self) -> int:
        return self.n


@dataclass(frozen=True)
class ScaledLab(Lab):
    scale: float = 1.0  # share of the paper's rows

    def corpus(self, modality: str) -> Items:
        return Items(modality, modality, max(2, round(PAPER_ROWS[modality] * self.scale)))


@dataclass(frozen=True)
class Scaled:
    """The plan at one scale.

    Attributes:
        steps: in an order in which they can run.
        columns: key of an embed step -> what stands for its result.
        stage: key of a collect or train step -> its place in STAGES.
    """

    steps: Sequence[Step]
    columns: Mapping[str, Column]
    stage: Mapping[str, int]

    def of(self, kind: str, stage: int) -> list[Step]:
        """Return the steps of a kind in a stage."""
        return [s for s in self.steps if s.kind == kind and self.stage[s.key] == stage]

    def passes(self, stage: int) -> list[list[Step]]:
        """Return a stage's collect steps, those together that share their similarities."""
        groups: dict[str, list[Step]] = {}
        for step in self.of("collect", stage):
            groups.setdefault(step.together or step.key, []).append(step)
        return list(groups.values())

    def flops(self, kind: str, stage: int) -> float:
        """Return the operations of a stage; what is shared is counted once."""
        if kind == "train":
            return sum(step.cost.flops for step in self.of(kind, stage))
        return sum(map(pass_flops, self.passes(stage)))


def pass_flops(group: Sequence[Step]) -> float:
    """Return the operations of collect steps that are run together."""
    first, *other_costs = (step.cost for step in group)
    return first.flops + sum(cost.flops - cost.shared_flops for cost in other_costs)


def scaled(scale: float, *, epochs: int | None = None) -> Scaled:
    """Plan the reaction for a share of the paper's rows, and its epochs unless others are given."""
    settings = PAPER_SETTINGS
    if epochs is not None:
        settings = replace(settings, dr_epochs=epochs, cr_epochs=epochs)
    catalogue = Catalogue(paper_specs())
    lab = ScaledLab(
        "paper scale", "synthetic", Path("-"), 0, catalogue, settings=settings, scale=scale
    )
    product = check(parse(EXPRESSION), lab.catalogue, factors=lab.factors).space
    planner = Planner(lab)
    steps = list(planner.react(EXPRESSION, product).steps())
    spaces: list[Space] = [*leaves(product), *(fusion.base for fusion, _ in mixtures(product))]
    columns = {
        planner.embed(space, lab.corpus(modality)).key: Column(space.label, space.dim, modality)
        for space in spaces
        for modality in space.modalities
    }
    stage: dict[str, int] = {}
    # A stage's steps are those upstream of its projectors that no earlier stage has.
    for index, fusion in enumerate(stages(product)):
        for expert in range(len(fusion.experts)):
            for step in ordered(list(planner.mixture(fusion, expert).heads.values())):
                stage.setdefault(step.key, index)
    return Scaled(steps, columns, stage)


def stages(space: Space) -> list[Fusion]:
    """Return the stages of a reaction from left to right."""
    return [] if isinstance(space, Leaf) else [*stages(space.base), space]


@dataclass
class Lender:
    """What an executor lends a step; see ``graph.Context``."""

    device: str
    _shares: str = ""
    _held: list[Any] = field(default_factory=list)

    def begin(self, step: Step) -> None:
        """Drop what the step before shared, unless this one shares it too."""
        if step.shares != self._shares:
            self._held.clear()
        self._shares = step.shares

    def progress(self, done: int, total: int, unit: str) -> None: ...

    def measure(self, name: str, value: float, position: int) -> None: ...

    def shared(self, build: Callable[[], Any]) -> Any:
        if not self._held:
            self._held.append(build())
        return self._held[0]


@dataclass(frozen=True, slots=True)
class Measured:
    """One run: its share of the paper's rows, its operations, its seconds."""

    scale: float
    flops: float
    seconds: float

    def cells(self) -> tuple[str, float, float, float]:
        rate = self.flops / self.seconds / 1e12
        return f"{100 * self.scale:.3g} %", self.flops / 1e12, self.seconds, rate


def made(column: Column, n: int, device: str) -> Artifact:
    """Return synthetic embeddings as an embed step would leave them."""
    return Artifact({"embeddings": embeddings(column, n, device=device).cpu().numpy()})


def collect(plan: Scaled, stage: int, scale: float, device: str) -> Measured:
    """Collect all pseudo sets of a stage; only the steps are timed."""
    groups = plan.passes(stage)
    uses = Counter(source.key for group in groups for s in group for _, source in s.inputs)
    values: dict[str, Artifact] = {}
    lender, total = Lender(device), 0.0
    for group in groups:
        for step in group:
            for _, source in step.inputs:
                if source.kind == "embed" and source.key not in values:
                    values[source.key] = made(plan.columns[source.key], source.n_rows or 0, device)
        shards: list[list[Artifact]] = []
        took = seconds(
            lambda g=group, out=shards: out.extend(run(g, values, lender)), device=device
        )
        total += took
        for place, step in enumerate(group):
            if uses[step.key]:  # a later hop asks with it
                parts = [shard[place].arrays["embeddings"][slice(None)] for shard in shards]
                values[step.key] = Artifact({"embeddings": np.concatenate(parts)})
            for _, source in step.inputs:
                uses[source.key] -= 1
                if not uses[source.key]:
                    values.pop(source.key, None)
    return Measured(scale, plan.flops("collect", stage), total)


def run(
    group: Sequence[Step], values: Mapping[str, Artifact], lender: Lender
) -> Iterator[list[Artifact]]:
    """Run collect steps together, shard by shard."""
    inputs = [{name: values[source.key] for name, source in step.inputs} for step in group]
    first, n = group[0], group[0].n_rows or 0
    for start in range(0, n, first.shard_rows):
        stop = min(n, start + first.shard_rows)
        yield type(first).run_together(lender, group, inputs, start, stop)


def train(steps: Sequence[Step], scale: float, device: str) -> Measured:
    """Train projectors on synthetic pseudo sets, whose rows are about the same items."""
    lender, total = Lender(device), 0.0
    values: dict[str, Artifact] = {}
    for index, step in enumerate(steps):
        for name, source in step.inputs:
            anchor, side, modality = name.split(".")
            if source.key not in values:
                # Named as the slot in the pseudo set; its width is the artifact's.
                column = Column(f"{side} {width(source)}", width(source), modality, f"by {anchor}")
                values[source.key] = made(column, source.n_rows or 0, device)
        inputs = {name: values[source.key] for name, source in step.inputs}
        lender.begin(step)
        total += seconds(lambda s=step, i=inputs: s.run(lender, i, 0, 1), device=device)
        needed = {source.key for later in steps[index + 1 :] for _, source in later.inputs}
        values = {key: value for key, value in values.items() if key in needed}
    return Measured(scale, sum(map(done_flops, steps)), total)


def done_flops(step: Step) -> float:
    """Return the operations of a train step's whole batches; the rows left over are dropped."""
    params = step.preimage["params"]
    batch = min(params["batch_size"], pairs(step))
    return step.cost.flops * batches(step) * batch / (pairs(step) * params["epochs"])


def pairs(step: Step) -> int:
    """Return how many pseudo-pairs a train step has: the rows of its anchors."""
    return sum({name.split(".")[0]: source.n_rows or 0 for name, source in step.inputs}.values())


def batches(step: Step) -> int:
    """Return how many batches a train step goes through in all its epochs."""
    params = step.preimage["params"]
    return max(1, pairs(step) // params["batch_size"]) * params["epochs"]


def width(step: Step) -> int:
    """Return the width of what an embed or collect step makes (stored in 16 bits)."""
    return step.cost.size_bytes // (2 * (step.n_rows or 1))


def measure(kind: str, stage: int, device: str, limit_s: float) -> list[Measured]:
    """Run a stage's collecting or training, or two parts of it.

    A small run warms up and gives the rate. If the whole then fits the time and half of the
    host's free memory, that is run; else a part that takes SPENT of the time and a quarter of it.
    A part of training is one projector, on the rows of all anchors, for one epoch: batches stay
    full.
    """
    plan = scaled(1.0)
    held_bytes = sum(
        {
            source.key: source.cost.size_bytes
            for step in plan.of(kind, stage)
            for _, source in step.inputs
        }.values()
    )
    small = 2e14 if device.startswith("cuda") else 2e11
    if kind == "collect":
        largest, power, copies, least = plan.flops(kind, stage), 2, 1, 0.0  # FLOP ~ rows ** 2

        def run_part(scale: float) -> Measured:
            return collect(scaled(scale), stage, scale, device)

    else:
        projector = scaled(1.0, epochs=1).of(kind, stage)[-1]
        # Where training runs on the host, its rows may be held in float32 as well.
        largest, power, copies = projector.cost.flops, 1, 1 if device.startswith("cuda") else 3
        least = 2 * BATCH_ROWS / sum(PAPER_ROWS.values())  # two full batches

        def run_part(scale: float) -> Measured:
            if scale == 1:
                return train(plan.of(kind, stage), scale, device)
            return train(scaled(scale, epochs=1).of(kind, stage)[-1:], scale, device)

    fits = free_bytes("cpu") / 2 / (copies * held_bytes)

    def scale_of(flops: float) -> float:
        # Never 1, which stands for the whole in run_part.
        return min(fits, 0.99, max(least, (flops / largest) ** (1 / power)))

    trial = run_part(scale_of(small))
    within = trial.flops / trial.seconds * limit_s
    if fits >= 1 and plan.flops(kind, stage) <= within:
        return [run_part(1.0)]
    spent = SPENT * within
    scales = sorted({scale_of(spent / 4), scale_of(max(spent, 2 * least * largest))})
    return [run_part(scale) for scale in scales]


def main() -> None:
    options = parser(__doc__)
    options.add_argument(
        "--minutes", type=float, default=5.0, help="for collecting and for training, each"
    )
    arguments = options.parse_args()
    limit_s = 60 * (0.3 if arguments.quick else arguments.minutes) / len(STAGES)
    plan = scaled(1.0)
    runs, totals = [], []
    for kind, verb in (("collect", "pseudo-pairs"), ("train", "projectors")):
        for stage, name in enumerate(STAGES):
            what = f"{verb}, {name}"
            progress(what)
            measured = measure(kind, stage, arguments.device, limit_s)
            runs += [(what, *part.cells()) for part in measured]
            total_flops, last = plan.flops(kind, stage), measured[-1]
            hours = last.seconds * (total_flops / last.flops) / 3600
            basis = "measured" if last.scale == 1 else "extrapolated"
            totals.append((what, total_flops / 1e15, hours, basis, PAPER_HOURS[kind][stage]))
    tables = [
        described(plan),
        Table(
            "Measured", ("what", "of the paper's rows", "TFLOP", "seconds", "TFLOP/s"), runs, PARTS
        ),
        Table(
            "The whole, beside the paper's RTX 4090",
            ("what", "PFLOP", "hours here", "how", "paper, hours"),
            totals,
            WHOLE,
        ),
    ]
    publish(tables, arguments)


def described(plan: Scaled) -> Table:
    """Return what the plan at the paper's scale consists of."""
    rows = []
    for stage, name in enumerate(STAGES):
        heads = plan.of("train", stage)
        count = sum(map(batches, heads))
        rows.append(
            (
                name,
                plan.flops("collect", stage) / 1e15,
                len(plan.passes(stage)),
                len(heads),
                heads[0].preimage["params"]["epochs"],
                count,
                plan.flops("train", stage) / count / 1e12,
                plan.flops("train", stage) / 1e15,
            )
        )
    sizes = ", ".join(f"{rows / 1e6:g} M {modality}" for modality, rows in PAPER_ROWS.items())
    return Table(
        f"The plan of {EXPRESSION}: {sizes}",
        (
            "stage",
            "collecting, PFLOP",
            "passes over similarities",
            "projectors",
            "epochs",
            "steps",
            "TFLOP a step",
            "training, PFLOP",
        ),
        rows,
    )


if __name__ == "__main__":
    main()
