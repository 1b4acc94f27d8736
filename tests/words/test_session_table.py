"""gatebus.protocol.transitions: a session does what the tables say, all of it and nothing else, on both sides."""

from __future__ import annotations

import pytest
from sessionpair import CLIENT_CHALLENGE, CLIENT_SEED, HOST_CHALLENGE, HOST_SEED, Pair, Side

from gatebus.protocol import Broken, LocalProtocolError, Role, State
from gatebus.protocol.messages import (
    KINDS,
    Accept,
    Auth,
    Cancel,
    ClientHello,
    Credit,
    Data,
    End,
    Error,
    Farewell,
    HostHello,
    Kind,
    Log,
    Message,
    Open,
    Ping,
    Pong,
    Result,
    Stop,
    Welcome,
    encode,
)
from gatebus.protocol.proofs import client_statement, host_statement, public_key, sign, transcript
from gatebus.protocol.transitions import CHANNEL, DIRECTION, KEYLESS, LINK, Stage, Way, diagram, table

HOST_KEY, CLIENT_KEY = public_key(HOST_SEED), public_key(CLIENT_SEED)
SAID = transcript(CLIENT_CHALLENGE, HOST_CHALLENGE, HOST_KEY, CLIENT_KEY)
SAID_KEYLESS = transcript(CLIENT_CHALLENGE, HOST_CHALLENGE, HOST_KEY, None)


def sample(kind: Kind, channel: int = 1, *, keyless: bool = False) -> Message:
    """A message of each kind that is right but for its place."""
    key, said = (None, SAID_KEYLESS) if keyless else (CLIENT_KEY, SAID)
    found: dict[type, Message] = {
        type(message): message
        for message in (
            ClientHello((1,), "c", (), CLIENT_CHALLENGE, key),
            HostHello(1, "h", (), HOST_CHALLENGE, HOST_KEY, sign(HOST_SEED, host_statement(said)), {}),
            Auth(sign(CLIENT_SEED, client_statement(said))),
            Welcome("key"),
            Open(channel, "call", {}, 10),
            Accept(channel, {}, 10),
            Data(channel, b"x"),
            Credit(channel, 0, 20),
            End(channel, 0),
            Stop(channel),
            Log(channel, 1, b"x"),
            Result(channel, {}),
            Error(channel, "x", "y"),
            Cancel(channel),
            Ping(1),
            Pong(1),
            Farewell("stopping", "Soon.", 100),
        )
    }
    return next(message for message in found.values() if KINDS[type(message)] is kind)


def at(place: str, *, keyless: bool = False) -> Pair:
    """A pair whose greeting has come so far."""
    pair = Pair(keyless=keyless)
    steps = ["client-hello", "host-hello", *([] if keyless else ["auth"]), "welcome", "farewell"]
    for step in steps[: steps.index(place) + 1] if place else []:
        kind = Kind[step.upper().replace("-", "_")]
        side, other = (pair.client, pair.host) if step in ("client-hello", "auth") else (pair.host, pair.client)
        pair.say(side, sample(kind, keyless=keyless))
        other.hear()
        assert not any(isinstance(event, Broken) for event in other.seen)
    return pair


def expected(pair: Pair, sender: Role, kind: Kind, *, keyless: bool) -> bool:
    """What the tables say of a message that belongs to no channel (channel 1 was never opened)."""
    said = {Role.CLIENT: pair.client.session, Role.HOST: pair.host.session}[sender]._greeting.said
    word = KEYLESS if kind is Kind.CLIENT_HELLO and keyless else kind
    if (sender, said[sender], word) not in table(LINK):
        return False
    if kind is Kind.AUTH or kind is Kind.HOST_HELLO:
        return said[sender.other] in (State.AUTH, State.OPEN) and (kind is Kind.HOST_HELLO or pair.host_said())
    if kind is Kind.WELCOME:
        return said[sender.other] is State.OPEN
    return kind in (Kind.CLIENT_HELLO, Kind.OPEN, Kind.PING, Kind.PONG, Kind.FAREWELL)


