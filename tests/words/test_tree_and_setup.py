"""What a program is told at the start, what it may leave: paths that stay inside, counts and sizes that are bounded."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox import control
from sandbox.errors import BadSetup, PacketViolation
from sandbox.limits import Limits
from sandbox.packets import CONTENT_MAX, HEADER, Framer, encode
from sandbox.setup import Setup
from sandbox.tree import Directory, File, Link, Node, Tree, check_limits, check_path

names = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=12).filter(
    lambda name: name not in (".", "..")
)
times = st.integers(0, (1 << 64) - 1)
targets = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=30)
leaves = st.one_of(
    st.builds(Directory, times), st.builds(File, st.binary(max_size=100), times), st.builds(Link, targets, times)
)


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    nodes: dict[str, Node] = {}
    directories = [""]
    for name in draw(st.lists(names, max_size=12)):
        parent, node = draw(st.sampled_from(directories)), draw(leaves)
        path = f"{parent}/{name}" if parent else name
        if path in nodes:
            continue
        nodes[path] = node
        if isinstance(node, Directory) and path.count("/") < 10:
            directories.append(path)
    return Tree(nodes)


@given(trees())
def test_a_tree_comes_back_from_its_packets(tree: Tree) -> None:
    collector = control.TreeCollector(1 << 20, 100)
    for part in received(b"".join(control.tree_packets(tree))):
        collector.add_untrusted(part)
    assert collector.tree_untrusted() == tree


def received(data: bytes) -> list[control.LeftNode | control.LeftContent]:
    _packets, controls = Framer().receive(data)
    decoded = [control.decode_untrusted(each) for each in controls]
    assert all(isinstance(each, control.LeftNode | control.LeftContent) for each in decoded)
    return decoded  # type: ignore[return-value]


@given(trees())
def test_parents_stand_before_their_children(tree: Tree) -> None:
    seen: set[str] = set()
    for path in tree:
        parent = path.rpartition("/")[0]
        assert not parent or parent in seen
        seen.add(path)


def test_missing_parents_are_made() -> None:
    assert list(Tree({"a/b/c": File(b"1")})) == ["a", "a/b", "a/b/c"]


def test_a_large_file_is_cut_into_packets() -> None:
    tree = Tree({"f": File(bytes(2 * CONTENT_MAX + 1))})
    assert [HEADER.unpack_from(each)[0] for each in control.tree_packets(tree)][1:] == [65_536, 65_536, 9]


@pytest.mark.parametrize(
    "path", ["", "/", "/etc", "a/", "a//b", ".", "..", "a/..", "../a", "a/./b", "nul\0", "x" * 256, "/".join("x" * 300)]
)
def test_paths_that_could_leave_or_break_are_refused(path: str) -> None:
    with pytest.raises(BadSetup) as caught:
        Tree({path: File()})
    assert caught.value.code == "tree-path"


def test_a_path_that_is_no_utf_8_is_refused() -> None:
    with pytest.raises(BadSetup, match="UTF-8"):
        check_path("\udc80")


@pytest.mark.parametrize("path", ["a", "a/b", "...", "-", " ", "a\nb", "ä" * 127, "/".join("x" * 256)])
def test_other_paths_are_allowed(path: str) -> None:
    check_path(path)


def test_nothing_stands_below_a_file_or_link() -> None:
    for node in (File(), Link("b")):
        with pytest.raises(BadSetup) as caught:
            Tree({"a": node, "a/b": File()})
        assert caught.value.code == "tree-parent"


def test_times_and_targets_are_checked() -> None:
    for node in (File(b"", -1), Directory(1 << 64)):
        with pytest.raises(BadSetup) as caught:
            Tree({"a": node})
        assert caught.value.code == "tree-time"
    for target in ("", "x" * 4096, "a\0"):
        with pytest.raises(BadSetup):
            Tree({"a": Link(target)})


def test_a_tree_is_measured_against_the_limits_from_both_sides() -> None:
    tree = Tree({"a/b": File(bytes(100)), "c": File(bytes(28))})
    check_limits(tree, files=128, nodes=3)
    with pytest.raises(BadSetup) as caught:
        check_limits(tree, files=127, nodes=3)
    assert (caught.value.code, caught.value.text) == (
        "tree-size",
        "The files have 128 bytes; the limit `files` is 127.",
    )
    with pytest.raises(BadSetup) as caught:
        check_limits(tree, files=128, nodes=2)
    assert caught.value.code == "tree-nodes"


def node_packet(
    kind: int = 4, path: bytes = b"a", rest: bytes = b"", zero: bytes = bytes(3), length: int | None = None
) -> bytes:
    size = len(path) if length is None else length
    content = bytes([kind]) + zero + size.to_bytes(4, "little") + bytes(8) + path + rest
    return encode(-2, 0, content, control.NODE)


@pytest.mark.parametrize(
    "packet",
    [
        node_packet(kind=0), node_packet(kind=5), node_packet(zero=b"\0\0\1"), node_packet(path=b"../a"),
        node_packet(path=b"/a"),
        node_packet(path=b""), node_packet(path=b"\xff"), node_packet(length=2), node_packet(length=(1 << 32) - 1),
        node_packet(rest=b"x"), node_packet(kind=3, rest=b"x"), node_packet(kind=7, rest=b"\xff"),
        encode(-2, 0, bytes(15), control.NODE),
    ],
)  # fmt: skip
def test_every_field_of_a_node_is_checked(packet: bytes) -> None:
    with pytest.raises(PacketViolation) as caught:
        control.decode_untrusted(packet)
    assert caught.value.code == "packet-control"


@pytest.mark.parametrize("kind", [0, 1, 2, 3, 6, 9, 15, 255])
def test_kinds_that_only_the_host_sends_or_nobody_are_violations(kind: int) -> None:
    with pytest.raises(PacketViolation):
        control.decode_untrusted(encode(-2, 0, bytes(64), kind))


@pytest.mark.parametrize("content", [b"", b"\0x", b"\3x"])
def test_a_log_names_stream_1_or_2(content: bytes) -> None:
    with pytest.raises(PacketViolation):
        control.decode_untrusted(encode(-2, 0, content, control.LOG))


@pytest.mark.parametrize("content", [b"", bytes(23), bytes(24) + b"\xff", bytes(24) + b"x" * 201])
def test_a_report_has_its_size_and_a_short_text(content: bytes) -> None:
    with pytest.raises(PacketViolation):
        control.decode_untrusted(encode(-2, 0, content, control.REPORT))


def test_a_collector_takes_as_much_as_the_limits_and_no_byte_more() -> None:
    collector = control.TreeCollector(files_max=4, nodes_max=2)
    collector.add_untrusted(control.LeftNode("a", File()))
    collector.add_untrusted(control.LeftContent(b"1234"))
    with pytest.raises(PacketViolation):
        collector.add_untrusted(control.LeftContent(b"5"))
    collector.add_untrusted(control.LeftNode("b", Directory()))
    with pytest.raises(PacketViolation):
        collector.add_untrusted(control.LeftNode("c", Directory()))


def test_a_collector_refuses_content_without_a_file_and_a_path_twice() -> None:
    collector = control.TreeCollector(100, 100)
    with pytest.raises(PacketViolation):
        collector.add_untrusted(control.LeftContent(b"x"))
    collector.add_untrusted(control.LeftNode("a", Directory()))
    with pytest.raises(PacketViolation):
        collector.add_untrusted(control.LeftContent(b"x"))
    with pytest.raises(PacketViolation):
        collector.add_untrusted(control.LeftNode("a", File()))


@pytest.mark.parametrize("path", ["a/b", "missing/b", "missing/b/c"])
def test_a_node_without_its_directory_before_it_is_a_violation(path: str) -> None:
    collector = control.TreeCollector(100, 100)
    collector.add_untrusted(control.LeftNode("a", File()))
    with pytest.raises(PacketViolation):
        collector.add_untrusted(control.LeftNode(path, File()))


def test_a_collector_bounds_the_bytes_of_all_names_together() -> None:
    collector = control.TreeCollector(100, 100)
    target = "y" * 4_095
    most = (100 * control.NAMES_PER_NODE + CONTENT_MAX) // (4_095 + 2)
    for number in range(most):
        collector.add_untrusted(control.LeftNode(f"{number:02}", Link(target)))
    with pytest.raises(PacketViolation) as caught:
        collector.add_untrusted(control.LeftNode("zz", Link(target)))
    assert caught.value.code == "packet-names"


def test_directories_that_an_attacker_leaves_out_do_not_become_255_nodes_each() -> None:
    """Once 201 packets of it took 590 MiB and 2.5 s of the host; the limit of 4,096 nodes did not see them."""
    collector = control.TreeCollector(100, 4_096)
    for number in range(200):
        with pytest.raises(PacketViolation):
            collector.add_untrusted(control.LeftNode("/".join([f"{number:015x}"] * 255), Directory()))
    assert not collector.tree_untrusted()


def test_the_deepest_tree_takes_little_more_memory_than_its_names() -> None:
    deep = "/".join(["ab"] * 255)
    nodes: dict[str, Directory | File] = {deep[: 3 * depth + 2]: Directory() for depth in range(255)}
    nodes |= {f"{deep}/{number}": File() for number in range(1_000)}
    names = sum(len(path) for path in nodes)
    tracemalloc.start()
    try:
        tree = Tree(nodes)
        assert len(tree) == 1_255
        assert tracemalloc.get_traced_memory()[1] < 2 * names
    finally:
        tracemalloc.stop()


@given(trees())
def test_nodes_stand_in_the_order_of_their_parts(tree: Tree) -> None:
    assert list(tree) == sorted(tree, key=lambda path: path.split("/"))


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        ({"arguments": ("a\0",)}, "setup-text"),
        ({"arguments": ("\ud800",)}, "setup-text"),
        ({"arguments": ("x" * (CONTENT_MAX + 1),)}, "setup-size"),
        ({"arguments": ("x",) * 4097}, "setup-count"),
        ({"environment": {"": "x"}}, "setup-text"),
        ({"environment": {"A=B": "x"}}, "setup-text"),
        ({"environment": {"A": "\0"}}, "setup-text"),
        ({"environment": {str(number): "" for number in range(4097)}}, "setup-count"),
        ({"function": "x" * 256}, "setup-size"),
        ({"origin_credit": -1}, "setup-credit"),
        ({"origin_credit": 1 << 31}, "setup-credit"),
        ({"arguments": "abc"}, "setup-type"),
        ({"arguments": b"abc"}, "setup-type"),
        ({"arguments": None}, "setup-type"),
        ({"arguments": [1]}, "setup-type"),
        ({"arguments": [b"a"]}, "setup-type"),
        ({"environment": ["A=B"]}, "setup-type"),
        ({"environment": {"A": 1}}, "setup-type"),
        ({"environment": {1: "A"}}, "setup-type"),
        ({"function": b"main"}, "setup-type"),
        ({"tree": {}}, "setup-type"),
        ({"tree": "dir"}, "setup-type"),
        ({"origin_credit": "1"}, "setup-type"),
        ({"origin_credit": True}, "setup-type"),
    ],
)
def test_a_setup_is_checked_where_it_is_made(broken: dict[str, object], code: str) -> None:
    with pytest.raises(BadSetup) as caught:
        Setup(**broken)  # type: ignore[arg-type]
    assert caught.value.code == code


def test_a_setup_of_the_wrong_kind_says_what_it_should_be() -> None:
    for broken, text in (
        (
            {"arguments": "abc"},
            'Setup.arguments is of the type str; it must be a list of texts: ("hello", "--verbose").',
        ),
        ({"arguments": [1]}, "An argument is of the type int; it must be a text (str)."),
        (
            {"tree": {}},
            'Setup.tree is of the type dict; it must be a sandbox.Tree: Tree({"a.txt": File(b"...")}), or None.',
        ),
    ):
        with pytest.raises(BadSetup) as caught:
            Setup(**broken)  # type: ignore[arg-type]
        assert caught.value.text == text


@pytest.mark.parametrize("broken", [{1: File()}, {"a": b"content"}, {"a": File("text")}, {"a": None}])  # type: ignore[arg-type]
def test_a_tree_of_the_wrong_kind_says_what_it_should_be(broken: dict[str, object]) -> None:
    with pytest.raises(BadSetup) as caught:
        Tree(broken)  # type: ignore[arg-type]
    assert caught.value.code == "tree-type"
    assert "must be a " in caught.value.text


def test_a_command_line_that_is_no_utf_8_passes_unchanged() -> None:
    packets = control.setup_packets(Setup(arguments=(b"\xff".decode("utf-8", "surrogateescape"),)), Limits(), bytes(16))
    assert packets[64:] == encode(-2, 0, b"\xff", control.ARGUMENT)


def test_the_whole_setup_is_at_most_one_mebibyte() -> None:
    # 64 bytes of BEGIN, 16 packets of 65,536 bytes less one that is cut, and GO: exactly 1 MiB.
    whole = ("x" * CONTENT_MAX,) * 15
    last = "x" * (CONTENT_MAX - 64 - 8)
    assert len(control.setup_packets(Setup(arguments=(*whole, last)), Limits(), bytes(16))) == (1 << 20) - 8
    with pytest.raises(BadSetup) as caught:
        control.setup_packets(Setup(arguments=(*whole, last + "x")), Limits(), bytes(16))
    assert caught.value.code == "setup-size"


def test_a_setup_does_not_change_when_its_parts_do() -> None:
    environment = {"A": "1"}
    setup = Setup(environment=environment)
    environment["B"] = "2"
    assert dict(setup.environment) == {"A": "1"}
