"""Training reactions: parsed, planned, run and written as bundles; ``Session`` does the rest."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from reactions.core.errors import StoreError, UsageError
from reactions.core.settings import read_heads
from reactions.core.step import Artifact, Step
from reactions.dsl import Checked, Expression, Program, check, parse, parse_file
from reactions.inference.embedder import LoadEncoder
from reactions.labs.lab import Lab
from reactions.planning.estimate import Estimate, estimate, seconds
from reactions.planning.plan import Plan, ReactionPlan
from reactions.planning.planner import Planner
from reactions.products.bundles.bundle import Bundle, load_bundle, write_bundle
from reactions.products.bundles.current import default_directory, product_name, set_current
from reactions.products.bundles.reference import check_place, existing_bundle
from reactions.run import events as ev
from reactions.run.counts import report_counts
from reactions.store import Store


@dataclass
class ReactionSession(ABC):
    """A lab, a store and a device to work with.

    Args:
        lab: spaces, corpora, hyper-parameters, tasks.
        store: where results of steps are kept.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:N"``, or several with commas
            between; steps run side by side on as many. Items are embedded on the first.
        events: called with what happens.
        executor: name of what runs steps; see ``reactions.run.executor``.
        encoders: opens spaces for steps that run in this process, or lends loaded ones.
    """

    lab: Lab
    store: Store = field(default_factory=Store)
    device: str = "auto"
    events: ev.EventSink = ev.ignore
    executor: str = "local"
    encoders: LoadEncoder | None = None

    def check(self, reaction: str | Path | Program | Expression) -> Checked:
        """Parse and check a reaction: text, a ``.rxn`` file, or a Python expression.

        Raises:
            LanguageError: it cannot mean anything; the error points at the place.
        """
        if isinstance(reaction, str) and reaction.endswith(".rxn") and "\n" not in reaction:
            reaction = Path(reaction)
        if isinstance(reaction, Path):
            reaction = parse_file(reaction)
        elif isinstance(reaction, str):
            reaction = parse(reaction)
        return check(
            reaction,
            self.lab.catalogue,
            factors=self.lab.factors,
            heads=read_heads(self.lab.tuning.heads),
        )

    def plan(self, checked: Checked) -> ReactionPlan:
        """Plan the training of a checked reaction."""
        plan = Planner(self.lab).react(checked.expression, checked.space)
        self.lab.digests.save()
        parts = {entry.name: getattr(plan, entry.name) for entry in fields(plan)}
        parts["notices"] = (*checked.notices, *plan.notices)
        return ReactionPlan(**parts, checked=checked)

    def estimate(self, plan: Plan) -> Estimate:
        """Return what running a plan would take, apart from what the store has."""
        return estimate(plan, self.store)

    @property
    def has_other_workers(self) -> bool:
        """Whether an executor runs steps that may have other devices than this machine."""
        from reactions.run.executor import DEFAULT

        return self.executor != DEFAULT

    def seconds(self, expected: Estimate) -> float:
        """Estimate how long a run takes on this machine's devices; decoding is not counted.

        Where others run it (``has_other_workers``), and this machine lacks the devices that were
        asked for, it is that of its CPU.

        Raises:
            UsageError: this machine runs the steps, and lacks the devices.
        """
        precision = self.lab.settings.precision
        try:
            return seconds(expected, self.device, precision)
        except UsageError:
            if not self.has_other_workers:
                raise
            return seconds(expected, "cpu", precision)

    def bundle_of(self, plan: ReactionPlan) -> Bundle | None:
        """Return the bundle that an earlier run has made of a plan, where it is by default."""
        (assembled,) = plan.targets
        name = plan.checked.name or product_name(plan.checked.space)
        # The directory has the plan's key in its name: a bundle there is this reaction's.
        return existing_bundle(default_directory(name, assembled.key))

    def react(
        self,
        reaction: ReactionPlan | Checked,
        *,
        out: Path | None = None,
        current: bool = True,
        confirm: Callable[[Plan], None] = lambda plan: None,
        reports_cuts: bool = True,
    ) -> Bundle:
        """Train a reaction, or find it trained, and write its bundle.

        Args:
            reaction: from ``plan``; or from ``check``, to be planned here.
            out: the bundle's directory; by default one named after the reaction's key.
            current: make it the bundle that ``eval`` and ``infer`` take by default in this
                folder and lab. That it cannot be remembered is a warning: the bundle is there.
            confirm: called with the plan before it runs, unless the bundle is there.
            reports_cuts: where the bundle is there, report what encoders left out of the items it
                was trained on, as the run that made it did.

        Raises:
            MolspaceError: anything the plan, a step or the disk refuses.
        """
        plan = reaction if isinstance(reaction, ReactionPlan) else self.plan(reaction)
        (assembled,) = plan.targets
        name = plan.checked.name or product_name(plan.checked.space)
        directory = out or default_directory(name, assembled.key)
        bundle = None if out else self.bundle_of(plan)
        if bundle is None:
            check_place(directory)  # now, not after minutes of training
            confirm(plan)
        self.events(
            ev.ReactionStarted(name, plan.checked.expression, self.lab.label, self.lab.seed)
        )
        if bundle is None:
            artifact = self.run([assembled])[assembled.key]
            # Copied: a memory map would hold a file descriptor for each tensor.
            arrays = {name: rows[slice(None)].copy() for name, rows in artifact.arrays.items()}
            write_bundle(directory, artifact.meta, arrays)
            bundle = load_bundle(directory)
        else:
            self.events(ev.PlanStarted(steps=0, hits=1, is_bundled=True))
            if reports_cuts:
                report_counts(self.store, [assembled])
            self.events(ev.PlanFinished(executed=0, seconds=0.0))
        self.events(ev.ReactionFinished(plan.losses(bundle.record)))
        if current:
            try:
                set_current(directory, self.lab)
            except StoreError as error:
                self.events(ev.StoreWarning(f"{error.what}: {error.why}"))
        return bundle

    @abstractmethod
    def run(self, targets: Sequence[Step], *, silent: bool = False) -> Mapping[str, Artifact]:
        """Run steps, or take their results from the store; ``silent`` calls no events."""
