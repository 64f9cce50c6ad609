"""Sounds as models of transformers' pipelines hear them: at the model's own rate."""

import asyncio
from types import SimpleNamespace

import numpy as np
import pytest

from reactions.core.errors import DataError
from reactions.core.types import Item, Waveform
from reactions.knowledge.generation.base import Question
from reactions.knowledge.generation.media import attachments_of
from reactions.knowledge.generation.pipeline import PipelineGenerator


def generator(pipeline):
    pipeline_generator = PipelineGenerator.__new__(PipelineGenerator)
    pipeline_generator.__dict__["_pipeline"] = pipeline
    pipeline_generator._task, pipeline_generator.name, pipeline_generator._max_tokens = (
        "audio-text-to-text",
        "hf:model",
        9,
    )
    return pipeline_generator


def pipeline(rate_hz=None, *, where="processor", template=None):
    reader = SimpleNamespace() if rate_hz is None else SimpleNamespace(sampling_rate=rate_hz)
    processor = SimpleNamespace(chat_template=template)
    stand_in = SimpleNamespace(tokenizer=SimpleNamespace(), processor=processor)
    if where == "pipeline":
        stand_in.feature_extractor = reader
    else:
        setattr(processor, "audio_processor" if where == "audio" else "feature_extractor", reader)
    return stand_in


def tone(rate_hz, hz=440.0):
    seconds = np.arange(rate_hz) / rate_hz
    return Waveform((0.5 * np.sin(2 * np.pi * hz * seconds)).astype(np.float32), rate_hz)


def question(rate_hz):
    return Question("what is heard?", attachments=attachments_of(Item("a", "audio", tone(rate_hz))))


def pitch_hz(samples, rate_hz):
    return np.abs(np.fft.rfft(samples)).argmax() * rate_hz / len(samples)


@pytest.mark.parametrize("rate_hz", [16_000, 44_100, 8_000])
@pytest.mark.parametrize("reader_place", ["processor", "pipeline", "audio"])
def test_a_sound_is_heard_at_the_models_rate(rate_hz, reader_place):
    (samples,) = generator(pipeline(16_000, where=reader_place))._inputs(question(rate_hz))["audio"]
    assert samples.dtype == np.float32
    assert len(samples) == 16_000  # still one second
    assert pitch_hz(samples, 16_000) == pytest.approx(440, abs=1)


def test_so_it_is_in_a_chat():
    describer = generator(pipeline(16_000, template="{{ messages }}"))
    (message,) = describer._inputs(question(44_100))["text"]
    assert len(message["content"][0]["audio"]) == 16_000


@pytest.mark.parametrize("rate_hz", [None, 0, "16000"])
def test_a_model_that_does_not_say_its_rate_is_refused(rate_hz):
    with pytest.raises(DataError, match="cannot describe sounds") as caught:
        generator(pipeline(rate_hz))._inputs(question(16_000))
    assert "sampling_rate" in caught.value.why


def test_the_refusal_ends_the_run_and_is_not_of_one_item():
    import threading

    describer = generator(pipeline())
    describer._lock = threading.Lock()
    with pytest.raises(DataError, match="cannot describe sounds"):
        asyncio.run(describer.answer(question(16_000)))
