"""What is claimed of UniBind: what is measured, comparisons, and margins.

The margins were fixed before anything was measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reactions.core.centre_options import DEFAULT_CENTRES, CentreOptions
from reactions.core.errors import UsageError, suggestion
from reactions.products.tree import NO_ADJUSTMENT, Adjustment

KNOWN, OPEN = "kb", "open"
"""Knowledge bases of the mini lab: of words that its text towers know, and of others too."""

LCL = "ImageBind + Lcl(kb)"
LCL_LABELS = "ImageBind + Lcl(kb, targets=labels)"
LCL_PUBLISHED = 'ImageBind + Lcl(kb, preset="N-cal")'
POINTS = "PointBind + Lcl(kb)"
POINTS_LABELS = "PointBind + Lcl(kb, targets=labels)"
WITH_EXPERT = "PointBind + Cr(PointExpert)"

PROMPT, SEVEN, NAME, SYNONYMS = "template", "7 templates", "name", "synonyms"
"""Classes by prompts, and not by centres."""

PROMPTS = (PROMPT, SEVEN, NAME, SYNONYMS)


@dataclass(frozen=True, slots=True)
class ByCentres:
    """Classes by embedding centres.

    Attributes:
        knowledge: name of the knowledge base in the lab.
        options: how its descriptions are chosen and used.
    """

    knowledge: str = KNOWN
    options: CentreOptions = DEFAULT_CENTRES


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to do something.

    Attributes:
        reaction: the space.
        classes: how classes are described, one of ``PROMPTS`` or by centres; None where nothing
            is classified.
        adjustment: factors to use instead of the trained ones.
    """

    reaction: str
    classes: str | ByCentres | None = None
    adjustment: Adjustment = NO_ADJUSTMENT


_CENTRES = ByCentres()
_NEAREST = ByCentres(options=CentreOptions(rule="nearest-row"))
_ALL = ByCentres(options=CentreOptions(selection="all"))
_NEAREST_OF_ALL = ByCentres(options=CentreOptions(selection="all", rule="nearest-row"))
_TOP_OF_ALL = ByCentres(options=CentreOptions(selection="all", rule="top-m", m=20))
_HALF = Adjustment(sigma={"": (0.5, 0.5)})
_MOST = Adjustment(sigma={"": (0.8, 0.8)})
"""Sigma of (image, point)."""

ARMS: Mapping[str, Arm] = {
    "ImageBind, template": Arm("ImageBind", PROMPT),
    "ImageBind, 7 templates": Arm("ImageBind", SEVEN),
    "ImageBind, name": Arm("ImageBind", NAME),
    "ImageBind, synonyms": Arm("ImageBind", SYNONYMS),
    "ImageBind, centres": Arm("ImageBind", _CENTRES),
    "ImageBind, nearest row": Arm("ImageBind", _NEAREST),
    "ImageBind, mean of all": Arm("ImageBind", _ALL),
    "ImageBind, nearest row of all": Arm("ImageBind", _NEAREST_OF_ALL),
    "ImageBind, 20 nearest of all": Arm("ImageBind", _TOP_OF_ALL),
    "ImageBind, open words": Arm("ImageBind", ByCentres(OPEN)),
    "Lcl, centres": Arm(LCL, _CENTRES),
    "Lcl, template": Arm(LCL, PROMPT),
    "Lcl as published, centres": Arm(LCL_PUBLISHED, _CENTRES),
    "labels only, centres": Arm(LCL_LABELS, _CENTRES),
    "labels only, template": Arm(LCL_LABELS, PROMPT),
    "EventBind, centres": Arm("EventBind", _CENTRES),
    "EventBind + Lcl, centres": Arm("EventBind + Lcl(kb)", _CENTRES),
    "PointBind, template": Arm("PointBind", PROMPT),
    "PointBind, centres": Arm("PointBind", _CENTRES),
    "PointBind + Lcl, centres": Arm(POINTS, _CENTRES),
    "PointBind, labels only, centres": Arm(POINTS_LABELS, _CENTRES),
    "PointExpert": Arm("PointExpert", PROMPT),
    "PointBind + Cr(PointExpert)": Arm(WITH_EXPERT, PROMPT, _HALF),
    "PointBind + Cr(PointExpert), sigma 0.8": Arm(WITH_EXPERT, PROMPT, _MOST),
    "ImageBind": Arm("ImageBind"),
    "Lcl": Arm(LCL),
    "Lcl as published": Arm(LCL_PUBLISHED),
    "labels only": Arm(LCL_LABELS),
    "EventBind": Arm("EventBind"),
    "EventBind + Lcl": Arm("EventBind + Lcl(kb)"),
    "PointBind": Arm("PointBind"),
    "PointBind + Lcl": Arm(POINTS),
    "PointBind, labels only": Arm(POINTS_LABELS),
}
"""Names in the tables."""

