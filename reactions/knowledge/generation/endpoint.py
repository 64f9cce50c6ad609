"""Any endpoint that speaks OpenAI's chat completions: vLLM, Ollama, llama.cpp, hosted ones.

    openai:MODEL?base_url=http://localhost:8000/v1&temperature=1&seed=0

The key comes from OPENAI_API_KEY alone, and goes to the endpoint alone. Answers are read within
limits of time and size, whatever a server says of itself: what is not an answer is a ``Trouble``.
"""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import json
import os
from collections.abc import AsyncIterator, Mapping
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from reactions.core.errors import MissingError, UsageError, suggestion
from reactions.core.printable import printable_cell
from reactions.core.protocols import offline, without_password
from reactions.encoders.packages import import_package
from reactions.knowledge.generation.base import (
    Answer,
    Attachment,
    GenerationStopped,
    Question,
    Trouble,
)
from reactions.knowledge.generation.pace import retry_after_s
from reactions.knowledge.generation.specification import GeneratorSpec

EXTRA = "generate"
KEY_VARIABLE = "OPENAI_API_KEY"
PLACE_VARIABLE = "OPENAI_BASE_URL"
HOSTED = "https://api.openai.com/v1"
OPTIONS = (
    "base_url",
    "max_completion_tokens",
    "max_tokens",
    "modalities",
    "seed",
    "temperature",
    "timeout_s",
    "top_p",
)
MODALITIES = ("audio", "image")

MAX_ANSWER_BYTES = 8 << 20
"""Of one response; a list of a thousand sentences has about 150 kB."""

_MAX_ERROR_BYTES = 64 << 10
_SHOWN = 200
_NO_KEY = "none"
_MAX_TOKENS = 1 << 20


def openai_generator(spec: GeneratorSpec) -> Endpoint:
    """Return the generator that ``openai:MODEL?...`` names.

    Raises:
        UsageError: it names no model, or an option cannot mean anything.
    """
    return Endpoint(spec)


