"""A room with two browser tabs: `make chat`'s host, real pages, two strangers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from guestfiles import require_guest
from pageparts import PATIENCE, SCREENSHOTS
from playwright.sync_api import Page, expect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

ROOT = Path(__file__).parent.parent.parent
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def room() -> Iterator[str]:
    """The address that `make chat` prints."""
    require_guest("chat.wasm")
    line = [sys.executable, ROOT / "examples/chat/serve.py", "--port", "0"]
    ours = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True, env=ours) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().removeprefix("room: ").strip()
        finally:
            process.terminate()


@pytest.fixture
def visit(browser: Browser, room: str) -> Iterator[object]:
    """visit(name) -> a tab of somebody who has nothing in common with the others."""
    contexts = []

    def enter(name: str) -> Page:
        contexts.append(browser.new_context(viewport={"width": 1000, "height": 760}))
        page = contexts[-1].new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(room)
        expect(page.locator("#name")).to_be_enabled()
        expect(page.locator("#name")).to_have_value(re.compile(r"guest-\d+"))
        page.fill("#name", name)
        page.press("#name", "Enter") if name == "bob" else page.locator("#name").blur()
        expect(page.locator("#here .me")).to_have_text(name)
        return page

    yield enter
    for context in contexts:
        context.close()


def say(page: Page, text: str) -> None:
    page.fill("#input", text)
    page.click("#send")


def test_two_tabs_talk_see_each_other_come_and_go_and_a_newcomer_sees_what_was_said(visit: object, room: str) -> None:
    assert callable(visit)
    alice, bob = visit("alice"), visit("bob")
    say(alice, "is anybody here?")
    expect(bob.locator("#lines li", has_text="is anybody here?")).to_have_text("aliceis anybody here?")
    say(bob, "<b>yes</b>")
    expect(alice.locator("#lines li", has_text="yes").last).to_have_text("bob<b>yes</b>")
    expect(alice.locator("#here")).to_contain_text("bob")
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    assert alice.screenshot(path=SCREENSHOTS / "chat.png").startswith(b"\x89PNG")
    say(bob, "/topic rooms are programs")
    expect(alice.locator("#topic")).to_have_text("rooms are programs")
    bob.close()
    expect(alice.locator("#lines")).to_contain_text("bob went")
    carol = visit("carol")
    expect(carol.locator("#lines .old").first).to_contain_text("is anybody here?")
    expect(carol.locator("#topic")).to_have_text("rooms are programs")


def test_a_tab_that_loses_its_connection_stays_in_the_room(visit: object) -> None:
    assert callable(visit)
    dora, ed = visit("dora"), visit("ed")
    dora.evaluate("gatebusPage.bus.interrupt()")
    say(ed, "still here?")
    expect(dora.locator("#lines")).to_contain_text("still here?")
    say(dora, "yes, still")
    expect(ed.locator("#lines")).to_contain_text("yes, still")
    assert "dora went" not in ed.inner_text("#lines")


def test_an_address_without_a_room_says_so(browser: Browser, room: str) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(room.partition("#")[0])
    expect(page.locator("#lines .bad")).to_have_text("The address names no room: it ends with # and the room's name.")
    page.goto("about:blank")
    page.goto(f"{room.partition('#')[0]}#{'0' * 32}")
    expect(page.locator("#lines .bad")).to_contain_text("There is no such instance")
    context.close()