PLACES = ["", "client-hello", "host-hello", "auth", "welcome", "farewell"]


@pytest.mark.parametrize("keyless", [False, True])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("sender", list(Role))
@pytest.mark.parametrize("kind", list(Kind))
def test_a_link_takes_and_sends_what_its_table_says(place: str, sender: Role, kind: Kind, keyless: bool) -> None:
    if keyless and place == "auth":
        return  # there is no such place
    message = sample(kind, keyless=keyless)
    pair = at(place, keyless=keyless)
    allowed = expected(pair, sender, kind, keyless=keyless)
    receiver = pair.host if sender is Role.CLIENT else pair.client
    receiver.inbox.append(encode(message))
    broken = [event for event in receiver.hear() if isinstance(event, Broken)]
    assert bool(broken) is not allowed, broken
    assert (receiver.session.state is State.ERROR) is not allowed
    pair = at(place, keyless=keyless)
    speaker = pair.client if sender is Role.CLIENT else pair.host
    if allowed and not (kind is Kind.OPEN and place == "farewell"):
        assert speaker.session.send(message) == encode(message)
    else:
        with pytest.raises(LocalProtocolError):
            speaker.session.send(message)


def test_the_host_may_end_the_link_with_an_error_at_any_time() -> None:
    for place in PLACES:
        pair = at(place)
        pair.say(pair.host, Error(0, "stopping", "The host stops."))
        assert pair.client.hear() == [Error(0, "stopping", "The host stops.")]
        assert pair.client.session.state is pair.host.session.state is State.CLOSED


def test_a_client_has_no_error_for_the_whole_link() -> None:
    pair = at("welcome")
    with pytest.raises(LocalProtocolError):
        pair.client.session.send(Error(0, "x", "y"))
    pair.put(pair.client, encode(Error(0, "x", "y")))
    (broken,) = pair.host.hear()
    assert isinstance(broken, Broken)
    assert broken.text == "A message error came where it cannot."


def channel_at(stage: Stage) -> Pair:
    """Channel 1 is so far; the greeting is over."""
    pair = at("welcome")
    assert pair.open("call", {}, 10) == 1
    if stage is not Stage.ASKED:
        pair.say(pair.host, Accept(1, {}, 10))
    if stage is Stage.OVER:
        pair.say(pair.host, Result(1, {}))
    pair.client.hear()
    return pair


CHANNEL_KINDS = [kind for kind in Kind if Kind.OPEN < kind < Kind.PING]


@pytest.mark.parametrize("stage", list(Stage))
@pytest.mark.parametrize("sender", list(Role))
@pytest.mark.parametrize("kind", CHANNEL_KINDS)
def test_a_channel_takes_and_sends_what_its_table_says(stage: Stage, sender: Role, kind: Kind) -> None:
    allowed = (sender, stage, kind) in table(CHANNEL)
    pair = channel_at(stage)
    receiver = pair.host if sender is Role.CLIENT else pair.client
    receiver.inbox.append(encode(sample(kind)))
    events = receiver.hear()
    heard_of = not allowed or stage is not Stage.OVER
    assert [isinstance(event, Broken) for event in events] == ([not allowed] if heard_of else [])
    speaker = (pair := channel_at(stage)).client if sender is Role.CLIENT else pair.host
    if allowed and stage is not Stage.OVER and kind is not Kind.DATA:
        assert speaker.session.send(sample(kind)) == encode(sample(kind))
    else:
        with pytest.raises(LocalProtocolError):
            speaker.session.send(sample(kind))


