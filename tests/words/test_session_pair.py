"""gatebus.protocol.session: two sessions talk to each other over a simulated link."""

from __future__ import annotations

import pytest
from sessionpair import Pair

from gatebus.protocol import FEATURES, Flows, State
from gatebus.protocol.channels import fresh
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


def with_input(data: bytes, first: int, features: tuple[str, ...] = FEATURES) -> tuple[Pair, Flows, Open]:
    """A call is opened whose stream has bytes and its end already. Its flows, and what the host hears."""
    pair, flows = Pair(features=features).greet(), fresh(0, 100)
    flows.out.append(data)
    flows.out.end(7)
    _number, message = pair.client.session.open("call", {}, flows=flows, first=first)
    pair.put(pair.client, message)
    (heard,) = pair.host.hear()
    assert isinstance(heard, Open)
    return pair, flows, heard


def all_said(pair: Pair, channel: int) -> list[object]:
    pair.flush(pair.client, channel)
    return [*pair.host.hear()]


def test_the_first_bytes_and_the_end_go_with_the_open_and_not_again() -> None:
    pair, flows, heard = with_input(b"abc", 10)
    assert heard.parameters == {"input": b"abc", "end": 7}
    pair.say(pair.host, Accept(heard.channel, {"taken": 3}, 50))
    pair.client.hear()
    assert all_said(pair, heard.channel) == []
    assert flows.out.over


def test_what_does_not_fit_goes_as_data_and_the_end_behind_it() -> None:
    pair, _flows, heard = with_input(b"abcdef", 4)
    assert heard.parameters == {"input": b"abcd"}
    pair.say(pair.host, Accept(heard.channel, {"taken": 4}, 50))
    pair.client.hear()
    assert all_said(pair, heard.channel) == [Data(heard.channel, b"ef"), End(heard.channel, 7)]


def test_an_end_without_bytes_goes_with_the_open() -> None:
    assert with_input(b"", 10)[2].parameters == {"end": 7}


@pytest.mark.parametrize(("first", "features"), [(10, ()), (10, ("other",)), (0, FEATURES)])
def test_nothing_goes_with_the_open_to_who_does_not_know_it_or_where_there_is_no_room(
    first: int, features: tuple[str, ...]
) -> None:
    pair, _flows, heard = with_input(b"abc", first, features)
    assert heard.parameters == {}
    pair.say(pair.host, Accept(heard.channel, {"taken": 0}, 50))
    pair.client.hear()
    assert all_said(pair, heard.channel) == [Data(heard.channel, b"abc"), End(heard.channel, 7)]


def test_what_went_with_an_open_whose_link_was_lost_goes_with_the_next_or_as_data() -> None:
    _first, flows, heard = with_input(b"abc", 10)
    second = Pair(features=FEATURES).greet()
    _number, message = second.client.session.open("call", {}, flows=flows, first=10)
    second.put(second.client, message)
    assert second.host.hear() == [heard]
    third = Pair().greet()
    number, message = third.client.session.open("call", {}, flows=flows, first=10)
    third.put(third.client, message)
    assert third.host.hear() == [Open(number, "call", {}, 100)]
    third.say(third.host, Accept(number, {"taken": 0}, 50))
    third.client.hear()
    assert all_said(third, number) == [Data(number, b"abc"), End(number, 7)]


def test_a_stream_whose_first_bytes_arrived_although_the_accept_did_not_is_attached_to_behind_them() -> None:
    _first, flows, _heard = with_input(b"abc", 10)
    second = Pair(features=FEATURES).greet()
    number, message = second.client.session.open("attach", {}, flows=flows, first=10)
    second.put(second.client, message)
    assert second.host.hear() == [Open(number, "attach", {"taken": 0, "gone": 0}, 100)]
    second.say(second.host, Accept(number, {"taken": 3}, 50))
    second.client.hear()
    assert all_said(second, number) == [End(number, 7)]
