"""How an instance and its end are told to clients: maps of protocol/PROTOCOL.md; words.

In:  outcomes and usage of the sandbox, faults of ours. Out: maps of texts and numbers, ready to be encoded. What a
     fault says in private (its cause) is not in them.
"""

from collections.abc import Mapping, Sequence

import cbor2

from gatebus.accountbounds import ANSWER_VALUES
from gatebus.bounds import ANSWER_BYTES
from gatebus.host.principals import Kind, Principal
from sandbox.errors import BadSetup, CompileLimit, Refused, SandboxError, StartFailed, TooBusy
from sandbox.outcome import Outcome, State, Usage

STARTING = "STARTING"
"""The state of an instance whose module is still fetched or compiled; the others are the sandbox's."""

UNDELETED = (
    "Its end could not be written down (the host's disk is full or fails): "
    "should the host end before it is, it runs again."
)
"""Of an instance that has ended."""

Map = dict[str, object]

_BY_ITSELF = (State.HALTED, State.TERMINATED)
_ENDED = (*_BY_ITSELF, State.KILLED)


def usage_map(usage: Usage, dropped: int = 0) -> Map:
    """`dropped`: bytes of the log that did not reach the client, besides those over the program's limit."""
    return {
        "cpu_ms": round((usage.cpu_user + usage.cpu_system) * 1000),
        "peak_memory": usage.peak_memory,
        "bytes_in": usage.bytes_in,
        "bytes_out": usage.bytes_out,
        "wall_ms": round(usage.wall * 1000),
        "log_dropped": usage.log_dropped + dropped,
    }


def outcome_map(outcome: Outcome, dropped: int = 0) -> Map:
    """What is not so (yet) is not in it: a program that runs has no cause, a killed one no result."""
    told: Map = {"state": outcome.state.name, "usage": usage_map(outcome.usage, dropped)}
    if outcome.state in _ENDED:
        told["cause"] = outcome.cause.name
    if outcome.state in _BY_ITSELF:
        told["result"] = outcome.result
    if outcome.text:
        told["text"] = outcome.text
    return told


def error_map(code: str, text: str, reason: str = "") -> Map:
    """`reason`: the sandbox's own code, finer than the protocol's."""
    return {"code": code, "text": text, "reason": reason} if reason else {"code": code, "text": text}


def sandbox_error_map(fault: SandboxError) -> Map:
    """Of a program that was not started."""
    codes = {Refused: "refused", CompileLimit: "compile-limit", BadSetup: "bad-setup", TooBusy: "busy"}
    if isinstance(fault, StartFailed) and fault.code == "too-many-programs":
        return error_map("busy", fault.text, fault.code)
    return error_map(codes.get(type(fault), "internal"), fault.text, fault.code)


def fitting(lines: Sequence[Map]) -> list[Map]:
    """As many of the first ones as one message holds: its reader bounds bytes and values."""
    found, left, values = [], ANSWER_BYTES, ANSWER_VALUES
    for line in lines:
        left, values = left - len(cbor2.dumps(line)), values - _values(line)
        if left < 0 or values < 0:
            break
        found.append(line)
    return found


def _values(value: object) -> int:
    """As gatebus.protocol.strictcbor counts them."""
    if isinstance(value, Mapping):
        return 1 + sum(1 + _values(each) for each in value.values())
    return 1 + sum(map(_values, value)) if isinstance(value, list | tuple) else 1


def identity_text(principal: Principal) -> str:
    """What the service `identity` tells a program of who sent it; nothing of strangers."""
    return "" if principal.kind is Kind.ANONYMOUS else principal.id
