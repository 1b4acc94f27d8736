"""Setup packets of the host into a program's world, and its tree back out; everything malformed has its status."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.control import (
    GO_PACKET,
    LeftContent,
    LeftNode,
    Report,
    TreeCollector,
    decode_untrusted,
    setup_packets,
    tree_packets,
)
from sandbox.limits import Limits
from sandbox.packets import CALL, CODE_CONTROL, encode
from sandbox.portable.guest_errno import GuestEnd
from sandbox.portable.guest_setup import GuestSetup, SetupReader, report_packet, tree_left
from sandbox.portable.packet_pipe import PacketReader
from sandbox.setup import Setup
from sandbox.tree import Directory, File, Link, Tree

NOW = 99
BEGIN = setup_packets(Setup(), Limits(), bytes(16))


def read(data: bytes, step: int = 1 << 20) -> GuestSetup:
    packets, setup = PacketReader(), SetupReader()
    for at in range(0, len(data), step):
        packets.feed(data[at : at + step])
        while not setup.done and (packet := packets.next_packet()):
            setup.take(packet, NOW)
    assert setup.done
    return setup.setup


def status_of(data: bytes) -> int:
    with pytest.raises(GuestEnd) as caught:
        read(data)
    return caught.value.status


def control(kind: int, content: bytes = b"") -> bytes:
    return encode(CODE_CONTROL, CALL, content, kind)


def node(kind: int, path: bytes, rest: bytes = b"") -> bytes:
    return control(4, struct.pack("<B3sIQ", kind, bytes(3), len(path), 5) + path + rest)


@pytest.mark.parametrize("step", [1, 7, 8, 1000])
def test_what_the_host_says_arrives_however_it_is_cut(step: int) -> None:
    setup = Setup(arguments=("a", "b c"), environment={"K": "V"}, function="main", debug_log=False, origin_credit=7)
    found = read(setup_packets(setup, Limits(log=5, clock_resolution=20), b"i" * 16) + GO_PACKET, step)
    assert (found.arguments, found.environment, found.function) == ([b"a", b"b c"], [b"K=V"], b"main")
    assert (found.begin.log_limit, found.begin.resolution, found.begin.origin_credit) == (5, 20_000_000, 7)
    assert (found.begin.instance, found.debug_log, found.wants_files) == (b"i" * 16, False, False)
    assert not found.plain_output


def test_what_comes_behind_go_is_the_program_s() -> None:
    packets, setup = PacketReader(), SetupReader()
    packets.feed(BEGIN + GO_PACKET + b"the program's")
    while not setup.done and (packet := packets.next_packet()):
        setup.take(packet, NOW)
    assert packets.rest() == b"the program's"


@pytest.mark.parametrize(
    "data",
    [
        GO_PACKET,
        control(1, b"argument") + BEGIN,
        BEGIN + BEGIN,
        control(0, b"short"),
        control(0, struct.pack("<IIQQIIII16s", 2, 0, 0, 0, 0, 0, 0, 0, bytes(16))),
        BEGIN + control(5, b"content without a file"),
        BEGIN + control(7, b"\1log"),
        BEGIN + control(6, b"GO with content"),
        BEGIN + encode(0, CALL, b"a service"),
        BEGIN + node(9, b"a"),
        BEGIN + node(4, b"a/b"),
        BEGIN + node(4, b"../a"),
        BEGIN + node(4, b"/a"),
        BEGIN + node(4, b"a//b"),
        BEGIN + node(4, b""),
        BEGIN + node(3, b"a") + node(4, b"a"),
        BEGIN + node(7, b"link"),
        BEGIN + control(4, b"short"),
        struct.pack("<IhBB", 7, -2, 0, 0),
        struct.pack("<IhBB", 65537, -2, 0, 0),
    ],
)
def test_a_malformed_setup_ends_with_its_status(data: bytes) -> None:
    assert status_of(data) == 74


def test_files_beyond_their_limit_are_a_malformed_setup() -> None:
    begin = setup_packets(Setup(), Limits(files=3, nodes=1), bytes(16))
    assert status_of(begin + node(4, b"a") + control(5, b"four")) == 74
    assert status_of(begin + node(4, b"a") + node(4, b"b")) == 74


NAMES = st.sampled_from(["a", "b", "c", "dir", "ä"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
NODES = st.one_of(
    st.builds(File, st.binary(max_size=100), st.integers(0, 2**63)),
    st.builds(Directory, st.integers(0, 2**63)),
    st.builds(Link, NAMES, st.integers(0, 2**63)),
)


@given(st.dictionaries(PATHS, NODES, max_size=6))
def test_a_tree_comes_back_as_it_went_in(nodes: dict[str, Directory | File | Link]) -> None:
    directories = {path: each for path, each in nodes.items() if isinstance(each, Directory)}
    tree = Tree({path: each for path, each in nodes.items() if "/" not in path and path not in directories})
    again = TreeCollector(1 << 20, 1000)
    for packet in tree_left(read(BEGIN + b"".join(tree_packets(tree)) + GO_PACKET).files):
        part = decode_untrusted(packet)
        assert isinstance(part, LeftNode | LeftContent)
        again.add_untrusted(part)
    assert again.tree_untrusted() == tree


def test_a_large_file_comes_back_in_pieces_and_a_deep_one_with_its_parents() -> None:
    tree = Tree({"a/b/c": File(b"x" * 200_000, 3), "a/link": Link("b/c", 4)})
    again = TreeCollector(1 << 20, 1000)
    packets = list(tree_left(read(BEGIN + b"".join(tree_packets(tree)) + GO_PACKET).files))
    for packet in packets:
        part = decode_untrusted(packet)
        assert isinstance(part, LeftNode | LeftContent)
        again.add_untrusted(part)
    assert len(packets) == 4 + 4
    assert again.tree_untrusted()["a/b/c"] == tree["a/b/c"]


def test_the_report_says_how_it_ended() -> None:
    packet = report_packet(GuestEnd(3, 0xFFFFFFFE, "ä" * 150), 65536, 9)
    assert decode_untrusted(packet) == Report(3, 0xFFFFFFFE, 65536, 9, "ä" * 100)
