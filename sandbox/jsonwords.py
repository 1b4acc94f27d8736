"""JSON that somebody else wrote, as far as it is not nested deeply; words.

In:  what a worker, an executable or a file says (untrusted). Out: Python's objects; ValueError, as the decoder has it.

The decoder alone goes down to Python's limit of recursion and says so. Whatever else must run at that depth fails there
without a word: the collector came by, and the finalizers of somebody else's objects did not run.
"""

import json
import re

from sandbox.limits import JSON_DEPTH_MAX

# One without an end goes to the end: searched for anew at each quote it would take the square of the length.
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
_INNERMOST = re.compile(rb"[\[{][^\[\]{}]*+[\]}]")


def json_untrusted(data: bytes) -> object:
    """Raises ValueError."""
    if _is_deep(data):
        raise ValueError("nested too deeply")
    return json.loads(data.decode())


def _is_deep(data: bytes) -> bool:
    """One level a time, from inside: a second for the largest that anybody may send, however it is nested."""
    rest, levels = _STRING.sub(b"", data), 0
    while levels <= JSON_DEPTH_MAX:
        rest, found = _INNERMOST.subn(b"", rest)
        if not found:
            break
        levels += 1
    return levels + rest.count(b"[") + rest.count(b"{") > JSON_DEPTH_MAX