class Endpoint:
    """A model behind an endpoint.

    Args:
        spec: the model, and how it is asked.
    """

    licence = ""
    at_once = 0

    def __init__(self, spec: GeneratorSpec) -> None:
        spec.refuse_unknown(OPTIONS)
        if not spec.rest:
            raise UsageError(
                "openai: names no model",
                fix="openai:MODEL?base_url=http://localhost:8000/v1   or   openai:gpt-4o-mini",
                generator=spec.text,
            )
        self._model = spec.rest
        default = os.environ.get(PLACE_VARIABLE) or HOSTED
        self._base_url = _checked_url(spec.text_of("base_url", default))
        self._timeout_s = spec.number("timeout_s", 120.0, low=0.01, high=86400.0) or 120.0
        self._seed = spec.integer("seed", None, low=0, high=2**31 - 1)
        self._settings: dict[str, Any] = {
            "max_tokens": spec.integer("max_tokens", None, low=1, high=_MAX_TOKENS),
            # What newer hosted models take in its place.
            "max_completion_tokens": spec.integer(
                "max_completion_tokens", None, low=1, high=_MAX_TOKENS
            ),
            "temperature": spec.number("temperature", None, low=0.0, high=2.0),
            "top_p": spec.number("top_p", None, low=0.0, high=1.0),
        }
        self.modalities = _modalities(spec)
        options = {**self._settings, "base_url": self._base_url, "seed": self._seed}
        self.name = spec.canonical(self._model, options)
        self._client: Any = None

    @property
    def place(self) -> str:
        """Protocol and host of the endpoint."""
        parts = urlsplit(self._base_url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def is_remote(self) -> bool:
        """Whether the endpoint is not on this machine."""
        host = urlsplit(self._base_url).hostname or ""
        try:
            return not ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host != "localhost"

    @property
    def has_seed(self) -> bool:
        """Whether a seed is sent: each question's own, made of the one that was given."""
        return self._seed is not None

    @property
    def seed(self) -> int:
        """The seed that was given; 0 without one."""
        return self._seed or 0

    def notices(self) -> list[str]:
        """Return where the key goes, and what is not protected on its way."""
        notices = []
        if os.environ.get(KEY_VARIABLE):
            notices.append(f"the key in {KEY_VARIABLE} is sent to {self.place}")
        if self.is_remote and self._base_url.startswith("http:"):
            notices.append(f"the connection to {self.place} is not encrypted")
        if self._settings["temperature"] == 0:
            notices.append("at temperature 0 the same question gets the same answer again")
        return notices

    def prepare(self) -> None:
        """Check the package, the key and that the network may be used."""
        self._package()
        if self.is_remote and (setting := offline()):
            raise MissingError(
                f"'{self.place}' is not asked",
                why=f"offline mode is on ({setting})",
                fix="unset it, or use an endpoint on this machine",
            )
        if not os.environ.get(KEY_VARIABLE) and self._base_url == HOSTED:
            raise MissingError(
                f"no key for {self.place}",
                why=f"{KEY_VARIABLE} is not set",
                fix=f"set {KEY_VARIABLE}   or, for another endpoint, "
                f"openai:{self._model}?base_url=URL",
            )

    def _package(self) -> Any:
        return import_package("openai", f"openai:{self._model}", EXTRA)

    async def answer(self, question: Question) -> Answer:
        """Ask the endpoint once."""
        try:
            async with asyncio.timeout(self._timeout_s):
                body = await self._post(question)
        except TimeoutError:
            raise Trouble("no answer in time", f"{self._timeout_s:g} s") from None
        return _answer_in(body, question)

    async def close(self) -> None:
        """Close connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _post(self, question: Question) -> bytes:
        """Return the body of a response, read within its limit of size."""
        package = self._package()
        settings = {key: value for key, value in self._settings.items() if value is not None}
        if question.seed is not None:
            settings["seed"] = question.seed
        completions = self._connected(package).chat.completions.with_streaming_response
        body = bytearray()
        try:
            async with completions.create(
                model=self._model, messages=messages_of(question), **settings
            ) as response:
                async for piece in response.iter_bytes():
                    body += piece
                    if len(body) > MAX_ANSWER_BYTES:
                        raise Trouble("answer too large", f"over {MAX_ANSWER_BYTES >> 20} MiB")
        except package.APIStatusError as error:
            raise self._refused(error, question) from None
        except package.APITimeoutError:
            raise Trouble("no answer in time") from None
        except package.APIConnectionError as error:
            kind = type(error.__cause__ or error).__name__
            message, unsent = _line(f"{kind}: {error.__cause__ or error}"), kind == "ConnectError"
            raise Trouble("no connection", message, is_free=unsent) from None
        except (Trouble, TimeoutError):
            raise
        except Exception as error:
            # Early ends and damaged encodings are errors of whichever HTTP library openai uses.
            raise Trouble("answer broke off", _line(f"{type(error).__name__}: {error}")) from None
        return bytes(body)

    def _connected(self, package: Any) -> Any:
        if self._client is None:
            self._client = package.AsyncOpenAI(
                # A local server takes any; without one, the package would look elsewhere.
                api_key=os.environ.get(KEY_VARIABLE) or _NO_KEY,
                base_url=self._base_url,
                timeout=self._timeout_s,
                max_retries=0,  # ours are counted and bounded
                http_client=package.DefaultAsyncHttpxClient(
                    event_hooks={"response": [_bound]},
                    timeout=self._timeout_s,
                    follow_redirects=False,  # the user agreed to this place and no other
                ),
            )
        return self._client

    def _refused(self, error: Any, question: Question) -> Exception:
        """Return what a status other than 2xx means."""
        status, message = int(error.status_code), _message(error)
        wait_s = retry_after_s(error.response.headers.get("retry-after"))
        if getattr(error, "code", None) == "insufficient_quota":  # comes as a 429, and stays
            return GenerationStopped(
                f"{self.place} has no credit left for this key",
                why=f"HTTP {status}: {message}",
                fix="add some, or raise its limit; then the same command goes on",
                status=status,
            )
        if 300 <= status < 400:
            to = _line(error.response.headers.get("location", ""))
            return GenerationStopped(
                f"{self.place} sends us elsewhere",
                why=f"HTTP {status}, to {without_password(to)}" if to else f"HTTP {status}",
                fix="name that place, if you trust it: base_url=URL",
                status=status,
            )
        if status in (408, 409, 425, 429) or status >= 500:
            free = status <= 500 or status == 503  # gateways do not know what others did
            return Trouble(f"HTTP {status}", message, retry_after_s=wait_s, is_free=free)
        if status in (401, 403):
            return GenerationStopped(
                f"{self.place} does not let us in",
                why=f"HTTP {status}: {message}",
                fix=f"set {KEY_VARIABLE} to a key of this endpoint",
                status=status,
            )
        if status in (402, 404, 405):
            return GenerationStopped(
                f"{self.place} does not answer for the model '{self._model}'",
                why=f"HTTP {status}: {message}",
                fix=f"check MODEL and base_url (now {self._base_url}, which mostly ends in /v1)",
                status=status,
            )
        kinds = sorted({attachment.modality for attachment in question.attachments})
        if kinds:
            message += f" (with {' and '.join(kinds)}: does the model take them?)"
        return Trouble(f"HTTP {status}", message, is_final=True, is_free=True)


def messages_of(question: Question) -> list[dict[str, Any]]:
    """Return a question as the messages of a chat."""
    content: Any = question.prompt
    if question.attachments:
        parts = [_part(attachment) for attachment in question.attachments]
        content = [{"type": "text", "text": question.prompt}, *parts]
    messages = [{"role": "user", "content": content}]
    if question.system:
        messages.insert(0, {"role": "system", "content": question.system})
    return messages


def _part(attachment: Attachment) -> dict[str, Any]:
    data = base64.b64encode(attachment.data).decode("ascii")
    if attachment.modality == "audio":
        return {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}
    url = f"data:{attachment.media_type};base64,{data}"
    return {"type": "image_url", "image_url": {"url": url}}


def _answer_in(body: bytes, question: Question) -> Answer:
    """Return the answer that a response's body holds.

    Raises:
        Trouble: it holds none.
    """
    try:
        value = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        head = _line(body[:_SHOWN].decode("utf-8", "replace"))
        raise Trouble("answer is not JSON", f"it begins: {head}" if head else "it is empty") from (
            None
        )
    choices = value.get("choices") if isinstance(value, Mapping) else None
    first = choices[0] if isinstance(choices, list) and choices else None
    message = first.get("message") if isinstance(first, Mapping) else None
    if not isinstance(first, Mapping) or not isinstance(message, Mapping):
        raise Trouble("answer has no message", _line(json.dumps(value)[:_SHOWN]))
    text, finish = message.get("content"), first.get("finish_reason")
    if finish == "content_filter" or (text is None and message.get("refusal")):
        # Counted with what models refuse in words.
        text = "I cannot help with that."
    if not isinstance(text, str):
        raise Trouble("answer has no text", _line(json.dumps(message)[:_SHOWN]))
    usage = value.get("usage")
    model = " ".join(
        part
        for part in (value.get("model"), value.get("system_fingerprint"))
        if isinstance(part, str) and part
    )
    return Answer(
        text,
        printable_cell(model)[:_SHOWN],
        was_cut=finish == "length",
        tokens_in=_count(usage, "prompt_tokens"),
        tokens_out=_count(usage, "completion_tokens"),
    )


def _count(usage: Any, key: str) -> int | None:
    value = usage.get(key) if isinstance(usage, Mapping) else None
    return value if type(value) is int and 0 <= value < 1 << 40 else None


def _checked_url(url: str) -> str:
    """Refuse what is not the address of an endpoint; the error repeats no secrets (UsageError)."""
    try:
        parts = urlsplit(url)
        wrong = parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0
    except ValueError:
        raise _no_endpoint(url, "it is not an address") from None
    if "@" in parts.netloc:
        raise _no_endpoint(
            without_password(url), "it holds a name or password, which would be kept and shown"
        )
    if wrong:
        raise _no_endpoint(url, "an endpoint's address begins with http:// or https:// and a host")
    if parts.query or parts.fragment:
        raise _no_endpoint(url.partition("?")[0], "nothing may follow its path")
    return url.rstrip("/")


def _no_endpoint(url: str, why: str) -> UsageError:
    fix = f"base_url=http://localhost:8000/v1, and a key in {KEY_VARIABLE}"
    return UsageError(f"cannot ask '{url}'", why=why, fix=fix)


def _modalities(spec: GeneratorSpec) -> tuple[str, ...]:
    names = spec.text_of("modalities", ",".join(MODALITIES)).split(",")
    for name in names:
        if name not in (*MODALITIES, "text"):
            raise UsageError(
                f"an endpoint takes no attachments of '{name}'",
                fix=suggestion(name, MODALITIES),
                generator=spec.text,
            )
    return tuple(sorted(set(names) & set(MODALITIES)))


def _message(error: Any) -> str:
    """Return what a server says about a status, on a line."""
    body = error.body
    if isinstance(body, Mapping):
        body = body.get("message") or body.get("detail") or body.get("error") or body
    return _line(str(body if body else error.response.reason_phrase))


def _line(text: str) -> str:
    return printable_cell(" ".join(text.split()))[:_SHOWN]


async def _bound(response: Any) -> None:
    """Bound what is read of a response that is an error: the package reads it whole."""
    if response.status_code >= 400:
        # The package may use either of two HTTP libraries, which want streams of their own class.
        library = import_module(type(response).__module__.partition(".")[0])
        response.stream = type("Head", (_Head, library.AsyncByteStream), {})(response.stream)


class _Head:
    """The head of a response's stream."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        n_bytes = 0
        async for piece in self._stream:
            yield piece[: _MAX_ERROR_BYTES - n_bytes]
            n_bytes += len(piece)
            if n_bytes >= _MAX_ERROR_BYTES:
                return

    async def aclose(self) -> None:
        await self._stream.aclose()
