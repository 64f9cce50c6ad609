"""A transformers pipeline on this machine.

    hf:ORG/REPO[@REVISION]?task=text-generation
    hf:./FOLDER?task=image-text-to-text&temperature=1&seed=0

The repository is read from this machine, never fetched; code that comes with one never runs here.
"""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from reactions.core.errors import DataError, MissingError, UsageError, guarded
from reactions.core.hashing import digest
from reactions.core.printable import printable_cell
from reactions.core.types import Modality, Waveform
from reactions.encoders.base import SpaceRequest
from reactions.encoders.packages import import_package, need_package
from reactions.encoders.transformers.repository import Repository, find, quiet
from reactions.knowledge.generation.base import Answer, Attachment, Question, Trouble
from reactions.knowledge.generation.specification import GeneratorSpec
from reactions.modalities.audio import MAX_RATE_HZ, MIN_RATE_HZ, resample
from reactions.modalities.image import load_image
from reactions.weights.hub import commit_of, licence_of
from reactions.weights.hub_layout import code_references
from reactions.weights.locate import WeightLocator
from reactions.weights.safe_load import refuse_code

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

EXTRA = "hf"
OPTIONS = ("device", "dtype", "max_tokens", "seed", "task", "temperature", "top_p")
TASKS: Mapping[str, tuple[Modality, ...]] = {
    "text-generation": (),
    "image-text-to-text": ("image",),
    "audio-text-to-text": ("audio",),
    "any-to-any": ("audio", "image"),
}
"""Tasks to what they take beside text."""

_PIPELINES = {"audio-text-to-text": "any-to-any"}
"""Tasks that transformers has no pipeline of its own for."""

_DTYPES = ("auto", "fp32", "bf16", "fp16")
_TORCH_DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
_DEVICES = ("auto", "cpu", "cuda")
_SOUND_READERS = ("feature_extractor", "audio_processor")
"""What processors call the part of theirs that takes sounds."""

_TOKENS_PER_ROW = 40
_MORE_TOKENS = 64


def pipeline_generator(spec: GeneratorSpec) -> PipelineGenerator:
    """Return the generator that ``hf:REPO?...`` names.

    Raises:
        UsageError: it names no repository, or an option cannot mean anything.
        MissingError: the repository is not on this machine.
        DataError: it brings code, or is damaged.
    """
    return PipelineGenerator(spec)


