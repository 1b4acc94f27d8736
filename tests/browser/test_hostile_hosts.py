"""gatebus.js and the page in a real browser against hosts that lie: the person reads why, the tab stays small.

Each attack has a script of the false host and what a page's program is told. The library ends the link at the first
thing that cannot be; nothing that a host sends is an error that nobody caught (the fixture fails for those).
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from hostilebus import HostileBus, Line, hostile_bus
from pageparts import PATIENCE
from playwright.sync_api import expect

from gatebus.protocol.messages import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Error, Page

    Script = Callable[[Line], None]

MIB = 1 << 20
GROWTH = 64 * MIB  # as for attacks on hosts
pytestmark = pytest.mark.timeout(300)

OUTCOME = {"state": "HALTED", "cause": "NORMAL", "result": 0, "usage": {}}


def on_hello(*messages: bytes | str) -> Script:
    def script(line: Line) -> None:
        line.hear(Kind.CLIENT_HELLO)
        for each in messages:
            line.raw(each)

    return script


def hello(**other: object) -> Script:
    return lambda line: line.greet(**other)


def twice(line: Line) -> None:
    line.greet()
    line.say(Kind.HOST_HELLO, {})


def too_early(line: Line) -> None:
    line.hear(Kind.CLIENT_HELLO)
    line.say(Kind.WELCOME, {"principal": "you"})


def in_call(*messages: tuple[Any, ...]) -> Script:
    """`...` stands for the call's channel."""

    def script(line: Line) -> None:
        channel = line.accepted()
        for each in messages:
            line.say(*(channel if item is ... else item for item in each))

    return script


def instead_of_accept(*message: object) -> Script:
    def script(line: Line) -> None:
        channel = line.begin()
        line.say(*(channel if item is ... else item for item in message))

    return script


NO_CBOR = "The host sent something that is not CBOR."
NO_MESSAGE = "The host sent no message of gatebus.v1."
MALFORMED = "The host sent a malformed message."
NO_HELLO = "The host's hello makes no sense."
GREETING = "The host greeted too late, or twice."
NO_ACCEPT = "The host's accept makes no sense."
NO_ANSWER = "The host's answer makes no sense."
NOT_ASKED = "The host answered what nobody asked."
NO_PLACE = "The host said something that has no place there."
TOO_MUCH = "The host sent more than it was allowed to, or nothing."
COUNTS = "The host counts bytes that are not there."

ATTACKS: dict[str, tuple[Script, str]] = {
    "garbage": (on_hello(bytes(range(256))), NO_CBOR),
    "half-a-message": (on_hello(b"\x84\x05"), NO_CBOR),
    "deep-nesting": (on_hello(b"\x81" * 65_000), NO_CBOR),
    "long-array-of-nothing": (on_hello(b"\x9b" + b"\xff" * 8), NO_CBOR),
    "text-frame": (on_hello("hello"), NO_MESSAGE),
    "empty-frame": (on_hello(b""), NO_CBOR),
    "giant-frame": (on_hello(bytes(16 * MIB)), NO_MESSAGE),
    "client-message": (on_hello(b"\x85\x04\x01\x61a\xa0\x00"), MALFORMED),
    "hello-of-other-types": (hello(key="key"), NO_HELLO),
    "hello-with-a-length": (hello(key={"length": 2**32 - 1}), NO_HELLO),
    "hello-of-another-version": (hello(version=2), NO_HELLO),
    "hello-twice": (twice, GREETING),
    "welcome-before-hello": (too_early, GREETING),
    "instance-with-a-length": (instead_of_accept(Kind.ACCEPT, ..., {"instance": {"length": 2**32 - 1}}, 9), NO_ACCEPT),
    "taken-before-it-was-sent": (instead_of_accept(Kind.ACCEPT, ..., {"taken": 5}, 9), COUNTS),
    "taken-that-is-no-count": (instead_of_accept(Kind.ACCEPT, ..., {"taken": 0.5}, 9), NO_ACCEPT),
    "data-before-accept": (instead_of_accept(Kind.DATA, ..., b"early"), NO_PLACE),
    "accept-twice": (in_call((Kind.ACCEPT, ..., {"taken": 0}, 9)), NO_PLACE),
    "channel-that-nobody-opened": (in_call((Kind.DATA, 77, b"x")), NOT_ASKED),
    "channel-zero": (in_call((Kind.RESULT, 0, {})), NOT_ASKED),
    "more-than-the-window": (in_call(*[(Kind.DATA, ..., bytes(65_536))] * 5), TOO_MUCH),
    "data-without-bytes": (in_call((Kind.DATA, ..., b"")), TOO_MUCH),
    "data-after-the-end": (in_call((Kind.END, ..., 0), (Kind.DATA, ..., b"x")), NO_PLACE),
    "end-twice": (in_call((Kind.END, ..., 0), (Kind.END, ..., 0)), NO_PLACE),
    "credit-for-nothing": (in_call((Kind.CREDIT, ..., 2**50, 1)), COUNTS),
    "result-without-a-form": (in_call((Kind.RESULT, ..., {"state": 5})), NO_ANSWER),
    "result-of-another-type": (in_call((Kind.RESULT, ..., {**OUTCOME, "result": "0"})), NO_ANSWER),
    "ended-that-is-no-map": (in_call((Kind.RESULT, ..., {"ended": None})), NO_ANSWER),
}


@pytest.fixture(scope="module")
def false_host() -> Iterator[HostileBus]:
    with hostile_bus() as bus:
        bus.scripts = {name: script for name, (script, _) in ATTACKS.items()}
        yield bus


