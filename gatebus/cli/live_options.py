"""argv of the commands about stopped programs, and of what a program's life shall be; words.

In:  what argparse found. Out: LiveOptions; UsageError with one line that says what to write. bus_options has the table
of commands.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any

from gatebus.cli.command_words import CALL_NOTES, INSTANCE_NOTES, Command, add_tags
from gatebus.cli.options import SHOW_NOTES, flag, limit
from gatebus.faults import UsageError
from sandbox.errors import BadSetup
from sandbox.limits import Limits, parse_time

SNAPSHOT_NOTES = """SNAPSHOT is a name as `gatebus snapshot` printed it, its first digits, at least four, or a tag that
only one of your snapshots has (`gatebus snapshots`)."""

RESTORE_NOTES = f"""{SNAPSHOT_NOTES}
ipfs://CID, or CID alone, is what `gatebus snapshot --ipfs` printed, here or elsewhere: its blocks are fetched from
GATEBUS_IPFS_SOURCES (or the public gateways), verified, and brought to the host as by `gatebus import`."""

_WAKE = ("never", "io", "any")
_FORMS = ("file", "state", "wasm")
_COPIES = 100  # of one clone: PROTOCOL.md
_TIMES = ("idle_park", "idle_store", "keep_every")


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """`every`: seconds, 0 for no longer. `limits`: of a restored instance, those that were named."""

    park: bool = False
    function: str | None = None
    count: int = 1
    every: float | None = None
    last: int = 1
    form: str = "file"
    out: str | None = None
    limits: Mapping[str, float | None] = field(default_factory=dict)


NO_LIVE_OPTIONS = LiveOptions()


def _add_park(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--park", action="store_true", help="keep the process, stopped: it resumes in a millisecond, and is not durable"
    )


def _add_content(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--ipfs", action="store_true", help="into your IPFS store (and your nodes), too; prints its CID instead"
    )


def _add_function(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--function", metavar="NAME", help="run this one now, in one that has halted (`launch --resumable`)"
    )


def _add_count(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-n", "--count", metavar="COUNT", default="1", help=f"how many, at most {_COPIES}; default 1")


def _add_every(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--every", metavar="TIME", help="between two checkpoints; 0: no longer")
    parser.add_argument("--last", metavar="N", default="1", help="how many stay; default 1")


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", "-o", metavar="FILE", help="a new file; `-` is stdout")
    parser.add_argument(
        "--form",
        choices=_FORMS,
        default="file",
        help="file: for any host; state: for `gatebus run --resume`; wasm: a module that `wasmtime run` finishes",
    )


def _add_limits(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("limits (else those that it had)")
    for each in fields(Limits):
        group.add_argument(flag(each.name), metavar="VALUE", help=f"in {each.metadata['range'].unit}")


def add_call_life(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--warm", action="store_true", help="begin where `gatebus warm` stopped the same program")


def add_life(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("its life (times: 30s, 5m, 2h)")
    add = group.add_argument
    add("--transient", action="store_true", help="a host that stops or crashes does not run it again")
    add("--plain", action="store_true", help="in the form that cannot be stopped: a tenth faster")
    add("--resumable", action="store_true", help="when its function has returned, `resume --function` can run another")
    add("--wake", choices=_WAKE, help="who wakes it when it is suspended; default io: whoever connects")
    add("--idle-park", metavar="TIME", help="stop it when it has been idle for so long")
    add("--idle-store", metavar="TIME", help="store it when it has been idle for so long")
    add("--keep-every", metavar="TIME", help="a checkpoint every so often")
    add("--keep-last", metavar="N", help="how many checkpoints stay; default 1")


LIVE_COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        "suspend": Command(
            "[--park] INSTANCE ...",
            "Stop programs wherever they are; when this is done, what they were is on the host's disk.",
            (1, 100),
            INSTANCE_NOTES,
            add=(_add_park,),
        ),
        "resume": Command(
            "[--function NAME] INSTANCE ...",
            "Let suspended programs go on.",
            (1, 100),
            INSTANCE_NOTES,
            add=(_add_function,),
        ),
        "snapshot": Command(
            "[--tag TAG] INSTANCE",
            "Keep what a program is now; it runs on. Prints the snapshot's name.",
            (1, 1),
            INSTANCE_NOTES,
            add=(add_tags, _add_content),
        ),
        "restore": Command(
            "[--tag TAG] [--function NAME] SNAPSHOT | [ipfs://]CID",
            "A new instance goes on from a snapshot; prints its id.",
            (1, 1),
            RESTORE_NOTES,
            add=(add_tags, _add_limits, _add_function),
        ),
        "clone": Command(
            "[-n COUNT] INSTANCE",
            "Copies of a running or suspended program go on from where it is; prints their ids.",
            (1, 1),
            INSTANCE_NOTES,
            add=(_add_count,),
        ),
        "keep": Command(
            "--every TIME [--last N] INSTANCE",
            "Take a checkpoint of a program again and again: it bounds what a crash of the host costs.",
            (1, 1),
            INSTANCE_NOTES,
            add=(_add_every,),
        ),
        "snapshots": Command("[INSTANCE]", "List your snapshots, or those of an instance.", (0, 1), INSTANCE_NOTES),
        "drop": Command("SNAPSHOT ...", "Forget snapshots.", (1, 100), SNAPSHOT_NOTES),
        "show": Command(
            "FILE | SNAPSHOT | INSTANCE",
            "Show what a stopped program was doing: its frames with names, its memory, what takes how much room.",
            (1, 1),
            SHOW_NOTES,
        ),
        "diff": Command("SNAPSHOT SNAPSHOT", "Say what differs between two snapshots.", (2, 2), SNAPSHOT_NOTES),
        "export": Command(
            "[--form FORM] --out FILE SNAPSHOT",
            "Write a snapshot into a file, for `import` at any host; or as one module for any runtime.",
            (1, 1),
            SNAPSHOT_NOTES,
            add=(_add_export,),
        ),
        "import": Command("FILE", "Bring a snapshot from a file to a host; prints its name.", (1, 1)),
        "warm": Command(
            "[OPTION ...] MODULE [ARGUMENT ...]",
            "Run a program up to its first read and keep that: `gatebus call --warm` begins there.",
            notes=CALL_NOTES,
            program=True,
        ),
    }
)


def live_options(given: argparse.Namespace) -> LiveOptions:
    """Raises UsageError."""
    if hasattr(given, "every") and given.every is None:
        raise UsageError("Say how often: `gatebus keep --every 60s INSTANCE`; --every 0 ends it.")
    if hasattr(given, "form") and given.out is None:
        raise UsageError("Say where to: `gatebus export --out FILE SNAPSHOT`; `--out -` is stdout.")
    return LiveOptions(
        getattr(given, "park", False),
        getattr(given, "function", None),
        _number("-n", getattr(given, "count", "1"), _COPIES),
        None if getattr(given, "every", None) is None else time_of("--every", given.every),
        _number("--last", getattr(given, "last", "1"), None),
        getattr(given, "form", "file"),
        getattr(given, "out", None) if hasattr(given, "form") else None,
        _limits(given),
    )


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
    if policy := _policy(given):
        life["policy"] = policy
    if getattr(given, "plain", False) and (life.keys() & {"resumable", "policy"}):
        raise UsageError("--plain makes a program that cannot be stopped: leave out the other options of its life.")
    return MappingProxyType(life)


def _policy(given: argparse.Namespace) -> dict[str, str | float]:
    policy: dict[str, str | float] = {}
    if getattr(given, "wake", None) is not None:
        policy["wake"] = given.wake
    for name in _TIMES:
        if (text := getattr(given, name, None)) is not None:
            policy[name] = time_of(flag(name), text)
    if (last := getattr(given, "keep_last", None)) is not None:
        policy["keep_last"] = _number("--keep-last", last, None)
    if "keep_last" in policy and "keep_every" not in policy:
        raise UsageError("--keep-last says how many checkpoints stay; --keep-every TIME takes them.")
    return policy


def _limits(given: argparse.Namespace) -> Mapping[str, float | None]:
    if getattr(given, "line", None) is not None:
        return NO_LIVE_OPTIONS.limits  # a program's own (bus_options)
    asked = {each.name: getattr(given, each.name, None) for each in fields(Limits)}
    return MappingProxyType({name: limit(name, text) for name, text in asked.items() if isinstance(text, str)})


def time_of(name: str, text: str) -> float:
    if text == "0":
        return 0.0
    try:
        return parse_time(text)
    except BadSetup as fault:
        raise UsageError(f"{name} {text}: {fault.text}") from None


def _number(name: str, text: str, most: int | None) -> int:
    number = int(text) if text.isascii() and text.isdigit() else 0
    if number < 1 or (most is not None and number > most):
        raise UsageError(f"{name} {text}: it must be a number from 1{f' to {most}' if most else ''}.")
    return number
