"""Wire: admit a program: bytes of anyone in, a compiled image out.

Order, cheapest refusal first: size (free) - sha256 - memory cache - disk cache - the principal's queue - one of few
jailed workers, where all looking at the bytes happens: counts, validation, compilation. One program of a principal
compiles at a time, so a principal with many programs waits for itself and not others for it. What lost: one queue
for all (the first flood stops everybody), a thread instead of a jailed worker.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

import trio

from sandbox.errors import BadState, CompileLimit, Refused, SandboxBroken, TooBusy
from sandbox.form import JOBS, CompileJob, Form
from sandbox.image import (
    Continuation,
    Image,
    check_answer_untrusted,
    continuation_key,
    image_key,
    make_image,
    parse_continuation_untrusted,
    parse_facts_untrusted,
    parse_frames_untrusted,
    unsuspendable_facts,
)
from sandbox.inthread import in_thread
from sandbox.lanes import Lanes
from sandbox.piecework import PieceWork
from sandbox.statewords import (
    EXPORT_GOES_ON,
    STACK_OF_FRAMES,
    WALK_PIECE,
    Places,
    check_room,
    continuation_order,
    export_order,
    frames_order,
    look_untrusted,
    places_of_untrusted,
    program_of_untrusted,
    walk_untrusted,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from sandbox.backend import Backend, Blob, Compiled, Pieces
    from sandbox.imagecache import ImageStore
    from sandbox.limits import CompileLimits, HostLimits
    from sandbox.packets import Buffer

# Names of images that are known by their programs: 5 us less of each start; each takes about 300 bytes.
KEYS_KNOWN = 1_024
# Hashing this much takes a tenth of a millisecond; more goes to a thread, so that the loop keeps turning.
HASH_INLINE_MAX = 128 << 10
# Deep stacks whose places are known: a hundred copies of one program go on from the same. Each takes at most 600 KB.
WALKS_KNOWN = 32

# Bytes of a state with its memory 0: no module of the usual limit (CompileLimits.max_code) holds half as much.
EXPORT_MAX = 128 << 20
TOO_LARGE_TO_EXPORT = "The program's memory and files are too large for one module; its state file holds them."

NOT_THIS_BACKEND = "the executable gatebus-transform is missing, which rewrites programs for it: run `make build`"
# CompileLimits.program_size: 32 MiB.
TOO_LARGE_TO_GO_ON = (
    f"{{}}. So it does not go on from its state as it is. {EXPORT_GOES_ON.rstrip('.')}; one of more than 32 MiB takes "
    "another runtime."
)
TOO_LARGE = "the compiler's limits are enough for the program as it is, not for its rewritten form: {}"


class Wanted(NamedTuple):
    """Of whom, by which name, in which form."""

    principal: str = ""
    sha256: str | None = None
    form: Form = Form.PLAIN


@dataclass
class AdmissionCounts:
    compiled: int = 0
    cache_hits: int = 0
    refused: int = 0
    walked: int = 0
    """Deep stacks that were walked over."""


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
        self._keys: dict[tuple[str, str, Form], str] = {}
        self._workers = trio.CapacityLimiter(host.compile_workers)
        self._waiting = self._waiting_bytes = 0
        self._making = Lanes()  # continuations, by key; places of frames, by image and digest
        self._places: OrderedDict[str, Places] = OrderedDict()  # of the latter
        self.piecework = PieceWork()
        self.counts = AdmissionCounts()

    async def admit_untrusted(self, wasm: bytes, wanted: Wanted) -> Image:
        """Raises Refused, CompileLimit, TooBusy, SandboxBroken."""
        try:
            if wanted.form is Form.SUSPENDABLE and not self._backend.can_suspend:
                plain = await self._admit_untrusted(wasm, wanted._replace(form=Form.PLAIN))
                return replace(plain, unsuspendable=(NOT_THIS_BACKEND,))
            return await self._admit_untrusted(wasm, wanted)
        except Refused:
            self.counts.refused += 1
            raise

    def ready(self, digest: str, form: Form = Form.PLAIN) -> Image | None:
        """From memory, without a wait."""
        names = digest, self._backend.fingerprint, form
        if (key := self._keys.get(names)) is None:
            if len(self._keys) >= KEYS_KNOWN:
                self._keys.clear()
            key = self._keys[names] = image_key(*names)
        return self._store.ready(key)

    async def cached_untrusted(self, digest: str, form: Form = Form.PLAIN) -> Image | None:
        return await self._cached(image_key(digest, self._backend.fingerprint, form), digest)

    async def _admit_untrusted(self, wasm: bytes, wanted: Wanted) -> Image:
        self._check_size(wasm)
        found = await _sha256(wasm)
        if wanted.sha256 is not None and wanted.sha256.lower() != found:
            raise Refused("wrong-hash", f"The program's sha256 is {found}, not the one that was asked for.")
        key = image_key(found, self._backend.fingerprint, wanted.form)
        if image := await self._cached(key, found):
            return image
        async with self._turn(wanted.principal, len(wasm)):
            # Its twin may have been compiled while this one waited.
            return await self._cached(key, found) or await self._compile_untrusted(wasm, found, key, wanted.form)

    @asynccontextmanager
    async def _turn(self, principal: str, size: int) -> AsyncIterator[None]:
        queue = self._join(principal, size)
        try:
            async with queue.turn, self._workers:
                yield
        finally:
            self._leave(principal, queue, size)

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

    async def _job_untrusted(self, wasm: bytes, form: Form) -> Compiled:
        """A rewritten program is two to three times as large: where the compiler's limits are only enough for the
        program as it came, it runs as it came.
        """
        try:
            return await self._backend.compile_job(wasm, self._limits, JOBS[form])
        except CompileLimit as limit:
            if form is Form.PLAIN:
                raise
            compiled = await self._backend.compile_job(wasm, self._limits)
            parse_facts_untrusted(compiled.facts)
            return compiled._replace(facts=unsuspendable_facts(compiled.facts, TOO_LARGE.format(limit.text)))

    async def _compile_untrusted(self, wasm: bytes, digest: str, key: str, form: Form) -> Image:
        compiled = await self._job_untrusted(wasm, form)
        facts = parse_facts_untrusted(compiled.facts)
        suspension_told = facts.suspendable is not bool(facts.unsuspendable)
        if facts.wasm_sha256 != digest or suspension_told is not (form is Form.SUSPENDABLE):
            raise SandboxBroken(
                "compiler-facts", "The compile worker answered for another program; this one was not admitted."
            )
        blob = self._usable(compiled)
        self.counts.compiled += 1
        image = make_image(digest, key, facts, blob.size, blob)
        await self._store.put(image, blob, compiled.facts)
        return image

    async def continuation_untrusted(
        self, state: bytes, image: Image, program: bytes | None, room: int
    ) -> Continuation:
        """What goes on from the frames of this state: from a cache, or compiled from the program's bytes. `room`: bytes
        of stack that it gets.

        Raises BadState, CompileLimit, SandboxBroken.
        """
        places = await self.places_untrusted(state, image)
        made = await self._continuation_untrusted(places.sites, image, program)
        check_room(places, made.stack, room)
        return made

    async def check_places(self, state: bytes, image: Image, program: bytes, room: int) -> None:
        """Does it go on from there, as far as can be told soon? Only so much on its stack that it may not fit into
        `room` is worth the compiler's time, which whoever goes on is spared then. Raises as above.
        """
        if len(look_untrusted(state).frames) * STACK_OF_FRAMES > room:
            await self.continuation_untrusted(state, image, program, room)
        else:
            await self.places_untrusted(state, image)

    async def _continuation_untrusted(
        self, sites: tuple[int, ...], image: Image, program: bytes | None
    ) -> Continuation:
        key = continuation_key(image.sha256, self._backend.fingerprint, sites)
        found = await self._store.continuation_untrusted(key, image.sha256, self._backend)
        if found is not None:
            return found
        async with self._making.one(key):
            return await self._store.continuation_untrusted(key, image.sha256, self._backend) or (
                await self._continue_untrusted(key, sites, image, program)
            )

    async def places_untrusted(self, state: bytes, image: Image) -> Places:
        """Of the same frames they are looked for once, and only whoever asked waits. Raises BadState."""
        frames = look_untrusted(state).frames
        if len(frames) <= WALK_PIECE:
            return places_of_untrusted(state, image.frames)
        name = f"{image.key} {await _sha256(memoryview(state)[frames.start : frames.stop])}"
        async with self._making.one(name):
            if name not in self._places:
                self.counts.walked += 1
                self._places[name] = await self.piecework.done(walk_untrusted(state, image.frames))
                if len(self._places) > WALKS_KNOWN:
                    self._places.popitem(last=False)
            self._places.move_to_end(name)
            return self._places[name]

    async def _continue_untrusted(
        self, key: str, sites: tuple[int, ...], image: Image, program: bytes | None
    ) -> Continuation:
        if program is None or await _sha256(program) != image.sha256:
            raise BadState("state-program", "To go on from this state the program itself is needed.")
        async with self._workers:
            order = continuation_order(sites, image.summary, program)
            try:
                compiled = await self._backend.compile_job(order, self._limits, CompileJob.CONTINUE)
                guide, stack = parse_continuation_untrusted(compiled.facts, image.sha256)
            except (CompileLimit, Refused) as limit:  # the program was admitted: it is no fault of its bytes
                raise CompileLimit(limit.code, TOO_LARGE_TO_GO_ON.format(limit.text.rstrip("."))) from limit
        blob = self._usable(compiled)
        made = Continuation(key, guide, blob.size + len(guide), blob, stack)
        await self._store.put(made, blob, compiled.facts)
        return made

    async def frames_untrusted(self, state: bytes, program: bytes) -> list[dict[str, Any]]:
        """Who the frames of a state are, for a person. Raises BadState, CompileLimit, SandboxBroken."""
        async with self._workers:
            order = partial(frames_order, state, program)
            shown = await self._backend.compile_job(order, self._limits, CompileJob.SHOW)
        return parse_frames_untrusted(shown.facts, await _sha256(program))

    async def export_untrusted(self, state: bytes, pieces: Pieces, program: bytes) -> Blob:
        """The stopped program as one ordinary module; `pieces`: of memory 0, as a state file has them, which are never
        whole in memory. Raises BadState, CompileLimit, SandboxBroken.
        """
        digest = await _sha256(program)
        if program_of_untrusted(state) != digest:
            raise BadState("state-other-program", "The state is of another program.")
        count = await in_thread(_counted, pieces, EXPORT_MAX - len(state))
        async with self._workers:
            order = partial(_export_order, state, count, pieces, program)
            made = await self._backend.compile_job(order, self._limits, CompileJob.EXPORT)
        check_answer_untrusted(made.facts, digest)
        return self._usable(made)

    def _usable(self, compiled: Compiled) -> Blob:
        blob = compiled.blob
        if blob is None or not 0 < blob.size <= self._limits.max_code:
            raise SandboxBroken(
                "compiler-image", "The compile worker left no usable image; the program was not admitted."
            )
        return blob


def _counted(pieces: Pieces, most: int) -> int:
    """How many there are. Raises CompileLimit: they have more bytes than that."""
    count = 0
    for piece in pieces():
        count, most = count + 1, most - len(piece)
        if most < 0:
            raise CompileLimit("code-too-large", TOO_LARGE_TO_EXPORT)
    return count


def _export_order(state: bytes, count: int, pieces: Pieces, program: bytes) -> Iterator[Buffer]:
    return export_order(state, count, pieces(), program)


async def _sha256(data: Buffer) -> str:
    if len(data) <= HASH_INLINE_MAX:
        await trio.lowlevel.checkpoint()
        return sha256(data).hexdigest()
    try:
        return await in_thread(lambda: sha256(data).hexdigest())
    except OSError:  # no thread to be had: it must be known all the same
        return sha256(data).hexdigest()
