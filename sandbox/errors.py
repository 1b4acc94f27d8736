"""Words: what can go wrong, one class per whose fault it is.

In:  nothing. Out: exceptions that every part of the package raises and that the caller (command line, bus, web)
turns into an answer.

Every error has `.code` (stable, lower-case-with-dashes: programs decide by it) and `.text` (public: what, why, what
to do; never a path, an address or a traceback). What must stay inside (errno, the file that was missing) goes into
`__cause__` or a note, never into `.text`.
"""

from __future__ import annotations

# A text that came from a program or a jailed worker is cut here, so that an error can be shown on one line of a
# terminal.
TEXT_MAX = 300


class SandboxError(Exception):
    """Base class: never raised itself."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{text} [{code}]")
        self.code = code
        self.text = text


class Refused(SandboxError):
    """The program's fault:

    it is malformed, invalid, too large, or needs what is not offered. Sending it again does not help.
    """


class CompileLimit(SandboxError):
    """The program's fault: compiling it took more than its share, or made the compiler stop."""


class TooBusy(SandboxError):
    """The principal's fault: it has too much waiting already. Sending it again later helps."""


class BadSetup(SandboxError, ValueError):
    """The caller's fault: a limit, argument, variable or file outside of what is allowed."""


class SandboxClosed(SandboxError):
    """The caller's fault: the `async with` of this sandbox has ended."""


class BackendUnavailable(SandboxError):
    """The machine's or installation's fault:

    this back-end cannot run here. The text says what is missing and what to do.
    """


class StartFailed(SandboxError):
    """The machine's fault: no process could be made now. Nothing of the program ran."""


class SandboxBroken(SandboxError):
    """Our fault: a part of the sandbox did not do what it must."""


class NotSuspendable(SandboxError):
    """The caller's or the program's fault: it was not made to be stopped. It runs on."""


class NotSuspended(SandboxError):
    """Nobody's fault: it has not stopped yet. It runs on, and stops as soon as it can."""


class BadState(SandboxError):
    """The state's fault: it is damaged, of another program, or larger than the limits. Nothing was started."""


class PacketViolation(SandboxError):
    """The running program's fault: what it wrote is no packet. It has been killed."""


class BrokenProgram(SandboxError):
    """Nobody's fault: the program is gone, so nothing can be sent to it. `Program.wait()` says how it ended."""


def public_text_untrusted(text: str, longest: int = TEXT_MAX) -> str:
    """Make a text from outside fit for a terminal and a log line: printable characters only, cut at `longest`."""
    clean = "".join(char if char.isprintable() else " " for char in text[: longest + 1])
    return clean if len(clean) <= longest else clean[: longest - 1] + "…"
