"""What the portable back-end has in common with the native one is the same: compared with the Rust sources
themselves.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sandbox.keeperwire import CONTROL_BYTES
from sandbox.limits import FRAME_BYTES, FRAMES_MAX, GUIDE_MAX, STATE_MAX, Limits
from sandbox.portable import admission_bounds, guest_control
from sandbox.portable.descriptor_table import Right
from sandbox.portable.guest_errno import Errno
from sandbox.portable.import_table import find_function_untrusted
from sandbox.stopping import state_max

NATIVE = Path(__file__).parents[2] / "sandbox" / "native"
ROW = re.compile(r'"(\w+)" "(\w+)" => \w+\(([^)]*)\) -> (\S+);')


def rows(macro: str) -> list[tuple[str, str, str, bool]]:
    """(module, name, parameters as letters, has a result) of one table."""
    text = (NATIVE / "abi" / "src" / "table.rs").read_text()
    body = text.split(f"macro_rules! {macro} {{")[1].split("} };")[0]
    letters = {"u32": "i", "u64": "I"}
    return [
        (module, name, "".join(letters[each] for each in re.findall(r": (\w+)", parameters)), result != "()")
        for module, name, parameters, result in ROW.findall(body)
    ]


def test_wasi_programs_may_import_what_the_native_table_has() -> None:
    table = rows("wasi_table")
    assert len(table) == 91
    for module, name, parameters, has_result in table:
        found = find_function_untrusted("wasi", module, name)
        assert found is not None, name
        assert (found.parameters, found.has_result) == (parameters, has_result), name


def test_gate_programs_may_import_what_the_native_table_has() -> None:
    table = rows("gate_table")
    assert len(table) == 47
    for module, name, parameters, has_result in table:
        found = find_function_untrusted("gate", module, f"{name}_65536" if module == "gate" else name)
        assert found is not None, name
        assert (found.parameters, found.has_result) == (parameters, has_result), name


@pytest.mark.parametrize("personality", ["wasi", "gate"])
def test_nothing_else_can_be_imported(personality: str) -> None:
    for module, name in [
        ("env", "memory"),
        ("wasi_unstable", "sock_accept"),
        ("wasi_snapshot_preview1", "thread_spawn"),
    ]:
        assert find_function_untrusted(personality, module, name) is None  # type: ignore[arg-type]


# Native joins segments before it compiles and bounds what is left; here the compile child's own limits answer.
# Bounds of states are no bounds of modules: the next test has them.
STATES = {"STATE", "GUIDE"}
NATIVE_ONLY = {"DATA_SEGMENTS_APART"} | STATES


def native_bounds() -> dict[str, int]:
    text = (NATIVE / "runner" / "src" / "bounds.rs").read_text()
    return {name: eval(value) for name, value in re.findall(r"pub const (\w+): \w+ = ([\d_<> ]+);", text)}


def test_the_bounds_of_states_are_the_native_ones() -> None:
    found = native_bounds()
    assert (found["STATE"], found["GUIDE"]) == (STATE_MAX, GUIDE_MAX)
    assert state_max(Limits(memory=4 << 30, files=1 << 30)) == STATE_MAX


def test_the_bound_of_frames_is_the_native_one() -> None:
    text = (NATIVE / "module" / "src" / "layout.rs").read_text()
    found = {name: eval(value) for name, value in re.findall(r"pub const (\w+): \w+ = ([\d_<> ]+);", text)}
    assert (found["CONTROL_PAGES"] << 16) - found["FRAMES"] == FRAME_BYTES
    assert found["CONTROL_PAGES"] << 16 == CONTROL_BYTES == guest_control.CONTROL_BYTES
    assert found["FRAMES_MAX"] == FRAMES_MAX


def test_the_bounds_of_admission_are_the_native_ones() -> None:
    found = native_bounds()
    ours = {name: value for name, value in vars(admission_bounds).items() if name.isupper()}
    assert found.keys() >= NATIVE_ONLY
    assert ours == {name: value for name, value in found.items() if name not in NATIVE_ONLY}


def test_the_texts_of_refusals_are_the_native_ones() -> None:
    native = "".join(
        (NATIVE / "runner" / "src" / name).read_text()
        for name in ("refusal.rs", "features.rs", "scan.rs", "functions.rs", "admission.rs")
    )
    folder = Path(__file__).parents[2] / "sandbox" / "portable"
    ours = "".join((folder / name).read_text() for name in ("portable_admission.py", "wasm_scan.py", "wasm_bodies.py"))
    phrases = re.findall(r'at_most\(\s*"([^"]+)"', ours) + re.findall(r'\), "([^"]+)", "[^"]+"\),', ours)
    assert len(phrases) > 15
    for phrase in phrases:
        assert f'"{phrase}"' in native, phrase


def test_error_numbers_are_the_native_ones() -> None:
    text = (NATIVE / "abi" / "src" / "errno.rs").read_text()
    for name, number in re.findall(r"    ([A-Z]+) = (\d+);", text):
        assert Errno[name] == int(number)


def test_rights_are_the_native_ones() -> None:
    text = (NATIVE / "abi" / "src" / "descriptor.rs").read_text()
    found = dict(re.findall(r"pub\(crate\) const (\w+): u64 = 1 << (\d+);", text))
    assert len(found) > 20
    for name, bit in found.items():
        assert Right[name] == 1 << int(bit)
