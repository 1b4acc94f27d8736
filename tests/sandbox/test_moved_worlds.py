"""Real programs whose world moves along when they are stopped in a host call: files, streams, packets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import sandbox
from sandbox import Form, Setup, State, Tree
from sandbox.packets import DATA, PAIR, encode, encode_data, encode_flow, split_untrusted
from sandbox.tree import File

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("native")

# For each byte of input: writes it to the file "f" through one descriptor, unlinks the name before that when the byte
# is "u", and says "+". At the end of input: copies what it holds from the start on to standard output, and ends.
KEEPER = b"""(module
  (import "wasi_snapshot_preview1" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_unlink_file" (func $unlink (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_seek" (func $seek (param i32 i64 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "f+")
  (data (i32.const 16) "\\40\\00\\00\\00\\01\\00\\00\\00\\01\\00\\00\\00\\01\\00\\00\\00")
  (data (i32.const 32) "\\80\\00\\00\\00\\40\\00\\00\\00")
  (func (export "_start")
    (drop (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 1)
      (i64.const 66) (i64.const 0) (i32.const 0) (i32.const 8)))
    (block $end (loop $more
      (drop (call $read (i32.const 0) (i32.const 16) (i32.const 1) (i32.const 12)))
      (br_if $end (i32.eqz (i32.load (i32.const 12))))
      (if (i32.eq (i32.load8_u (i32.const 64)) (i32.const 117))
        (then (drop (call $unlink (i32.const 3) (i32.const 0) (i32.const 1)))))
      (drop (call $write (i32.load (i32.const 8)) (i32.const 16) (i32.const 1) (i32.const 12)))
      (drop (call $write (i32.const 1) (i32.const 24) (i32.const 1) (i32.const 12)))
      (br $more)))
    (drop (call $seek (i32.load (i32.const 8)) (i64.const 0) (i32.const 0) (i32.const 48)))
    (drop (call $read (i32.load (i32.const 8)) (i32.const 32) (i32.const 1) (i32.const 12)))
    (i32.store (i32.const 36) (i32.load (i32.const 12)))
    (drop (call $write (i32.const 1) (i32.const 32) (i32.const 1) (i32.const 12)))))"""

# Writes 100,000 times "x" to standard output, however little each call takes.
WRITER = b"""(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 3)
  (func (export "_start") (local $left i32)
    (memory.fill (i32.const 64) (i32.const 120) (i32.const 100000))
    (local.set $left (i32.const 100000))
    (loop $more
      (i32.store (i32.const 0) (i32.const 64))
      (i32.store (i32.const 4) (local.get $left))
      (if (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)) (then (unreachable)))
      (br_if $more (local.tee $left (i32.sub (local.get $left) (i32.load (i32.const 8))))))))"""

# Gate: writes 5 bytes of a packet, reads 3 of one that comes, sleeps, writes the rest; from then on it writes a packet
# for every 16 bytes or less that it reads.
PACKETS = b"""(module
  (import "gate" "io_65536" (func $io (param i32 i32 i32 i32 i32 i32 i64 i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "\\10\\00\\00\\00\\00\\00\\01\\00ownbytes")
  (func $send (param $at i32) (param $count i32)
    (i32.store (i32.const 0) (local.get $at)) (i32.store (i32.const 4) (local.get $count))
    (call $io (i32.const 0) (i32.const 0) (i32.const 8)
      (i32.const 0) (i32.const 1) (i32.const 8) (i64.const -1) (i32.const 0)))
  (func $take (param $count i32)
    (i32.store (i32.const 0) (i32.const 128)) (i32.store (i32.const 4) (local.get $count))
    (call $io (i32.const 0) (i32.const 1) (i32.const 8)
      (i32.const 0) (i32.const 0) (i32.const 12) (i64.const -1) (i32.const 0)))
  (func (export "_start")
    (call $send (i32.const 64) (i32.const 5))
    (call $take (i32.const 3))
    (call $io (i32.const 0) (i32.const 0) (i32.const 8)
      (i32.const 0) (i32.const 0) (i32.const 12) (i64.const 300000000) (i32.const 0))
    (call $send (i32.const 69) (i32.const 11))
    (loop $more
      (call $take (i32.const 16))
      (call $send (i32.const 64) (i32.const 16))
      (br $more))))"""


# Draws 16 random bytes, waits for input, draws 16 more, and says all 32.
DRAWS = b"""(module
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "\\80\\00\\00\\00\\01\\00\\00\\00\\40\\00\\00\\00\\20\\00\\00\\00")
  (func (export "_start")
    (drop (call $random (i32.const 64) (i32.const 16)))
    (drop (call $read (i32.const 0) (i32.const 16) (i32.const 1) (i32.const 8)))
    (drop (call $random (i32.const 80) (i32.const 16)))
    (drop (call $write (i32.const 1) (i32.const 24) (i32.const 1) (i32.const 8)))))"""


@pytest.fixture
async def box(image_directory: Path) -> AsyncIterator[sandbox.Sandbox]:
    async with sandbox.open_sandbox("native", sandbox.Settings(cache_directory=str(image_directory))) as made:
        yield made


async def data_of(program: sandbox.Program, count: int) -> bytes:
    """So many bytes that it says on its stream, or all until its end."""
    text = b""
    while len(text) < count:
        packets = await program.receive_some()
        if not packets:
            break
        text += b"".join(each.content[PAIR.size :] for each in split_untrusted(packets) if each.domain == DATA)
    return text


@pytest.mark.parametrize("unlinked", [False, True])
async def test_a_file_that_is_open_moves_along_also_without_its_name(box: sandbox.Sandbox, unlinked: bool) -> None:
    image = await box.compile(KEEPER, form=Form.SUSPENDABLE)
    setup = Setup(tree=Tree())
    async with box.start(image, setup) as program:
        await program.send(encode_data(0, 0, b"u" if unlinked else b"a"))
        assert await data_of(program, 1) == b"+"
        suspended = await program.suspend()
    for byte in (b"b", b"c", b"d"):
        async with box.resume(image, suspended, None, setup, program=KEEPER) as program:
            await program.send(encode_data(0, 0, byte))
            assert await data_of(program, 1) == b"+"
            suspended = await program.suspend()
    async with box.resume(image, suspended, None, setup, program=KEEPER) as program:
        await program.send(encode_data(0, 0, b""))
        kept = b"ubcd" if unlinked else b"abcd"
        assert await data_of(program, 5) == kept
        outcome = await program.wait()
        assert (outcome.state, outcome.result) == (State.HALTED, 0)
        tree = program.tree()
    assert tree is not None
    found = {path: node.content for path, node in tree.items() if isinstance(node, File)}
    assert found == ({} if unlinked else {"f": kept})


async def test_a_write_that_waits_for_credit_goes_on_where_it_was(box: sandbox.Sandbox) -> None:
    image = await box.compile(WRITER, form=Form.SUSPENDABLE)
    async with box.start(image, Setup(origin_credit=1000)) as program:
        assert len(await data_of(program, 1000)) == 1000
        suspended = await program.suspend()
    for _ in range(3):
        async with box.resume(image, suspended, program=WRITER) as program:
            await program.send(encode_flow(0, [(0, 20_000)]))
            assert await data_of(program, 20_000) == b"x" * 20_000
            suspended = await program.suspend()
    async with box.resume(image, suspended, program=WRITER) as program:
        await program.send(encode_flow(0, [(0, 1 << 20)]))
        assert await data_of(program, 1 << 20) == b"x" * 39_000
        assert (await program.wait()).result == 0


async def test_packets_that_are_half_read_and_half_written_are_whole_after_it(box: sandbox.Sandbox) -> None:
    image = await box.compile(PACKETS, form=Form.SUSPENDABLE)
    packet, own = encode(0, 1, b"12345678"), encode(0, 1, b"ownbytes")
    async with box.start(image) as program:
        await program.send(packet)
        suspended = await program.suspend()
    async with box.resume(image, suspended, program=PACKETS) as program:
        suspended = await program.suspend()
    async with box.resume(image, suspended, program=PACKETS) as program:
        assert await packets_of(program, 2) == own * 2, "behind the three bytes, and behind the other thirteen"
        suspended = await program.suspend()
    async with box.resume(image, suspended, program=PACKETS) as program:
        await program.send(packet)
        assert await packets_of(program, 1) == own


async def test_clones_of_one_state_draw_other_randomness_from_then_on(box: sandbox.Sandbox) -> None:
    image = await box.compile(DRAWS, form=Form.SUSPENDABLE)
    async with box.start(image) as program:
        assert split_untrusted(await program.receive_some())  # credit: it waits for input, and has drawn once
        suspended = await program.suspend()
    drawn = []
    for _ in range(20):
        async with box.resume(image, suspended, program=DRAWS) as program:
            await program.send(encode_data(0, 0, b"x"))
            drawn.append(await data_of(program, 32))
    assert len({each[:16] for each in drawn}) == 1, "what was drawn before is in memory"
    assert len({each[16:] for each in drawn}) == 20, "what is drawn later is fresh"


async def packets_of(program: sandbox.Program, count: int) -> bytes:
    """So many packets of 16 bytes."""
    packets = b""
    while len(packets) < 16 * count:
        packets += await program.receive_some()
    return packets
