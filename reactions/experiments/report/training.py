"""The steps that a bundle was made of, planned again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from reactions.core.errors import MolspaceError, StoreError
from reactions.planning.plan import ReactionPlan
from reactions.run.events import ignore

if TYPE_CHECKING:
    from reactions.products.bundles.bundle import Bundle
    from reactions.session import Session


@dataclass(frozen=True, slots=True)
class NotPlanned:
    """Why the steps of a bundle are not known.

    Attributes:
        why: for people.
        fix: what to do about it; "" for nothing.
    """

    why: str
    fix: str = ""


def own_plan(session: Session, bundle: Bundle) -> ReactionPlan | NotPlanned:
    """Plan the training of a bundle as it was, if the lab still plans the same steps.

    Args:
        session: whose lab may be the one that it was made in; the seed and the precision are
            the bundle's.
        bundle: the product.

    Raises:
        StoreError: the store cannot be used.
    """
    record = bundle.record
    if record.get("imported"):
        return NotPlanned("its projectors were trained elsewhere and imported")
    lab = session.lab.with_seed(record["lab"]["seed"])
    lab = lab.with_precision(record["settings"].get("precision"))
    try:
        training_session = replace(session, lab=lab, events=ignore)
        planned = training_session.plan(training_session.check(bundle.expression))
    except StoreError:
        raise
    except MolspaceError as error:
        return NotPlanned(f"the lab cannot plan its training: {error.what}", error.fix)
    keys = {step.key for step in planned.steps()}
    if not set(record["steps"].values()) <= keys:
        return NotPlanned(
            "the lab plans other steps than those it was made of: other spaces, corpora or "
            "settings, or another version",
            "--lab with the lab that it was made in",
        )
    return planned
