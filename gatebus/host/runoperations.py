"""Operations with a program's stream: call, launch, io, attach; a wire.

Where it stands: see operations. In: parameters (untrusted), a line. Out: an instance that runs, a stream that rides
on the line, and the line's answer when the stream has its verdict.

Each asks everything that costs nothing before it takes anything: form, ownership, the stream's name, then the quota.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING
from uuid import uuid4

from gatebus.bounds import ORIGIN_STREAMS
from gatebus.host import requests
from gatebus.host.busstreams import BusStream, bus_streams, claim
from gatebus.host.connections import Verdict
from gatebus.host.lives.manners import PLAIN, call_manner_untrusted, launch_manner_untrusted
from gatebus.host.lives.streamkeeping import abandon, can_be_freed, kill_program, leave
from gatebus.host.lives.warming import has_copy
from gatebus.host.principals import Kind
from gatebus.host.refusals import Refusal
from gatebus.host.runorders import Order
from gatebus.host.statuses import error_map
from gatebus.protocol.streams import Flows, Inflow, Outflow

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from gatebus.host.attendant import Line
    from gatebus.host.instances import Instance
    from gatebus.host.requests import Bounds, Parameters, RunRequest
    from gatebus.host.wholeparts import WholeParts

_ELSEWHERE = MappingProxyType(
    error_map("attached-elsewhere", "Another connection has taken this stream over, as it does after a lost one.")
)

_WENT_BACK = (
    "The host ended unexpectedly and went back to what it had stored of the program; {} than it {} by then. Open "
    "another stream."
)
_WRITTEN = _WENT_BACK.format("you have had more of its bytes", "has written")
_READ = _WENT_BACK.format("it has had more of your bytes", "knows of")


def call(parts: WholeParts, line: Line, given: Parameters) -> None:
    """The instance lives as long as its stream has somebody, or may get somebody back."""
    name = requests.id_untrusted(given, "stream")
    parts.registry.check_free(name)
    request = requests.run_untrusted(given, parts.bounds, _window(parts, line, 1))
    data, end = requests.first_untrusted(given)
    order = _order(line, request, uuid4())
    manner = call_manner_untrusted(given)
    for operation in manner.operations:
        parts.config.policy.check(line.principal, operation)
    instance = parts.ordered(order if manner is PLAIN else replace(order, manner=manner))
    if request.want_files:
        instance.on_tree = partial(parts.programs.keep_files, line.principal)
    stream = _stream(Flows(Outflow(), Inflow(order.window)), name, line, instance, parts)
    instance.call = stream
    instance.connect(stream)
    stream.on_cancelled = stream.on_abandoned = kill_program
    _mount(parts, line, stream)
    from_warm = manner.warm and parts.lives.warming.begin(instance, stream)
    stream.begins(data)
    if end is not None:
        line.flows.into.end(end)  # as if it had come behind
    if parts.runner.is_ready(instance) and (not from_warm or has_copy(instance)):
        _begin(line, stream)  # with those of other calls that came in the same batch
    else:
        instance.on_start.append(lambda _instance: _begin(line, stream))
    parts.run(instance)


def launch(parts: WholeParts, line: Line, given: Parameters) -> None:
    """Asking twice is asking once: the second one hears of the first one's instance."""
    wanted = requests.instance_untrusted(given)
    known = parts.registry.known(wanted)
    if known is not None:
        _launched_before(known, line)
        return
    request = requests.run_untrusted(given, _bounds_of_launched(parts, line), _window(parts, line, ORIGIN_STREAMS))
    order = _order(line, request, wanted, connections=ORIGIN_STREAMS)
    tags, opened = requests.tags_untrusted(given), requests.flag_untrusted(given, "open")
    order = replace(order, tags=tags, open=opened, kept=True, manner=launch_manner_untrusted(given))
    instance = parts.ordered(order)
    instance.unclaimed = _stream(Flows(Outflow(), Inflow(order.window)), b"", line, instance, parts)
    instance.on_start.append(partial(_launched, line))
    parts.run(instance)


def _bounds_of_launched(parts: WholeParts, line: Line) -> Bounds:
    """It outlives its caller, its process and its host, and most of the time it waits: so it has all the wall time that
    could be asked for, unless somebody says otherwise, and costs its account a place in its quotas. Strangers share
    one account: one of them would keep the places of all.
    """
    bounds = parts.bounds
    if line.principal.kind is Kind.ANONYMOUS:
        return bounds
    return replace(bounds, limits=replace(bounds.limits, wall_time=bounds.most.wall_time))


def _launched_before(instance: Instance, line: Line) -> None:
    if instance.owner != line.principal.id or not instance.order.kept:
        raise Refusal("conflict", "There is an instance of this id. Choose another one, at random.")
    line.result({"instance": instance.id})


def _launched(line: Line, instance: Instance) -> None:
    """It runs, or it never will."""
    if line.open:
        line.answer(Verdict({"instance": instance.id}) if instance.refusal is None else instance.verdict)


def io(parts: WholeParts, line: Line, given: Parameters) -> None:
    """The program goes on without it: whoever lets go only leaves."""
    parts.registry.check_free(requests.id_untrusted(given, "stream"))
    instance = parts.registry.open_instance(line.principal, requests.instance_untrusted(given))
    if instance.live is not None and instance.live.dormant:
        _roused(parts, line, instance, partial(_connect, parts, line, instance, given))
    else:
        _connect(parts, line, instance, given)


