"""gatebus.flow.Run: data packets of one stream in a row are one thing, and the same bytes as one by one."""

from hypothesis import given
from hypothesis import strategies as st

from gatebus.bounds import VIEW_BYTES
from gatebus.flow import Chunk, chunk_untrusted, readdressed, run_untrusted
from gatebus.services.base import Call, Flow, Info, Offer, Outlet, Packet, Run, Service
from gatebus.switchboard import Switchboard
from sandbox.packets import CALL, CODE_DISCOVERY, DATA, DATA_MAX, FLOW, HEADER, encode, encode_data, split_untrusted

STREAMS = st.integers(-1, 2)
PARTS = st.lists(st.tuples(STREAMS, st.integers(-2, 2), st.binary(max_size=40)), min_size=1, max_size=20)


def batch_of(parts: list[tuple[int, int, bytes]], code: int = 0) -> bytes:
    return b"".join(encode_data(code, stream, data, note) for stream, note, data in parts)


@given(PARTS)
def test_a_run_is_the_longest_row_of_one_stream_without_an_end(parts: list[tuple[int, int, bytes]]) -> None:
    run = run_untrusted(batch_of(parts), 0)
    row = parts[: run.many]
    assert all(stream == run.stream and data for stream, _, data in row)
    assert list(run.chunks()) == [Chunk(*part) for part in row]
    assert run.size == sum(len(data) for _, _, data in row)
    after = parts[run.many :]
    assert not after or after[0][0] != run.stream or not after[0][2]
    assert b"".join(bytes(piece) for piece in run.pieces()) == b"".join(data for _, _, data in row)


@given(PARTS, st.integers(0, 255), st.integers(-(2**31), 2**31 - 1))
def test_readdressed_only_the_service_and_the_stream_are_others(
    parts: list[tuple[int, int, bytes]], code: int, stream: int
) -> None:
    run = run_untrusted(batch_of(parts), 0)
    sent = [(packet.code, packet.domain, chunk_untrusted(packet.content)) for packet in split_untrusted(
        bytes(readdressed(run, code, stream)))]  # fmt: skip
    assert sent == [(code, DATA, Chunk(stream, note, data)) for _, note, data in parts[: run.many]]


def test_reserved_bits_of_a_program_do_not_reach_another() -> None:
    packet = bytearray(encode_data(0, 1, b"x"))
    packet[6] |= 0x50
    packet[7] = 9
    assert bytes(readdressed(run_untrusted(bytes(packet), 0), 4, 7)) == encode_data(4, 7, b"x")


def test_a_run_ends_before_a_packet_that_is_cut_off_or_of_another_domain_or_service() -> None:
    one = encode_data(0, 0, b"12345678")
    large = HEADER.pack(70_000, 0, DATA, 0) + bytes(8)
    for other in (one[:20], encode(0, FLOW, bytes(8)), encode_data(1, 0, b"x"), large):
        assert run_untrusted(one + other, 0).many == 1


def test_small_packets_come_joined_and_large_ones_as_views_of_the_batch() -> None:
    small = run_untrusted(batch_of([(0, 0, b"ab"), (0, 0, b"cd")]), 0)
    assert small.pieces() == [b"abcd"]
    batch = batch_of([(0, 0, b"x" * DATA_MAX)] * 4)
    views = run_untrusted(batch, 0).pieces()
    assert [type(view) for view in views] == [memoryview] * 4
    assert all(view.obj is batch for view in views if isinstance(view, memoryview))


def test_a_large_packet_among_much_else_is_copied_so_that_it_does_not_keep_everything_alive() -> None:
    batch = batch_of([(0, 0, bytes(VIEW_BYTES)), (1, 0, bytes(VIEW_BYTES * 4))])
    assert [type(piece) for piece in run_untrusted(batch, 0).pieces()] == [bytes]


class Listener(Service):
    """Notes what it was given, one by one."""

    def __init__(self, outlet: Outlet) -> None:
        super().__init__(outlet)
        self.heard: list[Packet] = []

    def packet(self, packet: Packet) -> None:
        self.heard.append(packet)


class RunListener(Listener):
    """Takes runs as they come."""

    def run(self, run: Run) -> None:
        self.heard.extend(run.chunks())


@given(st.lists(st.one_of(
    st.tuples(st.just(DATA), st.integers(0, 1), st.binary(max_size=30)),
    st.tuples(st.just(DATA), st.just(0), st.just(bytes(VIEW_BYTES))),
    st.tuples(st.just(CALL), st.just(0), st.binary(max_size=9)),
), max_size=12))  # fmt: skip
def test_a_service_that_knows_no_runs_hears_the_same(packets: list[tuple[int, int, bytes]]) -> None:
    batch = b"".join(
        encode_data(0, stream, data) if domain == DATA else encode(0, CALL, data) for domain, stream, data in packets
    )
    assert heard(Listener, batch) == heard(RunListener, batch)


def heard(kind: type[Listener], batch: bytes) -> list[Packet]:
    made: list[Listener] = []

    def make(outlet: Outlet) -> Service:
        made.append(kind(outlet))
        return made[-1]

    board = Switchboard({"x": Offer("0", make)})
    board.receive(encode(CODE_DISCOVERY, CALL, b"\1\0\1x"))
    assert board.step()
    board.receive(batch)
    while board.step():
        pass
    assert not any(isinstance(packet, Info | Flow) for each in made for packet in each.heard)
    assert sum(isinstance(packet, Call) for each in made for packet in each.heard) == count_of(CALL, batch)
    return [packet for each in made for packet in each.heard]


def count_of(domain: int, batch: bytes) -> int:
    return sum(packet.domain == domain for packet in split_untrusted(batch))
