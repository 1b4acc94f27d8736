"""One host, put together; assembly.

    async with Host(HostConfig(...)) as host:
        result = await host.run(wasm, args=("a",), files={"in.txt": b"..."}, stdin=b"...")     # without a network
        await host.serve()                                                                        # until host.stop()

In:  a configuration; links of strangers through `attend`. Out: everything that ARCHITECTURE.md draws, running.

Order of opening: what can refuse comes first (data directory, keys), then the sandbox, then the nursery that owns all
programs. Order of stopping: no new work, a farewell to every client, as long as the configuration says for what runs,
then the end of programs and links, sandbox, store.
"""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import trio

from gatebus.accountbounds import SHARE_SECONDS
from gatebus.bounds import FAREWELL_SECONDS, STREAM_WINDOW_MOST, SWEEP_SECONDS
from gatebus.failpoints import UNWATCHED, Failpoints
from gatebus.host.attendant import Attendant
from gatebus.host.contest import Contest
from gatebus.host.embedding import Given, RunResult, run_alone
from gatebus.host.eventlog import EventLog
from gatebus.host.frontdesk import FrontDesk
from gatebus.host.hostconfig import HostConfig
from gatebus.host.hostlog import Log, Silence
from gatebus.host.lives.boards import Boards
from gatebus.host.lives.keeping import Keeping
from gatebus.host.lives.lifeloop import LifeLoop
from gatebus.host.lives.live import lived
from gatebus.host.lives.lives import Lives
from gatebus.host.lives.recovering import left_behind, put_away, recover
from gatebus.host.modulestore import open_module_store
from gatebus.host.owntasks import OwnTasks
from gatebus.host.programs import Programs
from gatebus.host.quotas import Quotas
from gatebus.host.registry import Registry
from gatebus.host.requests import Bounds
from gatebus.host.runner import Runner
from gatebus.host.sources import Elsewhere
from gatebus.host.statuses import identity_text
from gatebus.host.wholeparts import WholeParts
from gatebus.lookout import Lookout
from gatebus.peers.neighbourhood import Neighbourhood
from gatebus.protocol import FEATURES, Role, Session, Settings
from gatebus.protocol.proofs import public_key, sign
from gatebus.services.identity import Identities
from gatebus.services.origin import Windows
from gatebus.services.service_table import BUILTIN, World
from gatebus.snapshots.snapshotstore import StoreSettings, open_snapshot_store
from gatebus.trioneeded import need_trio
from gatebus.turn import Turn
from sandbox.background import background_tasks
from sandbox.box import Sandbox, open_sandbox
from sandbox.settings import Settings as SandboxSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType
    from typing import Self

    from gatebus.faults import GatebusError
    from gatebus.host.instances import Instance
    from gatebus.services.service_table import Builtin
    from gatebus.web.link import Link
    from sandbox.limits import Limits

AGENT = "gatebus"


def nobody(_key: bytes) -> str | None:
    """A host that knows no keys."""
    return None


