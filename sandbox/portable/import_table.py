"""Words: which functions a program may import, with what signature, and what answers them.

Used twice: admission checks a module's imports against it, the child binds them. The rows mirror the Rust crate
`gatebus-abi` (table.rs; a test compares the two). A signature is a letter per parameter: `i` = i32, `I` = i64; the
result is an errno unless said.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sandbox.portable import (
    gate_calls,
    gate_poll_calls,
    wasi_fd_calls,
    wasi_path_calls,
    wasi_plain_calls,
    wasi_poll_calls,
    wasi_stat_calls,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Personality = Literal["wasi", "gate"]
PREVIEW1_MODULE, UNSTABLE_MODULE = "wasi_snapshot_preview1", "wasi_unstable"
# Gate checks the number in `fd_N` and `io_N` against this and then ignores it.
SMALLEST_PACKET_LIMIT = 65536

SIGNATURES: dict[str, str] = {
    "args_get": "ii", "args_sizes_get": "ii", "clock_res_get": "ii", "clock_time_get": "iIi", "environ_get": "ii",
    "environ_sizes_get": "ii", "fd_advise": "iIIi", "fd_allocate": "iII", "fd_close": "i", "fd_datasync": "i",
    "fd_fdstat_get": "ii", "fd_fdstat_set_flags": "ii", "fd_fdstat_set_rights": "iII", "fd_filestat_get": "ii",
    "fd_filestat_set_size": "iI", "fd_filestat_set_times": "iIIi", "fd_pread": "iiiIi", "fd_prestat_dir_name": "iii",
    "fd_prestat_get": "ii", "fd_pwrite": "iiiIi", "fd_read": "iiii", "fd_readdir": "iiiIi", "fd_renumber": "ii",
    "fd_seek": "iIii", "fd_sync": "i", "fd_tell": "ii", "fd_write": "iiii", "path_create_directory": "iii",
    "path_filestat_get": "iiiii", "path_filestat_set_times": "iiiiIIi", "path_link": "iiiiiii",
    "path_open": "iiiiiIIii",
    "path_readlink": "iiiiii", "path_remove_directory": "iii", "path_rename": "iiiiii", "path_symlink": "iiiii",
    "path_unlink_file": "iii", "poll_oneoff": "iiii", "proc_exit": "i", "proc_raise": "i", "random_get": "ii",
    "sched_yield": "", "sock_accept": "iii", "sock_recv": "iiiiii", "sock_send": "iiiii", "sock_shutdown": "ii",
}  # fmt: skip
WITHOUT_RESULT = frozenset({"proc_exit", "gate_io"})
GATE_SIGNATURES = {"gate_fd": "", "gate_io": "iiiiiiIi"}
# `sock_accept` came after the snapshot that `wasi_unstable` names, and after Gate.
NEW_IN_PREVIEW1 = frozenset({"sock_accept"})

_SPECIAL_WASI: dict[str, Callable[..., Any]] = {
    "poll_oneoff": wasi_poll_calls.poll_oneoff,
    "sock_recv": wasi_fd_calls.no_socket,
    "sock_send": wasi_fd_calls.no_socket,
    "sock_shutdown": wasi_fd_calls.no_socket,
}

_GATE_OWN: dict[str, Callable[..., Any]] = {
    "gate_fd": gate_calls.gate_fd,
    "gate_io": gate_calls.gate_io,
    "poll_oneoff": gate_poll_calls.poll_oneoff,
}


@dataclass(frozen=True, slots=True)
class GuestFunction:
    """One import: its signature and what answers it (called with the personality's world and unsigned numbers)."""

    name: str
    parameters: str
    has_result: bool
    call: Callable[..., Any]


def personality_of(modules: Iterable[str]) -> Personality:
    """By the imports alone: anything from `gate` or `env` means Gate's rules."""
    return "gate" if any(module in ("gate", "env") for module in modules) else "wasi"


def find_function_untrusted(personality: Personality, module: str, name: str) -> GuestFunction | None:
    """The function behind an import, None when there is none."""
    if personality == "gate":
        return _gate_function(module, name)
    if module == PREVIEW1_MODULE or (module == UNSTABLE_MODULE and name not in NEW_IN_PREVIEW1):
        return _wasi_function(name)
    return None


def _wasi_function(name: str) -> GuestFunction | None:
    if name not in SIGNATURES:
        return None
    if name in _SPECIAL_WASI:
        call = _SPECIAL_WASI[name]
    else:
        places = (wasi_plain_calls, wasi_fd_calls, wasi_stat_calls, wasi_path_calls)
        call = next(getattr(place, name) for place in places if hasattr(place, name))
    return GuestFunction(name, SIGNATURES[name], name not in WITHOUT_RESULT, call)


def _gate_function(module: str, name: str) -> GuestFunction | None:
    prefix, rest = module, name
    if module == "env":
        prefix, rest = ("gate", name[7:]) if name.startswith("__gate_") else ("wasi", name[7:])
        if not name.startswith(("__gate_", "__wasi_")):
            return None
    if prefix == "gate":
        own = _numbered_untrusted(rest)
        if own not in GATE_SIGNATURES:
            return None
        return GuestFunction(own, GATE_SIGNATURES[own], own not in WITHOUT_RESULT, _GATE_OWN[own])
    if prefix in ("wasi", PREVIEW1_MODULE, UNSTABLE_MODULE) and rest in SIGNATURES and rest not in NEW_IN_PREVIEW1:
        call = _GATE_OWN[rest] if rest in _GATE_OWN else getattr(gate_calls, rest, gate_calls.not_permitted)
        return GuestFunction(rest, SIGNATURES[rest], rest not in WITHOUT_RESULT, call)
    return None


def _numbered_untrusted(name: str) -> str:
    """`fd_65536` -> `gate_fd`; "" when the number is not one that Gate takes."""
    stem, _, digits = name.rpartition("_")
    if not digits.isascii() or not digits.isdigit() or digits.startswith("0"):
        return ""
    # a number of more than ten digits is beyond 32 bits, which Gate accepts too
    if len(digits) <= 10 and int(digits) < SMALLEST_PACKET_LIMIT:
        return ""
    return f"gate_{stem}"
