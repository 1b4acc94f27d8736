"""Whether trio runs here: asked where people of other event loops come in, who would read about its insides; a wire.

In:  the thread that asks. Out: nothing, or UsageError with what to use instead.
"""

import trio

from gatebus.faults import UsageError


def need_trio(what: str, instead: str) -> None:
    if not trio.lowlevel.in_trio_run():
        raise UsageError(f"{what} needs trio: trio.run(main). {instead}")


def refuse_trio(what: str, instead: str) -> None:
    """Of what waits in its thread: everything else of the program would wait with it."""
    if trio.lowlevel.in_trio_run():
        raise UsageError(f"{what} would stop this trio program while it waits. {instead}")
