"""Programs that cost a compiler far more than their size: made here, byte by byte, none of them is a file.

The eight shapes were found by measuring one thread of the engine without limits: 0.5 MB took 10 s and 865 MB, 5.4 MB
took 39 s and 4.7 GB. `huge` has them as they were found; `just_below` the same shapes cut down until no count of
admission refuses them, so that only the limits of the compile worker stand between them and us.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from wasmbytes import HEADER, leb, section

I32 = b"\x7f"
GET_0, END = b"\x20\x00", b"\x0b"
# Made when it is needed: all of them take half a second.
Bomb = Callable[[], bytes]


def module(*bodies: bytes) -> bytes:
    """A module of functions (param i32) (result i32) with these bodies."""
    functions = section(3, leb(len(bodies)) + b"\0" * len(bodies))
    code = leb(len(bodies)) + b"".join(leb(len(body)) + body for body in bodies)
    return HEADER + section(1, b"\x01\x60\x01\x7f\x01\x7f") + functions + section(10, code)


def body(code: bytes, locals_count: int = 0) -> bytes:
    declared = b"\x01" + leb(locals_count) + I32 if locals_count else b"\0"
    return declared + code + END


def straight(adds: int) -> bytes:
    return module(body(GET_0 + b"\x41\x01\x6a" * adds))


def loops_over_locals(count: int, loops: int) -> bytes:
    return module(body(b"\x03\x40\x20\x05\x21\x06\x0b" * loops + GET_0, count))


def branch_table(targets: int) -> bytes:
    return module(body(b"\x02\x40" + GET_0 + b"\x0e" + leb(targets) + b"\0" * (targets + 1) + END + GET_0))


def nested_blocks(depth: int) -> bytes:
    return module(body(b"\x02\x40" * depth + END * depth + GET_0))


def nested_ifs(depth: int, count: int) -> bytes:
    return module(body((GET_0 + b"\x04\x40" + GET_0 + b"\x41\x01\x6a\x21\x01") * depth + END * depth + GET_0, count))


def empty_functions(count: int) -> bytes:
    return module(*[body(GET_0)] * count)


def diamonds(count: int, number: int) -> bytes:
    """Ifs whose branches read and write locals all over: every one of them joins in a phi."""

    def diamond(i: int) -> bytes:
        write, left, right = (leb(1 + i * factor % (count - 99)) for factor in (1, 13, 7))
        return GET_0 + b"\x04\x40" + GET_0 + b"\x21" + write + b"\x05\x20" + right + b"\x21" + left + END

    return module(body(b"".join(map(diamond, range(number))) + GET_0, count))


def multiplications(number: int) -> bytes:
    return module(body(GET_0 + (GET_0 + b"\x6c" + GET_0 + b"\x6d") * number))


def huge() -> dict[str, Bomb]:
    """As they were found; admission's counts must refuse each of them at the cost of reading."""
    return {
        "7.5 MB of additions in one function": partial(straight, 2_500_000),
        "50,000 locals and 60,000 loops": partial(loops_over_locals, 49_999, 60_000),
        "a branch with 1.9 million targets": partial(branch_table, 1_900_000),
        "50,000 nested blocks": partial(nested_blocks, 50_000),
        "100,000 nested ifs with 1,000 locals": partial(nested_ifs, 100_000, 1_000),
        "900,000 functions": partial(empty_functions, 900_000),
        "30,000 diamonds over 1,000 locals": partial(diamonds, 999, 30_000),
        "800,000 multiplications and divisions in one function": partial(multiplications, 400_000),
    }


def just_below() -> dict[str, Bomb]:
    """The largest that the counts let through."""
    return {
        "1 MB of additions in one function": partial(straight, 349_000),
        "20,000 locals and 990 loops": partial(loops_over_locals, 19_900, 990),
        "a branch with 65,000 targets": partial(branch_table, 65_000),
        "9,900 nested blocks": partial(nested_blocks, 9_900),
        "9,900 nested ifs with 990 locals": partial(nested_ifs, 9_900, 990),
        "99,000 functions": partial(empty_functions, 99_000),
        "9,900 diamonds over 990 locals": partial(diamonds, 990, 9_900),
        "300,000 multiplications and divisions in one function": partial(multiplications, 150_000),
    }