RECOGNITION: Mapping[str, tuple[str, ...]] = {
    "image": ("imagenet", "caltech101"),
    "audio": ("esc50", "urbansound8k"),
    "video": ("ucf101",),
    "topics": ("msrvtt",),
    "event": ("ncaltech101", "nimagenet"),
    "thermal": ("llvip", "rgbt"),
    "point": ("modelnet40", "shapenet"),
}
"""Tasks whose items are classified, by what they hold."""

RETRIEVAL_TASK = "ncaltech101_images"
CUTOFFS = (1, 5, 10, 20)
DIRECTIONS = ("event->image", "image->event")

POINT_DIRECTIONS = ("point->image", "image->point")
"""Between clouds and pictures of the same scenes; a hit is a thing of the query's kind."""

GAP, SAME_MODALITY, SAME_CLASS = "gap", "same modality", "same class"
SILHOUETTE_CLASS, SILHOUETTE_MODALITY = "silhouette by class", "silhouette by modality"
GEOMETRY = (GAP, SILHOUETTE_MODALITY, SILHOUETTE_CLASS, SAME_MODALITY, SAME_CLASS)
"""How scenes that are embedded in several modalities lie."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One comparison of two arms on what one of ``families`` measures.

    Attributes:
        finding: what it belongs to.
        arm: what is claimed to be higher.
        other: than what.
        family: see ``families``.
        at_least: by how much the mean must be higher, in percentage points; of ``relative``, in
            per cent of the arm's.
        beyond: (arm, other, family) of a second difference, that is taken off.
        relative: whether the difference is measured in per cent of the arm.
    """

    finding: str
    arm: str
    other: str
    family: str
    at_least: float = 0.0
    beyond: tuple[str, str, str] | None = None
    relative: bool = False

    @property
    def measured(self) -> tuple[tuple[str, str], ...]:
        """The arms and families that it takes."""
        both_arms = ((self.arm, self.family), (self.other, self.family))
        if self.beyond is None:
            return both_arms
        arm, other, family = self.beyond
        return (*both_arms, (arm, family), (other, family))


def at(direction: str, k: int) -> str:
    """Return the name of what a direction of retrieval finds among the first k."""
    return f"{direction} R@{k}"


STATEMENTS: Mapping[str, str] = {
    "U1a": "the 50 most central descriptions stand for a class better than one template, where "
    "the text tower knows the words",
    "U1b": "centres make categories recognisable whose names tell the text tower nothing",
    "U1c": "the same holds where half of the words are unknown to the text tower",
    "U2": "Lcl lifts recognition of what the space aligns badly: event pictures and points",
    "U3": "Lcl lifts event->image retrieval through the image tower, most at R@20, and more than "
    "labels alone do",
    "U4": "after Lcl the gap between modalities closes, and neighbours mix modalities",
    "U4c": "after Lcl embeddings cluster by class instead",
    "U5": "a reaction with a point expert lifts point-image retrieval and recognition of points "
    "above both parts",
}

_E1, _E20 = at("event->image", 1), at("event->image", 20)
_P1 = at("point->image", 1)

