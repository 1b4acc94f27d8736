"""gatebus.cli.shortages: limits of the shell, named beside an error."""

import pytest

from gatebus.cli.shortages import NAMES, why_it_may_have_failed
from sandbox.limits import GIB, MIB, Limits

UNLIMITED: dict[str, int | None] = dict.fromkeys(NAMES)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("RLIMIT_NOFILE", 20, "open files 20 (ulimit -n)"),
        ("RLIMIT_NPROC", 3, "processes 3 (ulimit -u)"),
        ("RLIMIT_AS", 1 * GIB, "address space 1.0 GiB (ulimit -v)"),
        ("RLIMIT_DATA", 100 * MIB, "data 100.0 MiB (ulimit -d)"),
        ("RLIMIT_FSIZE", 0, "size of a file 0 B (ulimit -f)"),
        ("RLIMIT_STACK", 1000, "stack 1000 B (ulimit -s)"),
        ("RLIMIT_CPU", 30, "CPU time 30 s (ulimit -t)"),
    ],
)
def test_a_low_limit_is_named_with_its_letter(name: str, value: int, text: str) -> None:
    said = why_it_may_have_failed({**UNLIMITED, name: value}, Limits(), has_proc=True)
    assert said == f"Your shell allows little: {text}. Raise that and try again."


def test_several_are_named_together() -> None:
    said = why_it_may_have_failed({"RLIMIT_NOFILE": 20, "RLIMIT_CPU": 1}, Limits(), has_proc=False)
    assert (
        said
        == "Your shell allows little: open files 20 (ulimit -n), CPU time 1 s (ulimit -t). Raise that and try again."
    )


@pytest.mark.parametrize(
    "values", [{}, UNLIMITED, {"RLIMIT_NOFILE": 1024, "RLIMIT_CPU": 31, "RLIMIT_STACK": 8 * MIB, "RLIMIT_AS": 64 * GIB}]
)
def test_nothing_is_said_of_limits_that_do_no_harm(values: dict[str, int | None]) -> None:
    assert why_it_may_have_failed(values, Limits(), has_proc=True) == ""


def test_less_cpu_time_is_enough_for_a_program_that_may_have_less() -> None:
    assert why_it_may_have_failed({"RLIMIT_CPU": 10}, Limits(cpu_time=5.0), has_proc=True) == ""


def test_a_missing_proc_is_told() -> None:
    said = why_it_may_have_failed(UNLIMITED, Limits(), has_proc=False)
    assert said == "There is no /proc here. Mount it: mount -t proc proc /proc."
