"""What is claimed: spaces, contrasts between them, and margins.

The margins were fixed before anything was measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from reactions.core.errors import UsageError
from reactions.experiments.paper.spaces import (
    BOTH,
    CR,
    DR,
    EXPERTISE,
    PP,
    REMAPPED,
    TUNED,
    TUNED_BOTH,
    VERSATILE,
    sequence,
)
from reactions.products.tree import NO_ADJUSTMENT, Adjustment

TOLERANCE = 1.0
"""Percentage points within which two scores count as equal ("reaches", "does not hurt")."""

A_LOT = 5.0
"""Percentage points that the whole interval must exceed for "lifts a lot"."""

A_LITTLE = 5.0
"""Percentage points that the whole interval must stay within for "costs" and "gains a little"."""

Claim: TypeAlias = Literal[
    "beats", "lifts a lot", "gains a little", "reaches", "costs a little", "equals", "differs"
]
"""``differs`` claims nothing: the difference is shown, and not judged."""

FAMILIES: Mapping[str, tuple[str, ...]] = {
    "audio-text": ("audiocaps", "clotho"),
    "audio-image": ("vggss", "flickrnet"),
    "image-text": ("coco", "flickr30k"),
    "audio classification": ("esc50",),
    "image classification": ("imagenet",),
}
"""Tasks whose per-item scores (R@1 of both directions, or accuracy) are averaged."""

OWN_SPACE = "IB_own"
"""A second name for ImageBind's images and texts: displaced into it, ImageBind stays what it is,
except that its audio goes through heads that map the space to itself."""

_OWN = f"ImageBind + Dr({OWN_SPACE}, lambda=1)"
_SUBSETS = ("T", "V", "A", "TV", "TA", "VA", "TVA")
_UNIT = "ImageBind + Cr(CLAP_m, mean=unit) & Cr(CLAP_g, mean=unit)"
_SIGMA_AUDIO = (0.0, 0.1, 0.2, 0.8, 0.9, 1.0)
_SIGMA_TEXT = (0.0, 0.2, 0.8, 1.0)


def _at(audio: float, text: float) -> str:
    return f"InternVL_IB++ ({audio:g}, {text:g})"


SPACES: Mapping[str, tuple[str, Adjustment]] = {
    "ImageBind": ("ImageBind", NO_ADJUSTMENT),
    "InternVL": ("InternVL", NO_ADJUSTMENT),
    "CLAP_g": ("CLAP_g", NO_ADJUSTMENT),
    "CLAP_m": ("CLAP_m", NO_ADJUSTMENT),
    "InternVL_IB": (DR, NO_ADJUSTMENT),
    **{f"InternVL_IB, only {s}": (f"{DR[:-1]}, data={s})", NO_ADJUSTMENT) for s in _SUBSETS},
    "ImageBind++ Ver.": (PP, Adjustment(sigma=VERSATILE)),
    "ImageBind++ AT E.": (PP, Adjustment(sigma=EXPERTISE)),
    "ImageBind + Cr(CLAP_g)": (PP, Adjustment(sigma=VERSATILE, experts=frozenset({"CLAP_g"}))),
    "ImageBind + Cr(CLAP_m)": (PP, Adjustment(sigma=VERSATILE, experts=frozenset({"CLAP_m"}))),
    "InternVL_IB++ Ver.": (BOTH, Adjustment(sigma=VERSATILE)),
    "InternVL_IB++ AT E.": (BOTH, Adjustment(sigma=EXPERTISE)),
    "only sequential": (sequence(*VERSATILE[""]), NO_ADJUSTMENT),
    "ImageBind + Cr(InternVL)": (CR, Adjustment(sigma={"": REMAPPED})),
    **{
        _at(audio, text): (BOTH, Adjustment(sigma={"": (audio, text)}))
        for audio, text in (
            *((audio, 0.1) for audio in _SIGMA_AUDIO),
            *((0.5, text) for text in _SIGMA_TEXT),
        )
    },
    "InternVL_IB, recipe=cmcr": (f"{DR[:-1]}, recipe=cmcr)", NO_ADJUSTMENT),
    "InternVL_IB, recipe=exmcr": (f"{DR[:-1]}, recipe=exmcr)", NO_ADJUSTMENT),
    "InternVL_IB†": (TUNED, NO_ADJUSTMENT),
    "InternVL_IB†++ Ver.": (TUNED_BOTH, Adjustment(sigma=VERSATILE)),
    "own space": (_OWN, NO_ADJUSTMENT),
    "own space†": (f"{_OWN} | Ft(audio~image)", NO_ADJUSTMENT),
    "ImageBind++ Ver., unit": (_UNIT, Adjustment(sigma=VERSATILE)),
    "ImageBind++ AT E., unit": (_UNIT, Adjustment(sigma=EXPERTISE)),
}
"""Name in the tables to reaction and adjustment (Molecule-Space, tables 2, 5 to 9)."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One comparison: ``space`` against ``other`` on a family of tasks.

    Attributes:
        finding: the number of the finding it belongs to.
        space: a name of ``SPACES``.
        claim: how the scores of ``space`` stand to those of ``other``.
        other: a name of ``SPACES``.
        family: a name of ``FAMILIES``.
        beyond: two more spaces, whose difference is taken off: of a gain, what is more than
            a control gained.
    """

    finding: int
    space: str
    claim: Claim
    other: str
    family: str
    beyond: tuple[str, str] | None = None

    @property
    def spaces(self) -> tuple[str, ...]:
        """The spaces that it takes."""
        return (self.space, self.other, *(self.beyond or ()))


STATEMENTS: Mapping[int, str] = {
    1: "displacement reaches or beats the expert on image-text and costs a little audio-image",
    2: "combination at (0.5, 0.1) lifts audio-text and audio classification a lot, does not "
    "hurt image-text, and lifts audio-image",
    3: "at (0.8, 0.5) audio-text reaches or passes the better CLAP",
    4: "two experts beat one",
    5: "the mixture beats each single projector on audio-text and audio-image",
    6: "sequential-and-parallel beats only-sequential on image-text and audio-image",
    7: "combining InternVL gains a little without hurting anything, where displacement gains "
    "more image-text and costs audio-image",
    8: "sigma near 0.5 for audio is best for audio-image; for text, 0.2 costs nothing and much "
    "more costs image-text",
    9: "in displacement the paper's recipe beats C-MCR's and Ex-MCR's on audio-text and "
    "audio-image, and reaches them on image-text",
    10: "tuning repairs audio-image and leaves image-text untouched; after combination the "
    "tuned space is at least the plain one on audio-image",
}

_RECIPES_BY_FAMILY: tuple[tuple[str, Claim], ...] = (
    ("audio-text", "beats"),
    ("audio-image", "beats"),
    ("image-text", "reaches"),
)

CONTRASTS: tuple[Comparison, ...] = (
    Comparison(1, "InternVL_IB", "reaches", "InternVL", "image-text"),
    Comparison(1, "InternVL_IB", "costs a little", "ImageBind", "audio-image"),
    Comparison(2, "ImageBind++ Ver.", "lifts a lot", "ImageBind", "audio-text"),
    Comparison(2, "ImageBind++ Ver.", "lifts a lot", "ImageBind", "audio classification"),
    Comparison(2, "ImageBind++ Ver.", "reaches", "ImageBind", "image-text"),
    Comparison(2, "ImageBind++ Ver.", "beats", "ImageBind", "audio-image"),
    Comparison(3, "ImageBind++ AT E.", "reaches", "CLAP_g", "audio-text"),
    Comparison(3, "ImageBind++ AT E.", "reaches", "CLAP_m", "audio-text"),
    Comparison(4, "ImageBind++ Ver.", "beats", "ImageBind + Cr(CLAP_g)", "audio-text"),
    Comparison(4, "ImageBind++ Ver.", "beats", "ImageBind + Cr(CLAP_m)", "audio-text"),
    *(
        Comparison(5, "InternVL_IB", "beats", f"InternVL_IB, only {subset}", family)
        for family in ("audio-text", "audio-image")
        for subset in _SUBSETS
    ),
    Comparison(6, "InternVL_IB++ Ver.", "beats", "only sequential", "image-text"),
    Comparison(6, "InternVL_IB++ Ver.", "beats", "only sequential", "audio-image"),
    Comparison(7, "ImageBind + Cr(InternVL)", "gains a little", "ImageBind", "image-text"),
    Comparison(7, "ImageBind + Cr(InternVL)", "gains a little", "ImageBind", "audio-image"),
    Comparison(7, "ImageBind + Cr(InternVL)", "reaches", "ImageBind", "audio-text"),
    Comparison(7, "InternVL_IB", "beats", "ImageBind + Cr(InternVL)", "image-text"),
    Comparison(7, "ImageBind + Cr(InternVL)", "beats", "InternVL_IB", "audio-image"),
    *(
        Comparison(8, "InternVL_IB++ Ver.", "beats", _at(audio, 0.1), "audio-image")
        for audio in _SIGMA_AUDIO
    ),
    Comparison(8, _at(0.5, 0.2), "reaches", _at(0.5, 0), "image-text"),
    Comparison(8, _at(0.5, 0), "beats", _at(0.5, 0.8), "image-text"),
    Comparison(8, _at(0.5, 0), "beats", _at(0.5, 1), "image-text"),
    *(
        Comparison(9, "InternVL_IB", claim, f"InternVL_IB, recipe={recipe}", family)
        for recipe in ("cmcr", "exmcr")
        for family, claim in _RECIPES_BY_FAMILY
    ),
    Comparison(10, "InternVL_IB†", "beats", "InternVL_IB", "audio-image"),
    Comparison(10, "InternVL_IB†", "equals", "InternVL_IB", "image-text"),
    Comparison(10, "InternVL_IB†++ Ver.", "reaches", "InternVL_IB++ Ver.", "audio-image"),
)
"""They decide whether a finding holds."""

BESIDE: Mapping[int, tuple[str, ...]] = {6: ("InternVL_IB++ AT E.",)}
"""Spaces whose scores are shown with a finding that does not compare them."""

CONTROLS: tuple[Comparison, ...] = (
    Comparison(10, "own space†", "differs", "ImageBind", "audio-image"),
    Comparison(10, "own space†", "differs", "own space", "audio-image"),
    *(
        Comparison(
            10, "InternVL_IB†", "beats", "InternVL_IB", "audio-image", ("own space†", untuned)
        )
        for untuned in ("ImageBind", "own space")
    ),
)
"""How much of what tuning gains is repair: it gains, too, where nothing had been displaced. The
direction of what it gains beyond that is claimed, never its size; no finding hangs on it."""

_MIXED = ("audio-text", "audio-image", "image-text")
MEANS: tuple[Comparison, ...] = (
    *(
        Comparison(4, f"ImageBind++ Ver.{mean}", "beats", f"ImageBind + Cr({expert})", "audio-text")
        for mean in ("", ", unit")
        for expert in ("CLAP_g", "CLAP_m")
    ),
    *(
        Comparison(4, f"ImageBind++ {setting}, unit", "differs", f"ImageBind++ {setting}", family)
        for setting in ("Ver.", "AT E.")
        for family in _MIXED
    ),
)
"""Finding 4 with the experts' mean as equation 10 writes it and, of the same projectors, rescaled
to unit norm as FreeBind's code does; then what that changes. No finding hangs on it."""


def parse_findings(text: str | None) -> tuple[int, ...]:
    """Return the numbers of a comma-separated list, sorted; None means all.

    Raises:
        UsageError: a part is not the number of a finding, or there is none.
    """
    if text is None:
        return tuple(STATEMENTS)
    numbers: set[int] = set()
    for part in filter(None, (part.strip() for part in text.split(","))):
        number = int(part) if part.isascii() and part.isdigit() else 0
        if number not in STATEMENTS:
            raise UsageError(
                f"--only: there is no finding '{part}'",
                fix=f"findings are numbered 1 to {max(STATEMENTS)}: --only 7,8",
            )
        numbers.add(number)
    if not numbers:
        raise UsageError("--only names no finding", fix="--only 7,8   or leave it out")
    return tuple(sorted(numbers))
