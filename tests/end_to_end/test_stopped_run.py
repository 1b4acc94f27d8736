"""`gatebus run --suspend-after`, `--resume` and `gatebus show`: a program is stopped, shown, and goes on elsewhere."""

import json
import os
import subprocess
from hashlib import sha256
from pathlib import Path

import command_programs as programs
import pytest
from commands import ROOT, Ended, command, native_is_missing
from stoppedruns import WAITS, run, stop, surroundings
from waiting import PATIENCE

pytestmark = pytest.mark.skipif(native_is_missing(), reason="the native part is not built")

# Writes 400 pieces of a KiB, waits for a line and ends with 7.
WRITES = programs.program("""
  (func $all (param $at i32) (param $end i32)
    (loop $more
      (call $write (i32.const 1) (local.get $at) (i32.sub (local.get $end) (local.get $at)))
      (br_if $more (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.load (i32.const 8)))) (local.get $end)))))
  (func (export "_start") (local $n i32)
    (loop $pieces
      (memory.fill (i32.const 2048) (i32.add (i32.const 48) (i32.and (local.get $n) (i32.const 63))) (i32.const 1024))
      (call $all (i32.const 2048) (i32.const 3072))
      (br_if $pieces (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 400))))
    (i32.store (i32.const 0) (i32.const 2048)) (i32.store (i32.const 4) (i32.const 100))
    (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
    (call $proc_exit (i32.const 7)))""")
WRITTEN = b"".join(bytes([48 + n % 64]) * 1024 for n in range(400))


def test_a_program_is_stopped_twice_and_one_state_goes_on_twice(tmp_path: Path, open_input: int) -> None:
    (tmp_path / "it.wat").write_text(WAITS)
    first = stop(tmp_path, open_input, "it.wat")
    assert (first.code, first.err) == (124, "gatebus: stopped; `gatebus run --resume it.state` goes on.\n")
    assert (tmp_path / "it.state").stat().st_mode & 0o777 == 0o600
    second = stop(tmp_path, open_input, "--resume", "it.state", state="again.state")
    assert second.code == 124
    for line in (b"one\n", b"two\n"):
        gone_on = run(tmp_path, *command("--resume", "again.state"), text=line)
        assert (gone_on.code, gone_on.err) == (7, "")
        assert first.out + second.out + gone_on.out == b"before\n" + line


def test_a_program_that_ends_before_leaves_no_state(tmp_path: Path) -> None:
    (tmp_path / "it.wat").write_text(WAITS)
    done = run(tmp_path, *command("--suspend-after", "1h", "--state", "it.state", "it.wat"), text=b"x")
    assert (done.code, done.out, done.err) == (7, b"before\nx", "")
    assert not (tmp_path / "it.state").exists()


def show(folder: Path, *words: str) -> Ended:
    line = command()
    return run(folder, *line[: line.index("run")], "show", *words)


def test_a_state_is_shown_and_a_damaged_one_is_refused(tmp_path: Path, open_input: int) -> None:
    (tmp_path / "it.wat").write_text(WAITS)
    stop(tmp_path, open_input, "it.wat")
    told = json.loads(show(tmp_path, "--json", "it.state").out)
    assert (told["entry"], told["file"], told["memory"]["bytes"]) == ("_start", "it.wat", 2 * 65_536)
    assert told["size"]["program"] == len(WAITS.encode())
    assert (told["frames"][-1]["depth"], told["frames"][-1]["name"]) == (0, "_start")
    data = bytearray((tmp_path / "it.state").read_bytes())
    data[-1] ^= 1
    (tmp_path / "it.state").write_bytes(data)
    for done in (run(tmp_path, *command("--resume", "it.state")), show(tmp_path, "it.state")):
        assert done.code == 125
        assert "The file is damaged: its parts do not fit together. Copy it again." in done.err


