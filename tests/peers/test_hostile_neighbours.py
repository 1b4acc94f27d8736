"""A program of one's own that says anything at all to peer, peerindex and group: it may end itself, nothing else."""

from __future__ import annotations

from struct import pack

from hypothesis import given, settings
from hypothesis import strategies as st
from peerworld import GROUP, INDEX, PEER, PRINCIPAL, Guest, connected

from gatebus.faults import Violation
from gatebus.peers.neighbourhood import Neighbourhood
from gatebus.peers.shorttexts import texts
from sandbox.packets import CALL, DATA, FLOW, INFO, encode

NAME = st.sampled_from([b"one", b"other", b"room", PRINCIPAL, b"", b"x" * 63, b"x" * 64, b"x" * 255])
NUMBER = st.sampled_from([0, 1, 2, 3, 7, 8, 255, 65_535])
STREAM = st.sampled_from([-(2**31), -1, 0, 1, 2, 2**31 - 1])
VALUE = st.sampled_from([-(2**31), -1, 0, 1, 1000, 65_536, 2**31 - 1])

CONTENTS = st.one_of(
    st.binary(max_size=40),
    st.builds(lambda *names: pack("<II", 0, 0) + texts(*names), NAME, NAME, NAME),
    st.builds(lambda flags, *names: pack("<HH", 1, flags) + texts(*names), st.integers(0, 5), NAME, NAME, NAME),
    st.builds(lambda *fields: pack("<HH", *fields), st.integers(0, 5), NUMBER),
    st.builds(lambda *fields: pack("<HHI", 4, *fields) + b"message", NUMBER, NUMBER),
    st.builds(lambda *fields: pack("<ii", *fields), STREAM, VALUE),
    st.builds(lambda stream, data: pack("<ii", stream, 0) + data, STREAM, st.binary(max_size=2000)),
)  # fmt: skip
DOMAINS = st.sampled_from([CALL, INFO, FLOW, DATA])
PACKETS = st.lists(st.tuples(st.sampled_from([PEER, INDEX, GROUP]), DOMAINS, CONTENTS))


def packet(code: int, domain: int, content: bytes) -> bytes:
    return encode(code, domain, content + bytes(8) if domain == DATA and len(content) < 8 else content)


@settings(max_examples=120, deadline=None)
@given(PACKETS, st.booleans(), st.booleans())
def test_a_hostile_program_ends_itself_at_most(packets: list[tuple[int, int, bytes]], reads: bool, dies: bool) -> None:
    around = Neighbourhood()
    hostile, victim = connected(around)
    victim.join(b"room", flags=1)
    victim.grant(0, 1000)
    for each in packets:
        if text := violation(hostile, packet(*each)):
            assert len(text) <= 200
            dies = True
            break
        if reads:
            hostile.read()
    if dies:
        hostile.die()
    assert_works(around, victim)


def violation(guest: Guest, said: bytes) -> str:
    """The text of it, or nothing."""
    try:
        guest.say(said)
    except Violation as fault:
        return fault.text
    return ""


def assert_works(around: Neighbourhood, victim: Guest) -> None:
    """It hears, is heard, and its stream behaves."""
    victim.read()
    newcomer = Guest(around, "newcomer").register()
    assert newcomer.join(b"room", name=b"newcomer")[0] in (0, 2)
    victim.read()
    assert b"newcomer" in victim.listed()
    assert newcomer.connect(victim) == 0
    victim.read()
    assert victim.connect(newcomer) == 0
    assert newcomer.read() != []
    service = victim.board._routes[PEER].service
    assert service is not None
    for number in list(service._ends):  # type: ignore[attr-defined]
        if service._ends[number].up:  # type: ignore[attr-defined]
            victim.end(number)
            victim.grant(number, 0)
    victim.read()
    victim.die()


@settings(max_examples=60, deadline=None)
@given(PACKETS)
def test_a_hostile_program_that_is_saved_can_be_restored_or_is_refused_nothing(
    packets: list[tuple[int, int, bytes]],
) -> None:
    """Whatever state it brought about, its own saved form is understood."""
    around = Neighbourhood()
    hostile, victim = connected(around)
    for each in packets:
        if violation(hostile, packet(*each)):
            return
    hostile.read()
    hostile.saved_and_restored(around)
    again = hostile.board.save()
    assert [name for name, _ in again] == ["peer", "peerindex/principal", "group"]
    assert_works(around, victim)