CLAIMS: tuple[Claim, ...] = (
    Claim("U1a", "ImageBind, centres", "ImageBind, template", "image", 2.0),
    Claim("U1a", "ImageBind, centres", "ImageBind, template", "audio", 1.0),
    Claim("U1a", "ImageBind, centres", "ImageBind, template", "video", 2.0),
    Claim("U1b", "ImageBind, centres", "ImageBind, template", "topics", 30.0),
    Claim("U1c", "ImageBind, open words", "ImageBind, template", "image", 2.0),
    Claim("U1c", "ImageBind, open words", "ImageBind, template", "audio", 1.0),
    Claim("U1c", "ImageBind, open words", "ImageBind, template", "video", 2.0),
    Claim("U2", "Lcl, centres", "ImageBind, centres", "event", 3.0),
    Claim("U2", "PointBind + Lcl, centres", "PointBind, centres", "point", 3.0),
    Claim("U3", "Lcl", "ImageBind", _E1, 2.0),
    Claim("U3", "Lcl", "ImageBind", _E20, 15.0),
    Claim("U3", "Lcl", "ImageBind", _E20, beyond=("Lcl", "ImageBind", _E1)),
    Claim("U3", "Lcl", "labels only", _E20, 5.0),
    Claim("U4", "PointBind", "PointBind + Lcl", GAP, 25.0, relative=True),
    Claim("U4", "PointBind", "PointBind + Lcl", SAME_MODALITY, 5.0),
    Claim("U4c", "PointBind + Lcl", "PointBind", SILHOUETTE_CLASS, 2.0),
    Claim("U4c", "PointBind + Lcl", "PointBind", SAME_CLASS, 2.0),
    Claim("U5", "PointBind + Cr(PointExpert)", "PointBind", _P1, 3.0),
    Claim("U5", "PointBind + Cr(PointExpert)", "PointExpert", _P1),
    Claim("U5", "PointBind + Cr(PointExpert)", "PointBind, template", "point", 3.0),
    Claim("U5", "PointBind + Cr(PointExpert)", "PointExpert", "point"),
)
"""They decide whether a finding holds."""

CONTROLS: tuple[Claim, ...] = (
    *(
        Claim("U1a", "ImageBind, centres", f"ImageBind, {other}", family)
        for other in ("7 templates", "name", "synonyms", "nearest row", "mean of all")
        for family in ("image", "audio", "video")
        if (other, family) != ("synonyms", "video")  # things that are done go by one name
    ),
    *(
        Claim("U1b", f"ImageBind, {way}", "ImageBind, template", "topics")
        for way in ("mean of all", "nearest row", "nearest row of all", "20 nearest of all")
    ),
    Claim("U1a", "ImageBind, centres", "ImageBind, template", "event"),
    Claim("U1a", "ImageBind, centres", "ImageBind, template", "thermal"),
    *(Claim("U2", "Lcl, centres", "ImageBind, centres", family) for family in ("image", "audio")),
    Claim("U2", "Lcl, centres", "Lcl as published, centres", "event"),
    Claim("U2", "Lcl, centres", "labels only, centres", "event"),
    Claim("U2", "Lcl, centres", "labels only, template", "event"),
    Claim("U2", "EventBind + Lcl, centres", "EventBind, centres", "event"),
    Claim("U2", "PointBind + Lcl, centres", "PointBind, labels only, centres", "point"),
    *(
        Claim("U3", "Lcl", "ImageBind", at(direction, k))
        for direction in DIRECTIONS
        for k in CUTOFFS
    ),
    Claim("U3", "Lcl", "Lcl as published", _E20),
    Claim("U3", "labels only", "ImageBind", _E20),
    Claim("U3", "EventBind + Lcl", "EventBind", _E20),
    Claim("U4", "PointBind", "PointBind + Lcl", SILHOUETTE_MODALITY),
    Claim("U4c", "PointBind, labels only", "PointBind", SILHOUETTE_CLASS),
    Claim("U4c", "PointBind, labels only", "PointBind", SAME_CLASS),
    Claim("U5", "PointBind + Cr(PointExpert)", "PointBind", at("image->point", 1)),
    Claim("U5", "PointBind + Cr(PointExpert)", "PointExpert", at("image->point", 1)),
    Claim("U5", "PointBind + Cr(PointExpert), sigma 0.8", "PointExpert", _P1),
    Claim("U5", "PointBind + Cr(PointExpert), sigma 0.8", "PointExpert", "point"),
)
"""Baselines and controls beside them; no finding hangs on these."""


def parse_findings(text: str | None) -> tuple[str, ...]:
    """Return the names of a comma-separated list, in order; None means all.

    ``U1`` stands for all whose names begin so.

    Raises:
        UsageError: a part names no finding, or there is none.
    """
    if text is None:
        return tuple(STATEMENTS)
    chosen_names: set[str] = set()
    for part in filter(None, (part.strip() for part in text.split(","))):
        matching = {name for name in STATEMENTS if name.casefold().startswith(part.casefold())}
        if not matching or not part[1:]:
            raise UsageError(
                f"--only: there is no finding '{part}' of UniBind's",
                fix=suggestion(part, STATEMENTS),
            )
        chosen_names |= matching
    if not chosen_names:
        raise UsageError("--only names no finding", fix="--only U1,U3   or leave it out")
    return tuple(name for name in STATEMENTS if name in chosen_names)