def test_the_example_is_stopped_while_it_counts_shown_and_goes_on(tmp_path: Path, open_input: int) -> None:
    example = ROOT / "examples/5_stop_and_go/primes.wat"
    words = command("--suspend-after", "100ms", "--state", "primes.state", str(example))
    stopped = run(tmp_path, *words, stdin=open_input)
    assert (stopped.code, stopped.out) == (124, b"")
    shown = show(tmp_path, "primes.state")
    assert "count_primes" in shown.out.decode()
    gone_on = run(tmp_path, *command("--resume", "primes.state"))
    assert (gone_on.code, gone_on.out, gone_on.err) == (0, b"348513\n", "")


def test_a_reader_that_takes_nothing_is_not_waited_for_and_gets_the_rest_when_it_goes_on(
    tmp_path: Path, open_input: int
) -> None:
    (tmp_path / "it.wat").write_text(WRITES)
    words = command("--suspend-after", "500ms", "--state", "it.state", "it.wat")
    environment, pipe = surroundings(tmp_path), subprocess.PIPE
    with subprocess.Popen(words, stdin=open_input, stdout=pipe, stderr=pipe, cwd=tmp_path, env=environment) as process:
        assert process.wait(PATIENCE) == 124  # its output is read by nobody until here
        assert process.stdout is not None
        assert process.stderr is not None
        first, said = process.stdout.read(), process.stderr.read().decode()
    # A pipe holds 64 KiB. What a full one did not take is said; before it is full that depends on whose turn it was.
    assert len(first) <= 64 << 10
    assert len(first) < 64 << 10 or " bytes of its output were not read; they come first when it goes on.\n" in said
    for _ in range(2):
        gone_on = run(tmp_path, *command("--resume", "it.state"), text=b"\n")
        assert (gone_on.code, gone_on.err) == (7, "")
        assert first + gone_on.out == WRITTEN


def test_the_line_for_the_shell_is_quoted_files_are_said_to_come_later_and_json_says_suspended(
    tmp_path: Path, open_input: int
) -> None:
    (tmp_path / "it.wat").write_text(WAITS)
    done = stop(tmp_path, open_input, "--json", "--out", "left over", "it.wat", state="it's.state")
    first, second = done.err.splitlines()
    assert first == "gatebus: nothing is in 'left over' yet: the program's files are in its state until it ends."
    told = json.loads(second)
    assert (done.code, told["exit"], told["state"], told["error"]) == (124, 124, "SUSPENDED", None)
    assert told["text"] == """stopped; `gatebus run --resume 'it'"'"'s.state'` goes on."""
    gone_on = run(tmp_path, *command("--out", "left over", "--resume", "it's.state"), text=b"x")
    assert (gone_on.code, gone_on.out, gone_on.err) == (7, b"x", "")
    assert (tmp_path / "left over").is_dir()


ECHO = ROOT / "build/guests/3_echo_stream.wasm"


@pytest.mark.parametrize("backend", [(), ("--backend", "portable")], ids=["native", "portable"])
def test_a_program_that_speaks_with_services_is_stopped_with_its_stream_and_goes_on(
    tmp_path: Path, backend: tuple[str, ...]
) -> None:
    """Wherever it is stopped: before it has its stream, in the middle, or waiting for more."""
    reader, writer = os.pipe()
    os.write(writer, b"first\n")
    first = stop(tmp_path, reader, str(ECHO))
    second = stop(tmp_path, reader, *backend, "--resume", "it.state", state="again.state")
    os.close(writer)
    assert (first.code, second.code) == (124, 124), first.err + second.err
    last = run(tmp_path, *command(*backend, "--resume", "again.state"), stdin=reader)
    os.close(reader)
    assert (last.code, last.err) == (0, "")
    assert first.out + second.out + last.out == b"first\nsent back 6 bytes\n"


def test_a_state_that_is_forged_is_refused_with_its_part_and_nobody_is_sent_to_the_author(
    tmp_path: Path, open_input: int
) -> None:
    (tmp_path / "it.wat").write_text(WAITS)
    stop(tmp_path, open_input, "it.wat")
    data = bytearray((tmp_path / "it.state").read_bytes())
    lengths = [int.from_bytes(data[8:12], "little"), int.from_bytes(data[16:24], "little")]
    data[80 + sum(lengths) + 36] = 1  # the phase of the state: `_initialize`, which the program does not have
    data[48:80] = sha256(data[80:]).digest()
    (tmp_path / "it.state").write_bytes(data)
    for done in (run(tmp_path, *command("--resume", "it.state")), show(tmp_path, "it.state")):
        assert done.code == 125
        assert "the entry cannot have left any of these frames" in done.err or "does not have the entry" in done.err
        assert done.err.endswith("Ask whoever gave you the state for another copy.\n")


