"""What a command says on stdout and stderr; a wire.

In:  text of ours for a person or a script. Out: the text, at once, or the person's own fault: a full disk behind `>`.
Where stdout is closed nobody wants to hear it, and the command's work counts. A reader that has gone ends the command
as it ends any other (BrokenPipeError, `gatebus --help | head -1`). On stderr a command says what went wrong, or what
it cost: where even that cannot be written there is nobody to tell, and the exit code stays what it is.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from gatebus.faults import UsageError


def put(text: str) -> None:
    """Raises UsageError, BrokenPipeError."""
    if sys.stdout is not None:
        with _written():
            sys.stdout.write(_writable(text, sys.stdout))
            sys.stdout.flush()


def _writable(text: str, stream: TextIO) -> str:
    """A name that was typed, or that a file has, need not have letters that a terminal has: others stand for them."""
    encoding = stream.encoding or "utf-8"
    try:
        text.encode(encoding, stream.errors or "strict")
    except UnicodeEncodeError:
        return text.encode(encoding, "backslashreplace").decode(encoding)
    return text


def put_bytes(data: bytes) -> None:
    """A piece of somebody's content. Raises UsageError, BrokenPipeError."""
    if sys.stdout is not None:
        with _written():
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()


def put_name(text: str, name: str) -> None:
    """Of what was made just now: nobody would know what it is called. Raises UsageError, BrokenPipeError."""
    try:
        put(text)
    except UsageError as fault:
        raise UsageError(f"{fault.text} What was made is {name}.") from None


def tell(text: str) -> None:
    """Raises nothing."""
    if sys.stderr is not None:
        with suppress(OSError):
            sys.stderr.write(text)
            sys.stderr.flush()


@contextmanager
def _written() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as problem:
        raise UsageError(f"The output cannot be written: {problem.strerror}.") from None
