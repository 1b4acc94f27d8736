"""Words: the world of a stopped WASI program as bytes and back (STATE.md; Rust: gatebus-abi, wasi_state.rs).

Not in it: what the program was allowed (limits, resolution of clocks, whether its log and its files are wanted), which
is for whoever goes on to say; and randomness, of which none is kept.
"""

from __future__ import annotations

from dataclasses import replace
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

from sandbox.portable.descriptor_table import MAXIMUM_DESCRIPTORS, Descriptor, DescriptorTable, FdFlag, Right, Stream
from sandbox.portable.file_nodes import MAXIMUM_OFFSET, SymbolicLink
from sandbox.portable.saved_files import nodes_in_order, number_field, restore_files_untrusted, save_files
from sandbox.portable.saved_world import U32, WASI, BadWorld, FieldReader, restore_head_untrusted, save_head
from sandbox.setup import SETUP_MAX

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.portable.file_nodes import Node
    from sandbox.portable.wasi_world import WasiWorld

# u8 nature, u16 flags, u64 rights, u64 inheriting, u64 offset, u32 node; before it a u8, the kind, which stands alone
# for a free number
DESCRIPTOR_LAYOUT = Struct("<BHQQQI")
FREE, INPUT, OUTPUT, ERROR, NODE = range(5)
STREAMS = {INPUT: Stream.INPUT, OUTPUT: Stream.OUTPUT, ERROR: Stream.ERROR}
PREOPENS = (None, b"/", b".")
PLAIN = 4
ALL_FLAGS = 31
TEXT_COST = 8  # of every argument and variable, besides its bytes


def save_wasi(world: WasiWorld) -> bytes:
    """After `world.origin.drain_until_suspend`."""
    slots = world.table.slots()
    targets = [slot.target for slot in slots if slot is not None]
    nodes = nodes_in_order(world.files, [target for target in targets if not isinstance(target, Stream)])
    places = {node.number: place for place, node in enumerate(nodes)}
    parts = [
        save_head(WASI, world.clock, world.stopped, world.log),
        _save_texts(world.arguments),
        _save_texts(world.environment),
        world.origin.save(),
        U32.pack(len(slots)),
        *(bytes((FREE,)) if slot is None else _save_descriptor(slot, places) for slot in slots),
        save_files(world.files, nodes),
    ]
    return b"".join(parts)


def restore_wasi_untrusted(world: WasiWorld, state: bytes) -> WasiWorld:
    """A fresh world, with the limits and the clock of whoever goes on -> the one that `save_wasi` wrote. Raises
    BadWorld.
    """
    fields = FieldReader(state)
    clock, stopped = restore_head_untrusted(fields, WASI, world.clock, world.log)
    arguments = _texts_untrusted(fields, _check_argument)
    environment = _texts_untrusted(fields, _check_variable)
    world.origin.restore_untrusted(fields)
    slots = _descriptors_untrusted(fields)
    held = [slot.node for slot in slots if slot is not None and slot.kind == NODE]
    files, nodes = restore_files_untrusted(fields, world.files.quota, held)
    fields.end()
    opened = {number: _connect_untrusted(slot, nodes) for number, slot in enumerate(slots) if slot is not None}
    table = DescriptorTable.restored(files, opened)
    return replace(
        world,
        clock=clock,
        stopped=stopped,
        arguments=arguments,
        environment=environment,
        files=files,
        table=table,
    )


def _save_texts(texts: tuple[bytes, ...]) -> bytes:
    return U32.pack(len(texts)) + b"".join(U32.pack(len(text)) + text for text in texts)


def _texts_untrusted(fields: FieldReader, check_untrusted: Callable[[bytes], None]) -> tuple[bytes, ...]:
    """As many as fit into a setup."""
    texts, left = [], SETUP_MAX
    for _ in range(number_field(fields)):
        length = number_field(fields)
        left -= length + TEXT_COST
        if left < 0:
            raise BadWorld("arguments larger than 1 MiB")
        text = fields.take(length)
        check_untrusted(text)
        texts.append(text)
    return tuple(texts)


def _check_argument(text: bytes) -> None:
    if b"\0" in text:
        raise BadWorld("an argument or variable has no zero byte")


def _check_variable(text: bytes) -> None:
    if text.find(b"=") < 1:
        raise BadWorld("a variable is NAME=value")
    _check_argument(text)


class _Saved(NamedTuple):
    """A descriptor whose node is not found yet."""

    kind: int
    node: int
    descriptor: Descriptor


def _save_descriptor(descriptor: Descriptor, places: dict[int, int]) -> bytes:
    if isinstance(descriptor.target, Stream):
        kind, node = int(descriptor.target) + 1, 0
    else:
        kind, node = NODE, places[descriptor.target.number]
    nature = PREOPENS.index(descriptor.preopen) | (PLAIN if descriptor.plain else 0)
    rights, inheriting = int(descriptor.rights), int(descriptor.inheriting)
    fields = DESCRIPTOR_LAYOUT.pack(nature, int(descriptor.flags), rights, inheriting, descriptor.offset, node)
    return bytes((kind,)) + fields


def _descriptors_untrusted(fields: FieldReader) -> list[_Saved | None]:
    count = number_field(fields)
    if count > MAXIMUM_DESCRIPTORS:
        raise BadWorld("an impossible table of descriptors")
    slots: list[_Saved | None] = []
    for _ in range(count):
        (kind,) = fields.take(1)
        slots.append(None if kind == FREE else _descriptor_untrusted(kind, fields))
    if slots and slots[-1] is None:
        raise BadWorld("an impossible table of descriptors")
    return slots


def _descriptor_untrusted(kind: int, fields: FieldReader) -> _Saved:
    nature, flags, rights, inheriting, offset, node = fields.unpack(DESCRIPTOR_LAYOUT)
    name = nature & ~PLAIN
    strange_stream = kind != NODE and (node or offset or name)
    if kind > NODE or name >= len(PREOPENS) or strange_stream or flags > ALL_FLAGS or offset > MAXIMUM_OFFSET:
        raise BadWorld("an impossible descriptor")
    target = STREAMS.get(kind, Stream.ERROR)  # a node gets its own when the nodes are there
    plain = bool(nature & PLAIN)
    descriptor = Descriptor(
        target, Right(rights), Right(inheriting), FdFlag(flags), offset, preopen=PREOPENS[name], plain=plain
    )
    return _Saved(kind, node, descriptor)


def _connect_untrusted(saved: _Saved, nodes: list[Node]) -> Descriptor:
    if saved.kind == NODE:
        node = nodes[saved.node]  # `restore_files_untrusted` has found it
        if isinstance(node, SymbolicLink):
            raise BadWorld("a symbolic link is never open")
        saved.descriptor.target = node
    return saved.descriptor
