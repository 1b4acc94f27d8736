"""gatebus.protocol.greeting and proofs: who is there is proved, for this host, this client and this connection."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sessionpair import CLIENT_CHALLENGE, CLIENT_SEED, HOST_CHALLENGE, HOST_SEED, Pair, Side

from gatebus.protocol import Authenticated, Broken, LocalProtocolError, Role, Settings, State
from gatebus.protocol.messages import Auth, ClientHello, HostHello, Ping, Welcome, encode
from gatebus.protocol.proofs import client_statement, host_statement, public_key, sign, transcript, verify
from gatebus.protocol.reading import parse_untrusted

HOST_KEY, CLIENT_KEY = public_key(HOST_SEED), public_key(CLIENT_SEED)


def greeted(pair: Pair, challenge: bytes = HOST_CHALLENGE) -> HostHello:
    """The hello is heard; the host's answer is under way."""
    pair.put(pair.client, pair.client.session.hello(CLIENT_CHALLENGE))
    pair.host.hear()
    pair.put(pair.host, pair.host.session.greet(challenge, lambda statement: sign(HOST_SEED, statement)))
    answer = parse_untrusted(pair.client.inbox[-1])
    assert isinstance(answer, HostHello)
    return answer


def broken(side: Side) -> Broken:
    event = side.hear()[-1]
    assert isinstance(event, Broken)
    return event


def test_a_proof_is_what_the_page_says() -> None:
    """Put together here once more, from the page, with the library's own calls."""
    import hashlib

    from nacl.signing import VerifyKey

    pair = Pair()
    answer = greeted(pair)
    said = hashlib.sha256(CLIENT_CHALLENGE + HOST_CHALLENGE + HOST_KEY + CLIENT_KEY).digest()
    assert VerifyKey(answer.key).verify(b"gatebus.v1 host\0" + said, answer.proof)
    pair.client.hear()
    assert pair.client.session.proof_to_sign() == b"gatebus.v1 client\0" + said