@contextmanager
def page_without_errors(browser: Browser) -> Iterator[Page]:
    """An error that a script of the page throws and nobody catches is a failure."""
    uncaught: list[Error] = []

    def note(error: Error) -> None:
        uncaught.append(error)

    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.on("pageerror", note)
    yield page
    context.close()
    assert uncaught == []


@pytest.fixture(scope="module")
def tab(browser: Browser, false_host: HostileBus) -> Iterator[Page]:
    """One page for all attacks: what one of them breaks, the next one finds broken."""
    with page_without_errors(browser) as page:
        page.goto(f"http://{false_host.address}/gatebus.d.ts")
        yield page


ATTEMPT = """async address => {
  const { connect } = await import("/gatebus.js")
  try {
    const bus = await connect(address, { attempts: 0 })
    const run = bus.call("00".repeat(32))
    await run.accepted
    await run.result
  } catch (problem) {
    return [problem.code, problem.message]
  }
  return ["well", ""]
}"""


def heap(page: Page) -> int:
    """Bytes that the tab's program holds, buffers too, after what nobody holds is gone."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    usage = session.send("Runtime.getHeapUsage")
    session.detach()
    return int(usage["usedSize"]) + int(usage.get("backingStorageSize", 0))


@pytest.mark.parametrize("name", ATTACKS)
def test_a_host_that_lies_is_left_and_the_person_reads_why(name: str, tab: Page, false_host: HostileBus) -> None:
    before = heap(tab)
    code, message = tab.evaluate(ATTEMPT, f"ws://{false_host.address}/bus?{name}")
    assert (code, message) == ("protocol", ATTACKS[name][1])
    assert heap(tab) - before < GROWTH


def late_data(line: Line) -> None:
    """For a channel that was answered: late ones are dropped, however many. Then the answer to the next question."""
    channel = line.accepted()
    line.say(Kind.RESULT, channel, OUTCOME)
    for _ in range(1_500):
        line.say(Kind.DATA, channel, bytes(60_000))
    line.say(Kind.RESULT, line.hear(Kind.OPEN)[0], {"instances": 0})


def test_data_for_a_channel_that_was_answered_is_dropped_however_much(tab: Page, false_host: HostileBus) -> None:
    false_host.scripts["flood"] = late_data
    before = heap(tab)
    told = tab.evaluate(
        """async address => {
          const { connect } = await import("/gatebus.js")
          const bus = await connect(address, { attempts: 0 })
          await bus.call("00".repeat(32)).result
          return bus.ask("usage")  // answered behind the flood: what is held then, is kept
        }""",
        f"ws://{false_host.address}/bus?flood",
    )
    assert told == {"instances": 0}
    assert heap(tab) - before < GROWTH


def rude_texts(line: Line) -> None:
    channel = line.accepted()
    line.say(Kind.FAREWELL, {"text": {"toString": 1}})
    line.say(Kind.WELCOME, {"principal": {"toString": 1}})
    line.say(Kind.ERROR, channel, {"code": {"toString": 1}, "text": "x" * 5_000, "__proto__": {"code": "mine"}})


def test_texts_that_are_none_or_long_reach_the_person_as_short_texts(tab: Page, false_host: HostileBus) -> None:
    false_host.scripts["rude"] = rude_texts
    assert tab.evaluate(ATTEMPT, f"ws://{false_host.address}/bus?rude") == ["internal", "x" * 400]


def test_a_host_that_greets_and_goes_is_not_asked_for_ever(tab: Page, false_host: HostileBus) -> None:
    def greets_and_goes(line: Line) -> None:
        line.greet()
        line.connection.close()

    false_host.scripts["goes"] = greets_and_goes
    before = false_host.connections
    told = tab.evaluate(
        """async address => {
          const { connect } = await import("/gatebus.js")
          const bus = await connect(address, { attempts: 2 })
          return bus.ask("usage").catch((problem) => [problem.code, problem.message])
        }""",
        f"ws://{false_host.address}/bus?goes",
    )
    assert told == ["unreachable", "The host cannot be reached. Is it running?"]
    assert false_host.connections - before == 3


@pytest.fixture
def page_of_the_false_host(browser: Browser, false_host: HostileBus) -> Iterator[Page]:
    with page_without_errors(browser) as page:
        yield page


def test_the_page_of_a_host_that_lies_says_so_and_can_be_used(
    page_of_the_false_host: Page, false_host: HostileBus
) -> None:
    page = page_of_the_false_host
    false_host.scripts[""] = on_hello("text")
    page.goto(f"http://{false_host.address}/")
    expect(page.locator("#link")).to_have_text(NO_MESSAGE)
    page.click("#tab-script")
    page.fill("#script", "print(1)")
    expect(page.locator("#run")).to_be_disabled()


def test_a_page_that_is_flooded_shows_the_end_of_it_and_answers_a_click(
    page_of_the_false_host: Page, false_host: HostileBus
) -> None:
    page = page_of_the_false_host

    def floods(line: Line) -> None:
        channel = line.accepted()
        for _ in range(600):
            line.say(Kind.LOG, channel, 1, b"log " * 2_500)
        line.hear(Kind.CANCEL)
        line.say(Kind.RESULT, channel, {**OUTCOME, "state": "KILLED", "cause": "KILLED"})

    false_host.scripts[""] = floods
    page.goto(f"http://{false_host.address}/")
    expect(page.locator("#link")).to_have_attribute("data-state", "open")
    page.set_input_files("#file", {"name": "x.wasm", "mimeType": "application/wasm", "buffer": b"\0asm"})
    page.click("#run")
    expect(page.locator("#state")).to_have_text("running")
    page.click("#stop")
    expect(page.locator("#state")).to_contain_text("killed: KILLED")
    assert 0 < len(page.locator("#output").inner_text()) <= 200_000
