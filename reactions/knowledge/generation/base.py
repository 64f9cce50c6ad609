"""What a generator is asked, what it answers, and how it fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

from reactions.core.errors import MolspaceError
from reactions.core.types import Item, Modality

if TYPE_CHECKING:
    from reactions.knowledge.generation.specification import GeneratorSpec


@dataclass(frozen=True, slots=True)
class Attachment:
    """A picture or a sound that goes with a prompt, as a file in memory.

    Attributes:
        modality: ``"image"`` or ``"audio"``.
        media_type: ``"image/jpeg"``, ``"image/png"`` or ``"audio/wav"``.
        data: the file's bytes.
    """

    modality: Modality
    media_type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Question:
    """One request for descriptions.

    Attributes:
        prompt: what is asked.
        system: how the answer is to be written; "" for nothing.
        attachments: what the prompt is about; () for a category.
        category: the class, where one is known; "" otherwise.
        item: the item that is described; None for a category.
        count: descriptions that are asked for, >= 1.
        seed: of the generator's random choices; None where it has none.
        number: of the question among those about one category or item, from 0.
    """

    prompt: str
    system: str = ""
    attachments: tuple[Attachment, ...] = ()
    category: str = ""
    item: Item | None = None
    count: int = 1
    seed: int | None = None
    number: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a generator said.

    Attributes:
        text: as it came.
        model: the model's name and fingerprint, as the generator itself gives them.
        was_cut: it ended at the limit of its length, not by itself.
        tokens_in: tokens that were read; None if the generator does not say.
        tokens_out: tokens that were written; None likewise.
    """

    text: str
    model: str = ""
    was_cut: bool = False
    tokens_in: int | None = None
    tokens_out: int | None = None


class Trouble(Exception):
    """A question without an answer.

    Args:
        reason: a few words that are the same for all of its kind, for counting.
        detail: more about this one.
        retry_after_s: how long the generator asks to be left alone; None if it does not say.
        is_final: asking the same again cannot help.
        is_free: it never reached the generator, or was turned away: nothing has to be paid.
    """

    def __init__(
        self,
        reason: str,
        detail: str = "",
        *,
        retry_after_s: float | None = None,
        is_final: bool = False,
        is_free: bool = False,
    ) -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
        self.retry_after_s = retry_after_s
        self.is_final = is_final
        self.is_free = is_free


class Generator(Protocol):
    """A language model, or anything else that writes descriptions.

    Three things are optional: ``sees_items``, true of one that knows items by their ids and is sent
    no attachments; ``why_not(category, item)``, which returns why it can never describe
    something, and how to fix that, None if it can; and ``shown``, its name in messages, where
    ``name`` says more than a person writes.
    """

    @property
    def name(self) -> str:
        """Its specification in canonical form, without secrets: the same text, the same model."""

    @property
    def place(self) -> str:
        """Where questions go: ``"https://api.openai.com"``, ``"this machine"``."""

    @property
    def is_remote(self) -> bool:
        """Whether questions leave this machine."""

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """Modalities of attachments that it takes, sorted."""

    @property
    def has_seed(self) -> bool:
        """Whether its random choices follow ``Question.seed``."""

    @property
    def at_once(self) -> int:
        """Questions that it can work on side by side; 0 for any number."""

    @property
    def licence(self) -> str:
        """The licence of the model; "" if it is not known."""

    def notices(self) -> list[str]:
        """Return what a person should know before anything is asked: keys, plain connections."""

    def prepare(self) -> None:
        """Check, before anything is asked, that it can answer at all.

        Raises:
            MolspaceError: a package, a key or weights are missing.
        """

    async def answer(self, question: Question) -> Answer:
        """Answer a question.

        Raises:
            Trouble: there is no answer; unless it is final, the same question is asked again.
            MolspaceError: no question will be answered: a wrong key, an unknown model.
        """

    async def close(self) -> None:
        """Let go of connections and memory."""


GeneratorFactory: TypeAlias = "Callable[[GeneratorSpec], Generator]"


def shown(generator: Generator) -> str:
    """Return what messages call a generator."""
    return getattr(generator, "shown", "") or generator.name


class GenerationStopped(MolspaceError):
    """Descriptions were being made, and are not all there; what was answered is kept."""
