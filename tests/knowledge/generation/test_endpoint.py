"""Endpoints over HTTP: what they are sent, and what they do instead of answering."""

import asyncio
import base64
import io
import wave
from contextlib import closing

import numpy as np
import pytest
from language_server import (
    SENT_MB,
    LanguageServer,
    broken_json,
    completion,
    cut_body,
    elsewhere,
    filtered,
    hang_up,
    html,
    huge,
    huge_error,
    no_text,
    other_json,
    send,
    send_json,
    silent,
    stall,
    status,
    trickle,
    wrong_type,
)
from PIL import Image
from ports import reserved_port

from reactions.core.errors import MissingError, MolspaceError, UsageError
from reactions.core.types import Item, Waveform
from reactions.knowledge.generation.base import Attachment, GenerationStopped, Question, Trouble
from reactions.knowledge.generation.media import attachments_of
from reactions.knowledge.generation.registry import open_generator

pytest.importorskip("openai")

QUESTION = Question("Please generate 2 sentences <A photo of a cat>", "Be brief.", count=2, seed=5)
KEY = "sk-very-secret"


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "MOLSPACE_OFFLINE", "OPENAI_ORG_ID"):
        monkeypatch.delenv(name, raising=False)


def ask(spec, question=QUESTION):
    generator = open_generator(spec, {})

    async def once():
        try:
            return await generator.answer(question)
        finally:
            await generator.close()

    generator.prepare()
    return asyncio.run(once())


def request_sent(treatment, question=QUESTION, **options):
    """Return what comes of one question, and the server that was asked."""
    with LanguageServer([treatment]) as server:
        try:
            return ask(server.spec(**{"timeout_s": 5, **options}), question), server
        except (Trouble, MolspaceError) as error:
            return error, server


def test_a_good_answer():
    answer, server = request_sent("1. A cat.\n2. Another cat.")
    assert answer.text == "1. A cat.\n2. Another cat."
    assert answer.model == "tiny-1 fp_1"
    assert (answer.tokens_in, answer.tokens_out, answer.was_cut) == (10, 20, False)
    (request,) = server.requests
    assert request == {
        "model": "tiny",
        "seed": 5,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": QUESTION.prompt},
        ],
    }


def test_settings_are_sent():
    _, server = request_sent("x", temperature=0.25, top_p=0.5, max_tokens=7)
    request = server.requests[0]
    assert (request["temperature"], request["top_p"], request["max_tokens"]) == (0.25, 0.5, 7)


def test_what_is_not_told_is_not_made_up():
    answer, _ = request_sent(silent)
    assert (answer.model, answer.tokens_in, answer.tokens_out) == ("tiny-1", None, None)


def test_an_answer_that_was_cut_says_so():
    answer, _ = request_sent(
        lambda handler, _: send_json(handler, completion("1. A", finish="length"))
    )
    assert answer.was_cut


def test_a_filter_counts_as_a_refusal():
    answer, _ = request_sent(filtered)
    assert answer.text == "I cannot help with that."


def test_the_kind_of_the_content_does_not_matter_if_it_is_json():
    answer, _ = request_sent(wrong_type)
    assert answer.text.startswith("1. ")


@pytest.mark.parametrize(
    ("treatment", "reason"),
    [
        (html, "answer is not JSON"),
        (broken_json, "answer is not JSON"),
        (lambda handler, _: send(handler, 200, b""), "answer is not JSON"),
        (lambda handler, _: send(handler, 200, b"[" * 100_000), "answer is not JSON"),
        (other_json, "answer has no message"),
        (lambda handler, _: send_json(handler, []), "answer has no message"),
        (lambda handler, _: send_json(handler, {"choices": [7]}), "answer has no message"),
        (no_text, "answer has no text"),
        (huge, "answer too large"),
        (huge_error, "HTTP 500"),
        (cut_body, "answer broke off"),
        (hang_up, "no connection"),
        (status(500), "HTTP 500"),
        (status(503), "HTTP 503"),
        (status(429), "HTTP 429"),
        (lambda handler, _: send(handler, 502, b"<html>" * 50, "text/html"), "HTTP 502"),
    ],
)
def test_lies_are_trouble_that_may_pass(treatment, reason):
    trouble, _ = request_sent(treatment)
    assert isinstance(trouble, Trouble)
    assert trouble.reason == reason
    assert not trouble.is_final
    assert len(str(trouble)) < 400
    # What broke off was sent, and may have been written; what was turned away was not.
    assert trouble.is_free == (reason in ("HTTP 429", "HTTP 500", "HTTP 503"))


