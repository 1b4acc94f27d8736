"""gatebus.cli.diagnosis: what doctor says, and its exit code."""

import json

import pytest

from gatebus.cli.diagnosis import BackendState, Diagnosis, InterpreterState, as_json, lines
from sandbox.layers import Layers, Missing
from sandbox.portable.portable_layers import portable_layers

LAYERS = Layers(
    "native", ("user", "seccomp", "newest"), (Missing("landlock", "kernel too old", "Use Linux 5.13."),), "v1"
)
NATIVE = BackendState("native", "", 1.234, LAYERS)
NO_NATIVE = BackendState("native", "The native part is missing: run make build.", 0.0, None)
PORTABLE = BackendState("portable", "", 50.0, portable_layers(has_rlimits=True))
NO_PORTABLE = BackendState("portable", "The package wasmtime is missing.", 0.0, None)


def diagnosis(*backends: BackendState, mitigations: tuple[tuple[str, str], ...] = ()) -> Diagnosis:
    return Diagnosis(
        "Linux", backends, mitigations, (InterpreterState(".js", present=False, make="make -C examples/js"),)
    )


@pytest.mark.parametrize(
    ("native", "portable", "code", "verdict"),
    [
        (NATIVE, PORTABLE, 0, "Programs run natively here."),
        (NATIVE, NO_PORTABLE, 0, "Programs run natively here."),
        (NO_NATIVE, PORTABLE, 1, "Programs run here only with --backend portable, which protects this machine less."),
        (NO_NATIVE, NO_PORTABLE, 2, "No program can run here yet; the lines above say what to do."),
    ],
)
def test_the_exit_code_says_whether_programs_run(
    native: BackendState, portable: BackendState, code: int, verdict: str
) -> None:
    found = diagnosis(native, portable)
    assert found.exit_code == code
    assert lines(found).endswith(verdict)


def test_layers_are_listed_with_what_is_missing_why_and_how_to_get_it() -> None:
    text = lines(diagnosis(NATIVE, PORTABLE))
    assert "works: a program ran in 1.2 ms" in text
    assert "on         user namespace\n  on         system call filter (seccomp)\n  on         newest\n" in text
    assert "cgroups    v1" in text
    assert "file rules (Landlock) (programs run without it): kernel too old" in text
    assert "Use Linux 5.13." in text


def test_a_required_layer_says_so() -> None:
    layers = Layers("native", (), (Missing("seccomp", "not in this kernel", "Use another."),))
    assert "system call filter (seccomp) (required): not in this kernel" in lines(
        diagnosis(BackendState("native", "Broken.", 0.0, layers))
    )


def test_the_portable_backend_is_not_praised() -> None:
    assert "without the layers of the native one" in lines(diagnosis(NO_NATIVE, PORTABLE))


def test_a_backend_that_does_not_work_says_what_to_do() -> None:
    assert "native       does not work. The native part is missing: run make build." in lines(diagnosis(NO_NATIVE))


def test_open_weaknesses_of_the_processor_are_named() -> None:
    found = diagnosis(
        NATIVE,
        mitigations=(("meltdown", "Mitigation: PTI"), ("mds", "Vulnerable: no microcode"), ("l1tf", "Not affected")),
    )
    assert "2 of 3 known weaknesses are mitigated or absent" in lines(found)
    assert "mds: Vulnerable: no microcode. Programs of strangers" in lines(found)
    assert "meltdown" not in lines(found)


def test_a_system_that_says_nothing_of_its_processor_is_told_as_such() -> None:
    assert "does not say which weaknesses" in lines(diagnosis(NATIVE))


def test_the_interpreter_is_there_or_the_command_that_makes_it() -> None:
    assert ".js files    no module yet: make -C examples/js" in lines(diagnosis(NATIVE))
    there = Diagnosis("Linux", (NATIVE,), (), (InterpreterState(".js", present=True, make=""),))
    assert ".js files    ready" in lines(there)


def test_the_json_has_everything() -> None:
    said = json.loads(as_json(diagnosis(NATIVE, NO_PORTABLE, mitigations=(("mds", "Vulnerable"),))))
    assert (said["exit"], said["verdict"]) == (0, "Programs run natively here.")
    assert said["backends"][0]["layers"]["missing"][0]["advice"] == "Use Linux 5.13."
    assert said["backends"][1]["problem"] == "The package wasmtime is missing."
    assert said["mitigations"] == [["mds", "Vulnerable"]]
    assert said["interpreters"][0]["make"] == "make -C examples/js"
