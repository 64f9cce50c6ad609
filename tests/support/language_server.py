"""A server that speaks chat completions over HTTP on this machine, and misbehaves when told to."""

import contextlib
import hashlib
import json
import re
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WORDS = (
    "quiet", "bright", "narrow", "muddy", "golden", "tall", "broken", "distant", "frozen", "early",
    "crowded", "painted", "wooden", "rusty", "gentle", "heavy", "shady", "windy", "dusty", "small",
)  # fmt: skip


def sentence(subject: str, seed: int, number: int) -> str:
    """Return a sentence of which there are 8,000 a subject."""
    text = f"{subject} {seed} {number}".encode()
    a, b, c = hashlib.sha256(text).digest()[:3]
    words = (WORDS[letter_value % len(WORDS)] for letter_value in (a, b, c))
    return f"A photo of the {subject} in a {' and '.join(words)} place."


def subject_of(prompt: str) -> str:
    for pattern in (r"<A photo of an? (.*?)>", r"about (.*?)\.", r"of this (\w+)"):
        if match := re.search(pattern, prompt):
            return match[1]
    return "thing"


def count_of(prompt: str) -> int:
    match = re.search(r"generate ([\d,]+)", prompt) or re.search(r"Write ([\d,]+)", prompt)
    return int(match[1].replace(",", "")) if match else 1


def good_text(request: dict) -> str:
    prompt = prompt_of(request)
    seed, subject, n = request.get("seed", 0), subject_of(prompt), count_of(prompt)
    if n == 1 and "generate" not in prompt:
        return sentence(subject, seed, 0)
    return "\n".join(f"{i}. {sentence(subject, seed, i)}" for i in range(1, n + 1))


def prompt_of(request: dict) -> str:
    content = request["messages"][-1]["content"]
    if isinstance(content, str):
        return content
    return next(part["text"] for part in content if part["type"] == "text")


def completion(text, *, finish="stop", usage=True, model="tiny-1", **more) -> dict:
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "system_fingerprint": "fp_1",
        "choices": [
            {
                "index": 0,
                "finish_reason": finish,
                "message": {"role": "assistant", "content": text},
            }
        ],
        **more,
    }
    if usage:
        body["usage"] = {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30}
    return body


class LanguageServer:
    """Answers on 127.0.0.1; ``script`` says how each request in turn is treated, then ``usual``.

    A treatment is a text (the answer), or a function of (handler, request) that writes one.
    """

    def __init__(self, script=(), usual=good_text):
        self.script = list(script)
        self.usual = usual
        self.requests = []
        self.headers = []
        self.at_once = self.most_at_once = 0
        self.counts = Counter()
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_POST(self):
                with contextlib.suppress(OSError):
                    server.serve(self)

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._http.block_on_close = False
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}/v1"

    def spec(self, **options) -> str:
        options = {"base_url": self.url, **options}
        return "openai:tiny?" + "&".join(f"{key}={value}" for key, value in options.items())

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def serve(self, handler):
        raw = handler.rfile.read(int(handler.headers["Content-Length"]))
        request = json.loads(raw)
        with self._lock:
            self.requests.append(request)
            self.headers.append({k.lower(): v for k, v in handler.headers.items()})
            treatment = self.script.pop(0) if self.script else self.usual
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if isinstance(treatment, str):
                send_json(handler, completion(treatment))
            elif treatment is good_text:
                send_json(handler, completion(good_text(request)))
            else:
                treatment(handler, request)
        finally:
            with self._lock:
                self.at_once -= 1


def send(handler, status, body: bytes, content_type="application/json", **headers):
    handler.send_response(status)
    handler.send_header("Content-Type", content_type)
    handler.send_header("Content-Length", str(len(body)))
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def send_json(handler, value, status=200, **headers):
    send(handler, status, json.dumps(value).encode(), **headers)


# --- treatments ----------------------------------------------------------------------


def good(handler, request):
    send_json(handler, completion(good_text(request)))


def status(code, message="as you wish", **headers):
    def treat(handler, request):
        send_json(handler, {"error": {"message": message}}, code, **headers)

    return treat


def html(handler, request):
    send(handler, 200, b"<html><body>Welcome to the captive portal</body></html>", "text/html")


def broken_json(handler, request):
    send(handler, 200, json.dumps(completion("1. A.\n2. B.")).encode()[:-30])


def other_json(handler, request):
    send_json(handler, {"message": "no choices here"})


def no_text(handler, request):
    send_json(handler, completion(None))


def filtered(handler, request):
    send_json(handler, completion("", finish="content_filter"))


def silent(handler, request):
    """Without a usage, and without a fingerprint."""
    body = completion(good_text(request), usage=False)
    del body["system_fingerprint"]
    send_json(handler, body)


def wrong_type(handler, request):
    send(handler, 200, json.dumps(completion(good_text(request))).encode(), "text/plain")


def huge(handler, request):
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.end_headers()
    handler.close_connection = True
    handler.wfile.write(b'{"choices": "')
    for _ in range(64):
        handler.wfile.write(b"x" * (1 << 20))


def huge_error(handler, request):
    handler.send_response(500)
    handler.send_header("Content-Type", "text/plain")
    handler.end_headers()
    handler.close_connection = True
    for sent in range(64):
        handler.wfile.write(b"x" * (1 << 20))
        SENT_MB.append(sent + 1)


SENT_MB = []
"""How much of a huge error was read, or lies in the connection's buffers."""


def cut_body(handler, request):
    """Says more bytes than come."""
    body = json.dumps(completion(good_text(request))).encode()
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body[: len(body) // 2])
    handler.wfile.flush()
    handler.connection.close()
    handler.close_connection = True


def hang_up(handler, request):
    handler.connection.close()
    handler.close_connection = True


def stall(seconds):
    def treat(handler, request):
        time.sleep(seconds)
        good(handler, request)

    return treat


def trickle(seconds):
    """Sends a byte at a time, so that no single read takes long."""

    def treat(handler, request):
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.end_headers()
        handler.close_connection = True
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.02)

    return treat


def elsewhere(url):
    def treat(handler, request):
        send(handler, 307, b"", Location=url)

    return treat
