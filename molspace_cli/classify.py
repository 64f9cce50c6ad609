"""``molspace infer --classify``: the classes that items are nearest to."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from molspace_cli import complete, options
from molspace_cli.console import is_terminal, print_json, print_note, print_table, say
from molspace_cli.groups import Group
from molspace_cli.infer_report import plain

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from reactions.core.types import Item
    from reactions.inference.classify import Classifier
    from reactions.labs.lab import Lab
    from reactions.planning.centres import ClassCentres
    from reactions.planning.plan import Plan
    from reactions.products.target import Target
    from reactions.products.tree import Adjustment
    from reactions.session import Session

_LABEL_WIDTH = 40
_TOP = 5


@dataclass(frozen=True)
class ClassifyOptions(Group):
    """Which classes items are to be named by."""

    classify: Annotated[
        str | None,
        typer.Option(
            "--classify",
            metavar="KB|FILE",
            autocompletion=complete.described,
            help="Name the classes that each item is nearest to, by descriptions: a knowledge base "
            "of the lab, its .parquet file, or a .safetensors file of centres. Writes no file.",
        ),
    ] = None
    classes: options.ClassNames = None
    top: Annotated[
        int | None,
        typer.Option("--top", metavar="N", min=1, help="Classes an item.  [default: 5]"),
    ] = None

    def check(self, described: options.DescriptionOptions, *, writes: bool, compares: bool) -> None:
        """Refuse options that do not go together.

        Args:
            described: which descriptions are chosen.
            writes: whether a file or a format is named.
            compares: whether ``--compare`` is given.

        Raises:
            UsageError: some do not.
        """
        from reactions.core.errors import UsageError

        if self.classify is None:
            values = {"--classes": self.classes, "--top": self.top}
            names = [name for name, value in values.items() if value is not None]
            if names:
                raise UsageError(
                    f"{' and '.join(names)} belong{'s' if len(names) == 1 else ''} to --classify",
                    fix="--classify KB, such as --classify kb in the mini lab",
                )
            described.refuse_without("--classify")
            return
        if writes:
            raise UsageError(
                "--classify writes no embeddings",
                fix="drop it, or --out and --format; > FILE keeps its lines of JSON",
            )
        if compares:
            raise UsageError("--classify and --compare are two things", fix="drop one")

    def open(self, lab: Lab, described: options.DescriptionOptions) -> Asked | None:
        """Read what is asked for, before anything is trained; None without ``--classify``.

        Raises:
            MolspaceError: a name is unknown, or a file cannot be read.
        """
        from reactions.labs.generators import classes_of
        from reactions.planning.centres import ClassCentres, open_source

        if self.classify is None:
            return None
        centres = ClassCentres(open_source(lab, self.classify), described.read())
        classes = None
        if self.classes is not None:
            # ImageNet's two cranes have one name, which is what an item is called.
            classes = tuple(dict.fromkeys(classes_of(lab, self.classes)[1]))
        return Asked(centres, classes, self.top or _TOP)


@dataclass(frozen=True)
class Asked:
    """What ``--classify`` asks for.

    Attributes:
        centres: what stands for classes.
        classes: names; None for all that are described.
        top: classes an item.
    """

    centres: ClassCentres
    classes: tuple[str, ...] | None
    top: int

    def classifier(
        self,
        session: Session,
        target: Target,
        adjustment: Adjustment,
        *,
        confirm: Callable[[Plan], None],
        quiet: bool,
    ) -> Classifier:
        """Return what names items, its centres made or found; say what is to be known of them."""
        from reactions.centres import classifier

        naming = classifier(
            session, target, self.centres, self.classes, adjustment, confirm=confirm
        )
        notices = list(naming.notices)
        if self.classes is None and len(naming.classes) > self.top:
            notices.append(
                f"among all {len(naming.classes):,} classes that are described, of whatever task; "
                "--classes TASK or FILE names yours"
            )
        for notice in () if quiet else notices:
            say(f"note: {notice}")
        return naming


class Named:
    """Items and their classes: printed as they come in a pipe, as a table on a terminal.

    Args:
        classifier: names items.
        top: classes an item.
        as_json: keep all for one JSON object.
    """

    def __init__(self, classifier: Classifier, top: int, *, as_json: bool) -> None:
        self._classifier = classifier
        self._top = top
        self._lines = not as_json and not is_terminal()
        self._named_items: list[tuple[Item, list[tuple[str, float]]]] = []

    def add(self, items: Sequence[Item], rows: NDArray[np.float32]) -> None:
        """Name items."""
        pairs = zip(items, self._classifier.best(rows, self._top), strict=True)
        if not self._lines:
            self._named_items += pairs
            return
        for item, best in pairs:
            print(json.dumps(_entry(item, best)))
        sys.stdout.flush()  # whoever reads the pipe may wait for these very items

    def finish(self, about: Mapping[str, Any], facts: Mapping[str, Any], *, as_json: bool) -> None:
        """Print what was kept.

        Args:
            about: what was embedded with.
            facts: of the run, for JSON.
            as_json: whether one JSON object is wanted.
        """
        centres = {**self._classifier.about, "classes": len(self._classifier.classes)}
        if as_json:
            items = [_entry(item, best) for item, best in self._named_items]
            print_json("classify", {**facts, "centres": centres, "items": items})
            return
        if self._lines:
            return
        self._table(about, centres)

    def _table(self, about: Mapping[str, Any], centres: Mapping[str, Any]) -> None:
        from reactions.core.centre_options import NOT_ZERO_SHOT
        from reactions.inference.similarity import label

        rows = []
        for item, best in self._named_items:
            name = plain(label(item), _LABEL_WIDTH)
            for place, (category, score) in enumerate(best):
                rows.append((name if place == 0 else "", category, f"{score:.4f}"))
        source = centres.get("kb") or centres.get("file")
        title = [f"classes by {source}"]
        title += [f"lab: {about['lab']}"] if about["lab"] else []
        print_table("   ".join(title), ("item", "class", "score"), rows)
        counts = centres["descriptions"]
        print_note(
            f"{self._classifier.options.title}   {counts['used']:,} of {counts['of']:,} "
            f"descriptions of {centres['classes']} classes"
        )
        if not centres["zero_shot"]:
            print_note(f"{NOT_ZERO_SHOT}, {centres['items']}")


def _entry(item: Item, best: Sequence[tuple[str, float]]) -> dict[str, Any]:
    from reactions.inference.similarity import label

    return {
        "id": item.id,
        "label": label(item),
        "modality": item.modality,
        "classes": [{"class": name, "score": round(score, 6)} for name, score in best],
    }
