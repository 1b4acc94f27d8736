"""What a command says on stdout; a wire.

In:  text of ours for a person or a script. Out: the text, at once, or the person's own fault: a full disk behind `>`.
Where stdout is closed nobody wants to hear it, and the command's work counts. A reader that has gone ends the command
as it ends any other (BrokenPipeError, `gatebus --help | head -1`).
"""

import sys

from gatebus.faults import UsageError


def put(text: str) -> None:
    """Raises UsageError, BrokenPipeError."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as problem:
        raise UsageError(f"The output cannot be written: {problem.strerror}.") from None
