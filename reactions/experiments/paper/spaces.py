"""The paper's spaces: how they are made, their factors, and what they embed."""

from __future__ import annotations

from reactions.core.catalogue import Catalogue
from reactions.core.factor_defaults import FactorDefaults
from reactions.core.types import SpaceSpec
from reactions.products.tree import Adjustment

FACTORS = FactorDefaults()
"""The paper's factors, whatever a lab's are: they decide what a second stage is trained on."""

VERSATILE = {"": (0.5, 0.1)}
EXPERTISE = {"": (0.8, 0.5)}
"""Sigma of (audio, text). Source: Molecule-Space, section 4.2, footnote 1."""

DISPLACED = {"": (0.9, 0.9)}
"""Lambda of (image, text). Source: Molecule-Space, section 4.2, footnote 1."""

REMAPPED = (0.1, 0.1)
"""Sigma of (image, text) of InternVL, remapped. Source: Molecule-Space, table 6, footnote 2."""

SETTINGS = (
    '"Ver." is the versatile setting: sigma 0.5 for audio, 0.1 for text',
    '"AT E." is the audio-text expertise: sigma 0.8 for audio, 0.5 for text',
)
"""The paper's names for these two settings, explained wherever they are printed."""

PAPERS_TUNING = "the paper tunes the audio encoder, on 2 million audio-image pairs of AudioSet"
"""What made the paper's spaces with a dagger. Source: Molecule-Space, section 4.1, appendix B."""

DR = "ImageBind + Dr(InternVL)"
CR = "ImageBind + Cr(InternVL)"
TUNED = f"{DR} | Ft(audio~image)"
PP = "ImageBind + Cr(CLAP_m) & Cr(CLAP_g)"
BOTH = f"{DR} | Cr(CLAP_m) & Cr(CLAP_g)"
TUNED_BOTH = f"{TUNED} | Cr(CLAP_m) & Cr(CLAP_g)"
PARALLEL = "ImageBind + Cr(InternVL) & Cr(CLAP_m) & Cr(CLAP_g)"

DISPLACED_ALONE = Adjustment(lambda_=DISPLACED)
VERSATILE_PP = Adjustment(sigma=VERSATILE)
EXPERTISE_PP = Adjustment(sigma=EXPERTISE)
VERSATILE_BOTH = Adjustment(sigma=VERSATILE, lambda_=DISPLACED)
EXPERTISE_BOTH = Adjustment(sigma=EXPERTISE, lambda_=DISPLACED)

SUBSETS = ("A", "V", "T", "TA", "VA", "TV", "TVA")
"""Anchors of the single projectors, as the language writes them, in the order of table 8."""


def sequence(*factors: float) -> str:
    """Return the three cascaded displacements of "Only Seq.", with the CLAPs' lambda.

    Args:
        factors: of (audio, text).
    """
    share = ", ".join(f"{value:g}" for value in factors)
    clap_m, clap_g = (f"Dr({name}, lambda=({share}))" for name in ("CLAP_m", "CLAP_g"))
    return f"{DR} | {clap_m} | {clap_g}"


_AIT = ("audio", "image", "text")
PUBLISHED = Catalogue(
    {
        name: SpaceSpec(name, dim, modalities, adapter="", source="")
        for name, dim, modalities in (
            ("ImageBind", 1024, _AIT),
            ("InternVL", 768, ("image", "text")),
            ("CLAP_g", 512, ("audio", "text")),
            ("CLAP_m", 512, ("audio", "text")),
            ("WAV2CLIP", 512, _AIT),
            ("AudioCLIP", 1024, _AIT),
            ("C_MCR", 512, _AIT),
            ("Ex_MCR", 512, _AIT),
        )
    }
)
"""The paper's spaces by description alone: what a reaction is made of, without any weights."""
