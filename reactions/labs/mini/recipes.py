"""How the mini lab's encoders are made: towers, scenes, captions and stages of training.

ImageBind is bound as the real one is: images and texts first, then sounds to the frozen
images alone, so that its audio-text alignment is emergent and weak. InternVL is the
stronger image-text model. The two CLAPs are about equally strong, learned from different
recordings: CLAP_m mostly from music, CLAP_g mostly from everything else.

What other senses there are is bound to frozen images, too, one tower a file: heat, depth, events
and points to ImageBind's; and points once more, by a larger network that sees more of them, to
InternVL's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reactions.core.errors import UsageError, suggestion
from reactions.labs.mini.sentences import Style
from reactions.labs.mini.world import SceneStream


@dataclass(frozen=True, slots=True)
class Stage:
    """One contrastive training of two modalities.

    Attributes:
        left: a modality; frozen if it was trained before and ``freeze`` is set.
        right: the other one.
        scenes: training pairs.
        epochs: passes over them.
        styles: how the captions are written, one writer each in turn.
        freeze: train only ``right``.
        batch_size: pairs a step.
        learning_rate: peak, of a one-cycle schedule.
    """

    left: str
    right: str
    scenes: int
    epochs: int
    styles: tuple[Style, ...] = ()
    freeze: bool = False
    batch_size: int = 512
    learning_rate: float = 3e-3


@dataclass(frozen=True, slots=True)
class EncoderRecipe:
    """How one space is made.

    Attributes:
        dim: width of its embeddings.
        shape: sizes of its towers, as ``Towers`` takes them.
        musical_percent: share of musical kinds in its training data.
        stages: in order.
        temperature: of its contrastive loss.
        base: the recipe whose images its stages bind to; "" for its own.
    """

    dim: int
    shape: Mapping[str, tuple[int, ...]]
    musical_percent: int
    stages: tuple[Stage, ...]
    temperature: float = 0.05
    base: str = ""


_SEEN = Style("sight", omit_percent=25)
_HEARD = Style("sound", omit_percent=25)
_SEEN_BRIEFLY = Style("sight", omit_percent=65)
"""Brief captions often name the kind alone, as zero-shot prompts do."""

_SOUND_LIBRARY = Style("sound", omit_percent=25, neglects=("count", "pitch"))
_SOUND_LIBRARY_BRIEFLY = Style("sound", omit_percent=65, neglects=("count", "pitch"))
_MUSIC = Style("sound", omit_percent=25, neglects=("place", "tempo"))
_MUSIC_BRIEFLY = Style("sound", omit_percent=65, neglects=("place", "tempo"))
"""Who describes noises tells place and tempo, who describes music pitch and how many play."""


def _bound(
    base: str, dim: int, modality: str, channels: tuple[int, ...], scenes: int, epochs: int
) -> EncoderRecipe:
    """Return how one tower is bound to another encoder's frozen images."""
    return EncoderRecipe(
        dim=dim,
        shape={modality: channels},
        musical_percent=50,
        stages=(Stage("image", modality, scenes, epochs, freeze=True),),
        base=base,
    )


RECIPES: Mapping[str, EncoderRecipe] = {
    "ImageBind": EncoderRecipe(
        dim=128,
        shape={"audio": (32, 64, 128), "image": (32, 64, 128), "text": (48, 192)},
        musical_percent=50,
        stages=(
            Stage("image", "text", 24_000, 20, (_SEEN, _SEEN_BRIEFLY, _SEEN_BRIEFLY, _HEARD)),
            Stage("image", "audio", 24_000, 10, freeze=True),
        ),
    ),
    "InternVL": EncoderRecipe(
        dim=96,
        shape={"image": (40, 80, 160), "text": (48, 192)},
        musical_percent=50,
        stages=(Stage("image", "text", 28_000, 18, (_SEEN, _SEEN_BRIEFLY, _SEEN, _HEARD)),),
    ),
    "CLAP_g": EncoderRecipe(
        dim=64,
        shape={"audio": (32, 64, 128), "text": (48, 128)},
        musical_percent=12,
        stages=(
            Stage(
                "audio",
                "text",
                14_000,
                12,
                (_SOUND_LIBRARY, _SOUND_LIBRARY_BRIEFLY, _SOUND_LIBRARY_BRIEFLY, _HEARD),
            ),
        ),
    ),
    "CLAP_m": EncoderRecipe(
        dim=64,
        shape={"audio": (32, 64, 128), "text": (48, 128)},
        musical_percent=88,
        stages=(
            Stage("audio", "text", 14_000, 12, (_MUSIC, _MUSIC_BRIEFLY, _MUSIC_BRIEFLY, _HEARD)),
        ),
    ),
    "ImageBind-depth": _bound("ImageBind", 128, "depth", (24, 48, 96), 24_000, 12),
    "ImageBind-event": _bound("ImageBind", 128, "event", (24, 48, 96), 16_000, 8),
    "ImageBind-point": _bound("ImageBind", 128, "point", (32, 64, 128), 12_000, 8),
    "ImageBind-thermal": _bound("ImageBind", 128, "thermal", (24, 48, 96), 24_000, 12),
    "InternVL-point": _bound("InternVL", 96, "point", (48, 96, 160), 20_000, 6),
}
"""By the name of the file of weights: ``BASE-MODALITY`` is a tower beside BASE."""


def chosen_recipes(names: str) -> dict[str, EncoderRecipe]:
    """Return some of the recipes, in their usual order.

    Args:
        names: with commas between them; "" for all.

    Raises:
        UsageError: one is unknown.
    """
    names_given = [name.strip() for name in names.split(",") if name.strip()]
    for name in names_given:
        if name not in RECIPES:
            raise UsageError(
                f"the mini lab trains no '{name}'",
                fix=suggestion(name, RECIPES),
                name=name,
                known=list(RECIPES),
            )
    return {name: RECIPES[name] for name in RECIPES if not names_given or name in names_given}


def training_stream(
    name: str, stage: int, seed: int, recipe: EncoderRecipe | None = None
) -> SceneStream:
    """Return the stream from whose start one stage of a space's training takes its scenes.

    Args:
        name: of the space.
        stage: number of the stage, from 0.
        seed: of the training.
        recipe: of the space; ours by default.
    """
    recipe = recipe or RECIPES[name]
    return SceneStream(f"train-{name}-{stage}", seed, recipe.musical_percent)
