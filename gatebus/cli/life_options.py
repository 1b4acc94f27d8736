"""argv of how a program is to live: who wakes it, when it is put away by itself, what a crash of its host does; words.

In:  what argparse found. Out: fields of client.Program, or a client.Life; UsageError with one line that says what to
write. live_options has the commands about stopped programs.
"""

import argparse
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from gatebus.cli.options import flag
from gatebus.faults import UsageError
from sandbox.errors import BadSetup
from sandbox.limits import parse_time

_WAKE = ("never", "io", "any")
_TIMES = ("idle_park", "idle_store", "keep_every")
_LIFE = "its life (times: 30s, 5m, 2h)"


def add_call_life(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--warm", action="store_true", help="begin where `gatebus warm` stopped the same program")


def add_life(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(_LIFE)
    add = group.add_argument
    add("--transient", action="store_true", help="a host that stops or crashes does not run it again")
    add("--plain", action="store_true", help="in the form that cannot be stopped: a tenth faster")
    add("--resumable", action="store_true", help="when its function has returned, `resume --function` can run another")
    _add_policy(group, "; default io: whoever connects", "; default 1")


def add_another_life(parser: argparse.ArgumentParser) -> None:
    """Of one that goes on from a snapshot."""
    parser.add_argument("--open", action="store_true", help="whoever knows its id may connect to it (`io`)")
    group = parser.add_argument_group(f"{_LIFE}; else as its snapshot says")
    what = "a host that stops or crashes does not run it again"
    group.add_argument("--transient", action="store_true", default=None, help=what)
    _add_policy(group, ": never, whoever connects, its peers, too", "")


def add_policy(parser: argparse.ArgumentParser) -> None:
    """Of one that lives."""
    group = parser.add_argument_group("what is to be different (times: 30s, 5m, 2h; 0: no longer)")
    _add_policy(group, ": never, whoever connects, its peers, too", "")


def _add_policy(group: argparse._ArgumentGroup, of_wake: str, of_last: str) -> None:
    add = group.add_argument
    add("--wake", choices=_WAKE, help=f"who wakes it when it is suspended{of_wake}")
    add("--idle-park", metavar="TIME", help="stop it when it has been idle for so long")
    add("--idle-store", metavar="TIME", help="store it when it has been idle for so long")
    add("--keep-every", metavar="TIME", help="a checkpoint every so often")
    add("--keep-last", metavar="N", help=f"how many checkpoints stay{of_last}")


def add_copies(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--transient", action=argparse.BooleanOptionalAction, help="a crash of the host ends it; else as its original")
    add("--durable", action="store_true", help="wait until a crash of the host would not end them")


def life_of_program(given: argparse.Namespace) -> Mapping[str, Any]:
    """Fields of client.Program; only what was said. Raises UsageError."""
    life: dict[str, Any] = {}
    if getattr(given, "transient", False):
        life["transient"] = True
    if getattr(given, "plain", False):
        life["suspendable"] = False
    for name in ("resumable", "warm"):
        if getattr(given, name, False):
            life[name] = True
    if policy := policy_of(given):
        _check_kept(policy)
        life["policy"] = policy
    if getattr(given, "plain", False) and (life.keys() & {"resumable", "policy"}):
        raise UsageError("--plain makes a program that cannot be stopped: leave out the other options of its life.")
    return MappingProxyType(life)


def policy_of(given: argparse.Namespace) -> dict[str, str | float]:
    """Only what was said. Raises UsageError."""
    policy: dict[str, str | float] = {}
    if getattr(given, "wake", None) is not None:
        policy["wake"] = given.wake
    for name in _TIMES:
        if (text := getattr(given, name, None)) is not None:
            policy[name] = time_of(flag(name), text)
    if (last := getattr(given, "keep_last", None)) is not None:
        policy["keep_last"] = number_of("--keep-last", last, None)
    return policy


def _check_kept(policy: Mapping[str, object]) -> None:
    if "keep_last" in policy and "keep_every" not in policy:
        raise UsageError("--keep-last says how many checkpoints stay; --keep-every TIME takes them.")


def time_of(name: str, text: str) -> float:
    if text == "0":
        return 0.0
    try:
        return parse_time(text)
    except BadSetup as fault:
        raise UsageError(f"{name} {text}: {fault.text}") from None


def number_of(name: str, text: str, most: int | None) -> int:
    number = int(text) if text.isascii() and text.isdigit() else 0
    if number < 1 or (most is not None and number > most):
        raise UsageError(f"{name} {text}: it must be a number from 1{f' to {most}' if most else ''}.")
    return number
