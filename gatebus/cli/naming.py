"""Which module or instance a person means: by all of its digits, their beginning, or a tag; words.

In:  what was typed; what the host says there is (untrusted, already typed values). Out: one name, or UsageError with
what to write instead, whose code tells a script whether there is none or several. A name that could mean two things
means none: a program that runs is not taken back.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from gatebus.faults import UsageError

SHORTEST = 4
"""Digits of a beginning: fewer would soon be those of something new."""

_SHOWN = 12  # digits of each candidate, as the table of modules shows them
_CANDIDATES = 3
_TYPED = 40
_ADDRESS = 200
_BEGINNING = re.compile(r"[0-9a-f-]*")
# As nearly everybody writes a CID. For advice only: the parser of ipfs/ is asked where something depends on it.
_LIKE_CONTENT = re.compile(r"(?:/ipfs/)?((?:baf[a-z2-7]{50,}|Qm[1-9A-HJ-NP-Za-km-z]{44})(?:/.*)?)")


class Named(NamedTuple):
    """One thing at the host: its digits, without dashes, and its tags."""

    digits: str
    tags: Sequence[str]


class Kind(NamedTuple):
    """`lists`: the command that shows them."""

    many: str
    lists: str


MODULES = Kind("modules", "gatebus modules")
INSTANCES = Kind("instances", "gatebus ps")
SNAPSHOTS = Kind("snapshots", "gatebus snapshots")


class NoneMeant(UsageError):  # noqa: N818 - as in faults.py
    """There is nothing of that name."""

    code = "not-found"


class SeveralMeant(UsageError):  # noqa: N818
    """A name that two things have means neither."""

    code = "ambiguous"


def meant(typed: str, kind: Kind, there: Iterable[Named]) -> str | None:
    """The digits of the one that is meant; None: of none. Raises UsageError: of several."""
    start = typed.lower().replace("-", "") if _BEGINNING.fullmatch(typed.lower()) else ""
    found = {
        each.digits: None
        for each in there
        if typed in each.tags or (len(start) >= SHORTEST and each.digits.startswith(start))
    }
    if len(found) > 1:
        raise SeveralMeant(_several(typed, kind, list(found)))
    return next(iter(found), None)


def as_content(typed: str) -> str:
    """What to write, with a blank before it, where something that is none of ours looks like a CID; else nothing."""
    found = _LIKE_CONTENT.fullmatch(typed)
    return f" Content is written ipfs://{found[1][:_ADDRESS]}." if found else ""


def none_is_meant(typed: str, kind: Kind) -> str:
    if not typed.strip():
        return f"An empty text names none of your {kind.many}. `{kind.lists}` lists them."
    if kind is MODULES and (advice := as_content(typed)):
        return f"None of your {kind.many} has this name.{advice}"
    return f"None of your {kind.many} begins with {typed[:_TYPED]}, or has it as a tag. `{kind.lists}` lists them."


def both_are_meant(typed: str, snapshot: str, instance: str) -> str:
    return (
        f"{typed[:_TYPED]} is a snapshot of yours ({snapshot[:_SHOWN]}) and an instance ({instance[:_SHOWN]}). "
        "Write the digits of one."
    )


def _several(typed: str, kind: Kind, found: Sequence[str]) -> str:
    shown = ", ".join(each[:_SHOWN] for each in found[:_CANDIDATES])
    more = ", ..." if len(found) > _CANDIDATES else ""
    return (
        f"{len(found)} of your {kind.many} begin with {typed[:_TYPED]}, or have it as a tag: {shown}{more}. "
        "Write the digits of one."
    )
