"""`gatebus export`: a stopped program becomes a module; `gatebus run` goes on with it, or runs it as any runtime."""

import json
import os
from pathlib import Path

import pytest
import wasmtime
from commands import ROOT, command, native_is_missing
from stoppedruns import WAITS, run, stop

from gatebus.cli.exportcommand import how_it_goes_on, left_behind
from gatebus.keptservices import encode_kept, kept_untrusted
from sandbox.packets import encode_data
from sandbox.statefile import decode_untrusted

pytestmark = pytest.mark.skipif(native_is_missing(), reason="the native part is not built")


def gatebus(*words: str) -> tuple[str, ...]:
    line = command()
    return (*line[: line.index("run")], *words)


def stopped(folder: Path, reader: int, *options: str) -> None:
    (folder / "it.wat").write_text(WAITS)
    assert stop(folder, reader, *options, "it.wat").code == 124


def test_an_exported_program_goes_on_here_as_well_as_anywhere(tmp_path: Path, open_input: int) -> None:
    stopped(tmp_path, open_input)
    done = run(tmp_path, *gatebus("export", "it.state", "-o", "it.wasm"))
    assert (done.code, done.err) == (0, "gatebus: exported; any WASI runtime goes on with it.wasm.\n")
    assert wasmtime.Module.validate(wasmtime.Engine(), (tmp_path / "it.wasm").read_bytes()) is None
    for options in ((), ("--ignore-state",), ("--backend", "portable")):
        gone_on = run(tmp_path, *command(*options, "it.wasm"), text=b"one\n")
        assert (gone_on.code, gone_on.out, gone_on.err) == (7, b"one\n", "")
    assert stop(tmp_path, open_input, "it.wasm", state="again.state").code == 124
    gone_on = run(tmp_path, *command("--resume", "again.state"), text=b"two\n")
    assert (gone_on.code, gone_on.out) == (7, b"two\n")


def test_a_program_that_speaks_with_services_is_exported_and_goes_on(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"first\n")
    first = stop(tmp_path, reader, str(ROOT / "build/guests/3_echo_stream.wasm"))
    os.close(writer)
    done = run(tmp_path, *gatebus("export", "--leave-behind", "it.state", "-o", "it.wasm"))
    assert (first.code, done.code) == (124, 0), first.err + done.err
    last = run(tmp_path, *command("it.wasm"), stdin=reader)
    os.close(reader)
    assert (last.code, last.err, first.out + last.out) == (0, "", b"first\nsent back 6 bytes\n")


def test_what_belongs_to_a_start_is_refused_where_it_goes_on(tmp_path: Path, open_input: int) -> None:
    stopped(tmp_path, open_input)
    run(tmp_path, *gatebus("export", "it.state", "-o", "it.wasm"))
    for words in (("it.wasm", "argument"), ("--env", "A=1", "it.wasm")):
        refused = run(tmp_path, *command(*words))
        assert refused.code == 125
        assert "It goes on where it was stopped, with the arguments, variables and files that it has" in refused.err
    for words in (("--function", "f", "it.wasm"), ("--function", "f", "--resume", "it.state")):
        refused = run(tmp_path, *command(*words))
        assert refused.code == 125
        assert "goes on there: --function is for one that had come to its end." in refused.err


def test_a_module_that_was_changed_is_refused_and_runs_as_what_it_is(
    tmp_path: Path,
    open_input: int,
) -> None:
    stopped(tmp_path, open_input)
    run(tmp_path, *gatebus("export", "it.state", "-o", "it.wasm"))
    whole = (tmp_path / "it.wasm").read_bytes()
    at = whole.rindex(b"before\n")
    (tmp_path / "it.wasm").write_bytes(whole[:at] + b"BEFORE\n" + whole[at + 7 :])
    refused = run(tmp_path, *command("it.wasm"))
    assert (refused.code, refused.err) == (
        125,
        "gatebus: it.wasm: The part of this file that gatebus goes on by is not of this module: one of them was "
        "changed. Export it again, or run it with --ignore-state as the module that it is.\n",
    )
    assert run(tmp_path, *command("--ignore-state", "it.wasm"), text=b"x").code == 7


def test_files_are_not_left_behind_unless_that_is_wanted(tmp_path: Path, open_input: int) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/notes").write_text("kept")
    stopped(tmp_path, open_input, "--dir", "folder::.")
    refused = run(tmp_path, *gatebus("export", "it.state", "-o", "it.wasm"))
    assert (refused.code, refused.err) == (
        125,
        "gatebus: it.state: It has 1 file, which another runtime cannot give it. --leave-behind exports it all the "
        "same; `gatebus run` still goes on with them.\n",
    )
    plain = run(tmp_path, *gatebus("export", "--plain", "it.state", "-o", "it.wasm"))
    assert "It has 1 file, which would be lost." in plain.err
    assert not (tmp_path / "it.wasm").exists()
    assert run(tmp_path, *gatebus("export", "--leave-behind", "it.state", "-o", "it.wasm")).code == 0
    gone_on = run(tmp_path, *command("--out", "out", "it.wasm"), text=b"x")
    assert (gone_on.code, (tmp_path / "out/notes").read_text()) == (7, "kept")


