"""argv of the commands about stopped programs; words.

In:  what argparse found. Out: LiveOptions; UsageError with one line that says what to write. bus_options has the table
of commands.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType

from gatebus.cli.command_words import CALL_NOTES, INSTANCE_NOTES, Command, add_tags
from gatebus.cli.life_options import add_another_life, add_copies, add_policy, number_of, policy_of, time_of
from gatebus.cli.options import SHOW_NOTES, flag, limit
from gatebus.faults import UsageError
from sandbox.limits import Limits

SNAPSHOT_NOTES = """SNAPSHOT is a name as `gatebus snapshot` printed it, its first digits, at least four, or a tag that
only one of your snapshots has (`gatebus snapshots`)."""

RESTORE_NOTES = f"""{SNAPSHOT_NOTES}
ipfs://CID, or CID alone, is what `gatebus snapshot --ipfs` printed, here or elsewhere: its blocks are fetched from
GATEBUS_IPFS_SOURCES (or the public gateways), verified, and brought to the host as by `gatebus import`."""

_CLONE_NOTES = """Without --tag a copy has the tags of its original, and they name nobody any more: an instance is
named by a tag that it alone has."""

_FORMS = ("file", "state", "wasm")
_COPIES = 100  # of one clone: PROTOCOL.md


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """`every`: seconds, 0 for no longer. `limits`, `policy`: those parts that were named. `transient`: None: as that
    which it goes on from.
    """

    park: bool = False
    function: str | None = None
    count: int = 1
    every: float | None = None
    last: int = 1
    form: str = "file"
    out: str | None = None
    limits: Mapping[str, float | None] = field(default_factory=dict)
    policy: Mapping[str, str | float] = field(default_factory=dict)
    transient: bool | None = None
    durable: bool = False


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
        help="file: for any host; state: for `gatebus run --resume`; wasm: a module that `wasmtime run` finishes. "
        "`gatebus import` takes each of them",
    )


def _add_limits(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("limits (else those that it had)")
    for each in fields(Limits):
        group.add_argument(flag(each.name), metavar="VALUE", help=f"in {each.metadata['range'].unit}")


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
            "[OPTION ...] SNAPSHOT | [ipfs://]CID",
            "A new instance goes on from a snapshot; prints its id.",
            (1, 1),
            RESTORE_NOTES,
            add=(add_tags, _add_function, add_another_life, _add_limits),
        ),
        "clone": Command(
            "[-n COUNT] [--tag TAG] [--durable] INSTANCE",
            "Copies of a running or suspended program go on from where it is; prints their ids.",
            (1, 1),
            f"{INSTANCE_NOTES}\n{_CLONE_NOTES}",
            add=(_add_count, add_tags, add_copies),
        ),
        "keep": Command(
            "--every TIME [--last N] INSTANCE",
            "Take a checkpoint of a program again and again: it bounds what a crash of the host costs.",
            (1, 1),
            INSTANCE_NOTES,
            add=(_add_every,),
        ),
        "policy": Command(
            "[OPTION ...] INSTANCE",
            "Change who wakes a program when it is suspended, and when it is put away by itself; or say it.",
            (1, 1),
            INSTANCE_NOTES,
            add=(add_policy,),
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
        "import": Command("FILE | -", "Bring a snapshot from a file, or stdin, to a host; prints its name.", (1, 1)),
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
        number_of("-n", getattr(given, "count", "1"), _COPIES),
        None if getattr(given, "every", None) is None else time_of("--every", given.every),
        number_of("--last", getattr(given, "last", "1"), None),
        getattr(given, "form", "file"),
        getattr(given, "out", None) if hasattr(given, "form") else None,
        _limits(given),
        {} if hasattr(given, "line") else policy_of(given),
        None if hasattr(given, "line") else getattr(given, "transient", None),
        getattr(given, "durable", False),
    )


def _limits(given: argparse.Namespace) -> Mapping[str, float | None]:
    if getattr(given, "line", None) is not None:
        return NO_LIVE_OPTIONS.limits  # a program's own (bus_options)
    asked = {each.name: getattr(given, each.name, None) for each in fields(Limits)}
    return MappingProxyType({name: limit(name, text) for name, text in asked.items() if isinstance(text, str)})
