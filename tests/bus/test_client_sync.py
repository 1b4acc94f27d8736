"""gatebus.client.sync: the client without trio gives the same values and the same errors, from any thread."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from fakehost import ID, FakeHost, pattern

from gatebus.client import Denied, LinkLost, Program, StreamStopped
from gatebus.client.sync import wrapped
from gatebus.web.link import CannotConnect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gatebus.client.sync import SyncBus


@contextmanager
def client(host: FakeHost) -> Iterator[SyncBus]:
    before = threading.active_count()
    with wrapped(host.client) as bus:
        yield bus
    assert not [thread for thread in threading.enumerate() if thread.name == "gatebus"]
    assert before <= threading.active_count() + 1


def test_a_call_is_one_line() -> None:
    with client(FakeHost()) as bus:
        assert bus.call(Program("fake://echo"), stdin=b"hello").output == b"hello"


def test_a_stream_goes_both_ways() -> None:
    with client(FakeHost()) as bus, bus.open_call(Program("fake://echo")) as running:
        assert running.started() == UUID(bytes=ID)
        running.send(b"one")
        assert running.receive() == b"one"
        running.send(b"two")
        running.end()
        assert b"".join(running) == b"two"
        outcome = running.wait()
        assert outcome is not None
        assert outcome.cause == "NORMAL"


def test_one_thread_sends_while_another_receives() -> None:
    content = pattern(1000) * 1500
    with client(FakeHost(window=100_000)) as bus, bus.open_call(Program("fake://echo")) as running:

        def speak() -> None:
            running.send(content)
            running.end()

        speaker = threading.Thread(target=speak)
        speaker.start()
        assert b"".join(running) == content
        speaker.join()


def test_errors_are_those_of_the_client() -> None:
    with client(FakeHost(refuse={"call": ("forbidden", "Not you.")})) as bus:
        with pytest.raises(Denied) as caught:
            bus.call(Program("fake://echo"))
        assert caught.value.text == "Not you."


def test_an_error_in_the_body_leaves_everything_and_stays_itself() -> None:
    def fail() -> None:
        with client(FakeHost()) as bus, bus.open_call(Program("fake://wait")) as running:
            running.started()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not [thread for thread in threading.enumerate() if thread.name == "gatebus"]


def test_a_host_that_is_not_there_is_said_at_once() -> None:
    host = FakeHost()
    host.network.down = True
    with pytest.raises(CannotConnect), client(host):
        pytest.fail("connected")


def test_a_bus_that_has_been_left_says_so() -> None:
    with client(FakeHost()) as bus:
        pass
    with pytest.raises(LinkLost) as caught:
        bus.usage()
    assert caught.value.text == "This bus is closed: the `with` that made it has been left."


def test_who_still_waits_when_another_thread_leaves_the_bus_is_told() -> None:
    told = []

    def wait() -> None:
        try:
            bus.call(Program("fake://wait"))
        except LinkLost as fault:
            told.append(fault.text)

    host = FakeHost(answers={"usage": {}})
    with client(host) as bus:
        waiting = threading.Thread(target=wait)
        waiting.start()
        while not [each for each in host.opened if each[0] == "call"]:
            bus.usage()
    waiting.join()
    assert told == ["This bus is closed: the `with` that made it has been left."]


def test_whoever_sends_to_a_program_that_reads_no_more_hears_of_it() -> None:
    host = FakeHost()
    with client(host) as bus, bus.open_call(Program("fake://deaf")) as running:
        running.started()
        with pytest.raises(StreamStopped):
            running.send(bytes(3_000_000))


def test_small_operations_and_events_wait_for_their_answers() -> None:
    status = {"instance": ID, "state": "RUNNING", "cause": "", "result": 0}
    answers = dict.fromkeys(("status", "kill", "wait", "delete"), status)
    host = FakeHost(answers={**answers, "list": {"instances": [status]}, "launch": {"instance": ID}, "usage": {"a": 1}})
    with client(host) as bus:
        instance = bus.launch(Program("fake://wait"))
        assert [each.instance for each in bus.list()] == [instance]
        for answer in (bus.status(instance), bus.status(str(instance)), bus.wait(instance), bus.kill(instance.hex)):
            assert answer.state == "RUNNING"
        bus.delete(instance)
        assert bus.usage() == {"a": 1}
        with bus.events(since=4) as events:
            assert [next(events).number for _ in range(3)] == [5, 6, 7]


def test_a_file_is_uploaded_from_where_it_lies(tmp_path: object) -> None:
    from pathlib import Path

    path = Path(str(tmp_path)) / "file"
    path.write_bytes(pattern(300_000))
    host, seen = FakeHost(window=100_000), []
    with client(host) as bus:
        uploaded = bus.upload_file(str(path), lambda done, size: seen.append(done))
        assert bus.download(uploaded.sha256) == pattern(300_000)
        with pytest.raises(FileNotFoundError):
            bus.upload_file(str(path) + "x")
    assert seen[-1] == 300_000
