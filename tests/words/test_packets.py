"""Packets: what is whole, what is refused, and that cutting never depends on how the bytes arrive."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.errors import PacketViolation
from sandbox.packets import (
    CALL,
    CODE_CONTROL,
    CODE_DISCOVERY,
    CONTENT_MAX,
    DATA,
    DATA_MAX,
    FLOW,
    HEADER,
    INFO,
    PACKET_MAX,
    Framer,
    Known,
    Packet,
    PacketCounter,
    encode,
    encode_data,
    encode_flow,
    padded,
    scan_untrusted,
    split_untrusted,
)

contents = st.binary(max_size=200)
services = st.integers(0, 255)
whole_packets = st.one_of(
    st.builds(Packet, services, st.sampled_from((CALL, INFO, FLOW)), contents, st.integers(0, 255)),
    st.builds(Packet, services, st.just(DATA), st.binary(min_size=8, max_size=200), st.just(0)),
    st.builds(Packet, st.just(CODE_DISCOVERY), st.just(CALL), contents, st.just(0)),
)


def written(packets: list[Packet]) -> bytes:
    return b"".join(encode(each.code, each.domain, each.content, each.place) for each in packets)


@given(st.lists(whole_packets, max_size=20))
def test_what_is_encoded_is_split_into_the_same_packets(packets: list[Packet]) -> None:
    assert list(split_untrusted(written(packets))) == packets


@given(whole_packets)
def test_every_packet_is_padded_to_a_multiple_of_eight_with_zeros(packet: Packet) -> None:
    data = written([packet])
    assert len(data) % 8 == 0
    assert len(data) == padded(8 + len(packet.content))
    assert not any(data[8 + len(packet.content) :])


@given(st.lists(whole_packets, max_size=20), st.data())
def test_a_framer_hands_out_the_same_bytes_however_they_arrive(packets: list[Packet], data: st.DataObject) -> None:
    stream, framer, out = written(packets), Framer(), b""
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        piece, stream = stream[:size], stream[size:]
        got, controls = framer.receive(piece)
        assert not controls
        assert list(split_untrusted(got)) is not None
        out += got
    assert out == written(packets)
    assert framer.packets == len(packets)
    assert framer.unfinished == 0


@given(st.lists(st.one_of(whole_packets, st.just(Packet(CODE_CONTROL, CALL, b"x", 7))), max_size=20))
def test_control_packets_are_taken_out_and_not_counted(packets: list[Packet]) -> None:
    framer = Framer()
    got, controls = framer.receive(written(packets))
    assert list(split_untrusted(got)) == [each for each in packets if each.code != CODE_CONTROL]
    assert controls == [written([each]) for each in packets if each.code == CODE_CONTROL]
    assert framer.packets == len(packets) - len(controls)


@given(st.lists(whole_packets, max_size=10), st.data())
def test_the_counter_counts_the_same_however_the_bytes_are_taken(packets: list[Packet], data: st.DataObject) -> None:
    stream, counter = written(packets), PacketCounter()
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        counter.count(stream[:size])
        stream = stream[size:]
    assert counter.packets == len(packets)


def test_the_counter_refuses_what_our_own_side_must_never_write() -> None:
    with pytest.raises(ValueError, match="whole packets"):
        PacketCounter().count(bytes(8))
    with pytest.raises(ValueError, match="whole packets"):
        PacketCounter().count(HEADER.pack(PACKET_MAX + 1, 0, 0, 0))


@pytest.mark.parametrize("size", [0, 1, 7, PACKET_MAX + 1, 1 << 31, (1 << 32) - 1])
def test_a_size_outside_of_8_to_65536_is_a_violation(size: int) -> None:
    with pytest.raises(PacketViolation) as caught:
        scan(HEADER.pack(size, 0, 0, 0) + bytes(16))
    assert caught.value.code == "packet-size"
    assert caught.value.text == f"The program wrote a packet of {size} bytes; allowed are 8 to 65536."


@pytest.mark.parametrize("size", [8, 9, 16, PACKET_MAX])
def test_a_size_inside_of_8_to_65536_is_whole_when_all_of_it_is_there(size: int) -> None:
    data = HEADER.pack(size, 0, 0, 0) + bytes(padded(size) - 8)
    assert scan(data).end == len(data)
    assert scan(data[:-1]).end == 0


@pytest.mark.parametrize("code", [-3, -4, -32768])
def test_negative_codes_below_control_are_violations(code: int) -> None:
    with pytest.raises(PacketViolation) as caught:
        scan(HEADER.pack(8, code, 0, 0))
    assert caught.value.code == "packet-code"
    assert str(code) in caught.value.text


@pytest.mark.parametrize("domain", range(4, 16))
def test_domains_above_data_are_violations(domain: int) -> None:
    with pytest.raises(PacketViolation) as caught:
        scan(HEADER.pack(16, 0, domain, 0) + bytes(8))
    assert caught.value.code == "packet-domain"


def test_the_upper_half_of_the_domain_byte_is_ignored() -> None:
    data = HEADER.pack(16, 0, 0xF0 | DATA, 0) + bytes(8)
    assert scan(data).packets == 1
    assert next(split_untrusted(data)).domain == DATA


@pytest.mark.parametrize("code", [CODE_DISCOVERY, CODE_CONTROL])
@pytest.mark.parametrize("domain", [INFO, FLOW, DATA])
def test_discovery_and_control_exist_as_calls_only(code: int, domain: int) -> None:
    with pytest.raises(PacketViolation) as caught:
        scan(HEADER.pack(16, code, domain, 0) + bytes(8))
    assert caught.value.code == "packet-domain"


@pytest.mark.parametrize("size", range(8, 16))
def test_data_without_stream_and_note_is_a_violation(size: int) -> None:
    with pytest.raises(PacketViolation) as caught:
        scan(HEADER.pack(size, 0, DATA, 0) + bytes(8))
    assert caught.value.code == "packet-data"


def test_a_violation_is_found_after_good_packets_of_the_same_read() -> None:
    with pytest.raises(PacketViolation):
        scan(encode(0, CALL) * 3 + bytes(8))


def test_what_is_known_stays_bounded_however_many_headers_a_program_invents() -> None:
    known = Known()
    for index in range(256):
        for code in range(40):
            data = HEADER.pack(8, code, 0, index)
            assert scan_untrusted(data, 8, known).packets == 1
    assert 0 < len(known.steps) <= 4_096


def test_a_cut_off_packet_at_the_end_is_a_violation_when_packets_are_taken_apart() -> None:
    whole = encode(0, CALL, b"abcdefghi")
    for size in (*range(1, 8), *range(8, len(whole))):
        with pytest.raises(PacketViolation) as caught:
            list(split_untrusted(whole[:size]))
        assert caught.value.code == "packet-cut"


def test_the_longest_content_fits_and_one_byte_more_does_not() -> None:
    assert len(encode(0, CALL, bytes(CONTENT_MAX))) == PACKET_MAX
    assert len(encode_data(0, 1, bytes(DATA_MAX))) == PACKET_MAX
    with pytest.raises(ValueError, match=str(CONTENT_MAX)):
        encode(0, CALL, bytes(CONTENT_MAX + 1))
    with pytest.raises(ValueError, match=str(CONTENT_MAX)):
        encode_data(0, 1, bytes(DATA_MAX + 1))


def test_data_and_flow_have_the_layout_of_the_protocol() -> None:
    assert encode_data(2, 5, b"abc", -1).hex() == "13000000020003000500000" + "0ffffffff" + "616263" + "00" * 5
    assert encode_flow(1, [(0, 9), (7, -2)]).hex() == "1800000001000200" + "0000000009000000" + "07000000feffffff"


def scan(data: bytes):  # type: ignore[no-untyped-def]
    return scan_untrusted(data, len(data), Known())