@pytest.mark.parametrize("sender", list(Role))
@pytest.mark.parametrize("kind", CHANNEL_KINDS)
def test_a_channel_that_was_never_opened_is_a_violation_for_every_message(sender: Role, kind: Kind) -> None:
    pair = channel_at(Stage.OVER)
    receiver = pair.host if sender is Role.CLIENT else pair.client
    receiver.inbox.append(encode(sample(kind, 2)))
    (broken,) = receiver.hear()
    assert isinstance(broken, Broken)
    assert broken.text in ("A channel was never opened.", f"A message {kind.name.lower()} came where it cannot.")


# How a direction gets to each of its places, as what is received: by its reader (data and end) or its writer (stop).
ROAD: dict[Way, list[Kind]] = {
    Way.WRITING: [],
    Way.ENDED: [Kind.END],
    Way.STOPPED: [Kind.STOP],
    Way.DONE: [Kind.STOP, Kind.END],
}


@pytest.mark.parametrize("way", list(Way))
@pytest.mark.parametrize("writer", list(Role))
@pytest.mark.parametrize("kind", [Kind.DATA, Kind.END])
def test_the_reader_of_a_direction_takes_what_its_table_says(way: Way, writer: Role, kind: Kind) -> None:
    pair = channel_at(Stage.FLOWING)
    reader = pair.host if writer is Role.CLIENT else pair.client
    for step in ROAD[way]:
        if step is Kind.STOP:
            reader.session.flows(1).into.stop()
            reader.session.unsent(1)
        else:
            list(reader.session.receive_many([encode(sample(step))]))
    events = list(reader.session.receive_many([encode(sample(kind))]))
    allowed = (writer, way, kind) in table(DIRECTION)
    assert [isinstance(event, Broken) for event in events] == [not allowed] or (allowed and way is Way.STOPPED)


@pytest.mark.parametrize("way", list(Way))
@pytest.mark.parametrize("writer", list(Role))
def test_the_writer_of_a_direction_takes_any_number_of_stops_and_hears_of_one(way: Way, writer: Role) -> None:
    pair = channel_at(Stage.FLOWING)
    side = pair.client if writer is Role.CLIENT else pair.host
    if Kind.END in ROAD[way]:
        side.session.flows(1).out.end()
        side.session.unsent(1)
    if Kind.STOP in ROAD[way]:
        list(side.session.receive_many([encode(Stop(1))]))
    assert (writer, way, Kind.STOP) in table(DIRECTION)
    assert list(side.session.receive_many([encode(Stop(1))] * 2)) == ([] if Kind.STOP in ROAD[way] else [Stop(1)])


@pytest.mark.parametrize("rows", [LINK, CHANNEL, DIRECTION])
def test_no_row_says_the_same_as_another_and_each_has_its_reason(rows: tuple[object, ...]) -> None:
    assert len(table(rows)) == len(rows)  # type: ignore[arg-type]
    assert all(len(row.reason) > 8 for row in rows)  # type: ignore[attr-defined]


def test_every_kind_of_message_has_its_row() -> None:
    said = {row.kind for row in LINK} | {row.kind for row in CHANNEL}
    assert set(Kind) <= said


def test_a_diagram_has_an_arrow_for_each_pair_of_places() -> None:
    lines = diagram(LINK, Role.CLIENT).splitlines()
    assert lines[:2] == ["```mermaid", "stateDiagram-v2"]
    assert "    hello --> auth: client-hello" in lines
    assert "    open --> open: open, data, credit, end, stop, cancel, ping, pong" in lines
    assert lines[-1] == "```"


def test_after_a_violation_nothing_is_read_or_sent_any_more() -> None:
    pair = channel_at(Stage.FLOWING)
    side: Side
    for side in (pair.host, pair.client):
        first, *rest = list(side.session.receive_many([b"nonsense", encode(Ping(1))]))
        assert isinstance(first, Broken)
        assert rest == list(side.session.receive_many([encode(Ping(1)), b"\x83\x06"])) == []
        assert side.session.state is State.ERROR
        assert side.session.unsent(1) == []
        with pytest.raises(LocalProtocolError) as caught:
            side.session.send(Ping(1))
        assert caught.value.text == "The session is over."
