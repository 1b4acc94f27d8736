"""A host with the native sandbox and real programs that are stopped and go on, over links in memory.

In:  a data directory, when something is to outlive the host. Out: a BusWorld. What a program writes depends on every
byte that it has ever read (`chained`), so that a lost, doubled or exchanged byte shows in all that follow.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from hashlib import sha256
from typing import TYPE_CHECKING

from busworld import NAMES, BusWorld, Problems, put

import sandbox
from gatebus.host.hostconfig import HostConfig
from gatebus.host.server import Host
from gatebus.web.memorylink import MemoryNetwork

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

# Reads, chains and writes until its input ends; then it exits.
CHAIN = b"""(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 0) "\\00\\10\\00\\00\\00\\04\\00\\00")
  (func (export "_start") (local $sum i32) (local $at i32) (local $n i32)
    (loop $more
      (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 16)))
      (local.set $n (i32.load (i32.const 16)))
      (if (local.get $n) (then
        (local.set $at (i32.const 0))
        (loop $each
          (local.set $sum (i32.add (i32.mul (local.get $sum) (i32.const 31))
            (i32.load8_u (i32.add (i32.const 4096) (local.get $at)))))
          (i32.store8 (i32.add (i32.const 4096) (local.get $at)) (local.get $sum))
          (br_if $each (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 1))) (local.get $n))))
        (i32.store (i32.const 8) (i32.const 4096))
        (loop $out
          (i32.store (i32.const 12) (local.get $n))
          (drop (call $write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 20)))
          (i32.store (i32.const 8) (i32.add (i32.load (i32.const 8)) (i32.load (i32.const 20))))
          (br_if $out (local.tee $n (i32.sub (local.get $n) (i32.load (i32.const 20))))))
        (br $more))))))"""


def chained(data: bytes) -> bytes:
    """What CHAIN writes for it."""
    said, total = bytearray(), 0
    for byte in data:
        total = (total * 31 + byte) & 0xFFFFFFFF
        said.append(total & 255)
    return bytes(said)


def digest(wasm: bytes) -> bytes:
    return sha256(wasm).digest()


@asynccontextmanager
async def live_world(
    images: Path,
    data: Path | None = None,
    *programs: bytes,
    config: HostConfig | None = None,
    host_limits: sandbox.HostLimits | None = None,
) -> AsyncIterator[BusWorld]:
    """Alice's programs are in its store."""
    settings = sandbox.Settings(cache_directory=str(images), host_limits=host_limits or sandbox.HostLimits())
    config = config or HostConfig()
    if data is not None:
        config = HostConfig(**{**{name: getattr(config, name) for name in config.__slots__}, "data": str(data)})
    problems = Problems()
    async with Host(
        config, known=NAMES.get, open_box=lambda: sandbox.open_sandbox("native", settings), log=problems
    ) as host:
        for wasm in programs or (CHAIN,):
            await put(host, wasm)
        network = MemoryNetwork(host.attend, None)
        async with network.running():
            yield BusWorld(host, network)
    assert not problems.problems, problems.problems
