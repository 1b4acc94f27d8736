"""Wire: admit a program: bytes of anyone in, a compiled image out.

Order, cheapest refusal first: size (free) - sha256 - memory cache - disk cache - the principal's queue - one of few
jailed workers, where all looking at the bytes happens: counts, validation, compilation. One program of a principal
compiles at a time, so a principal with many programs waits for itself and not others for it. What lost: one queue
for all (the first flood stops everybody), a thread instead of a jailed worker.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

import trio

from sandbox.errors import Refused, SandboxBroken, TooBusy
from sandbox.image import Image, image_key, make_image, parse_facts_untrusted

if TYPE_CHECKING:
    from sandbox.backend import Backend
    from sandbox.imagecache import ImageStore
    from sandbox.limits import CompileLimits, HostLimits

# Hashing this much takes a tenth of a millisecond; more goes to a thread, so that the loop keeps turning.
HASH_INLINE_MAX = 128 << 10


@dataclass
class AdmissionCounts:
    compiled: int = 0
    cache_hits: int = 0
    refused: int = 0


@dataclass
class _Queue:
    """One principal's: `turn` is handed on in order of arrival."""

    turn: trio.Lock = field(default_factory=trio.Lock)
    waiting: int = 0


class Admission:
    def __init__(self, backend: Backend, store: ImageStore, limits: CompileLimits, host: HostLimits) -> None:
        self._backend, self._store = backend, store
        self._limits, self._host = limits, host
        self._queues: dict[str, _Queue] = {}
        self._workers = trio.CapacityLimiter(host.compile_workers)
        self._waiting = self._waiting_bytes = 0
        self.counts = AdmissionCounts()

    async def admit_untrusted(self, wasm: bytes, principal: str, digest: str | None) -> Image:
        """Raises Refused, CompileLimit, TooBusy, SandboxBroken."""
        try:
            return await self._admit_untrusted(wasm, principal, digest)
        except Refused:
            self.counts.refused += 1
            raise

    def ready(self, digest: str) -> Image | None:
        """From memory, without a wait."""
        return self._store.ready(image_key(digest, self._backend.fingerprint))

    async def cached_untrusted(self, digest: str) -> Image | None:
        return await self._cached(image_key(digest, self._backend.fingerprint), digest)

    async def _admit_untrusted(self, wasm: bytes, principal: str, digest: str | None) -> Image:
        self._check_size(wasm)
        found = await _sha256(wasm)
        if digest is not None and digest.lower() != found:
            raise Refused("wrong-hash", f"The program's sha256 is {found}, not the one that was asked for.")
        key = image_key(found, self._backend.fingerprint)
        if image := await self._cached(key, found):
            return image
        queue = self._join(principal, len(wasm))
        try:
            async with queue.turn, self._workers:
                # Its twin may have been compiled while this one waited.
                return await self._cached(key, found) or await self._compile_untrusted(wasm, found, key)
        finally:
            self._leave(principal, queue, len(wasm))

    def _check_size(self, wasm: bytes) -> None:
        if not wasm:
            raise Refused("malformed", "The program is empty.")
        if len(wasm) > self._limits.program_size:
            raise Refused(
                "too-large", f"The program has {len(wasm)} bytes; at most {self._limits.program_size} are allowed."
            )

    async def _cached(self, key: str, digest: str) -> Image | None:
        image = await self._store.get_untrusted(key, digest, self._backend)
        if image is not None:
            self.counts.cache_hits += 1
        return image

    def _join(self, principal: str, size: int) -> _Queue:
        host, queue = self._host, self._queues.get(principal) or _Queue()
        if queue.waiting >= host.queue_per_principal:
            raise TooBusy(
                "queue-full",
                f"{queue.waiting} of your programs wait for the compiler already. Try again when one is ready.",
            )
        if self._waiting >= host.queue_total or self._waiting_bytes + size > host.queue_bytes:
            raise TooBusy("compiler-busy", "Too many programs wait for the compiler. Try again later.")
        self._queues[principal] = queue
        queue.waiting += 1
        self._waiting += 1
        self._waiting_bytes += size
        return queue

    def _leave(self, principal: str, queue: _Queue, size: int) -> None:
        queue.waiting -= 1
        self._waiting -= 1
        self._waiting_bytes -= size
        if not queue.waiting:
            del self._queues[principal]

    async def _compile_untrusted(self, wasm: bytes, digest: str, key: str) -> Image:
        compiled = await self._backend.compile_job(wasm, self._limits)
        facts = parse_facts_untrusted(compiled.facts)
        if facts.wasm_sha256 != digest:
            raise SandboxBroken(
                "compiler-facts", "The compile worker answered for another program; this one was not admitted."
            )
        blob = compiled.blob
        if blob is None or not 0 < blob.size <= self._limits.max_code:
            raise SandboxBroken(
                "compiler-image", "The compile worker left no usable image; the program was not admitted."
            )
        self.counts.compiled += 1
        image = make_image(digest, key, facts, blob.size, blob)
        await self._store.put(image, blob, compiled.facts)
        return image


async def _sha256(data: bytes) -> str:
    if len(data) <= HASH_INLINE_MAX:
        await trio.lowlevel.checkpoint()
        return sha256(data).hexdigest()
    return await trio.to_thread.run_sync(lambda: sha256(data).hexdigest())