def test_without_the_section_it_is_only_a_module(tmp_path: Path, open_input: int) -> None:
    stopped(tmp_path, open_input)
    assert run(tmp_path, *gatebus("export", "--plain", "it.state", "-o", "it.wasm")).code == 0
    assert b"gatebus.state" not in (tmp_path / "it.wasm").read_bytes()
    gone_on = run(tmp_path, *command("it.wasm"), text=b"x")
    assert (gone_on.code, gone_on.out) == (7, b"x")


def test_no_state_and_no_place_are_said_in_one_line(tmp_path: Path, open_input: int) -> None:
    stopped(tmp_path, open_input)
    for words, said in (
        (("export", "it.wat", "-o", "x.wasm"), "It is a module, not a state: `gatebus run it.wat` runs it"),
        (("export", "it.state"), "required"),
        (("export", "it.state", "-o", os.path.join("nowhere", "x.wasm")), "--out: the file cannot be written: No such"),
    ):
        refused = run(tmp_path, *gatebus(*words))
        assert refused.code == 125
        assert said in refused.err
        assert len(refused.err.splitlines()) == 1


def test_stdin_and_stdout_are_written_as_a_line_wherever_a_state_is_read_and_a_module_written(
    tmp_path: Path, open_input: int
) -> None:
    stopped(tmp_path, open_input)
    state = (tmp_path / "it.state").read_bytes()
    exported = run(tmp_path, *gatebus("export", "-", "-o", "-"), text=state)
    assert (exported.code, exported.err) == (0, "gatebus: exported; any WASI runtime goes on with the module.\n")
    assert not (tmp_path / "-").exists()
    shown = [run(tmp_path, *gatebus("show", "-"), text=each).out for each in (state, exported.out)]
    assert shown[0].startswith(b"program ")
    assert [each.partition(b"size")[0] for each in shown] == [shown[0].partition(b"size")[0]] * 2
    assert b"stops     anywhere" in run(tmp_path, *gatebus("show", "-"), text=WAITS.encode()).out
    gone_on = run(tmp_path, *command("--resume", "-"), text=state)
    assert (gone_on.code, gone_on.out, gone_on.err) == (7, b"", "")  # its input had come to its end
    for words, taken in ((("run", "--resume", "-"), exported.out), (("export", "-o", "x", "-"), exported.out)):
        refused = run(tmp_path, *gatebus(*words), text=taken)
        assert refused.code == 125
        assert refused.err == "gatebus: -: It is an exported module, not a state: `gatebus run -` goes on with it.\n"
    more = run(tmp_path, *command("--resume", "-"), text=state + b"x")
    assert (more.code, "damaged" in more.err) == (125, True)


def test_modules_show_looks_at_a_file_here_unless_a_host_is_named(tmp_path: Path) -> None:
    (tmp_path / "it.wat").write_text(WAITS)
    shown = run(tmp_path, *gatebus("show", "it.wat"))
    assert b"stops     anywhere" in shown.out
    assert run(tmp_path, *gatebus("modules", "show", "it.wat")) == shown
    in_json = run(tmp_path, *gatebus("modules", "--json", "show", "it.wat"))
    assert json.loads(in_json.out)["suspendable"] is True
    for words in (("show", "--host", "ws://127.0.0.1:1", "it.wat"), ("--host=ws://127.0.0.1:1", "show", "it.wat")):
        asked = run(tmp_path, *gatebus("modules", *words))
        assert (asked.code, "The host ws://127.0.0.1:1 cannot be reached" in asked.err) == (125, True)


def test_of_another_entry_it_is_said_which_export_must_be_called(tmp_path: Path, open_input: int) -> None:
    (tmp_path / "it.wat").write_text(WAITS.replace("_start", "other"))
    assert stop(tmp_path, open_input, "--function", "other", "it.wat").code == 124
    done = run(tmp_path, *gatebus("export", "it.state", "-o", "it.wasm"))
    said = "gatebus: exported; any WASI runtime goes on with it.wasm where its export other is called.\n"
    assert (done.code, done.err) == (0, said)
    gone_on = run(tmp_path, *command("--ignore-state", "--function", "other", "it.wasm"), text=b"one\n")
    assert (gone_on.code, gone_on.out) == (7, b"one\n")


