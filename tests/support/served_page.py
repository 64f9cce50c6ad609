"""A server that can be stopped, and what tests do on its page."""

import threading
import time

from ports import reserved_port

from reactions.serving.access import Access
from reactions.serving.app import make_app

EXPRESSION = "ImageBind + Dr(InternVL) | Cr(CLAP_m) & Cr(CLAP_g)"


class Running:
    """A server in a thread, which can be stopped and started again on its port."""

    def __init__(self, bench):
        self._bench = bench
        self._holder, self.port = reserved_port()
        self.address = f"http://127.0.0.1:{self.port}/"

    def start(self):
        import uvicorn

        config = uvicorn.Config(
            make_app(self._bench, Access()), port=self.port, log_level="error", lifespan="off"
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive(), f"nothing is served at {self.address}"
            time.sleep(0.01)

    def stop(self):
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(120)
        assert not self._thread.is_alive()

    def end(self):
        """Stop it, and give back its port."""
        self.stop()
        self._holder.close()


CLAP_M = "\u03c3 of CLAP_m, text"


def until(page, expression, arg=None):
    """Wait until a script says yes; the page's own policy keeps playwright from doing so."""
    end_s = time.monotonic() + 120
    while not page.evaluate(expression, arg):
        assert time.monotonic() < end_s, f"never: {expression}"
        page.wait_for_timeout(25)


def search(page, text):
    page.fill("#text", text)
    until(page, "document.querySelector('#status').innerText.includes('hits at')")
    page.wait_for_selector(".hits.image .hit")


def keys(page, modality="image"):
    return page.locator(f".hits.{modality} .hit").evaluate_all(
        "(all) => all.map((own) => own.dataset.key)"
    )


def slide(page, name, value):
    page.get_by_role("slider", name=name).evaluate(
        "(own, value) => { own.value = value; own.dispatchEvent(new Event('input')); }", str(value)
    )


def wait_for_order(page, before, modality="image"):
    until(
        page,
        """([before, modality]) => JSON.stringify([...document.querySelectorAll(
             `.hits.${modality} .hit`)].map((own) => own.dataset.key)) !== before""",
        arg=[json_of(before), modality],
    )


def json_of(names):
    return "[" + ",".join(f'"{name}"' for name in names) + "]"


def drop(page, name, kind, content):
    """Drop a file somewhere on the page."""
    page.evaluate(
        """([name, type, bytes]) => {
             const data = new DataTransfer();
             data.items.add(new File([new Uint8Array(bytes)], name, { type }));
             for (const what of ['dragenter', 'dragover', 'drop']) {
               document.querySelector('main').dispatchEvent(new DragEvent(
                 what, { dataTransfer: data, bubbles: true, cancelable: true }));
             }
           }""",
        [name, kind, list(content)],
    )
