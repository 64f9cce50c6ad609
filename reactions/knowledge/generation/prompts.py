"""What generators are asked: the supplement's prompts, others by name, and a user's own.

A template has ``{class}`` (the category), ``{a class}`` (with its article) and ``{n}`` (how many
sentences); one for items has ``{medium}`` (photo, sound, ...) instead.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from reactions.core.errors import MissingError, UsageError, suggestion
from reactions.core.local_files import expand_user, read_text_file
from reactions.core.types import Modality

MEDIA: Mapping[Modality, str] = {
    "image": "photo",
    "audio": "audio",
    "video": "video",
    "point": "3D object",
}
"""How the supplement's prompt calls what is described."""

_SENTENCES = (
    "Write plain English sentences of at most 50 words. Give a numbered list with one sentence a "
    "line, and nothing else."
)
_ONE = "Answer in one plain English sentence of at most 50 words, and nothing else."
_LIMIT_BYTES = 1 << 16
_FIELD = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class Prompts:
    """Templates that are used in turn, and how answers are to be written.

    Attributes:
        name: of the preset; "own" for a user's.
        templates: at least one.
        system: "" for nothing.
        about: what they are.
    """

    name: str
    templates: tuple[str, ...]
    system: str = ""
    about: str = ""

    def fill(
        self, number: int, *, category: str = "", count: int = 1, modality: Modality = ""
    ) -> str:
        """Return the prompt of a question.

        Args:
            number: of the question among those about one category or item.
            category: its name; of several with commas between, the first; underscores are blanks.
            count: sentences that are asked for.
            modality: of what is described.
        """
        name = category.split(", ")[0].replace("_", " ").strip()
        values = {
            "class": name,
            "a class": f"{article(name)} {name}",
            "n": f"{count:,}",
            "medium": MEDIA.get(modality, modality),
        }
        template = self.templates[number % len(self.templates)]
        return _FIELD.sub(lambda match: values[match[1]], template)


CATEGORY_PROMPTS: Mapping[str, Prompts] = {
    prompts.name: prompts
    for prompts in (
        Prompts(
            "unibind",
            ("Please generate {n} sentences related to this sentence <A photo of {a class}>",),
            _SENTENCES,
            "the supplement's, section A.1",
        ),
        Prompts(
            "sound",
            ("Please generate {n} sentences related to this sentence <The sound of {a class}>",),
            _SENTENCES,
            "the same, of a sound",
        ),
        Prompts(
            "scene",
            ("Please generate {n} sentences related to this sentence <A photo of the {class}>",),
            _SENTENCES,
            "the same, of a place",
        ),
        Prompts(
            "action",
            (
                "Please generate {n} sentences related to this sentence "
                "<A video of a person doing {class}>",
            ),
            _SENTENCES,
            "the same, of an action",
        ),
        Prompts(
            "aspects",
            tuple(
                f"Write {{n}} different captions of photos of {{a class}}. {aspect}"
                for aspect in (
                    "Say what it looks like: its parts, colours and materials.",
                    "Say where it is and what surrounds it.",
                    "Say what it does, or what is done with it.",
                    "Vary the light, the distance and the angle of the view.",
                )
            ),
            _SENTENCES,
            "four prompts in turn: looks, place, use, view",
        ),
    )
}
"""Presets for categories; the first is the default."""

ITEM_PROMPTS: Mapping[str, Prompts] = {
    prompts.name: prompts
    for prompts in (
        Prompts(
            "unibind",
            ("Generate a detailed description of this {medium}",),
            _ONE,
            "the supplement's, section A.2",
        ),
        Prompts("caption", ("Write a short caption of this {medium}.",), _ONE, "a short caption"),
    )
}
"""Presets for items; the first is the default."""

_CATEGORY_FIELDS = ("class", "a class", "n")
_ITEM_FIELDS = ("medium", "class", "a class")


def article(name: str) -> str:
    """Return ``a`` or ``an``, by the first letter."""
    return "an" if name[:1].lower() in tuple("aeiou") else "a"


def choose_prompts(
    preset: str, own: Sequence[str], system: str | None, *, for_items: bool
) -> Prompts:
    """Return the prompts that a person asked for.

    Args:
        preset: a name; "" for the default.
        own: templates, or ``@FILE`` with one in it; they take the place of a preset's.
        system: takes the place of the preset's; None for that.
        for_items: whether items are described, not categories.

    Raises:
        UsageError: no preset has the name, both are given, or a template has a wrong field.
        MissingError: there is no such file.
    """
    presets = ITEM_PROMPTS if for_items else CATEGORY_PROMPTS
    if own and preset:
        raise UsageError("--prompts and --prompt are given", fix="leave one out")
    if preset and preset not in presets:
        raise UsageError(
            f"unknown prompts '{preset}'", fix=suggestion(preset, presets), known=list(presets)
        )
    prompts = presets[preset or next(iter(presets))]
    if own:
        templates = tuple(_read(text) for text in own)
        prompts = Prompts("own", templates, prompts.system)
    for template in prompts.templates:
        _check(template, for_items=for_items)
    if system is not None:
        prompts = Prompts(prompts.name, prompts.templates, system, prompts.about)
    return prompts


def _read(text: str) -> str:
    if not text.startswith("@"):
        return text.strip()
    path = expand_user(text[1:])
    try:
        return read_text_file(Path(path), _LIMIT_BYTES).strip()
    except MissingError as error:
        error.fix = "--prompt @FILE reads a file; a prompt that begins with @ is put into one"
        raise


def _check(template: str, *, for_items: bool) -> None:
    fields = _ITEM_FIELDS if for_items else _CATEGORY_FIELDS
    used = _FIELD.findall(template)
    for field in used:
        if field not in fields:
            raise UsageError(
                f"unknown field '{{{field}}}' in the prompt",
                why=f"prompt: {template}",
                fix=suggestion(field, fields),
                prompt=template,
            )
    if not template:
        raise UsageError("a prompt is empty", fix="--prompt TEXT   or   --prompt @FILE")
    if for_items:
        return
    for needed, example in (("class", "{class}"), ("n", "{n}")):
        if not any(needed in field.split() for field in used):
            raise UsageError(
                f"the prompt has no {example}",
                why="all classes would be asked the same"
                if needed == "class"
                else "it would not say how many sentences are wanted",
                fix="such as: Write {n} sentences about {a class}",
                prompt=template,
            )
