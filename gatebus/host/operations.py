"""The table of operations: name -> what runs it; a wire.

Where it stands: behind an attendant that has read an `open` (parameters untrusted), in front of instances, streams and
modules. Each handler answers its line at once, or sees to it that somebody does; it raises Refusal otherwise.

One explicit table: what is not in it does not exist, and a test holds it to the table of protocol/PROTOCOL.md and to
the policy's. Order in `open`: does it exist, may this principal, is the host stopping, and only then are parameters
read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from gatebus.bounds import LISTED_INSTANCES
from gatebus.host import requests, runoperations, storeoperations
from gatebus.host.lives import filedoperations, lifeoperations
from gatebus.host.lives.storedends import delete_ended
from gatebus.host.nobody import Nobody
from gatebus.host.refusals import Refusal
from gatebus.host.statuses import UNDELETED, error_map, fitting, sandbox_error_map
from sandbox.errors import SandboxError

if TYPE_CHECKING:
    from gatebus.host.attendant import Line
    from gatebus.host.instances import Instance
    from gatebus.host.requests import Parameters
    from gatebus.host.wholeparts import WholeParts

Handler = Callable[["WholeParts", "Line", "Parameters"], None]


class Operation(NamedTuple):
    """`level`: of the protocol. `starts`: refused while the host stops."""

    level: int
    handle: Handler
    starts: bool = False


def open_untrusted(parts: WholeParts, line: Line, name: str, given: Parameters) -> None:
    """Raises Refusal, or the line is answered, now or later."""
    parts.config.policy.check(line.principal, name)
    operation = OPERATION[name]
    if parts.stopping and operation.starts:
        raise Refusal("stopping", "The host is about to stop. Try again later, or at another host.")
    try:
        operation.handle(parts, line, given)
    except SandboxError as fault:
        line.error(sandbox_error_map(fault))


def list_instances(parts: WholeParts, line: Line, given: Parameters) -> None:
    """By age, the oldest first; `after` the id of the last one that the client knows. `more`: ask again."""
    found = parts.registry.instances_of(line.principal)
    if "after" in given:
        after = requests.id_untrusted(given, "after")
        places = [place for place, each in enumerate(found) if each.id == after]
        found = found[places[0] + 1 :] if places else found
    shown = fitting([each.status() for each in found[:LISTED_INSTANCES]])
    line.result({"instances": shown, "more": len(found) > len(shown)})


def status(parts: WholeParts, line: Line, given: Parameters) -> None:
    line.result(_own(parts, line, given).status())


def wait(parts: WholeParts, line: Line, given: Parameters) -> None:
    instance = _own(parts, line, given)
    if instance.ended_at is not None:
        line.result(instance.status())
    else:
        Waiting(instance, line)


def kill(parts: WholeParts, line: Line, given: Parameters) -> None:
    """Answered when it has ended."""
    instance = _own(parts, line, given)
    instance.kill()
    if instance.live is not None:
        instance.live.goes_back = False
    if instance.ended_at is not None:
        _killed(line, instance)
    else:
        Killing(instance, line)


def _killed(line: Line, instance: Instance) -> None:
    """What was asked for is done when a crash of the host does not undo it."""
    if instance.live is not None and instance.live.undeleted:
        line.error(error_map("disk-full", f"It was killed. {UNDELETED}"))
    else:
        line.result(instance.status())


class Waiting(Nobody):
    """For the end of an instance. Whoever has lost the link, or does not want to wait any more, is forgotten."""

    def __init__(self, instance: Instance, line: Line) -> None:
        self._instance, self._line = instance, line
        line.rider = self
        instance.on_end[self._answer] = None

    def _answer(self, instance: Instance) -> None:
        self._line.result(instance.status())

    def cancelled(self, line: object) -> None:
        self.dropped(line)
        self._answer(self._instance)

    def dropped(self, line: object) -> None:
        self._instance.on_end.pop(self._answer, None)


class Killing(Waiting):
    """... and it was asked for."""

    def _answer(self, instance: Instance) -> None:
        _killed(self._line, instance)


def delete(parts: WholeParts, line: Line, given: Parameters) -> None:
    instance = _own(parts, line, given)
    if instance.ended_at is None:
        what = "is suspended, and can go on" if instance.state == "SUSPENDED" else "runs"
        raise Refusal("conflict", f"The instance {what}. Kill it first.")
    if instance.live is None or not instance.live.stored_once:
        parts.registry.forget(instance)
        line.result(instance.status())
        return

    async def work() -> None:
        await delete_ended(parts, instance)
        with parts.turn:
            if line.open:
                line.result(instance.status())

    parts.answer_later(line, work, instance)


def _own(parts: WholeParts, line: Line, given: Parameters) -> Instance:
    return parts.registry.own_instance(line.principal, requests.instance_untrusted(given))


def usage(parts: WholeParts, line: Line, _given: Parameters) -> None:
    line.result(dict(parts.quotas.statement(line.principal.account)))


def features(parts: WholeParts, line: Line, _given: Parameters) -> None:
    layers = parts.box.layers
    line.result(
        {
            "agent": parts.agent,
            "backend": parts.box.backend,
            "layers": {"on": list(layers.on), "missing": [each.name for each in layers.missing]},
            "limits": dict(parts.limits),
            "interpreters": dict(parts.interpreters),
            "operations": sorted(parts.config.policy.allowed(line.principal)),
        }
    )


class Events:
    """A subscription: events wait on the line's flow, within the client's window and ours."""

    def __init__(self, parts: WholeParts, line: Line) -> None:
        self._parts, self._line = parts, line
        self.owner = line.principal.id

    def hear(self, event: bytes) -> bool:
        out = self._line.flows.out
        if len(event) > out.room:
            return False
        out.append(event)
        self._line.pump()
        return True

    def came(self, data: bytes) -> None:
        """It has nothing to say."""
        self._line.flows.into.consume(len(data))

    def touch(self) -> None:
        self._line.pump()

    def dropped(self, line: Line) -> None:
        self._parts.events.unsubscribe(self)

    def cancelled(self, line: Line) -> None:
        self._parts.events.unsubscribe(self)
        line.result({})


def events(parts: WholeParts, line: Line, given: Parameters) -> None:
    since = requests.count_untrusted(given, "since") if "since" in given else None
    parts.events.check_room(line.principal.id)
    subscription = Events(parts, line)
    line.rider = subscription
    line.accept({}, 0)
    parts.events.subscribe(subscription, since)


OPERATION: Mapping[str, Operation] = MappingProxyType(
    {
        "call": Operation(0, runoperations.call, starts=True),
        "launch": Operation(1, runoperations.launch, starts=True),
        "io": Operation(1, runoperations.io, starts=True),
        "attach": Operation(2, runoperations.attach),
        "upload": Operation(1, storeoperations.upload, starts=True),
        "download": Operation(3, storeoperations.download),
        "pin": Operation(1, storeoperations.pin),
        "unpin": Operation(1, storeoperations.unpin),
        "modules": Operation(1, storeoperations.modules),
        "list": Operation(1, list_instances),
        "status": Operation(1, status),
        "wait": Operation(1, wait),
        "kill": Operation(1, kill),
        "delete": Operation(1, delete),
        "usage": Operation(1, usage),
        "features": Operation(1, features),
        "events": Operation(3, events),
        "suspend": Operation(4, lifeoperations.suspend),
        "resume": Operation(4, lifeoperations.resume, starts=True),
        "snapshot": Operation(4, lifeoperations.snapshot),
        "restore": Operation(4, lifeoperations.restore, starts=True),
        "clone": Operation(4, lifeoperations.clone, starts=True),
        "keep": Operation(4, lifeoperations.keep),
        "policy": Operation(4, lifeoperations.policy),
        "snapshots": Operation(4, lifeoperations.snapshots),
        "drop": Operation(4, lifeoperations.drop),
        "warm": Operation(4, lifeoperations.warm, starts=True),
        "show": Operation(4, filedoperations.show),
        "diff": Operation(4, filedoperations.diff),
        "export": Operation(4, filedoperations.export),
        "import": Operation(4, filedoperations.bring_in, starts=True),
    }
)