def _connect(parts: WholeParts, line: Line, instance: Instance, given: Parameters) -> None:
    name = requests.id_untrusted(given, "stream")
    parts.registry.check_free(name)
    _free_lost(parts, line, instance)
    stream = claim(instance)
    claimed = stream is not None
    if stream is None:
        stream = _stream(line.flows, name, line, instance, parts)
        instance.connect(stream)
    stream.name, stream.closing = name, Verdict({})
    stream.own(line.principal)
    stream.on_abandoned, stream.on_cancelled = abandon, leave
    _mount(parts, line, stream)
    if claimed:
        line.resume(stream.flows, 0, _accepted(stream))
    else:
        _accept(line, stream)
    parts.lives.touched(instance)


def _free_lost(parts: WholeParts, line: Line, instance: Instance) -> None:
    """Whoever has lost his link comes back by `attach`; until then the owner, or he himself, may begin anew."""
    for stream in bus_streams(instance):
        if can_be_freed(stream) and line.principal.id in (instance.owner, stream.owner):
            parts.registry.free(stream)


def attach(parts: WholeParts, line: Line, given: Parameters) -> None:
    """The stream goes on over this link; an older one loses it."""
    asleep = parts.registry.asleep(requests.id_untrusted(given, "stream"))
    if asleep is None:
        _attach(parts, line, given)
    else:
        _roused(parts, line, asleep, partial(_attach, parts, line, given))


def _roused(parts: WholeParts, line: Line, instance: Instance, then: Callable[[], None]) -> None:
    """Its streams are in the store alone: they are fetched first."""

    async def work() -> None:
        await parts.lives.rouse(instance)
        with parts.turn:
            if line.open:
                then()

    parts.answer_later(line, work, instance)


def _attach(parts: WholeParts, line: Line, given: Parameters) -> None:
    stream = parts.registry.own_stream(line.principal, requests.id_untrusted(given, "stream"))
    taken = requests.count_untrusted(given, "taken")
    _check_went_back(stream, taken, requests.count_untrusted(given, "gone", 0))
    if not stream.flows.out.holds(taken):
        raise Refusal("bad-request", f"The stream cannot go on at byte {taken}: it is gone, or was never sent.")
    if stream.carrier is not None:
        stream.carrier.answer(Verdict(dict(_ELSEWHERE), error=True))
    if stream.stranger:
        stream.own(line.principal)
        if stream.instance.call is stream:
            stream.instance.owner = line.principal.id
    line.resume(stream.flows, taken, _accepted(stream))
    _mount(parts, line, stream)
    parts.lives.touched(stream.instance)


def _check_went_back(stream: BusStream, taken: int, gone: int) -> None:
    """Only what is stored can be older than its client. It may have been stored again, and another host run, since.
    That client never goes on with it; whoever opens another one takes it over (`_free_lost`).
    """
    live = stream.instance.live
    if live is None or (live.recovered is None and live.snapshot is None):
        return
    if taken > stream.flows.out.sent:
        raise Refusal("conflict", _WRITTEN)
    if gone > stream.flows.into.received:
        raise Refusal("conflict", _READ)


def _stream(flows: Flows, name: bytes, line: Line, instance: Instance, parts: WholeParts) -> BusStream:
    flows.out.bound = instance.order.window
    stream = BusStream(name, line.principal, flows, parts.turn)
    stream.instance = instance
    stream.on_broken = parts.stream_broke
    return stream


def _mount(parts: WholeParts, line: Line, stream: BusStream) -> None:
    """From now on it rides on this line, and is found by its name."""
    line.rider = stream
    stream.keeper = parts.registry
    stream.carry(line)
    parts.registry.enter(stream)


def _begin(line: Line, stream: BusStream) -> None:
    """As `_accept`, of a call, whose first bytes may be here."""
    if stream.carrier is line and stream.instance.refusal is None:
        line.resume(stream.flows, 0, _accepted(stream))


def _accept(line: Line, stream: BusStream) -> None:
    """Unless its link was lost meanwhile, or another one has it; or there is nothing to talk to: a client that sends
    what the host lacks must not hear of a stream before."""
    if stream.carrier is line and stream.instance.refusal is None:
        line.accept({**_accepted(stream), "taken": 0}, stream.instance.order.window)


def _accepted(stream: BusStream) -> dict[str, object]:
    """`kept`: who says later than after a quarter of it what has come waits for bytes that cannot be sent. `only`: who
    cancels it ends the input of a program that was launched, for good.
    """
    only = {"only": True} if stream.instance.order.kept and stream.instance.personality == "wasi" else {}
    return {"instance": stream.instance.id, "kept": stream.flows.out.bound, **only}


def _window(parts: WholeParts, line: Line, connections: int) -> int:
    return parts.registry.window(line.principal.account, connections)


def _order(line: Line, request: RunRequest, instance: UUID, connections: int = 1) -> Order:
    return Order(
        instance,
        line.principal,
        request.module,
        request.setup,
        request.limits,
        stored=request.stored,
        connections=connections,
        window=request.setup.origin_credit,
    )
