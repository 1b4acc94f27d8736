"""gatebus.protocol.session: two sessions talk to each other over a simulated link."""

from __future__ import annotations

from sessionpair import Pair

from gatebus.protocol import State
from gatebus.protocol.messages import Accept, Credit, Data, End, Open, Result, Stop, Welcome


def accepted(window: int = 100, theirs: int = 100) -> tuple[Pair, int]:
    pair = Pair().greet()
    channel = pair.open("call", {"module": "x"}, window)
    pair.say(pair.host, Accept(channel, {"taken": 0}, theirs))
    pair.client.hear()
    return pair, channel


def test_both_sides_are_open_after_the_greeting() -> None:
    for keyless in (False, True):
        pair = Pair(keyless=keyless).greet()
        assert pair.client.session.state is pair.host.session.state is State.OPEN
        assert pair.client.session.version == pair.host.session.version == 1
        assert isinstance(pair.client.seen[-1], Welcome)


def test_an_operation_is_opened_and_answered_once() -> None:
    pair = Pair().greet()
    channel = pair.open("status", {"instance": b"i" * 16})
    assert pair.host.seen[-1] == Open(channel, "status", {"instance": b"i" * 16}, 0)
    pair.say(pair.host, Result(channel, {"state": "running"}))
    assert pair.client.hear() == [Result(channel, {"state": "running"})]
    assert not pair.client.session.is_open(channel)
    assert not pair.host.session.is_open(channel)


def test_bytes_go_both_ways_within_the_windows_and_credit_lets_more_come() -> None:
    pair, channel = accepted(window=10, theirs=4)
    for side, other, window in ((pair.client, pair.host, 4), (pair.host, pair.client, 10)):
        side.session.flows(channel).out.append(b"0123456789abcdef")
        assert pair.flush(side, channel) == 1
        assert other.hear() == [Data(channel, b"0123456789abcdef"[:window])]
        other.session.flows(channel).into.consume(window)
        pair.flush(other, channel)
        assert Credit(channel, window, window) in side.hear()


def test_each_direction_ends_by_itself() -> None:
    pair, channel = accepted()
    pair.client.session.flows(channel).out.end(7)
    pair.flush(pair.client, channel)
    assert pair.host.hear() == [End(channel, 7)]
    pair.client.session.flows(channel).into.stop()
    pair.flush(pair.client, channel)
    assert pair.host.hear() == [Stop(channel)]


def test_a_stream_goes_on_over_another_link() -> None:
    first, channel = accepted()
    client, host = first.client.session.flows(channel), first.host.session.flows(channel)
    client.out.append(b"to the host")
    host.out.append(b"to the client")
    first.flush(first.client, channel)
    first.flush(first.host, channel)
    first.host.hear()  # what the host said is lost with the link
    second = Pair().greet()
    number, message = second.client.session.open("attach", {"stream": b"s" * 16}, flows=client)
    second.put(second.client, message)
    (asked,) = second.host.hear()
    assert isinstance(asked, Open)
    assert asked.parameters == {"stream": b"s" * 16, "taken": 0, "gone": 0}
    second.put(second.host, second.host.session.resume(number, host, 0, {}))
    assert second.client.hear() == [Accept(number, {"taken": 11}, 89)]
    assert second.flush(second.client, number) == 0
    second.flush(second.host, number)
    assert second.client.hear() == [Data(number, b"to the client")]