def test_services_that_were_used_before_a_stop_are_used_after_it(tmp_path: Path, open_input: int) -> None:
    """Wherever it is stopped, or not at all: what it says is the same."""
    example = ROOT / "examples/4_use_services"
    told = stop(tmp_path, open_input, str(ROOT / "build/guests/4_use_services.wasm"))
    assert told.code in (0, 124), told.err
    said = told.out
    if told.code:
        rest = run(tmp_path, *command("--resume", "it.state"))
        assert (rest.code, rest.err) == (0, "")
        said += rest.out
    assert said == (example / "expected.txt").read_bytes()


def chain(functions: int) -> str:
    """Each calls the next one; the last one counts for a second."""
    calls = "".join(
        f"(func $f{number} (param i32) (result i32) (i32.add (call $f{number + 1} (local.get 0)) (i32.const 1)))"
        for number in range(functions)
    )
    return programs.program(f"""{calls}
  (func $f{functions} (param $n i32) (result i32)
    (loop $again (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1))))) (local.get $n))
  (func (export "_start") (call $proc_exit (i32.and (i32.const 63) (call $f0 (i32.const 2000000000)))))""")


def test_a_program_that_stands_at_thousands_of_places_goes_on(tmp_path: Path, open_input: int) -> None:
    (tmp_path / "it.wat").write_text(chain(1_500))
    assert stop(tmp_path, open_input, "it.wat").code == 124
    gone_on = run(tmp_path, *command("--resume", "it.state"))
    assert (gone_on.code, gone_on.err) == (1_500 & 63, "")


def test_at_too_many_places_it_says_so_when_it_is_stopped_and_what_goes_on_instead(
    tmp_path: Path, open_input: int
) -> None:
    (tmp_path / "it.wat").write_text(chain(8_300))
    why = (
        "The state stands at more than 8192 places: no more than that can be continued. "
        "`gatebus export` makes one module of the state, with which `gatebus run --ignore-state` goes on.\n"
    )
    stopped = stop(tmp_path, open_input, "--stack", "8MiB", "it.wat")
    assert (stopped.code, stopped.err) == (124, f"gatebus: stopped; its state is in it.state. {why}")
    line = command()
    export = *line[: line.index("run")], "export", "it.state", "-o", "it.wasm"
    assert run(tmp_path, *export).code == 0
    for words in (("--resume", "it.state"), ("it.wasm",)):
        refused = run(tmp_path, *command(*words))
        assert (refused.code, refused.err) == (125, f"gatebus: {words[-1]}: {why}")
    gone_on = run(tmp_path, *command("--ignore-state", "--stack", "8MiB", "it.wasm"))
    assert (gone_on.code, gone_on.err) == (8_300 & 63, "")


def stop_deep(folder: Path, open_input: int) -> Ended:
    """Of one that goes as deep as it goes in much less than that, and waits there."""
    words = command("--suspend-after", "500ms", "--state", "it.state", "--stack", "8MiB", "it.wat")
    return run(folder, *words, stdin=open_input)


READS = """(func $read
    (i32.store (i32.const 0) (i32.const 2048)) (i32.store (i32.const 4) (i32.const 100))
    (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8))))"""


def large(places: int) -> str:
    """One function of half a megabyte calls itself from so many places, and waits at the bottom."""
    calls = "".join(
        f"(if (i32.eq (local.get $n) (i32.const {place})) (then (local.set $r (call $big (i32.const {place + 1})))))"
        for place in range(places)
    )
    return programs.program(f"""{READS}
  (func $big (param $n i32) (result i32) (local $r i32)
    {"nop " * (1 << 19)}
    {calls}
    (if (i32.eq (local.get $n) (i32.const {places})) (then (call $read)))
    (i32.add (local.get $r) (i32.const 1)))
  (func (export "_start") (call $proc_exit (i32.and (i32.const 63) (call $big (i32.const 0)))))""")


