"""Figures 3 to 6 of the paper as data: which space over which factors, against what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from reactions.core.types import Modality
from reactions.experiments.paper.spaces import (
    BOTH,
    DISPLACED_ALONE,
    DR,
    PP,
    TUNED,
    TUNED_BOTH,
)
from reactions.experiments.paper.table import SpaceRow

FAMILIES: Mapping[str, tuple[str, ...]] = {
    "audio-text": ("audiocaps", "clotho"),
    "audio-image": ("vggss", "flickrnet"),
    "image-text": ("coco", "flickr30k"),
}
"""The retrieval sets whose mean R@1 the figures show, by what they retrieve."""

SYMBOLS: Mapping[str, str] = {"audio-text": "AT", "audio-image": "AV", "image-text": "TV"}
"""The paper's indices of its differences."""

GRID = "0:1:0.1"
"""Values of both factors; the paper does not say which its surfaces have."""


@dataclass(frozen=True, slots=True)
class PaperFigure:
    """A figure of the paper: what a product gains over a space, for each pair of two factors.

    Attributes:
        number: the paper's.
        product: whose factors are varied.
        reference: whose mean R@1 is taken off.
        factor: ``sigma`` of combined experts, or ``lambda`` of displacing ones.
        x: modality whose factor is on the x axis.
        y: likewise, on the y axis.
        plane: the space that the grey plane stands for.
        plane_family: what of it: a name of ``FAMILIES``.
        remark: how we read the paper here.
    """

    number: int
    product: SpaceRow
    reference: SpaceRow
    factor: Literal["sigma", "lambda"]
    x: Modality
    y: Modality
    plane: SpaceRow
    plane_family: str
    remark: str = ""

    @property
    def name(self) -> str:
        """As the command line calls it."""
        return f"figure{self.number}"

    @property
    def axes(self) -> tuple[str, str]:
        """Names of the two factors, as sweeps call them."""
        return f"{self.factor} {self.x}", f"{self.factor} {self.y}"


_CLAP_G = SpaceRow("CLAP_g", "", "CLAP_g")
_IMAGEBIND = SpaceRow("ImageBind", "", "ImageBind")
_DISPLACED = SpaceRow("InternVL_IB", "", DR, DISPLACED_ALONE)
_CLAPS: tuple[Literal["sigma"], Modality, Modality, SpaceRow, str] = (
    "sigma",
    "audio",
    "text",
    _CLAP_G,
    "audio-text",
)

FIGURES: Mapping[str, PaperFigure] = {
    figure.name: figure
    for figure in (
        PaperFigure(
            3,
            SpaceRow("InternVL_IB†++", "", TUNED_BOTH, DISPLACED_ALONE),
            SpaceRow("InternVL_IB†", "", TUNED, DISPLACED_ALONE),
            *_CLAPS,
            remark="of the tuned space, as section 4.3 says; the caption leaves the dagger out, "
            "and figure 4 is of the plain one",
        ),
        PaperFigure(4, SpaceRow("InternVL_IB++", "", BOTH, DISPLACED_ALONE), _DISPLACED, *_CLAPS),
        PaperFigure(5, SpaceRow("ImageBind++", "", PP), _IMAGEBIND, *_CLAPS),
        PaperFigure(
            6,
            SpaceRow("InternVL_IB", "", DR),
            _IMAGEBIND,
            "lambda",
            "image",
            "text",
            _IMAGEBIND,
            "image-text",
        ),
    )
}
"""Source: Molecule-Space, figures 3 to 6; section 4.3 and appendix C."""
