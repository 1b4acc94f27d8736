"""Another function of a program that has halted, on what the one before has left; a wire.

Where it stands: behind the operation `resume`, in front of Lives and the store. In: an instance that has ended, the
name of a function (untrusted). Out: an instance of the same id that runs it, in the place of the one that has ended; or
a Refusal, and then nothing has changed. The streams of the one that has ended are answered as those of any other; the
new one begins with new ones, and with the whole limits of its order.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import trio

from gatebus.faults import GatebusError
from gatebus.host.lives.copies import one_connection
from gatebus.host.lives.lifetable import Life
from gatebus.host.refusals import Refusal
from gatebus.host.runorders import check_function
from sandbox.form import Form
from sandbox.setup import Setup

if TYPE_CHECKING:
    from gatebus.host.hostparts import HostParts
    from gatebus.host.instances import Instance
    from gatebus.host.lives.live import Live

_NOT_HALTED = "It has not halted: it goes on where it was stopped, with `resume` without a function."
_PLAIN = "Only a program that was launched `resumable`, and can be stopped, runs another function at its end."
_NOTHING_LEFT = "Nothing of it was kept that a function could run on: it was killed, exited, or could not be stored."


def why_not(live: Live) -> str:
    """It has ended, and is to go on without a function."""
    if live.halted is None:
        return "The instance has ended: it cannot go on."
    return "The program has halted. Say which function is to run on what it has left: `resume` with `function`."


async def call_again(parts: HostParts, instance: Instance, function: str) -> Instance:
    """It runs when this returns. Raises GatebusError, SandboxError."""
    live = _halted(instance)
    digest = (await _module(parts, instance)).hex()
    check_function(await parts.programs.image(digest, instance.order.principal, Form.SUSPENDABLE), function)
    if live.halted is None or parts.registry.known(instance.order.instance) is not instance:
        raise Refusal("conflict", "Somebody else has resumed or deleted it meanwhile.")
    again = _in_its_place(parts, instance, digest, function)
    try:
        parts.lives.wake(again)
        await _live(again).settled()
        failure = _live(again).failure
    except GatebusError as refused:
        _halts(again, instance)
        raise refused from None
    if failure is not None:
        _halts(again, instance)
        raise failure
    return again


def _halted(instance: Instance) -> Live:
    """Raises Refusal."""
    live = instance.live
    if live is None or not instance.order.manner.resumable:
        raise Refusal("conflict", _PLAIN)
    if live.life is not Life.ENDED:
        raise Refusal("conflict", _NOT_HALTED)
    if live.halted is None:
        raise Refusal("conflict", _NOTHING_LEFT)
    return live


async def _module(parts: HostParts, instance: Instance) -> bytes:
    """An order may name its program by an address: what is stored knows its hash."""
    snapshot = _live(instance).snapshot
    assert snapshot is not None
    return bytes.fromhex((await parts.lives.keeping.store.line(snapshot)).module)


def _in_its_place(parts: HostParts, ended: Instance, digest: str, function: str) -> Instance:
    again = parts.resting(replace(ended.order, module=digest, setup=Setup(), stored={}))
    live, old = _live(again), _live(ended)
    live.life, live.how, live.lives, live.function = Life.STORED, old.how, old.lives, function
    live.copies = old.copies
    live.policy, live.wants_files, live.recovered = old.policy, old.wants_files, old.recovered
    again.personality, again.created = ended.personality, ended.created
    _hand_on(old, live)
    parts.registry.forget(ended)
    if again.personality == "wasi":
        one_connection(again, parts)
    parts.lives.enter(again)
    return again


def _hand_on(old: Live, new: Live) -> None:
    """What is stored of one that has halted is from now on another instance's, of the same id."""
    new.halted, new.snapshot, new.revision, new.kept = old.halted, old.snapshot, old.revision, old.kept
    old.halted, old.snapshot, old.revision = None, None, 0


def _halts(again: Instance, ended: Instance) -> None:
    """It could not begin: it is what it was."""
    live = _live(again)
    if live.life is Life.STORED:
        live.function = None
        again.outcome = ended.outcome
        again.over(trio.current_time())


def _live(instance: Instance) -> Live:
    assert instance.live is not None
    return instance.live