class Host:
    """`seed`: its private key, made anew when there is none. `known`: the comment of a key that may come in.
    `open_box` is for tests; it is the configuration's back-end otherwise.
    """

    services: Mapping[str, Builtin] = BUILTIN
    """What its programs can talk to. Give an instance another table before it is entered: {**BUILTIN, "mine": ...}."""

    points: Failpoints = UNWATCHED
    """For tests that end a host at a place of their choice."""

    def __init__(
        self,
        config: HostConfig | None = None,
        *,
        seed: bytes | None = None,
        known: Callable[[bytes], str | None] = nobody,
        elsewhere: Elsewhere | None = None,
        log: Log | None = None,
        open_box: Callable[[], AbstractAsyncContextManager[Sandbox]] | None = None,
    ) -> None:
        self.config = config or HostConfig()
        self.log = log or Silence()
        self._seed = seed or os.urandom(32)
        self._known, self._elsewhere = known, elsewhere or Elsewhere()
        spin = self.config.sandbox.spin
        self.lookout = Lookout(None if spin is None else spin * 1e6)
        self._open_box = open_box or partial(_open_box, self.config, self.lookout)
        self._stack = AsyncExitStack()
        self._parts: WholeParts | None = None
        self._stopping = trio.Event()
        self._changed = trio.Event()

    async def __aenter__(self) -> Self:
        need_trio("Host", "Beside another event loop let `gatebus serve` run, and use gatebus.client.sync.")
        async with AsyncExitStack() as stack:
            await self._open(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Programs that still run are killed: `serve` has given them their time."""
        assert self._parts is not None
        self._parts.tasks.cancel()
        await self._stack.__aexit__(kind, error, trace)

    async def _open(self, stack: AsyncExitStack) -> None:
        config, turn = self.config, Turn()
        quotas = Quotas(config.quotas)
        folder = config.data or stack.enter_context(tempfile.TemporaryDirectory(prefix="gatebus-"))
        store = await stack.enter_async_context(open_module_store(Path(folder), config.store, quotas))
        kept = await stack.enter_async_context(open_snapshot_store(Path(folder) / "snapshots", quotas, self._signing()))
        box = await stack.enter_async_context(self._open_box())
        nursery = await stack.enter_async_context(background_tasks())
        tasks = OwnTasks(nursery, self._problem)
        neighbourhood = Neighbourhood()
        programs = Programs(box, store, self._elsewhere.all(), SandboxSettings().compile_limits.program_size)
        runner = Runner(box, nursery, turn, programs, partial(_world, neighbourhood))
        runner.pulse = self.lookout.pulse
        runner.on_problem, runner.services = self._problem, self.services
        self._parts = WholeParts(
            AGENT,
            config,
            Bounds(config.limits, config.most),
            box,
            store,
            quotas,
            Registry(config.linger_seconds, config.launched_seconds),
            Contest(self._contest_changed),
            runner,
            programs,
            EventLog(),
            turn,
            tasks,
            time.time,
            self._problem,
            {"linger_ms": round(config.linger_seconds * 1000), "stream_window": STREAM_WINDOW_MOST},
            {extension: line.told(extension) for extension, line in self._elsewhere.interpreters.items()},
        )
        self._parts.note, store.on_trouble = self.log.event, self._store_trouble
        keeping = Keeping(kept, time.time, self.points)
        self._parts.registry.on_forget = keeping.forgotten
        lives = self._parts.lives = Lives(self._parts, keeping, neighbourhood)
        store.needed, keeping.on_trouble = lives.tidying.modules, self._store_trouble
        loop = runner.loop = LifeLoop(box, turn, programs, Boards(runner.make_world, lambda: runner.services), keeping)
        runner.is_greedy = loop.is_greedy = self._parts.contest.appetites.is_greedy
        loop.pulse, runner.on_rest = self.lookout.pulse, lives.rest
        loop.load = lives.loading.load
        loop.on_loaded, loop.on_parked, loop.on_stored = lives.loaded, lives.park_again, lives.preparing.stored
        tasks.keep_up(keeping.write_records)
        tasks.keep_up(lives.tidying.run)
        tasks.keep_up(lives.minding.run)
        await recover(self._parts)
        self._settings = Settings(self._parts.agent, self.key, features=FEATURES, limits=self._parts.limits)
        self._desk = FrontDesk(self._parts, self._seed, self._known)
        tasks.keep_up(self._sweep)
        tasks.keep_up(self._desk.keep_out)
        tasks.keep_up(self._keep_fair)
        tasks.keep_up(self.lookout.run)
        tasks.keep_up(store.keep_tidy)

    def _signing(self) -> StoreSettings:
        said = self.config.snapshots
        return StoreSettings(self.key, partial(sign, self._seed), said.accept, self.points, said.signers)

    def _store_trouble(self, trouble: GatebusError) -> None:
        self.log.event("store-broken", code=trouble.code, text=trouble.text)

    def _problem(self, problem: Exception) -> None:
        """A bug of ours. Its text may say anything, so only its kind and place are written down."""
        self.log.event("internal-error", error=type(problem).__name__, where=_place(problem))

    # Links.

    @property
    def parts(self) -> WholeParts:
        """For those who write operations of their own, and for tests."""
        assert self._parts is not None, "a host is used inside of `async with`"
        return self._parts

    @property
    def key(self) -> bytes:
        """Its public key."""
        return public_key(self._seed)

    async def attend(self, link: Link) -> None:
        """One client, until its link is over."""
        parts = self.parts
        session = Session(Role.HOST, self._settings, trio.current_time())
        attendant = Attendant(link, session, self._desk, parts.turn, parts.tasks)
        attendant.on_forgotten, attendant.pulse = parts.registry.drop, self.lookout.pulse
        self._desk.arriving.add(attendant)
        try:
            await attendant.run()
        finally:
            self._desk.arriving.discard(attendant)

    async def _sweep(self) -> None:
        parts = self.parts
        while True:
            await trio.sleep(SWEEP_SECONDS)
            now = trio.current_time()
            with parts.turn:
                parts.registry.sweep(now)
            for attendant in tuple(self._desk.arriving):
                with parts.turn:
                    attendant.sweep(now)

    def _contest_changed(self) -> None:
        self._changed.set()

    async def _keep_fair(self) -> None:
        """Each account computes on its share while there are several. At most one round in SHARE_SECONDS."""
        while True:
            with trio.move_on_after(self.parts.contest.turn(trio.current_time())):
                await self._changed.wait()
            self._changed = trio.Event()
            await trio.sleep(SHARE_SECONDS)

    # The end.

    async def serve(self, *, task_status: trio.TaskStatus[tuple[str, ...]] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen where the configuration says, until `stop` was called and what ran had its time. UsageError. By
        `nursery.start` it says where it listens.
        """
        from gatebus.host.hostmemory import settle_memory
        from gatebus.host.serving import serve_host  # whoever embeds a host pays for no sockets

        settle_memory()
        await serve_host(self, task_status)

    def stop(self) -> None:
        """`serve` ends, within the configuration's `stop_seconds` and a little."""
        self._stopping.set()

    async def stopped(self) -> None:
        """Wait until somebody stops it, and then for what runs."""
        await self._stopping.wait()
        parts, within = self.parts, self.config.stop_seconds
        parts.stopping = True
        self.log.event("host-stopping", within=within, instances=len(parts.registry))
        for attendant in tuple(self._desk.attendants):
            with parts.turn:
                attendant.farewell("The host is about to stop.", within)
        with trio.move_on_after(within):
            await put_away(parts)
            await self._until_idle()
        for instance in parts.registry.active():
            instance.kill(left_behind(instance))
        with trio.move_on_after(FAREWELL_SECONDS):
            await self._until_idle()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(parts.lives.keeping.write_due)  # ends that the disk had no room for, perhaps
                for attendant in tuple(self._desk.arriving):
                    nursery.start_soon(attendant.end)

    async def _until_idle(self) -> None:
        """One after the other: the last one's end is what is waited for, in any order."""
        for instance in self.parts.registry.active():
            if instance.ended_at is None:
                over = trio.Event()
                instance.on_end[partial(_set, over)] = None
                await over.wait()

    # Without a network.

    async def run(
        self,
        wasm: bytes,
        *,
        args: Sequence[str] = (),
        files: Mapping[str, bytes] | None = None,
        stdin: bytes = b"",
        limits: Limits | None = None,
    ) -> RunResult:
        """One program to its end. Raises UsageError, or what the sandbox raises: Refused, CompileLimit, BadSetup"""
        limits = self.config.limits if limits is None else limits
        return await run_alone(self.parts, wasm, Given(args, files, stdin), limits)


def _world(neighbourhood: Neighbourhood, instance: Instance) -> World:
    principal, name = instance.order.principal, str(instance.order.instance)
    return World(
        trio.current_time,
        os.urandom,
        Identities(identity_text(principal), name, *lived(instance.live)),
        door=instance.door,
        windows=Windows(window=instance.order.window),
        resident=neighbourhood.admit(principal.id, name),
    )


def _open_box(config: HostConfig, lookout: Lookout) -> AbstractAsyncContextManager[Sandbox]:
    backend = cast('Literal["native", "portable"]', config.sandbox.backend)
    asked = config.sandbox
    # One lookout per host: with the sandbox's own beside it an echo took 210 us instead of 160.
    return open_sandbox(backend, SandboxSettings(pool=asked.pool, require=asked.require), watch=lookout)


def _set(event: trio.Event, _instance: Instance) -> None:
    event.set()


def _place(problem: BaseException) -> str:
    """File and line of where it was raised: ours, and no secret."""
    trace = problem.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace is not None else "unknown"
