"""What people hand to the library by mistake, told before anything is sent; words, no I/O.

In:  values of a caller, who may have no type checker. Out: what was meant, where only one thing can be; else UsageError
with what is wanted: an AttributeError of our insides helps nobody. A text where a list of texts belongs would run, with
each of its letters as one argument.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from gatebus.faults import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SHOWN = 40
_DIGITS = 32


def instance_id(instance: UUID | str) -> bytes:
    """As `launch` gives it, or the text of that. Raises UsageError."""
    if isinstance(instance, UUID):
        return instance.bytes
    digits = instance.replace("-", "") if isinstance(instance, str) else ""
    try:
        if len(digits) == _DIGITS:
            return bytes.fromhex(digits)
    except ValueError:
        pass
    raise UsageError(
        f"An instance is the id that launch() gives, or all {_DIGITS} digits of it as a text; not {_shown(instance)}."
    )


def check_texts(name: str, given: Sequence[str]) -> None:
    """Raises UsageError."""
    if isinstance(given, str | bytes) or not _all_texts(given):
        raise UsageError(f'{name} is a list of texts, such as ["a", "b"]; not {_shown(given)}.')


def check_mapping(name: str, given: Mapping[str, object], such_as: str) -> None:
    """Its keys are texts. `such_as`: an example for whoever is told. Raises UsageError."""
    if not hasattr(given, "items") or not _all_texts(given):
        raise UsageError(f"{name} is a map, such as {such_as}; not {_shown(given)}.")


def check_bytes(name: str, given: bytes | bytearray | memoryview) -> None:
    """Raises UsageError."""
    if not isinstance(given, bytes | bytearray | memoryview):
        raise UsageError(f"{name} is bytes, such as read_bytes() of a file or encode() of a text; not {_shown(given)}.")


def check_kind(name: str, given: object, kind: type) -> None:
    """Raises UsageError."""
    if not isinstance(given, kind):
        raise UsageError(f"{name} is a {kind.__name__}; not {_shown(given)}.")


def _all_texts(given: object) -> bool:
    try:
        return all(isinstance(each, str) for each in given)  # type: ignore[attr-defined]
    except TypeError:  # it is nothing that has members
        return False


def _shown(given: object) -> str:
    kind = type(given).__name__
    return kind if given is None or isinstance(given, bytes) else f"{kind} {str(given)[:_SHOWN]!r}"
