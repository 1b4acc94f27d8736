"""The page of a host in a real browser: a person drops a program or writes JavaScript, runs it, talks to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import wasmtime
from hostprocess import serving
from pageparts import SCREENSHOTS
from playwright.sync_api import expect

if TYPE_CHECKING:
    from pathlib import Path

    from hostprocess import HostProcess
    from playwright.sync_api import Browser, Page

HELLO = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\10\\00\\00\\00\\0c\\00\\00\\00") (data (i32.const 16) "hello there\\n")
  (func (export "_start") (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"""
BUSY = """(module (memory (export "memory") 1) (func (export "_start") (loop br 0)))"""
pytestmark = pytest.mark.timeout(300)


def choose(page: Page, folder: Path, text: str, name: str = "program.wasm") -> None:
    file = folder / name
    file.write_bytes(bytes(wasmtime.wat2wasm(text)))
    page.set_input_files("#file", file)


def script(page: Page, text: str) -> None:
    page.click("#tab-script")
    page.fill("#script", text)
    page.click("#run")


def test_a_chosen_module_runs_and_the_page_says_what_it_cost(page: Page, tmp_path: Path) -> None:
    choose(page, tmp_path, HELLO)
    page.click("#run")
    expect(page.locator("#output")).to_have_text("hello there\n")
    expect(page.locator("#state")).to_have_text("ended well")
    for key in ("first", "cpu", "memory", "bytes", "wall"):
        expect(page.locator(f"#{key}")).not_to_have_text("-")


def test_a_dropped_module_is_taken(page: Page, tmp_path: Path) -> None:
    wasm = list(bytes(wasmtime.wat2wasm(HELLO)))
    data = page.evaluate_handle(
        """bytes => { const data = new DataTransfer()
        data.items.add(new File([new Uint8Array(bytes)], "dropped.wasm"))
        return data }""",
        wasm,
    )
    page.dispatch_event("#drop", "drop", {"dataTransfer": data})
    expect(page.locator("#chosen")).to_have_text("dropped.wasm")
    page.click("#run")
    expect(page.locator("#output")).to_have_text("hello there\n")


def test_javascript_runs_with_its_arguments_and_the_picture_is_kept(page: Page) -> None:
    page.fill("#arguments", 'one "two three"')
    script(page, "print(6 * 7, JSON.stringify(scriptArgs.slice(1)))")
    expect(page.locator("#output")).to_have_text('42 ["one","two three"]\n')
    expect(page.locator("#state")).to_have_text("ended well")
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    picture = page.screenshot(path=SCREENSHOTS / "page.png")
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 10_000


def test_a_script_that_is_larger_than_a_message_is_run_too(page: Page) -> None:
    script(page, f"// {'x' * 100_000}\nprint('large')")
    expect(page.locator("#output")).to_have_text("large\n")


def test_a_program_and_a_person_talk_line_by_line(page: Page) -> None:
    script(page, "for (let line; (line = std.in.getline()) !== null; ) print('you said', line)\nprint('bye')")
    page.fill("#input", "good day")
    page.click("#send")
    expect(page.locator("#output")).to_contain_text("you said good day")
    page.click("#end")
    expect(page.locator("#output")).to_contain_text("bye")
    expect(page.locator("#state")).to_have_text("ended well")


def test_a_busy_program_is_stopped(page: Page, tmp_path: Path) -> None:
    choose(page, tmp_path, BUSY)
    page.click("#run")
    expect(page.locator("#state")).to_have_text("running")
    page.click("#stop")
    expect(page.locator("#state")).to_contain_text("killed: KILLED")


def test_what_is_no_program_is_refused_in_a_sentence(page: Page, tmp_path: Path) -> None:
    (tmp_path / "no.wasm").write_text("#!/bin/sh\n")
    page.set_input_files("#file", tmp_path / "no.wasm")
    page.click("#run")
    expect(page.locator("#state")).to_have_text("not run")
    text = page.inner_text("#output")
    assert "WebAssembly" in text
    assert "/" not in text


def test_a_lost_connection_is_made_again_and_the_program_goes_on(page: Page) -> None:
    script(page, "for (let line; (line = std.in.getline()) !== null; ) print('got', line)")
    page.fill("#input", "one")
    page.click("#send")
    expect(page.locator("#output")).to_contain_text("got one")
    page.evaluate("gatebusPage.bus.interrupt()")
    page.fill("#input", "two")
    page.click("#send")
    expect(page.locator("#output")).to_contain_text("got two")
    assert page.inner_text("#output").count("got") == 2


def test_a_host_on_all_addresses_serves_its_own_page_by_any_of_them(browser: Browser, tmp_path: Path) -> None:
    with serving(tmp_path, "--listen", "0.0.0.0:0") as host, browser.new_context() as context:
        port = host.address().rpartition(":")[2]
        page = context.new_page()
        page.goto(f"http://127.0.0.2:{port}/")
        page.wait_for_selector('#link[data-state="open"]')


def test_a_name_that_somebody_lets_point_here_may_not_connect_and_the_page_says_why(
    browser: Browser, host: HostProcess
) -> None:
    port = host.address().rpartition(":")[2]
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"http://rebound.example:{port}/")
        told = f"If it is: its owner has to add http://rebound.example:{port} to its setting `origins`."
        expect(page.locator("body")).to_contain_text(told)


def test_a_page_from_elsewhere_may_not_connect(browser: Browser, host: HostProcess) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto("data:text/html,<title>elsewhere</title>")
    outcome = page.evaluate(
        """address => new Promise(resolve => {
          const socket = new WebSocket(address, ["gatebus.v1"])
          socket.onopen = () => resolve("open"); socket.onclose = () => resolve("closed") })""",
        f"ws://{host.address()}/bus",
    )
    context.close()
    assert outcome == "closed"
