"""``molspace infer --classify`` and ``--classes``: the classes that items are nearest to."""

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

    from reactions.core.types import Item, Modality
    from reactions.inference.classify import Classifier
    from reactions.inference.zero_shot import PromptedClasses
    from reactions.labs.given_classes import GivenClasses
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
    classes: Annotated[
        str | None,
        typer.Option(
            "--classes",
            metavar="FILE|TASK",
            help="Name items by these classes, a file with one a line, or a task's: by prompts; "
            "with --classify, of those described. Writes no file.",
        ),
    ] = None
    template: options.ClassTemplates = None
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
        from reactions.inference.zero_shot import check_templates

        if self.classify is None:
            described.refuse_without("--classify")
        elif self.template is not None:
            raise UsageError(
                "--template and --classify describe classes in two ways",
                fix="drop --classify: --classes FILE --template TEXT takes prompts",
            )
        if not self.is_given:
            values = {"--template": self.template, "--top": self.top}
            names = [name for name, value in values.items() if value is not None]
            if names:
                raise UsageError(
                    f"{' and '.join(names)} name{'s' if len(names) == 1 else ''} no classes",
                    fix="--classes FILE with a class on each line, or --classify KB",
                )
            return
        option = "--classes" if self.classify is None else "--classify"
        if writes:
            raise UsageError(
                f"{option} writes no embeddings",
                fix="drop it, or --out and --format; > FILE keeps its lines of JSON",
            )
        if compares:
            raise UsageError(f"{option} and --compare are two things", fix="drop one")
        check_templates(self.template or ())

    @property
    def is_given(self) -> bool:
        """Whether items are to be named."""
        return self.classify is not None or self.classes is not None

    def open(
        self, lab: Lab, described: options.DescriptionOptions
    ) -> Asked | AskedByPrompts | None:
        """Read what is asked for, before anything is trained; None if nothing is.

        Raises:
            MolspaceError: a name is unknown, or a file cannot be read.
        """
        from reactions.labs.generators import classes_of
        from reactions.labs.given_classes import GivenClasses
        from reactions.planning.centres import ClassCentres, open_source

        if self.classify is None:
            if self.classes is None:
                return None
            given = GivenClasses.read(lab, self.classes, self.template or ())
            return AskedByPrompts(given, self.top or _TOP)
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


@dataclass(frozen=True)
class AskedByPrompts:
    """What ``--classes`` asks for by itself.

    Attributes:
        given: the classes, and prompts.
        top: classes an item.
    """

    given: GivenClasses
    top: int

    def classifier(
        self,
        session: Session,
        target: Target,
        adjustment: Adjustment,
        *,
        confirm: Callable[[Plan], None],
        quiet: bool,
    ) -> PromptedClasses:
        """Return what names items; the prompts of a modality are said when they are used."""
        from reactions.centres import prompted

        def used(modality: Modality, prompts: tuple[str, ...]) -> None:
            if not quiet:
                say(f"note: {modality} by {_listed(prompts)}")

        return prompted(session, target, self.given, adjustment, confirm=confirm, on_prompts=used)


class Named:
    """Items and their classes: printed as they come in a pipe, as a table on a terminal.

    Args:
        classifier: names items.
        top: classes an item.
        as_json: keep all for one JSON object.
    """

    def __init__(
        self, classifier: Classifier | PromptedClasses, top: int, *, as_json: bool
    ) -> None:
        self._classifier = classifier
        self._top = top
        self._lines = not as_json and not is_terminal()
        self._named_items: list[tuple[Item, list[tuple[str, float]]]] = []

    def add(self, items: Sequence[Item], rows: NDArray[np.float32]) -> None:
        """Name items."""
        pairs = zip(items, self._classifier.of_items(items, rows, self._top), strict=True)
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
        from reactions.inference.zero_shot import PromptedClasses

        rows = []
        for item, best in self._named_items:
            name = plain(label(item), _LABEL_WIDTH)
            for place, (category, score) in enumerate(best):
                rows.append((name if place == 0 else "", category, f"{score:.4f}"))
        source = centres.get("kb") or centres.get("file") or "prompts"
        title = [f"classes by {source}"]
        title += [f"lab: {about['lab']}"] if about["lab"] else []
        print_table("   ".join(title), ("item", "class", "score"), rows)
        if isinstance(self._classifier, PromptedClasses):
            print_note(f"cosines with the prompts of {centres['classes']} classes")
            return
        counts = centres["descriptions"]
        print_note(
            f"{self._classifier.options.title}   {counts['used']:,} of {counts['of']:,} "
            f"descriptions of {centres['classes']} classes"
        )
        if not centres["zero_shot"]:
            print_note(f"{NOT_ZERO_SHOT}, {centres['items']}")


def _listed(prompts: Sequence[str]) -> str:
    shown = ", ".join(f"'{prompt}'" for prompt in prompts[:3])
    more = f" and {len(prompts) - 3} more" if len(prompts) > 3 else ""
    return f"the prompt{'s' if len(prompts) > 1 else ''} {shown}{more}"


def _entry(item: Item, best: Sequence[tuple[str, float]]) -> dict[str, Any]:
    from reactions.inference.similarity import label

    return {
        "id": item.id,
        "label": label(item),
        "modality": item.modality,
        "classes": [{"class": name, "score": round(score, 6)} for name, score in best],
    }
