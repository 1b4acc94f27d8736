"""A real Chromium and a real host: each once for the tests of a file, a fresh page for each test.

Not for the whole session: their processes would stand beside all tests behind them, as children of the same process.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from guestfiles import require_guest
from hostprocess import HostProcess, serving
from pageparts import PATIENCE
from playwright.sync_api import Browser, ConsoleMessage, Error, Page, expect, sync_playwright
from required import require

if TYPE_CHECKING:
    from collections.abc import Iterator

# Without the network flags Chromium looks for its maker's servers at every start. Its own sandbox needs what ours uses.
# A name of somebody else's points here, as in an attack (DNS rebinding).
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage"),
    "--host-resolver-rules=MAP rebound.example 127.0.0.1",
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    executable = shutil.which("chromium")
    require(executable, "chromium is not installed: make browser-tools")
    with sync_playwright() as playwright:
        expect.set_options(timeout=PATIENCE)
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostProcess]:
    require_guest("qjs.wasm")
    with serving(tmp_path_factory.mktemp("host"), "--listen", "127.0.0.1:0") as host:
        yield host


@pytest.fixture
def page(browser: Browser, host: HostProcess) -> Iterator[Page]:
    """Connected to the host. Nothing that the browser complains of is let pass."""
    complaints: list[str] = []

    def said(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            complaints.append(message.text)

    def failed(error: Error) -> None:
        complaints.append(str(error))

    context = browser.new_context(viewport={"width": 1200, "height": 800})
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.on("console", said)
    page.on("pageerror", failed)
    page.goto(f"http://{host.address()}/")
    page.wait_for_selector('#link[data-state="open"]')
    yield page
    context.close()
    assert complaints == []
