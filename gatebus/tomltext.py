"""TOML as its reader sees it, or one reason why not; words.

In:  the text of a configuration (its owner's, and whatever is pasted into it). Out: a table; NoToml with a reason for a
person. tomllib alone raises three kinds of errors, and takes the square of a key's dots in memory: a line of 100,000
dots ended the process.
"""

from itertools import accumulate

from gatebus.bounds import CONFIG_BYTES, CONFIG_DOTS, CONFIG_NESTED

_SHOWN = 100
_BRACKETS = {"[": 1, "{": 1, "]": -1, "}": -1}
_AT_END = "at end of document"  # as tomllib says it


class NoToml(Exception):  # noqa: N818 - as in faults.py
    """`.reason`: behind the name of the file."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def toml_untrusted(text: str) -> dict[str, object]:
    """Raises NoToml."""
    import tomllib  # costs a program's start; most people have no configuration

    text = text.removeprefix("\ufeff")  # as some editors write it
    if len(text) > CONFIG_BYTES:
        raise NoToml(f"is larger than a configuration can be ({CONFIG_BYTES} characters)")
    for number, line in enumerate(text.splitlines(), 1):
        if line.count(".") > CONFIG_DOTS:
            raise NoToml(f"has more than {CONFIG_DOTS} dots in line {number}")
    if max(accumulate(_BRACKETS.get(each, 0) for each in text), default=0) > CONFIG_NESTED:
        raise NoToml("has tables that are nested too deeply")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        reason = str(problem).replace(_AT_END, f"at the end, line {len(text.splitlines())}")
        raise NoToml(f"is no TOML: {reason[:1].lower()}{reason[1:_SHOWN]}") from None
    except ValueError:
        raise NoToml("has a number that is too long") from None