def test_of_a_huge_error_only_the_head_is_read():
    SENT_MB.clear()
    trouble, _ = request_sent(huge_error)
    assert trouble.reason == "HTTP 500"
    assert len(SENT_MB) < 32


@pytest.mark.parametrize("treatment", [stall(1), trickle(1)], ids=["stall", "trickle"])
def test_answers_have_to_come_in_time(treatment):
    trouble, _ = request_sent(treatment, timeout_s=0.2)
    assert trouble.reason == "no answer in time"
    assert not trouble.is_free


def test_a_server_that_is_not_there_is_trouble():
    holder, port = reserved_port()
    with closing(holder), pytest.raises(Trouble) as caught:
        ask(f"openai:m?base_url=http://127.0.0.1:{port}/v1")
    assert caught.value.reason == "no connection"
    assert caught.value.is_free


@pytest.mark.parametrize(("header", "seconds"), [("3", 3.0), ("soon", None)])
def test_retry_after_is_passed_on(header, seconds):
    trouble, _ = request_sent(status(429, Retry_After=header))
    assert trouble.retry_after_s == seconds


@pytest.mark.parametrize("code", [400, 413, 422])
def test_what_cannot_be_answered_is_final(code):
    trouble, _ = request_sent(status(code, "no such parameter"))
    assert trouble.is_final
    assert trouble.is_free
    assert "no such parameter" in trouble.detail


@pytest.mark.parametrize(
    ("code", "fix"), [(401, "OPENAI_API_KEY"), (403, "OPENAI_API_KEY"), (404, "base_url")]
)
def test_what_no_question_can_be_answered_with_stops(code, fix):
    error, _ = request_sent(status(code, "never"))
    assert isinstance(error, GenerationStopped)
    assert fix in error.fix
    assert error.why == f"HTTP {code}: never"


def test_what_a_server_says_cannot_move_the_cursor():
    error, _ = request_sent(status(404, "\x1b[2Jgone\u202e"))
    assert "\x1b" not in str(error)
    assert "\u202e" not in str(error)
    trouble, _ = request_sent(lambda handler, _: send(handler, 200, b"\x1b[2J"))
    assert "\x1b" not in str(trouble)
    answer, _ = request_sent(
        lambda handler, _: send_json(handler, completion("x", model="m\x1b[2J"))
    )
    assert "\x1b" not in answer.model


# --- keys and places --------------------------------------------------------------------


