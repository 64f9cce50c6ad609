"""A headless Chromium for tests of pages: this machine's own, or playwright's."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

# Before tests are sent to caches of their own: playwright looks for its browser in the user's.
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
os.environ.setdefault("PLAYWRIGHT_BROWSERS_PATH", str(_CACHE / "ms-playwright"))


@contextmanager
def browser() -> Iterator:
    """Lend a headless browser of playwright's; where there is none, skip the test and say so."""
    from playwright.sync_api import Error, sync_playwright

    path = next(filter(None, map(shutil.which, NAMES)), None)
    with sync_playwright() as playwright:
        try:
            # A container's root may not have the sandbox, nor much shared memory.
            opened = playwright.chromium.launch(
                executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"]
            )
        except Error as error:
            why = str(error).strip().splitlines()[0]
            pytest.skip(f"no browser: apt-get install chromium fonts-dejavu-core ({why})")
        try:
            yield opened
        finally:
            opened.close()
