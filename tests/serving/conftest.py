"""The page of a server of its own, with a product of the mini lab."""

import pytest
from browser import browser as lent_browser
from bundles import record_of, tensors_of
from served_page import EXPRESSION, Running

from reactions.inference.embedder import LoadedParts
from reactions.labs.lab_file import load_lab
from reactions.products.bundles.bundle import load_bundle, write_bundle
from reactions.products.target import Target
from reactions.serving.bench import Bench
from reactions.serving.samples import sample_index
from reactions.session import Session, load_encoder


@pytest.fixture(scope="module")
def browser():
    with lent_browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOLSPACE_CACHE", str(folder / "cache"))
        session = Session(load_lab("mini"), device="cpu")
        space = session.check(EXPRESSION).space
        path = write_bundle(folder / "bundle", record_of(space), tensors_of(space))
        target = Target.of_bundle(load_bundle(path))
        parts = LoadedParts(target, load_encoder, "cpu")
        patch.setattr("reactions.serving.samples.N_ITEMS", 24)
        index = sample_index(session, target, parts)
        bench = Bench(session, target, [index], parts=parts)
    server = Running(bench)
    server.start()
    yield server
    server.end()


@pytest.fixture
def open_page(browser, running):
    """A function that opens the page; what it complained of is in ``page.complaints``."""
    contexts = []

    def open_it(**options):
        context = browser.new_context(**{"viewport": {"width": 1300, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.complaints, page.addresses = [], []
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("console", lambda message: page.complaints.append(message.text))
        page.on("request", lambda request: page.addresses.append(request.url))
        page.goto(running.address)
        page.wait_for_selector("html[data-ready=yes]")
        return page

    yield open_it
    for context in contexts:
        context.close()
