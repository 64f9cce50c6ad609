"""What may be tuned: the checks of Ft and Lcl, for reactions and for the records of bundles."""

from __future__ import annotations

from reactions.core.encoder_paths import EncoderPath, encoder_paths
from reactions.core.errors import UsageError, suggestion
from reactions.core.types import Leaf, Modality, Space, Tuned
from reactions.modalities.text import TEXT
from reactions.ops.recipes import recipe_of

PAPER = (
    "the paper, section 4.2: tuning the image or text encoder 'potentially compromises the "
    "foundation of the unified space', so it 'is only suitable for modalities other than image or "
    "text'"
)

LEFT_ALONE = ("image", "text")
"""Modalities whose encoders the paper does not tune."""


def check_tuned(node: Tuned) -> EncoderPath:
    """Check that what an ``Ft`` asks for can be tuned.

    Returns:
        The way from the base to the encoder of the tuned modality.

    Raises:
        UsageError: it cannot.
    """
    base, options = node.base, node.tuning
    tuned, paired = node.arguments
    for name in (tuned, paired):
        if name not in base.modalities:
            raise UsageError(
                f"no modality '{name}' in {base.label}",
                why=f"{base.label} embeds {', '.join(base.modalities)}",
                fix=suggestion(name, base.modalities),
            )
    if tuned == base.hub:
        raise UsageError(
            f"Ft cannot tune {tuned}, the hub of {base.label}",
            why=f"all other modalities are bound to it; {PAPER}",
            fix=_instead(base, tuned),
        )
    paths = list(encoder_paths(base, tuned))
    for path in paths:
        for fusion, _ in path.hops:
            expert = fusion.experts[0].space
            both = tuned in fusion.base.modalities and tuned in expert.modalities
            if fusion.op == "dr" and both:
                raise UsageError(
                    f"Ft cannot tune {tuned}, which {expert.label} brings as well",
                    why=f"Dr({expert.label}) displaced it to have the expert's; {PAPER}",
                    fix=_instead(base, tuned),
                )
    path = paths[0]
    if len(paths) > 1:
        labels = dict.fromkeys(other.leaf.label for other in paths)
        raise UsageError(
            f"Ft cannot tune {tuned} of {base.label}",
            why=f"it comes from several encoders: {', '.join(labels)}",
            fix=f"put Ft({tuned}~{paired}) before the Cr that adds the others",
        )
    if any(inner.op == "lcl" and inner.learning.takes_raw_rows for inner in path.tuned):
        raise UsageError(
            f"Ft cannot tune {tuned} through an Lcl with norms=published",
            why="a tuned encoder gives rows of norm 1",
            fix="leave norms=published or the Ft out",
        )
    if any(inner.op == "ft" and inner.arguments[0] == tuned for inner in path.tuned):
        raise UsageError(
            f"{tuned} is tuned twice",
            why="an Ft before this one tunes the same encoder",
            fix="leave one of them out; epochs=N trains longer",
        )
    if options.heads == "only" and not path.projected:
        raise UsageError(
            f"nothing to tune: no projector follows the {tuned} encoder of {base.label}",
            why="heads=only tunes copies of projectors, and leaves the encoder as it is",
            fix=f"Ft({tuned}~{paired}, heads=true)",
        )
    for fusion, index in path.projected:
        joined = fusion.experts[index]
        if recipe_of(joined.recipe).solver:
            raise UsageError(
                f"Ft cannot tune {tuned} through {joined.label}, whose recipe is {joined.recipe}",
                why="its map is solved for in closed form, and is not trained any further",
                fix=f"another recipe for {joined.label}, or leave the Ft out",
            )
    if options.heads == "only" and options.lora is not None:
        raise UsageError(
            f"lora={options.lora} where only projectors are tuned",
            why="lora=RANK tunes the encoder, which heads=only leaves as it is",
            fix=f"Ft({tuned}~{paired}, heads=true, lora={options.lora})",
        )
    if options.tunes_encoder and path.leaf.spec.centre:
        raise UsageError(
            f"the {tuned} encoder of {path.leaf.label} cannot be tuned: the space is centred",
            why="its means are those of the encoder as it is",
            fix=f"Ft({tuned}~{paired}, heads=only)   or   centre=false",
        )
    return path


def check_learned(node: Tuned) -> None:
    """Check that what an ``Lcl`` asks for can be trained.

    Raises:
        UsageError: it cannot.
    """
    base, options, knowledge = node.base, node.learning, node.arguments[0]
    if TEXT.name not in base.modalities:
        raise UsageError(
            f"Lcl cannot align {base.label}, which embeds no text",
            why=f"descriptions are embedded by what is trained; {base.label} embeds "
            f"{', '.join(base.modalities)}",
            fix="a base with text",
        )
    learnable = [modality for modality in base.modalities if modality != TEXT.name]
    for name in options.modalities or ():
        if name not in learnable:
            raise UsageError(
                f"no modality '{name}' in {base.label}",
                why=f"beside text {base.label} embeds {', '.join(learnable) or 'nothing'}",
                fix=suggestion(name, learnable) if learnable else "another base",
            )
    if not learnable:
        raise UsageError(
            f"Lcl has nothing to train in {base.label}",
            why="it embeds text alone, which is what others are drawn to",
            fix="another base",
        )
    if options.takes_raw_rows and (not isinstance(base, Leaf) or base.spec.centre):
        raise UsageError(
            f"norms=published for {base.label}",
            why="the norm that an encoder's model gives is that of a space's own rows; rows of "
            "products and of centred spaces have norm 1",
            fix=f"put Lcl({knowledge}) right behind a space, or leave norms out",
        )


def _instead(base: Space, tuned: Modality) -> str:
    """Return an Ft that the base allows, or that it be left out."""
    tunable = [m for m in base.modalities if m not in (tuned, base.hub, *LEFT_ALONE)]
    paired = base.hub or tuned
    return f"tune another: Ft({tunable[0]}~{paired})" if tunable else "leave the Ft out"