class PipelineGenerator:
    """A model of a repository in transformers' layout, run here.

    Args:
        spec: the repository, and how it is run.
    """

    place = "this machine"
    is_remote = False
    has_seed = True
    at_once = 1

    def __init__(self, spec: GeneratorSpec) -> None:
        spec.refuse_unknown(OPTIONS)
        if not spec.rest:
            raise UsageError("hf: names no repository", fix="hf:ORG/REPO?task=text-generation")
        self._task = spec.choice("task", "text-generation", tuple(TASKS))
        self.modalities = TASKS[self._task]
        self._dtype = spec.choice("dtype", "auto", _DTYPES)
        self._device = spec.choice("device", "auto", _DEVICES)
        self._max_tokens = spec.integer("max_tokens", None, low=1, high=1 << 16)
        self._temperature = spec.number("temperature", 1.0, low=0.0, high=5.0) or 0.0
        self._top_p = spec.number("top_p", None, low=0.01, high=1.0)
        self.seed = spec.integer("seed", 0, low=0, high=2**31 - 1) or 0
        self._repo = _find(spec)
        if references := code_references(self._repo.config):
            raise DataError(
                f"'{spec.scheme}:{spec.rest}' cannot describe anything",
                why=f"its network is code beside its weights ({references[0]}), which is not run",
                fix="a model that the package transformers has, or an endpoint that serves this "
                "one: openai:MODEL?base_url=URL",
                generator=spec.text,
            )
        self._commit = commit_of(self._repo.folder)
        rest = self._repo.uri.partition(":")[2]
        options = {
            "dtype": "" if self._dtype == "auto" else self._dtype,
            "max_tokens": self._max_tokens,
            "seed": self.seed,
            "task": self._task,
            "temperature": self._temperature,
            "top_p": self._top_p,
        }
        self.name = spec.canonical(rest, options)
        self._lock = threading.Lock()

    @property
    def licence(self) -> str:
        """The licence that the model's card names."""
        return licence_of(self._repo.folder)

    def notices(self) -> list[str]:
        """Return what a person should know: greedy answers repeat themselves."""
        if self._temperature == 0:
            return ["at temperature 0 the same question gets the same answer again"]
        return []

    def prepare(self) -> None:
        """Check the package and that the weights are here and hold nothing that could run."""
        need_package("transformers", self.name, EXTRA)
        for path in self._repo.weights:
            refuse_code(path)

    @cached_property
    def _pipeline(self) -> Any:
        transformers = import_package("transformers", self.name, EXTRA)
        torch = import_package("torch", self.name)
        dtype = "auto" if self._dtype == "auto" else getattr(torch, _TORCH_DTYPES[self._dtype])
        device = self._device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        with guarded(self._unusable), quiet():
            return transformers.pipeline(
                _PIPELINES.get(self._task, self._task),
                model=str(self._repo.folder),
                dtype=dtype,
                device=device,
                trust_remote_code=False,
            )

    def _unusable(self, error: Exception) -> DataError:
        return DataError(
            f"cannot run '{self.name}'",
            why=printable_cell(" ".join(f"{type(error).__name__}: {error}".split()))[:300],
            fix=f"check that the model is one of the task {self._task}",
        )

    async def answer(self, question: Question) -> Answer:
        """Run the model on a question."""
        return await asyncio.to_thread(self._run, question)

    async def close(self) -> None:
        """Let go of the model."""
        self.__dict__.pop("_pipeline", None)

    def _run(self, question: Question) -> Answer:
        with self._lock:
            pipeline = self._pipeline
            torch = import_package("torch", self.name)
            tokeniser = pipeline.tokenizer
            if any(attachment.modality == "audio" for attachment in question.attachments):
                self._sound_rate_hz()  # refuses a model, not this question
            limit = self._max_tokens or question.count * _TOKENS_PER_ROW + _MORE_TOKENS
            torch.manual_seed(question.seed or 0)
            try:
                with quiet():
                    output = pipeline(
                        **self._inputs(question),
                        return_full_text=False,
                        **self._sampling(limit),
                    )
            except MemoryError:
                raise
            except Exception as error:  # of the package, about this question
                if "out of memory" in str(error).lower():
                    raise MemoryError from error
                why = printable_cell(" ".join(f"{type(error).__name__}: {error}".split()))[:300]
                raise Trouble("the model failed", why, is_final=True) from error
        text = _text_of(output)
        n_out = len(tokeniser(text, add_special_tokens=False)["input_ids"])
        n_in = len(tokeniser(question.prompt)["input_ids"])
        # A folder has no commit: what is known of its model is its configuration.
        revision = self._commit or f"config-{digest('config', self._repo.config)[:12]}"
        return Answer(
            text,
            f"{self._repo.name}@{revision}",
            was_cut=n_out >= limit,
            tokens_in=n_in,
            tokens_out=n_out,
        )

    def _sampling(self, limit: int) -> dict[str, Any]:
        settings: dict[str, Any] = {"max_new_tokens": limit, "do_sample": self._temperature > 0}
        if self._temperature > 0:
            settings["temperature"] = self._temperature
            if self._top_p is not None:
                settings["top_p"] = self._top_p
        if self._task == "text-generation":
            return settings
        return {"generate_kwargs": settings}

    def _inputs(self, question: Question) -> dict[str, Any]:
        """Return what the pipeline is called with: a chat where the model has a template."""
        holder = self._pipeline.tokenizer
        processor = getattr(self._pipeline, "processor", None)
        has_template = bool(
            getattr(processor, "chat_template", None) or getattr(holder, "chat_template", None)
        )
        plain = "\n".join(filter(None, (question.system, question.prompt)))
        text_only = self._task == "text-generation"
        attached = [
            (
                attachment.modality,
                self._sound(attachment) if attachment.modality == "audio" else _picture(attachment),
            )
            for attachment in question.attachments
        ]
        if not has_template:
            inputs: dict[str, Any] = {"text_inputs" if text_only else "text": plain}
            for modality, key in (("image", "images"), ("audio", "audio")):
                values = [value for kind, value in attached if kind == modality]
                if values:
                    inputs[key] = values
            return inputs
        content: Any = question.prompt
        if not text_only:
            content = [{"type": kind, kind: value} for kind, value in attached]
            content.append({"type": "text", "text": question.prompt})
        chat = [{"role": "user", "content": content}]
        if question.system:
            system: Any = question.system
            if not text_only:
                system = [{"type": "text", "text": question.system}]
            chat.insert(0, {"role": "system", "content": system})
        return {"text_inputs" if text_only else "text": chat}

    def _sound(self, attachment: Attachment) -> NDArray[np.float32]:
        """Return a sound's samples at the model's rate: it takes an array to be of that rate."""
        import soundfile

        samples, rate_hz = soundfile.read(io.BytesIO(attachment.data), dtype="float32")
        return resample(Waveform(samples, rate_hz), self._sound_rate_hz()).samples

    def _sound_rate_hz(self) -> int:
        """Return the rate of the sounds that the model hears.

        Raises:
            DataError: its preprocessing does not say.
        """
        processor = getattr(self._pipeline, "processor", None)
        readers = [getattr(self._pipeline, "feature_extractor", None)]
        readers += [getattr(processor, name, None) for name in _SOUND_READERS]
        for reader in readers:
            rate_hz = getattr(reader, "sampling_rate", None)
            if isinstance(rate_hz, int) and MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
                return rate_hz
        raise DataError(
            f"'{self.name}' cannot describe sounds",
            why="its preprocessing does not say at which rate it hears them (sampling_rate)",
            fix="a model whose preprocessor_config.json says it, or an endpoint that serves this "
            "one: openai:MODEL?base_url=URL",
            generator=self.name,
        )


def _find(spec: GeneratorSpec) -> Repository:
    uri = f"{spec.scheme}:{spec.rest}"
    try:
        return find(SpaceRequest(uri, spec.rest, {}, "", WeightLocator.of_environment()))
    except MissingError as error:
        if not spec.rest.startswith((".", "/", "~")):
            repo, _, revision = spec.rest.partition("@")
            error.what = f"the model '{spec.rest}' is not on this machine"
            error.fix = f"hf download {repo}" + (f" --revision {revision}" if revision else "")
        raise


def _picture(attachment: Attachment) -> Any:
    from PIL import Image

    return Image.fromarray(load_image(attachment.data))


def _text_of(output: Any) -> str:
    """Return the text of a pipeline's output: a list of one, of a text or a chat."""
    while isinstance(output, list) and output:
        output = output[-1]
    if isinstance(output, Mapping):
        inner = output.get("generated_text", output.get("content", ""))
        return inner if isinstance(inner, str) else _text_of(inner)
    return output if isinstance(output, str) else ""
