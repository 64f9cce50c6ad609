"""The evaluation tasks as data: protocol, prompts, main score, provenance.

A lab brings the items (``reactions.eval.task_data``); a task says what is asked of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from reactions.core.errors import UsageError, suggestion
from reactions.core.types import Modality

Kind: TypeAlias = Literal["classification", "multilabel", "retrieval"]

CUTOFFS = (1, 5, 10)
"""The k of R@k; the papers report 1 and 5."""


@dataclass(frozen=True, slots=True)
class Task:
    """One evaluation set and how it is scored.

    Attributes:
        name: as ``--task`` takes it.
        title: as its authors write it.
        kind: which protocol scores it.
        query: modality of the queries; of the left items for retrieval.
        other: modality of the prompts, or of the right items.
        main_score: name of the metric that stands for the task.
        expected: items of the published evaluation set.
        protocol: the rules in words.
        licence: of the data.
        citation: author and year.
        templates: prompts with ``{class}`` where the class name goes; none for retrieval.
        aliases: other names people type.
    """

    name: str
    title: str
    kind: Kind
    query: Modality
    other: Modality
    main_score: str
    expected: int
    protocol: str
    licence: str
    citation: str
    templates: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()


SOUND_TEMPLATES = ("This is a sound of {class}.",)

IMAGENET_TEMPLATES = (
    "a photo of a {class}.",
    "a close-up photo of a {class}.",
    "a photo of the small {class}.",
    "a photo of the large {class}.",
    "a blurry photo of a {class}.",
    "a bright photo of the {class}.",
    "a drawing of a {class}.",
)
"""Our own pick: the paper does not name its templates, and the usual 80 cost 80,000 texts."""

_CAPTIONS = (
    "text->{m} pools all captions, each a query with one right answer; {m}->text counts the "
    "best-ranked of an item's captions; main score: mean of both directions' R@1"
)
_PAIRS = (
    "each item has one partner; both directions; main score: mean of both directions' R@1; "
    "parts of the set are gone from the web, so the items found are reported"
)

_ALL = (
    Task(
        name="esc50",
        title="ESC-50",
        kind="classification",
        query="audio",
        other="text",
        main_score="accuracy",
        expected=2000,
        protocol="zero-shot accuracy over all five folds, one number a fold beside it; "
        "underscores in class names are spaces",
        licence="CC-BY-NC-3.0",
        citation="Piczak 2015",
        templates=SOUND_TEMPLATES,
        aliases=("esc",),
    ),
    Task(
        name="audioset",
        title="AudioSet",
        kind="multilabel",
        query="audio",
        other="text",
        main_score="mAP",
        expected=19048,
        protocol="macro mean of average precision over the classes present, on raw cosines",
        licence="CC-BY-4.0 (labels)",
        citation="Gemmeke et al. 2017",
        templates=SOUND_TEMPLATES,
    ),
    Task(
        name="audiocaps",
        title="AudioCaps",
        kind="retrieval",
        query="audio",
        other="text",
        main_score="mean R@1",
        expected=964,
        protocol=_CAPTIONS.format(m="audio"),
        licence="MIT (captions)",
        citation="Kim et al. 2019",
        aliases=("acaps",),
    ),
    Task(
        name="clotho",
        title="Clotho",
        kind="retrieval",
        query="audio",
        other="text",
        main_score="mean R@1",
        expected=1045,
        protocol=_CAPTIONS.format(m="audio"),
        licence="Tampere University licence, non-commercial (captions)",
        citation="Drossos et al. 2020",
    ),
    Task(
        name="vggss",
        title="VGG-SS",
        kind="retrieval",
        query="audio",
        other="image",
        main_score="mean R@1",
        expected=5158,
        protocol=_PAIRS,
        licence="not verified",
        citation="Chen et al. 2021",
        aliases=("vgg-ss", "vgg"),
    ),
    Task(
        name="flickrnet",
        title="FlickrNet",
        kind="retrieval",
        query="audio",
        other="image",
        main_score="mean R@1",
        expected=5000,
        protocol=_PAIRS,
        licence="not verified",
        citation="Senocak et al. 2018",
        aliases=("flickr-soundnet", "fnet"),
    ),
    Task(
        name="coco",
        title="COCO (Karpathy test)",
        kind="retrieval",
        query="image",
        other="text",
        main_score="mean R@1",
        expected=5000,
        protocol=_CAPTIONS.format(m="image"),
        licence="CC-BY-4.0 (annotations)",
        citation="Lin et al. 2014",
        aliases=("mscoco", "ms-coco"),
    ),
    Task(
        name="flickr30k",
        title="Flickr30K (Karpathy test)",
        kind="retrieval",
        query="image",
        other="text",
        main_score="mean R@1",
        expected=1000,
        protocol=_CAPTIONS.format(m="image"),
        licence="research only",
        citation="Young et al. 2014",
        aliases=("f30k",),
    ),
    Task(
        name="imagenet",
        title="ImageNet",
        kind="classification",
        query="image",
        other="text",
        main_score="accuracy",
        expected=50000,
        protocol="zero-shot accuracy on the validation set; a class is the normalised mean of "
        "its normalised template embeddings",
        licence="research only",
        citation="Deng et al. 2009",
        templates=IMAGENET_TEMPLATES,
        aliases=("imagenet-1k", "in1k"),
    ),
)

TASKS: Mapping[str, Task] = {task.name: task for task in _ALL}
"""The nine evaluation sets of Molecule-Space, Table 1."""


def get_task(name: str) -> Task:
    """Return a task by name or alias, ignoring case and punctuation.

    Raises:
        UsageError: no task has this name; the fix names near ones.
    """
    known = {
        _fold(spelling): task for task in TASKS.values() for spelling in (task.name, *task.aliases)
    }
    try:
        return known[_fold(name)]
    except KeyError:
        raise UsageError(
            f"unknown task '{name}'",
            fix=suggestion(name, TASKS),
            name=name,
            known=list(TASKS),
        ) from None


def parse_tasks(text: str) -> tuple[Task, ...]:
    """Return the tasks of a comma-separated list, or all for ``all``; repeats count once.

    Raises:
        UsageError: a name is unknown, or the list is empty.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise UsageError("no task given", fix=f"one of: all, {', '.join(TASKS)}")
    found: dict[str, Task] = {}
    for name in names:
        tasks = TASKS.values() if name.casefold() == "all" else (get_task(name),)
        found.update((task.name, task) for task in tasks)
    return tuple(found.values())


def _fold(name: str) -> str:
    return "".join(c for c in name.casefold() if c.isalnum())
