"""Errors of the package gatebus: one class per whose fault; words, no I/O.

Each has `.code` (stable, lower-case-with-dashes) and `.text` (public: what, why, what to do; never a path, an address
or a traceback). The sandbox has its own (sandbox.errors); a text of either may be shown to whoever sent the program.
"""

from gatebus.bounds import PROBLEM_TEXT


class GatebusError(Exception):
    """The base; never raised itself."""

    code = "internal"
    longest = PROBLEM_TEXT

    def __init__(self, text: str) -> None:
        super().__init__(text[: self.longest])
        self.text = text[: self.longest]


class Violation(GatebusError):
    """The program's fault: it broke the packet protocol. It ends with ABI_VIOLATION and this text."""

    code = "abi-violation"


class ServiceBroken(GatebusError):
    """Our fault, or a service author's: a service raised something or answered what cannot be sent."""

    code = "service-broken"


class StateRefused(GatebusError):
    """A service was handed saved state that is not its own."""

    code = "state-refused"


class StoreBroken(GatebusError):
    """Our fault, or the disk's: what was kept cannot be read or written. Nothing is deleted because of it."""

    code = "store-broken"


class FileDamaged(StoreBroken):
    """The disk's fault: what was kept of one thing is damaged or missing. Everything else is as it was."""


class UsageError(GatebusError):
    """The fault of whoever typed the command or wrote the configuration."""

    code = "usage"


class HelpAsked(Exception):
    """`--help` was written; `.text` is what is to be printed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text


class NoContent(UsageError):
    """The program that a CID names cannot be had; the text says whose fault it is."""

    code = "content"
