"""A command that is about several instances or snapshots; assembly.

In:  what was typed, how it is found, what is done to one (the host may refuse it). Out: the result of the command. All
names are understood before anything is done: a mistyped one changes nothing. A refusal stands with its name, and the
others are done all the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from gatebus.cli.saying import tell
from gatebus.cli.wording import Result, failed
from gatebus.client import HostError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

T = TypeVar("T")


async def each_named(
    typed: Sequence[str], find: Callable[[str], Awaitable[T]], do: Callable[[T], Awaitable[object]]
) -> Result:
    """Raises UsageError; of one alone, whatever it is refused with."""
    found = [await find(each) for each in typed]
    if len(found) == 1:
        await do(found[0])
        return Result(0)
    result = Result(0)
    for name, thing in zip(typed, found, strict=True):
        try:
            await do(thing)
        except HostError as fault:
            _tell(result)
            result = failed(name, fault.code, fault.text)
    return result


def _tell(earlier: Result) -> None:
    """The last one is the command's."""
    if earlier.line:
        tell(f"{earlier.line}\n")
