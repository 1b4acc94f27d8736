"""`gatebus fsck`: what is wrong with everything that a host has stored, by name; assembly.

In:  options, the host's data directory. Out: lines or JSON on stdout; an exit code. Nothing is deleted.
"""

from pathlib import Path

from gatebus.cli.saying import put, tell
from gatebus.cli.serve_options import FsckOptions
from gatebus.faults import GatebusError, UsageError
from gatebus.snapshots.checking import check_host, is_of_a_host
from gatebus.xdg import state_directory

_WRONG, _OURS = 1, 125


def fsck(options: FsckOptions) -> int:
    data = Path(options.data) if options.data else state_directory()
    if not data.is_dir():
        raise UsageError(f"There is nothing to look through: {data} is no directory. Name the host's: --data DIR.")
    if not is_of_a_host(data):
        raise UsageError(
            f"There is nothing to look through: no host has kept anything in {data}. Name its: --data DIR."
        )
    try:
        report = check_host(data, repair=options.repair)
    except GatebusError as fault:
        tell(f"gatebus: {fault.text}\n")
        return _OURS
    put(report.as_json() if options.json else report.lines())
    return 0 if report.ok else _WRONG