def test_where_its_frames_are_one_memory_too_many_for_gatebus_that_is_said(tmp_path: Path, open_input: int) -> None:
    for memories, more in (
        (7, ""),
        (
            8,
            " `gatebus run` does not: a program may have 8 memories there, and its frames are in one more. "
            "Without --plain it does.",
        ),
    ):
        others = "(memory 1)" * (memories - 1)
        (tmp_path / "it.wat").write_text(WAITS.replace("(data", others + "(data", 1))
        assert stop(tmp_path, open_input, "it.wat").code == 124
        done = run(tmp_path, *gatebus("export", "--plain", "it.state", "-o", "it.wasm"))
        assert (done.code, done.err) == (0, f"gatebus: exported; any WASI runtime goes on with it.wasm.{more}\n")
        assert run(tmp_path, *command("it.wasm"), text=b"x").code == (125 if more else 7)
        whole = run(tmp_path, *gatebus("export", "it.state", "-o", "it.wasm"))
        assert whole.err == "gatebus: exported; any WASI runtime goes on with it.wasm.\n"
        assert run(tmp_path, *command("it.wasm"), text=b"x").code == 7


@pytest.mark.parametrize(
    ("entry", "frames", "said"),
    [
        ("_start", 8, "any WASI runtime goes on with a.wasm."),
        ("", 32 << 10, "any WASI runtime goes on with a.wasm."),
        ("o\x1bther", 8, "any WASI runtime goes on with a.wasm where its export o ther is called."),
        (
            "_start",
            (32 << 10) + 1,
            "any WASI runtime goes on with a.wasm. It stands deep in calls: another runtime may need a larger stack "
            "(`wasmtime run -W max-wasm-stack=SIZE`).",
        ),
    ],
)
def test_what_another_runtime_needs_is_said(entry: str, frames: int, said: str) -> None:
    assert how_it_goes_on("a.wasm", entry, frames) == said


@pytest.mark.parametrize("words", [("show",), ("export", "--out", "x.wasm")])
def test_where_a_host_is_asked_because_there_is_no_such_file_both_are_said(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    asked = run(tmp_path, *gatebus(*words, "--host", "ws://127.0.0.1:1", "nope"))
    assert asked.code == 125
    assert "The host ws://127.0.0.1:1 cannot be reached" in asked.err
    assert asked.err.endswith(" There is no file nope here, either.\n")


def test_an_option_for_files_beside_a_file_that_is_not_there_is_told_apart(tmp_path: Path) -> None:
    refused = run(tmp_path, *gatebus("export", "--plain", "nope"))
    assert refused.code == 125
    assert refused.err.startswith("gatebus: Unrecognized arguments: --plain.")
    assert refused.err.endswith(" (No file of that name is here: a host is meant.)\n")


def test_unread_input_counts(tmp_path: Path, open_input: int) -> None:
    stopped(tmp_path, open_input)
    data = (tmp_path / "it.state").read_bytes()
    stored = decode_untrusted(data)
    assert str(left_behind(stored)) == ""
    more = kept_untrusted(stored.services)._replace(output=b"two", unsent=encode_data(0, 0, b"four"))
    assert str(left_behind(stored._replace(services=encode_kept(more)))) == "7 bytes on their way"


def test_only_a_file_that_is_no_state_is_replaced(tmp_path: Path, open_input: int) -> None:
    stopped(tmp_path, open_input)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("new")
    for there in ("pipe", "link", "/dev/null"):
        refused = run(tmp_path, *gatebus("export", "it.state", "-o", there))
        assert (refused.code, refused.err) == (
            125,
            "gatebus: it.state: --out: what is there is no file. Name a new one.\n",
        )
    before = (tmp_path / "it.state").read_bytes()
    refused = run(tmp_path, *gatebus("export", "it.state", "-o", "it.state"))
    assert (refused.code, refused.err) == (
        125,
        "gatebus: it.state: --out: a state is there. Name another file, and it stays.\n",
    )
    assert (tmp_path / "it.state").read_bytes() == before


def test_what_is_shown_where_nobody_can_read_it_is_no_failure_of_ours(tmp_path: Path, open_input: int) -> None:
    stopped(tmp_path, open_input)
    shown = " ".join(gatebus("show", "it.state"))
    closed = run(tmp_path, "sh", "-c", f"{shown} >&-")
    assert (closed.code, closed.err) == (0, "")
    full = run(tmp_path, "sh", "-c", f"{shown} >/dev/full")
    assert full.code == 125
    assert full.err.startswith("gatebus: ")
    assert "The output cannot be written: No space left on device." in full.err