def crossing(functions: int, kinds: int) -> str:
    """Each of them may stand inside each of so many kinds of calls, and all of them do, the last one waits."""
    callers = "".join(
        f"(func $f{kind} (type $t) (return_call_indirect (type $t) (local.get 0) (local.get 0)))"
        for kind in range(kinds)
    )
    functions_ = "".join(
        f"(func $g{place} (type $t) (i32.add (call $f{place % kinds} (i32.const {place + 1})) (i32.const 1)))"
        for place in range(functions)
    )
    return programs.program(f"""{READS} (type $t (func (param i32) (result i32)))
  (table funcref (elem {" ".join(f"$g{place}" for place in range(functions))} $last))
  {callers} {functions_}
  (func $last (type $t) (call $read) (i32.const 0))
  (func (export "_start") (call $proc_exit (i32.and (i32.const 63) (call $g0 (i32.const 0)))))""")


LARGE = "the program is too large to be continued: it stands at too many places of too large functions"
CROSSING = (
    "the program saves too much at the places where it stands, or too many kinds of calls can have led there: "
    "checking its frames needs a list of 2434573 bytes, at most 2031616"
)


@pytest.mark.parametrize(
    ("source", "why", "result"),
    [(large(140), LARGE, 141), (crossing(2_000, 300), CROSSING, 2_000)],
    ids=["large functions", "many callers"],
)
def test_what_is_too_large_to_be_continued_says_why_and_goes_on_as_a_module(
    tmp_path: Path, open_input: int, source: str, why: str, result: int
) -> None:
    (tmp_path / "it.wat").write_text(source)
    assert stop_deep(tmp_path, open_input).code == 124
    refused = run(tmp_path, *command("--resume", "it.state"))
    instead = (
        "`gatebus export` makes one module of the state, with which `gatebus run --ignore-state` goes on; "
        "one of more than 32 MiB takes another runtime."
    )
    line = f"gatebus: it.state: {why}. So it does not go on from its state as it is. {instead}\n"
    assert (refused.code, refused.err) == (125, line)
    words = command()
    assert run(tmp_path, *words[: words.index("run")], "export", "it.state", "-o", "it.wasm").code == 0
    gone_on = run(tmp_path, *command("--ignore-state", "--stack", "8MiB", "it.wasm"))
    assert (gone_on.code, gone_on.err) == (result & 63, "")


def floats(calls: int) -> str:
    """Two hundred constants in each of so many calls: 4 bytes each in a frame, 16 on the stack of what goes on."""
    locals_ = "".join(f"(local $c{at} f32)" for at in range(200))
    use = "".join(f"(local.set $s (f32.add (local.get $s) (local.get $c{at})))" for at in range(200))
    return programs.program(f"""{READS}
  (func $deep (param $n i32) (result f32) (local $s f32) {locals_}
    (if (local.get $n)
      (then (local.set $s (call $deep (i32.sub (local.get $n) (i32.const 1))))) (else (call $read)))
    {use} (local.get $s))
  (func (export "_start") (call $proc_exit (i32.trunc_f32_s (call $deep (i32.const {calls})))))""")


def test_what_has_too_little_stack_to_go_on_says_so_when_it_is_stopped(tmp_path: Path, open_input: int) -> None:
    (tmp_path / "it.wat").write_text(floats(32_000))
    why = (
        "To go on, what is on its stack takes 98.6 MiB or more; there are 96. "
        "`gatebus export` makes one module of the state, for a runtime with a larger stack.\n"
    )
    stopped = stop_deep(tmp_path, open_input)
    assert (stopped.code, stopped.err) == (124, f"gatebus: stopped; its state is in it.state. {why}")
    refused = run(tmp_path, *command("--resume", "it.state"))
    assert (refused.code, refused.err) == (125, f"gatebus: it.state: {why}")
