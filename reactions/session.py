"""React, evaluate, embed: the library's front room, shared by Python and the command line."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from reactions.baselines import obstacle, run_baselines
from reactions.core.errors import LanguageError, MolspaceError
from reactions.core.interrupts import on_interrupt
from reactions.core.local_files import exists
from reactions.core.step import Artifact, Step
from reactions.core.types import Encoder, Leaf, Space, SpaceSpec, leaves
from reactions.dsl import Expression
from reactions.dsl.values import quoted
from reactions.eval.baselines import Baseline
from reactions.eval.metrics import Ties
from reactions.eval.result import Result
from reactions.eval.task import Task
from reactions.inference.embedder import Embedder, LoadedParts
from reactions.planning.baselines import plan_baselines
from reactions.planning.plan import Plan, ReactionPlan
from reactions.planning.scoring import Scoring, plan_scores, whole
from reactions.planning.trained_on import with_setting
from reactions.products.bundles.bundle import Bundle, load_bundle, with_sources
from reactions.products.bundles.current import (
    current_bundle,
    product_name,
)
from reactions.products.bundles.reference import (
    is_path,
    named_source,
    names_bundle,
    no_bundle,
)
from reactions.products.target import Target
from reactions.products.tree import NO_ADJUSTMENT, Adjustment
from reactions.reacting import ReactionSession
from reactions.run import events as ev
from reactions.run.device import resolve_devices

_URI = re.compile(r"[a-z][a-z0-9_]*:[^\s\"'()|&+]+")  # no reaction has a colon outside quotes


@dataclass
class Session(ReactionSession):
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

    # --- evaluate --------------------------------------------------------------------

    def target(
        self,
        reference: str | Path | Expression | ReactionPlan | None = None,
        *,
        naming: str = "--space",
        confirm: Callable[[Plan], None] = lambda plan: None,
    ) -> Target:
        """Find what to act on.

        Args:
            reference: a bundle's directory, a space's name, a model's URI (quotes may be left
                out), a reaction or its plan (trained first if it is not yet), a ``.rxn`` file,
                or None for the current bundle of this folder and lab
                (``current_bundle``).
            naming: what a person writes before a bundle's path, for errors.
            confirm: called with the training of a reaction before it runs, unless its bundle is
                there.

        Raises:
            MissingError: there is no such bundle or space.
            LanguageError: it is not a valid reaction.
        """
        if reference is None:
            current = current_bundle(self.lab, naming=naming)
            target = Target.of_bundle(self.open_bundle(current.directory))
            return replace(target, reason=current.reason)
        if isinstance(reference, str | Path) and names_bundle(Path(reference)):
            return replace(Target.of_bundle(self.open_bundle(reference)), reason="as given")
        if isinstance(reference, str) and _URI.fullmatch(reference.strip()):
            reference = quoted(reference.strip())
        if isinstance(reference, ReactionPlan):
            return self._trained(reference, confirm)
        try:
            checked = self.check(reference)
        except LanguageError:
            if isinstance(reference, str) and is_path(reference):
                raise no_bundle(reference, naming) from None
            raise
        self._refuse_unused_weights(checked.space)
        if isinstance(checked.space, Leaf):
            return Target.of_leaf(checked.expression, checked.space, self._label(checked.space))
        return self._trained(self.plan(checked), confirm)

    def _trained(self, plan: ReactionPlan, confirm: Callable[[Plan], None]) -> Target:
        bundle = self.react(plan, current=False, confirm=confirm, reports_cuts=False)
        return replace(Target.of_bundle(bundle), reason="of the reaction given")

    def scores(
        self,
        target: Target,
        tasks: Sequence[Task],
        adjustment: Adjustment = NO_ADJUSTMENT,
        ties: Ties = "strict",
    ) -> Plan:
        """Plan the evaluation of a target on tasks; one target step a task, in order.

        Raises:
            MissingError: the lab has no data for a task, or the target lacks a modality.
        """
        return whole(plan_scores(self.lab, target, tasks, adjustment, ties))

    def evaluate(
        self,
        target: Target,
        tasks: Sequence[Task],
        adjustment: Adjustment = NO_ADJUSTMENT,
        *,
        ties: Ties = "strict",
        confirm: Callable[[Plan], None] = lambda plan: None,
    ) -> list[Result]:
        """Score a target on tasks; results already in the store are not computed again.

        Args:
            target: from ``target``.
            tasks: which.
            adjustment: factors and experts.
            ties: ``strict`` counts a tie of right and wrong answers as a miss, ``lenient`` as
                a hit.
            confirm: called with all that is to be run, before it runs.
        """
        scorings = plan_scores(self.lab, target, tasks, adjustment, ties)
        return self.score(target, scorings, confirm)

    def score(
        self, target: Target, scorings: Sequence[Scoring], confirm: Callable[[Plan], None]
    ) -> list[Result]:
        """Run planned scores; results already in the store are not computed again."""
        confirm(whole(scorings))
        artifacts = self.run([scoring.step for scoring in scorings])
        results = [
            with_setting(result, self.lab, target, s.task)
            for s in scorings
            for result in [self.result(target, s.plan, artifacts[s.step.key])]
        ]
        for result in results:
            self.events(ev.TaskScored(product_name(target.space), result.record))
        return results

    def result(self, target: Target, plan: Plan, artifact: Artifact) -> Result:
        """Return a score with what is known of the target and of the task's data."""
        return Result(
            {
                "space": target.name,
                "lab": self.label(target),
                "seed": self.lab.seed,
                "bundle_seed": target.bundle.record["lab"]["seed"] if target.bundle else None,
                "bundle_products": target.products,
                **artifact.meta,
                "notices": [*plan.notices, *target.score_notices()],
            },
            {name: rows[slice(None)] for name, rows in artifact.arrays.items()},
        )

    def baselines(
        self,
        target: Target,
        tasks: Sequence[Task],
        adjustment: Adjustment = NO_ADJUSTMENT,
        ties: Ties = "strict",
        *,
        within_s: float | None = None,
        confirm: Callable[[Plan], None] = lambda plan: None,
    ) -> list[Baseline]:
        """Score what trains nothing on tasks, to stand beside a product.

        Args:
            target: a product; a space by itself has no such rows.
            tasks: which.
            adjustment: of the product.
            ties: as for ``evaluate``.
            within_s: leave out, with the reason, each row that is expected to take longer; None
                leaves out none.
            confirm: called with all that is to be run, before it runs.

        Returns:
            One a name of ``BASELINES``, in order; [] for a space by itself.
        """
        return run_baselines(
            plan_baselines(self.lab, target, tasks, adjustment, ties),
            run=self.run,
            result=self.result,
            estimate=self.estimate,
            obstacle=lambda expected: obstacle(
                expected,
                check_space,
                self.seconds,
                within_s,
                where=" on this machine" if self.has_other_workers else "",
            ),
            confirm=confirm,
        )

    # --- infer -----------------------------------------------------------------------

    def embedder(
        self,
        target: Target,
        adjustment: Adjustment = NO_ADJUSTMENT,
        *,
        parts: LoadedParts | None = None,
        given: Mapping[Leaf, SpaceSpec] | None = None,
    ) -> Embedder:
        """Return what embeds items with a target.

        Args:
            target: from ``target``.
            adjustment: factors and experts.
            parts: from ``parts``, to load nothing twice.
            given: folders of embeddings that stand in for leaves' encoders.
        """
        parts = parts or self.parts(target)
        return Embedder(
            target,
            load_encoder=load_encoder,
            device=parts.device,
            adjustment=adjustment,
            parts=parts,
            given=given,
        )

    def parts(self, target: Target) -> LoadedParts:
        """Return what keeps a target's encoders and projectors between embedders."""
        return LoadedParts(target, load_encoder, resolve_devices(self.device)[0])

    # --- running ---------------------------------------------------------------------

    def run(self, targets: Sequence[Step], *, silent: bool = False) -> Mapping[str, Artifact]:
        """Run steps, or take their results from the store; ``silent`` calls no events."""
        from reactions.run.executor import DEFAULT, make_executor  # of no use if nothing runs

        # Other executors may send what they get to other machines.
        lent = self.encoders if self.executor == DEFAULT else None
        executor = make_executor(
            *(self.executor, self.store),
            device=self.device,
            load_encoder=lent or load_encoder,
            check_space=check_space,
            events=ev.ignore if silent else self.events,
        )
        with on_interrupt("what was finished is kept"):
            return executor.run(targets)

    def open_bundle(self, directory: str | Path) -> Bundle:
        """Read a bundle; weights that it knows by another machine's paths are the lab's.

        Raises:
            MissingError: there is no bundle.
            BundleError: it is truncated, changed, or newer than this version.
        """
        bundle = load_bundle(directory)
        sources: dict[str, str] = {}
        given_weights = list(self.lab.weights)
        for leaf in leaves(bundle.space):
            spec = leaf.spec
            if spec.name in given_weights and spec.name in self.lab.catalogue:
                sources[spec.name] = named_source(self.lab.catalogue.by_name(spec.name), spec)
            elif spec.name in self.lab.catalogue and not exists(Path(spec.source)):
                with contextlib.suppress(MolspaceError):  # loading it reports what is missing
                    lab_spec = self.lab.catalogue.by_name(spec.name)
                    same = all(lab_spec.identity(m) == spec.identity(m) for m in spec.modalities)
                    if spec.weights_digest and same:
                        sources[spec.name] = lab_spec.source
        self._refuse_unused_weights(bundle.space)
        return with_sources(bundle, sources) if sources else bundle

    def _refuse_unused_weights(self, space: Space) -> None:
        self.lab.refuse_unused_weights(leaf.spec.name for leaf in leaves(space))

    def label(self, target: Target) -> str:
        """Return the label of results with a target: the lab's, and any its spaces bring along."""
        return self._label(target.space) or target.lab

    def _label(self, space: Space) -> str:
        """Return the label of results: the lab's, and any that a space brings along."""
        # "mini (small)" says "mini" already.
        lab_words = self.lab.label.replace("(", " ").replace(")", " ").split()
        brought = [leaf.spec.lab for leaf in leaves(space) if leaf.spec.lab not in (*lab_words, "")]
        return ", ".join(dict.fromkeys([self.lab.label, *brought]))


def load_encoder(spec: SpaceSpec, device: str) -> Encoder:
    """Open a space with its adapter."""
    from reactions.encoders.registry import load

    return load(spec, device)


def check_space(spec: SpaceSpec) -> None:
    """Raise what ``load_encoder`` would lack, without loading anything."""
    from reactions.encoders.registry import check

    check(spec)
