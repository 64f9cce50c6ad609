"""Models on this machine, by transformers' pipelines."""

import asyncio
import json

import numpy as np
import pytest
import torch

pytest.importorskip("tokenizers")
pytest.importorskip("transformers.models.gpt2.modeling_gpt2", exc_type=(ImportError, RuntimeError))

from writer_tiny import save_captioner, save_writer

from reactions.core.errors import DataError, MissingError, UsageError
from reactions.core.types import Item
from reactions.data.corpora import ListCorpus
from reactions.knowledge.files import open_knowledge
from reactions.knowledge.generation.base import Question
from reactions.knowledge.generation.jobs import item_job
from reactions.knowledge.generation.make import begin
from reactions.knowledge.generation.media import attachments_of
from reactions.knowledge.generation.prompts import choose_prompts
from reactions.knowledge.generation.registry import open_generator
from reactions.knowledge.generation.settings import Bounds

COMMIT = "d" * 40
CHAT = "{% for message in messages %}{{ message.role }} : {{ message.content }} {% endfor %}"


@pytest.fixture(scope="module")
def writer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("writer")
    save_writer(folder)
    return folder


@pytest.fixture(scope="module")
def captioner(tmp_path_factory):
    pytest.importorskip("transformers.models.blip.modeling_blip", exc_type=(ImportError,))
    folder = tmp_path_factory.mktemp("captioner")
    save_captioner(folder)
    return folder


def ask(generator, *questions):
    async def all_answers():
        return [await generator.answer(question) for question in questions]

    generator.prepare()
    return asyncio.run(all_answers())


def question(seed=1, **more):
    return Question("please generate a photo of the cat", seed=seed, count=1, **more)


def test_a_model_writes(writer):
    generator = open_generator(f"hf:{writer}?max_tokens=9", {})
    (answer,) = ask(generator, question())
    assert answer.text.split()
    assert "please generate" not in answer.text
    assert answer.model.startswith(f"{writer.name}@config-")
    assert answer.was_cut
    assert (answer.tokens_in > 3, answer.tokens_out >= 9) == (True, True)


def test_a_seed_decides(writer):
    generator = open_generator(f"hf:{writer}?max_tokens=9", {})
    first, repeated, other = ask(generator, question(1), question(1), question(2))
    assert first.text == repeated.text != other.text


def test_at_temperature_0_the_seed_does_not_matter_and_that_is_said(writer):
    generator = open_generator(f"hf:{writer}?max_tokens=9&temperature=0", {})
    first, other = ask(generator, question(1), question(2))
    assert first.text == other.text
    assert "temperature 0" in generator.notices()[0]


def test_what_can_change_an_answer_is_in_the_name(writer):
    generator = open_generator(f"hf:{writer}?temperature=0.5&seed=3&device=cpu", {})
    assert generator.name == f"hf:{writer}?seed=3&task=text-generation&temperature=0.5"


def test_a_template_makes_a_chat_of_it(tmp_path):
    save_writer(tmp_path, template=CHAT)
    generator = open_generator(f"hf:{tmp_path}?max_tokens=5", {})
    calls = []
    pipeline = generator._pipeline
    generator.__dict__["_pipeline"] = Recording(pipeline, calls)
    (answer,) = ask(generator, question(system="be brief"))
    assert calls[0]["text_inputs"] == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "please generate a photo of the cat"},
    ]
    assert answer.text.split()


class Recording:
    def __init__(self, pipeline, calls):
        self.pipeline, self.calls = pipeline, calls

    def __getattr__(self, name):
        return getattr(self.pipeline, name)

    def __call__(self, **inputs):
        self.calls.append(inputs)
        return self.pipeline(**inputs)


def test_pictures_are_described(captioner, tmp_path):
    generator = open_generator(f"hf:{captioner}?task=image-text-to-text&max_tokens=6", {})
    shades = [np.full((20, 20, 3), shade, np.uint8) for shade in (0, 255)]
    items = [Item(f"i{n}", "image", pixels) for n, pixels in enumerate(shades)]
    questions = [question(attachments=attachments_of(item)) for item in items]
    (first, other) = ask(generator, *questions)
    assert first.text.split()
    assert other.text.split()
    generator = open_generator(f"hf:{captioner}?task=image-text-to-text&max_tokens=30", {})
    prompts = choose_prompts("", ["a photo of"], "", for_items=True)
    job = item_job(ListCorpus("x", "image", items), "image", generator, prompts)
    run = begin(job, generator, tmp_path / "x.parquet", Bounds(rounds=1))
    result = run.run()
    if len(result.table):  # a random model may end at once, which is told
        rows = list(open_knowledge(tmp_path / "x.parquet").rows())
        assert {row.source for row in rows} == {"MLLM"}
    assert len(result.table) + sum(result.outcome.short.values()) == 2


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu(writer):
    (answer,) = ask(open_generator(f"hf:{writer}?max_tokens=9&device=cuda", {}), question())
    assert answer.text.split()


def test_code_beside_weights_is_refused(writer, tmp_path):
    config = json.loads((writer / "config.json").read_text())
    config["auto_map"] = {"AutoModelForCausalLM": "mine.Model"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(DataError, match="cannot describe") as caught:
        open_generator(f"hf:{tmp_path}", {})
    assert "mine.Model" in caught.value.why


def test_pickles_with_code_are_refused(writer, tmp_path):
    import pickle

    for path in writer.glob("*"):
        if path.suffix != ".safetensors":
            (tmp_path / path.name).write_bytes(path.read_bytes())

    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps({"x": Evil()}))
    with pytest.raises(DataError):
        open_generator(f"hf:{tmp_path}", {}).prepare()
    assert not (tmp_path / "ran").exists()


def test_a_model_of_another_task_is_refused(writer):
    generator = open_generator(f"hf:{writer}?task=image-text-to-text", {})
    with pytest.raises(DataError, match="cannot run") as caught:
        ask(generator, question())
    assert "image-text-to-text" in caught.value.fix


def test_missing_repositories_say_how_to_get_them(tmp_path):
    with pytest.raises(MissingError) as caught:
        open_generator(f"hf:org/name@{COMMIT}", {})
    assert caught.value.fix == f"hf download org/name --revision {COMMIT}"
    with pytest.raises(MissingError, match="no folder"):
        open_generator(f"hf:{tmp_path}/none", {})
    with pytest.raises(UsageError, match="names no repository"):
        open_generator("hf:a b", {})
