"""What a host is made of, below what is done to instances that outlive their processes; a wire.

Where it stands: in the hand of each part of gatebus.host.lives and, with these (wholeparts), of every operation.
Nothing here decides; `run` and `answer_later` are the two ways in which an operation goes on after its handler has
returned: as a program, or as a task that answers its line.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import trio

from gatebus.accountbounds import STORE_TASKS_EACH
from gatebus.bounds import STORE_TASKS
from gatebus.faults import FileDamaged, GatebusError, StateRefused
from gatebus.host.instances import Instance
from gatebus.host.lives.live import let_go, use
from gatebus.host.quotas import Amounts
from gatebus.host.refusals import Refusal, as_refusal
from gatebus.host.statuses import error_map, sandbox_error_map
from sandbox.errors import BadSetup, CompileLimit, Refused, SandboxError, TooBusy

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from gatebus.host.attendant import Line
    from gatebus.host.busstreams import BusStream
    from gatebus.host.contest import Contest
    from gatebus.host.eventlog import EventLog
    from gatebus.host.hostconfig import HostConfig
    from gatebus.host.lives.lifework import LifeWork
    from gatebus.host.modulestore import ModuleStore
    from gatebus.host.owntasks import OwnTasks
    from gatebus.host.programs import Programs
    from gatebus.host.quotas import Quotas, Ticket
    from gatebus.host.registry import Registry
    from gatebus.host.requests import Bounds
    from gatebus.host.runner import Runner
    from gatebus.host.runorders import Order
    from gatebus.host.statuses import Map
    from gatebus.turn import Turn
    from sandbox.box import Sandbox


@dataclass(slots=True)
class HostParts:
    """`clock`: seconds since 1970."""

    agent: str
    config: HostConfig
    bounds: Bounds
    box: Sandbox
    store: ModuleStore
    quotas: Quotas
    registry: Registry
    contest: Contest
    runner: Runner
    programs: Programs
    events: EventLog
    turn: Turn
    tasks: OwnTasks
    clock: Callable[[], float]
    on_problem: Callable[[Exception], None]
    limits: Mapping[str, int] = field(default_factory=dict)
    interpreters: Mapping[str, Map] = field(default_factory=dict)
    note: Callable[..., None] = lambda _name, **_fields: None
    """The log's `event` (gatebus.host.log)."""
    stopping: bool = False
    lives: LifeWork = field(init=False)
    whole: trio.Lock = field(default_factory=trio.Lock)
    """One stored program at a time is whole in memory: as a file that leaves or has come."""
    _tasks: Counter[str] = field(default_factory=Counter)  # by account

    def ordered(self, order: Order) -> Instance:
        """An instance that is paid for, and not started yet. Raises Refusal."""
        return Instance(order, self.clock(), self._paid(order))

    def resting(self, order: Order) -> Instance:
        """One that has no process yet, and draws on nothing."""
        instance = Instance(order, self.clock(), self.quotas.take(order.principal.account, Amounts()))
        self.quotas.release(instance.ticket)
        instance.on_end[self._over] = None
        return instance

    def run(self, instance: Instance) -> None:
        self.registry.add(instance)
        self.contest.began(instance, instance.order.principal.account, trio.current_time())
        instance.on_end[self._over] = None
        self.events.note("started", instance)
        if instance.live is not None and instance.live.policy.acts:
            self.lives.mind(instance)
        if instance.order.kept:
            self.note("instance-launched", instance=instance.id, principal=instance.owner, module=_named(instance))
        self.runner.start(instance)

    def rest(self, instance: Instance) -> None:
        """It has no process for a while, and draws on nothing that needs one."""
        self.quotas.release(instance.ticket)
        self.contest.over(instance, instance.order.principal.account, trio.current_time())
        self.events.note("suspended", instance)
        self.note("instance-stored", instance=instance.id, principal=instance.owner, module=_named(instance))

    def take_again(self, instance: Instance) -> None:
        """It is going to have one again. Raises Refusal."""
        instance.ticket = self._paid(instance.order)
        self.contest.began(instance, instance.order.principal.account, trio.current_time())

    def _paid(self, order: Order) -> Ticket:
        """Copies that wait for calls give way: first the account's own, then, where the host itself is full, all."""
        account, amounts = order.principal.account, Amounts(instances=1, memory=order.limits.memory)
        while True:
            try:
                return self.quotas.take(account, amounts)
            except Refusal:
                give_way = self.lives.give_way
                if not give_way(account) and not (self.quotas.host_lacks(amounts) and give_way(None)):
                    raise

    def _over(self, instance: Instance) -> None:
        if self.quotas.release(instance.ticket):  # a stored one had given it back
            self.contest.over(instance, instance.order.principal.account, trio.current_time())
        self.registry.over(instance)
        if instance.live is not None:
            self.lives.keeping.over(instance)
        self.events.note("ended", instance)
        name, outcome = "instance-ended" if instance.order.kept else "call-ended", instance.outcome
        if outcome is not None:
            spent = outcome.usage.cpu_user + outcome.usage.cpu_system
            self.contest.appetites.spent(instance.order.principal.account, spent, trio.current_time())
        cause = outcome.cause.name if outcome is not None and instance.refusal is None else "REFUSED"
        self.note(name, instance=instance.id, principal=instance.owner, module=_named(instance), cause=cause)

    def stream_broke(self, stream: BusStream, problem: Exception) -> None:
        """A bug of ours: its program ends, the others go on."""
        self.on_problem(problem)
        stream.instance.kill()

    def answer_later(self, line: Line, work: Callable[[], Awaitable[None]], of: Instance | None = None) -> None:
        """`work` answers the line. `of`: what it has in hand. Raises Refusal when too much is under way."""
        account = line.principal.account
        for there, most in ((self._tasks.total(), STORE_TASKS), (self._tasks[account], STORE_TASKS_EACH)):
            if there >= most:
                raise Refusal("busy", f"{there} requests that wait for a disk or program are under way. Try again.")
        self._tasks[account] += 1
        use(of)
        self.tasks.start_soon(self._answer, line, work, of)

    async def _answer(self, line: Line, work: Callable[[], Awaitable[None]], of: Instance | None) -> None:
        account = line.principal.account
        try:
            await work()
        except StateRefused as fault:
            self._refuse(line, error_map("bad-state", fault.text))
        except FileDamaged as fault:
            self._refuse(line, error_map("bad-state", as_refusal(fault).text))
        except GatebusError as fault:
            self._refuse(line, error_map(fault.code if isinstance(fault, Refusal) else "internal", fault.text))
        except (BadSetup, Refused, CompileLimit, TooBusy) as fault:
            self._refuse(line, sandbox_error_map(fault))
        except SandboxError as fault:
            self._refuse(line, error_map(as_refusal(fault).code, fault.text))
        except Exception as bug:
            self.on_problem(bug)
            self._refuse(line, error_map("internal", "The host failed. Please report it."))
        finally:
            let_go(of)
            self._tasks[account] -= 1
            if not self._tasks[account]:
                del self._tasks[account]

    def _refuse(self, line: Line, error: Map) -> None:
        with self.turn:
            if line.open:
                line.error(error)


def _named(instance: Instance) -> str:
    """Its hash. An address is a text of the caller, and none of those is written down."""
    return "elsewhere" if "://" in instance.order.module else instance.order.module