def test_the_key_of_the_environment_is_sent(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    _, server = request_sent("x")
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"


def test_without_a_key_none_is_sent_that_is_one():
    _, server = request_sent("x")
    assert server.headers[0]["authorization"] == "Bearer none"


def test_neither_key_nor_question_follows_to_another_server(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with LanguageServer() as other:
        error, first = request_sent(elsewhere(f"{other.url}/chat/completions"))
        assert isinstance(error, GenerationStopped)
        assert error.why == f"HTTP 307, to {other.url}/chat/completions"
        assert first.headers[0]["authorization"] == f"Bearer {KEY}"
        assert not other.requests


def test_an_account_without_credit_stops():
    def treat(handler, request):
        error = {"message": "You exceeded your quota", "code": "insufficient_quota"}
        send_json(handler, {"error": error}, 429)

    error, _ = request_sent(treat)
    assert isinstance(error, GenerationStopped)
    assert "no credit left" in error.what


@pytest.mark.parametrize("code", [401, 404, 400, 500])
def test_the_key_is_not_repeated(monkeypatch, code):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    error, server = request_sent(status(code))
    assert KEY not in str(error)
    generator = open_generator(server.spec(), {})
    assert KEY not in repr(vars(generator)) + generator.name + "".join(generator.notices())


def test_where_the_key_goes_is_said(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    generator = open_generator("openai:m?base_url=http://example.org/v1", {})
    assert generator.notices() == [
        "the key in OPENAI_API_KEY is sent to http://example.org",
        "the connection to http://example.org is not encrypted",
    ]
    assert generator.is_remote


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1:1", "127.1.2.3", "[::1]:8"])
def test_this_machine_is_not_remote(host):
    generator = open_generator(f"openai:m?base_url=http://{host}/v1", {})
    assert not generator.is_remote
    assert generator.notices() == []


@pytest.mark.parametrize("host", ["127.0.0.1.example.org", "localhost.example.org", "10.0.0.1"])
def test_other_machines_are_remote(host):
    assert open_generator(f"openai:m?base_url=http://{host}/v1", {}).is_remote


def test_the_hosted_one_needs_a_key():
    with pytest.raises(MissingError, match=r"no key for https://api\.openai\.com"):
        open_generator("openai:m", {}).prepare()


def test_the_environment_may_name_the_place(monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:9/v1")
    assert open_generator("openai:m", {}).place == "http://localhost:9"


def test_offline_mode_holds(monkeypatch):
    monkeypatch.setenv("MOLSPACE_OFFLINE", "1")
    with pytest.raises(MissingError, match="is not asked"):
        open_generator("openai:m?base_url=https://example.org/v1", {}).prepare()
    open_generator("openai:m?base_url=http://localhost:1/v1", {}).prepare()


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("localhost:8000/v1", "begins with http"),
        ("ftp://x/v1", "begins with http"),
        ("http://", "begins with http"),
        ("http://me:pw@host/v1", "name or password"),
        ("http://host/v1%3Fkey=1", "nothing may follow"),
        ("http://host:99999/v1", "not an address"),
    ],
)
def test_places_that_are_none_are_refused(url, why):
    with pytest.raises(UsageError) as caught:
        open_generator(f"openai:m?base_url={url}", {})
    assert why in str(caught.value)
    assert "pw" not in str(caught.value)


# --- attachments -------------------------------------------------------------------------


def test_pictures_are_sent_as_data():
    pixels = np.full((30, 40, 3), (200, 30, 30), np.uint8)
    attached = attachments_of(Item("a", "image", pixels))
    _, server = request_sent("x", Question("What is it?", attachments=attached))
    text, picture = server.requests[0]["messages"][0]["content"]
    assert text == {"type": "text", "text": "What is it?"}
    kind, data = picture["image_url"]["url"].split(",")
    assert kind == "data:image/jpeg;base64"
    image = Image.open(io.BytesIO(base64.b64decode(data)))
    assert image.size == (40, 30)
    assert abs(int(np.asarray(image)[15, 20, 0]) - 200) < 6


def test_sounds_are_sent_as_wav():
    sound = Waveform(np.linspace(-1, 1, 800, dtype=np.float32), 8000)
    attached = attachments_of(Item("a", "audio", sound))
    _, server = request_sent("x", Question("What is it?", attachments=attached))
    _, part = server.requests[0]["messages"][0]["content"]
    assert part["input_audio"]["format"] == "wav"
    with wave.open(io.BytesIO(base64.b64decode(part["input_audio"]["data"]))) as file:
        assert (file.getframerate(), file.getnchannels(), file.getnframes()) == (8000, 1, 800)
        samples = np.frombuffer(file.readframes(800), "<i2")
    np.testing.assert_allclose(samples / 32767, sound.samples, atol=2e-5)


def test_a_model_that_does_not_take_them_says_what_helps():
    question = Question("What?", attachments=(Attachment("audio", "audio/wav", b""),))
    trouble, _ = request_sent(status(400, "unsupported content"), question)
    assert "with audio: does the model take them?" in trouble.detail