@pytest.mark.parametrize("at", range(4))
def test_a_transcript_changes_with_each_of_its_parts(at: int) -> None:
    parts = [bytes([number]) * 32 for number in range(4)]
    changed = [*parts[:at], bytes(31) + b"\x01", *parts[at + 1 :]]
    assert transcript(*parts) != transcript(*changed)
    assert transcript(*parts[:3], None) != transcript(*parts)


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=80), st.data())
def test_a_signature_is_good_for_one_statement_and_one_key(seed: bytes, statement: bytes, data: st.DataObject) -> None:
    signature = sign(seed, statement)
    assert verify(public_key(seed), signature, statement)
    assert not verify(public_key(seed), signature, statement + b"x")
    assert not verify(public_key(bytes(32) if seed != bytes(32) else b"x" * 32), signature, statement)
    at = data.draw(st.integers(0, 511))
    changed = bytearray(signature)
    changed[at // 8] ^= 1 << at % 8
    assert not verify(public_key(seed), bytes(changed), statement)


@given(st.binary(max_size=40), st.binary(max_size=70))
def test_what_is_no_key_or_no_signature_is_only_wrong(key: bytes, signature: bytes) -> None:
    assert verify(key, signature, b"statement") is False


def test_keys_that_anybody_can_sign_for_are_refused() -> None:
    """Points of small order: their signatures say nothing (0 and 1 as encoded points)."""
    for key in (bytes(32), b"\x01" + bytes(31)):
        assert not verify(key, key + bytes(32), b"anything")


def test_a_client_does_not_talk_to_a_host_that_cannot_prove_its_key() -> None:
    pair = Pair()
    answer = greeted(pair)
    for wrong in (
        answer._replace(proof=sign(CLIENT_SEED, b"x")),
        answer._replace(key=CLIENT_KEY),
        answer._replace(challenge=bytes(32)),
        answer._replace(proof=sign(HOST_SEED, client_statement(transcript(*four(answer))))),
    ):
        other = Pair()
        greeted(other)
        other.client.inbox.clear()
        other.put(other.host, encode(wrong))
        event = broken(other.client)
        assert event.code == "not-authorized"
        assert event.text == "The host could not prove that it has the key that it names."
        assert event.reply is None


def four(answer: HostHello) -> tuple[bytes, bytes, bytes, bytes]:
    return CLIENT_CHALLENGE, answer.challenge, answer.key, CLIENT_KEY


def test_a_host_believes_no_signature_but_the_right_one() -> None:
    answer = greeted(Pair())
    said = transcript(*four(answer))
    for wrong in (
        bytes(64),
        sign(HOST_SEED, client_statement(said)),
        sign(CLIENT_SEED, host_statement(said)),
        sign(CLIENT_SEED, client_statement(transcript(CLIENT_CHALLENGE, bytes(32), HOST_KEY, CLIENT_KEY))),
        sign(CLIENT_SEED, client_statement(transcript(CLIENT_CHALLENGE, HOST_CHALLENGE, CLIENT_KEY, CLIENT_KEY))),
    ):
        pair = Pair()
        greeted(pair)
        pair.put(pair.client, encode(Auth(wrong)))
        event = broken(pair.host)
        assert (event.code, event.text) == ("not-authorized", "The signature is not by the key that the hello named.")
        assert event.reply is not None


def test_a_recorded_greeting_is_of_no_use_on_another_link() -> None:
    """Everything that a client said, replayed word by word: the host's challenge is another one."""
    first = Pair()
    greeted(first)
    first.client.hear()
    recorded = [
        encode(ClientHello((1,), "test client", (), CLIENT_CHALLENGE, CLIENT_KEY)),
        first.client.session.send(Auth(sign(CLIENT_SEED, first.client.session.proof_to_sign()))),
    ]
    second = Pair()
    second.put(second.client, recorded[0])
    second.host.hear()
    second.host.session.greet(b"\x03" * 32, lambda statement: sign(HOST_SEED, statement))
    second.put(second.client, recorded[1])
    assert broken(second.host).code == "not-authorized"


def test_a_signature_before_the_challenge_that_it_signs_is_a_violation() -> None:
    pair = Pair()
    pair.put(pair.client, pair.client.session.hello(CLIENT_CHALLENGE))
    pair.put(pair.client, encode(Auth(bytes(64))))
    assert broken(pair.host).text == "A message auth came where it cannot."


def test_a_hello_that_comes_twice_is_a_violation() -> None:
    pair = Pair().greet()
    hello = encode(ClientHello((1,), "test client", (), CLIENT_CHALLENGE, CLIENT_KEY))
    pair.put(pair.client, hello)
    event = broken(pair.host)
    assert (event.code, event.text) == ("protocol", "A message client_hello came where it cannot.")


def test_the_largest_version_that_both_know_is_spoken() -> None:
    pair = Pair(keyless=True)
    pair.client = Side(Role.CLIENT, Settings("c", None, versions=(1, 3, 5, 9)))
    pair.host = Side(Role.HOST, Settings("h", HOST_KEY, versions=(2, 3, 5, 7)))
    assert greeted(pair).version == 5
    pair.client.hear()
    assert pair.client.session.version == pair.host.session.version == 5


def test_no_version_in_common_is_said_with_the_versions() -> None:
    pair = Pair()
    pair.client = Side(Role.CLIENT, Settings("c", None, versions=(7, 8)))
    pair.put(pair.client, pair.client.session.hello(CLIENT_CHALLENGE))
    event = broken(pair.host)
    assert event.code == "version"
    assert event.text == "This host speaks version 1 of the protocol, the client does not."
    assert event.reply is not None
    pair.put(pair.host, event.reply)
    assert pair.client.hear()[0] == parse_untrusted(event.reply)
    assert pair.client.session.state is State.CLOSED


def test_a_host_that_chooses_a_version_that_was_not_offered_is_left() -> None:
    pair = Pair()
    answer = greeted(pair)
    pair.client.inbox.clear()
    pair.put(pair.host, encode(answer._replace(version=2)))
    event = broken(pair.client)
    assert (event.code, event.text) == ("version", "The host chose a version that was not offered.")


def test_features_are_what_both_have() -> None:
    pair = Pair()
    pair.client = Side(Role.CLIENT, Settings("c", None, features=("a", "b")))
    pair.host = Side(Role.HOST, Settings("h", HOST_KEY, features=("b", "c")))
    greeted(pair)
    pair.client.hear()
    assert pair.client.session.features == pair.host.session.features == {"b"}


def test_a_client_learns_the_hosts_limits() -> None:
    pair = Pair(limits={"linger_ms": 30_000}).greet()
    answer = pair.client.seen[0]
    assert isinstance(answer, HostHello)
    assert answer.limits == {"linger_ms": 30_000}


def test_a_stranger_need_not_wait_for_the_hosts_greeting_to_open_a_channel() -> None:
    pair = Pair(keyless=True)
    pair.put(pair.client, pair.client.session.hello(CLIENT_CHALLENGE))
    pair.put(pair.client, pair.client.session.open("call", {"module": "x"}, 10)[1])
    assert [type(event).__name__ for event in pair.host.hear()] == ["ClientHello", "Open"]


def test_whoever_named_a_key_proves_it_before_anything_else() -> None:
    pair = Pair()
    greeted(pair)
    with pytest.raises(LocalProtocolError) as caught:
        pair.client.session.open("call", {})
    assert caught.value.text == "A message open cannot be sent here."


def test_an_open_and_the_proof_may_come_in_one_batch() -> None:
    pair = Pair()
    greeted(pair)
    pair.client.hear()
    pair.say(pair.client, Auth(sign(CLIENT_SEED, pair.client.session.proof_to_sign())))
    pair.put(pair.client, pair.client.session.open("list", {})[1])
    assert [type(event) for event in pair.host.hear()][:1] == [Authenticated]


def test_what_cannot_be_proved_yet_is_our_own_bug() -> None:
    with pytest.raises(LocalProtocolError) as caught:
        Pair().client.session.proof_to_sign()
    assert caught.value.text == "There is nothing to prove before the host's greeting, or without a key."
    with pytest.raises(LocalProtocolError) as caught:
        Pair().host.session.greet(HOST_CHALLENGE, lambda statement: statement)
    assert caught.value.text == "A host greets after the client, and with a key."


def test_a_client_that_says_nothing_is_asked_to_leave_after_ten_seconds_and_after_twenty_without_a_proof() -> None:
    pair = Pair()
    session = pair.host.session
    assert session.next_timeout() == 10
    session.timeout(9.99, 9.99)
    assert session.state is State.HELLO
    greeted(pair)
    assert session.next_timeout() == 20
    session.timeout(20, 20)
    event = session.next_event()
    assert isinstance(event, Broken)
    assert (event.code, event.text) == ("too-slow", "The greeting took too long.")
    assert session.next_timeout() is None


def test_a_quiet_link_is_asked_after_twenty_seconds_and_given_up_after_forty() -> None:
    for side in ("client", "host"):
        session = getattr(Pair().greet(), side).session
        session.timeout(5, 5)
        assert session.next_timeout() == 25
        session.timeout(25, 5)
        assert type(session.next_event()).__name__ == "PingDue"
        assert session.next_timeout() == 45
        session.timeout(44, 5)
        assert type(session.next_event()).__name__ == "NeedData"
        session.timeout(44, 30)  # something was heard after all
        assert session.next_timeout() == 50
        session.timeout(50, 30)
        session.timeout(70, 30)
        assert type(session.next_event()).__name__ == "PingDue"
        event = session.next_event()
        assert isinstance(event, Broken)
        assert event.text == "Nothing was heard for too long."


def test_a_link_that_was_closed_by_us_has_no_more_time_and_no_more_words() -> None:
    session = Pair().greet().host.session
    session.close()
    session.timeout(1000, 0)
    assert (session.state, session.next_timeout()) == (State.CLOSED, None)
    session.receive(encode(Ping(1)))
    assert type(session.next_event()).__name__ == "NeedData"
    with pytest.raises(LocalProtocolError):
        session.send(Welcome("x"))
