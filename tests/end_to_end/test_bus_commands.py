"""The commands against a real host, over its unix socket and over loopback: what a person and a script see."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from commandworld import CAT, HELLO, LOOP, World, at_a_terminal
from hostprocess import PATIENCE, surroundings

from gatebus.__main__ import main
from gatebus.cli.bus_wording import result_json
from gatebus.cli.wording import Result

if TYPE_CHECKING:
    from pathlib import Path


def test_a_programs_output_input_and_exit_code_are_those_of_the_command(world: World) -> None:
    done = world.run("call", str(world.cat), stdin=b"hello\n")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"hello\n", b"")


def test_a_pipe_of_some_megabytes_comes_back_whole(world: World) -> None:
    sent = os.urandom(8_000_000)
    done = world.run("call", str(world.cat), stdin=sent)
    assert (done.returncode, hashlib.sha256(done.stdout).digest()) == (7, hashlib.sha256(sent).digest())


def test_whoever_reads_only_the_beginning_ends_the_program(world: World) -> None:
    shell = f"yes | {sys.executable} -m gatebus call {world.cat} | head -c 2"
    done = subprocess.run(
        shell, shell=True, env=surroundings(world.home), capture_output=True, check=False, timeout=PATIENCE
    )
    assert (done.stdout, done.stderr) == (b"y\n", b"")


def test_a_module_is_known_by_its_hash_once_it_was_there(world: World) -> None:
    digest = world.says("push", "--loose", str(HELLO)).strip()
    assert digest == hashlib.sha256(HELLO.read_bytes()).hexdigest()
    done = world.run("call", digest)
    assert (done.returncode, done.stdout) == (0, b"hello, world\n")


def test_a_small_binary_that_the_host_lacks_is_sent_by_itself(world: World, tmp_path: Path) -> None:
    import wasmtime

    (tmp_path / "cat.wasm").write_bytes(wasmtime.wat2wasm(CAT))
    done = world.run("call", str(tmp_path / "cat.wasm"), stdin=b"x")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"x", b"")


def test_what_a_killed_program_cost_and_why_it_was_killed_is_told(world: World) -> None:
    done = world.run("call", "--cpu-time", "50ms", "--usage", str(world.loop))
    assert (done.returncode, done.stdout) == (126, b"")
    *usage, line = done.stderr.decode().splitlines()
    why = "The program used up its CPU time. Try a larger --cpu-time than 0.05s."
    assert line == f"gatebus: {world.loop} was killed: {why}"
    assert usage[0].startswith("CPU time   ")


def test_the_result_of_a_call_as_json_is_one_line_behind_the_output(world: World) -> None:
    done = world.run("call", "--json", str(world.cat), stdin=b"x")
    told = json.loads(done.stderr)
    assert (done.returncode, done.stdout) == (7, b"x")
    assert {name: told[name] for name in ("exit", "error", "text", "state", "cause", "result")} == {
        "exit": 7,
        "error": None,
        "text": None,
        "state": "TERMINATED" if told["state"] == "TERMINATED" else "HALTED",
        "cause": "NORMAL",
        "result": 7,
    }
    assert re.fullmatch(r"[0-9a-f-]{36}", told["instance"])
    assert told["usage"]["bytes_in"] > 0


def test_files_go_in_and_come_back(world: World, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("A")
    out = tmp_path / "out"
    done = world.run("call", "--dir", f"{tmp_path / 'in'}::data", "--out", str(out), str(HELLO))
    assert (done.returncode, done.stderr) == (0, b"")
    assert (out / "data" / "a.txt").read_text() == "A"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_call_and_the_program_at_the_host(number: int, code: int, world: World) -> None:
    before = len(world.host.events)
    call = world.start("call", str(world.cat))
    assert call.stdin is not None
    assert call.stdout is not None
    call.stdin.write(b"x")
    call.stdin.flush()
    assert call.stdout.read(1) == b"x"
    call.send_signal(number)
    assert call.wait(PATIENCE) == code
    _, told = call.communicate()
    assert told == b""
    assert not [each for each in world.host.events[before:] if each["level"] == "error"]


def test_a_launched_program_goes_on_and_is_found_by_the_beginning_of_its_id(world: World, instance: str) -> None:
    (row,) = [each for each in world.reads("ps") if each["instance"] == instance]
    assert (row["state"], row["tags"]) == ("RUNNING", ["waits"])
    assert [each["instance"] for each in world.reads("status", instance[:8], "waits")] == [instance, instance]
    table = world.says("ps").splitlines()
    assert table[0].split() == ["INSTANCE", "STATE", "CAUSE", "RESULT", "AGE", "CPU", "MEMORY", "MODULE", "TAGS"]
    assert any(line.startswith(f"{instance[:8]}  RUNNING") and line.endswith("waits") for line in table)


def test_a_launched_program_is_talked_to_and_its_end_is_its_own(world: World, instance: str) -> None:
    done = world.run("io", instance, stdin=b"hello\n")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"hello\n", b"")
    waited = world.run("wait", instance)
    assert (waited.returncode, waited.stdout, waited.stderr) == (7, b"", b"")
    assert "result     7" in world.says("status", instance)


def test_whoever_waits_no_longer_than_a_while_is_told_that_it_has_not_ended(world: World, instance: str) -> None:
    told = "The instance has not ended within"
    assert world.fails("wait", "--timeout", "50ms", instance, code=124) == f"gatebus: {told} 0.05s."
    assert json.loads(world.fails("wait", "--json", "--timeout", "50ms", instance, code=124))["error"] == "timeout"
    assert world.says("kill", instance) == ""
    assert world.run("wait", "--timeout", "0", instance).returncode == 126


def test_an_instance_is_killed_and_forgotten(world: World, instance: str) -> None:
    assert world.fails("rm", instance) == "gatebus: The instance runs. Kill it first."
    assert world.says("kill", instance) == ""
    assert world.fails("wait", instance, code=126) == (
        f"gatebus: {instance} was killed: The program was killed on request."
    )
    assert world.says("rm", instance) == ""
    assert world.fails("status", instance) == "gatebus: There is no such instance, or it is not yours."


def test_modules_are_kept_tagged_and_let_go(world: World, tmp_path: Path) -> None:
    module = tmp_path / "own.wat"
    module.write_text(f"{LOOP} ;; {tmp_path}")
    (pushed,) = [json.loads(world.says("push", "--tag", "b", "--json", str(module)))]
    digest = pushed["module"]
    assert (pushed["known"], pushed["size"]) == (False, module.stat().st_size)
    world.says("pin", digest, "a")
    assert [each for each in world.reads("modules") if each["module"] == digest] == [
        {"module": digest, "size": module.stat().st_size, "pinned": True, "tags": ["a", "b"]}
    ]
    assert re.search(rf"^{digest[:12]}  \S+ B +yes +a b$", world.says("modules"), re.M)
    world.says("unpin", digest)
    assert [each["pinned"] for each in world.reads("modules") if each["module"] == digest] == [False]


def test_a_module_at_the_host_is_shown_with_whether_it_can_be_stopped(world: World, tmp_path: Path) -> None:
    (tmp_path / "shown.wat").write_text(f"{LOOP} ;; {tmp_path}")
    digest = world.says("push", "--tag", "shown", str(tmp_path / "shown.wat")).strip()
    lines = world.says("modules", "show", "shown").splitlines()
    assert lines[:4] == [f"program   {digest}  shown", "speaks    WASI", "enters    _start", "stops     anywhere"]
    assert json.loads(world.says("modules", "--json", "show", digest[:8]))["suspendable"] is True
    told = "`gatebus modules` lists them; `gatebus modules show MODULE` shows one."
    assert told in world.fails("modules", "shown")


def test_a_module_is_named_by_a_tag_or_the_first_digits_of_its_hash(world: World, tmp_path: Path) -> None:
    module = tmp_path / "named.wat"
    module.write_text(f"{CAT} ;; {tmp_path}")
    digest = world.says("push", "--tag", "named-cat", str(module)).strip()
    for name in ("named-cat", digest[:12].upper()):
        done = world.run("call", name, stdin=b"x")
        assert (done.returncode, done.stdout, done.stderr) == (7, b"x", b""), name
    assert json.loads(world.says("pin", "--json", "named-cat", "b", "--tag", "c"))[0]["tags"] == ["b", "c", "named-cat"]
    assert json.loads(world.says("unpin", "--json", digest[:8], "--tag", "b", "c"))[0]["tags"] == ["named-cat"]
    assert json.loads(world.says("unpin", "--json", "named-cat"))[0] == {
        "module": digest,
        "size": module.stat().st_size,
        "pinned": False,
        "tags": [],
    }


def test_a_tag_of_two_modules_means_none_of_them(world: World, tmp_path: Path) -> None:
    digests = []
    for name in ("one.wat", "two.wat"):
        (tmp_path / name).write_text(f"{LOOP} ;; {tmp_path} {name}")
        digests.append(world.says("push", "--tag", "twins", str(tmp_path / name)).strip())
    shown = {f"{first[:12]}, {second[:12]}" for first, second in (digests, reversed(digests))}
    line = world.fails("call", "twins")
    assert line.startswith("gatebus: 2 of your modules begin with twins, or have it as a tag: ")
    assert any(each in line for each in shown)
    assert line.endswith(". Write the digits of one.")


def test_a_stranger_who_names_no_file_is_told_that_there_is_none(world: World) -> None:
    address = world.host.address()
    world.run("features", "--host", address)
    line = world.fails("call", "--host", address, "named", code=127)
    assert line == "gatebus: named: there is no such file. Check the name."


def test_what_is_no_module_is_not_pushed_and_nothing_else_of_that_command_either(world: World, tmp_path: Path) -> None:
    (tmp_path / "good.wat").write_text(f"{LOOP} ;; {tmp_path}")
    (tmp_path / "hello.js").write_text("(function () {})()")
    (tmp_path / "noise.wasm").write_bytes(bytes(range(256)))
    before = len(world.reads("modules"))
    script = world.fails("push", str(tmp_path / "good.wat"), str(tmp_path / "hello.js"))
    assert script == (
        f"gatebus: {tmp_path / 'hello.js'}: It is no WebAssembly module but a script (.js). "
        "`gatebus call` and `launch` take it with its interpreter as it is."
    )
    noise = world.fails("push", "--loose", str(tmp_path / "noise.wasm"))
    assert noise == (
        f"gatebus: {tmp_path / 'noise.wasm'}: It is no WebAssembly module. Build its source for wasm32-wasip1."
    )
    done = world.run("push", "-", stdin=b"no module")
    assert (done.returncode, done.stdout) == (125, b"")
    assert done.stderr.startswith(b"gatebus: -: It is no WebAssembly module but some other text.")
    assert len(world.reads("modules")) == before


def test_what_one_uses_and_may_is_shown(world: World) -> None:
    table = world.says("usage").splitlines()
    assert table[0].split() == ["WHAT", "USED", "LIMIT"]
    assert world.reads("usage")["connections"] == {"used": 1, "limit": 1024}
    assert "call" in world.reads("features")["operations"]
    assert world.says("features").startswith("host       gatebus")


def test_events_tell_what_happened_from_a_number_on(world: World, instance: str) -> None:
    watching = world.start("events", "--since", "0", "--json")
    assert watching.stdout is not None
    for line in watching.stdout:
        event = json.loads(line)
        if (event["event"], event["instance"]) == ("started", instance):
            break
    watching.send_signal(signal.SIGINT)
    assert watching.wait(PATIENCE) == 130
    assert watching.communicate()[1] == b""


def test_the_hosts_log_tells_who_came_and_what_was_launched_and_nothing_that_they_said(world: World) -> None:
    before = len(world.host.lines)
    secret = "open-sesame"
    world.run("call", "--env", f"A={secret}", str(world.cat), secret, stdin=secret.encode())
    identity = world.says("launch", "--tag", secret, str(HELLO), secret).strip()
    world.run("wait", identity)
    world.run("rm", identity)
    world.fails("status", identity)
    world.host.wait_for("instance-ended", instance=identity.replace("-", ""))
    lines = world.host.lines[before:]
    events = [json.loads(line) for line in lines]
    assert [each["cause"] for each in events if each["event"] == "instance-ended"] == ["NORMAL"]
    assert [each["instance"] for each in events if each["event"] == "instance-launched"] == [identity.replace("-", "")]
    assert {each["principal"] for each in events} == {f"local:{os.geteuid()}"}
    assert not [line for line in lines if secret in line or "unlisted" in line]


def test_over_loopback_one_is_a_stranger_who_may_call_and_not_list(world: World) -> None:
    address = world.host.address()
    world.run("features", "--host", address)  # the host's key is remembered by the first connection
    done = world.run("call", "--host", address, str(HELLO))
    assert (done.returncode, done.stdout, done.stderr) == (0, b"hello, world\n", b"")
    assert world.fails("ps", "--host", address) == (
        "gatebus: Whoever has not shown a key may not list instances (list) at this host. "
        "Connect with a key that it knows. --key FILE shows yours; `gatebus login NAME ADDRESS` remembers that you "
        "mean it."
    )


def test_what_an_ended_program_wrote_is_read_once_and_io_ends_by_itself(world: World) -> None:
    instance = world.says("launch", str(HELLO)).strip()
    world.run("wait", instance)
    assert world.says("io", instance) == "hello, world\n"
    assert world.fails("io", instance).endswith("The instance has ended: nobody can connect to it any more.")


def test_a_large_upload_has_a_bar_at_a_terminal_and_none_in_a_pipe(world: World, tmp_path: Path) -> None:
    (tmp_path / "large.wasm").write_bytes(b"\0asm" + os.urandom(600_000))
    assert world.run("push", "--loose", str(tmp_path / "large.wasm")).stderr == b""
    code, screen = at_a_terminal(world.home, "push", "--loose", str(tmp_path / "large.wasm"))
    assert (code, "] 100% of 585.9 KiB" in screen) == (0, True)
    code, screen = at_a_terminal(world.home, "push", "--loose", str(HELLO))
    assert (code, "%" in screen) == (0, False)


@pytest.mark.parametrize(
    ("arguments", "told", "code"),
    [
        (("call", "nothing.wasm"), "nothing.wasm: there is no such file. Check the name.", 127),
        (("call", "0" * 64), f"{'0' * 60}", 125),
        (("call", "--memory", "3GiB", str(HELLO)), "The limit memory is at most 1GiB at this host.", 125),
        (("call", "--memory", "much", str(HELLO)), "--memory much: A size is written like 64MiB, 512KiB or 4096.", 125),
        (("call", "--memory", "1TiB", str(HELLO)), "--memory 1TiB: it must be 64KiB to 4GiB.", 125),
        (("call",), "No module is named. Write `gatebus call MODULE [ARGUMENT ...]`.", 125),
        (("io",), "It is written `gatebus io INSTANCE`; see `gatebus io --help`.", 125),
        (("ps", "x"), "It is written `gatebus ps`; see `gatebus ps --help`.", 125),
        (("call", "/dev/null"), "/dev/null: It is empty. Build its source for wasm32-wasip1.", 125),
        (("launch", "/dev/null"), "/dev/null: It is empty. Build its source for wasm32-wasip1.", 125),
        (("call", "./nothing"), "./nothing: there is no such file. Check the name.", 127),
        (("call", "nothing"), "nothing: there is no such file, and none of your modules at unix:", 127),
        (("launch", "nothing"), " has this name. Check the name.", 127),
        (("launch", "--host", "127.0.0.1:1", "no.wasm"), "no.wasm: there is no such file. Check the name.", 127),
        (
            ("status", "ffffffff"),
            "None of your instances begins with ffffffff, or has it as a tag. `gatebus ps` lists them.",
            125,
        ),
        (
            ("status", "00000000-0000-4000-8000-000000000000"),
            "There is no such instance, or it is not yours.",
            125,
        ),
        (("status", ""), "An empty text names none of your instances. `gatebus ps` lists them.", 125),
        (("call", "--out", "/proc/x", str(HELLO)), "--out /proc/x: it cannot be made, or not be written to.", 125),
        (
            ("pin", "abc"),
            "None of your modules begins with abc, or has it as a tag. `gatebus modules` lists them.",
            125,
        ),
        (("pin", "0" * 64), "This host does not have the module. Upload it first.", 125),
        (("push", "nothing.wasm"), "nothing.wasm: there is no such file. Check the name.", 127),
        (("ps", "--key", "/nothing"), "There is no key /nothing. `gatebus key --make` makes yours.", 125),
        (("ps", "--host", "127.0.0.1:1"), "The host ws://127.0.0.1:1 cannot be reached: Nobody listens there.", 125),
        (("ps", "--host", "unix:/no/x"), "The host unix:/no/x cannot be reached: There is no such socket", 125),
    ],
)
def test_what_goes_wrong_is_one_line(arguments: tuple[str, ...], told: str, code: int, world: World) -> None:
    line = world.fails(*arguments, code=code)
    assert line.startswith("gatebus: ")
    assert told in line


def test_a_fault_of_the_host_or_the_way_to_it_is_not_told_as_the_modules(world: World) -> None:
    assert world.fails("call", "--host", "nope", str(HELLO)) == (
        "gatebus: There is no host nope in your list. `gatebus login NAME ADDRESS` remembers one."
    )
    assert world.fails("launch", "--host", "127.0.0.1:1", str(HELLO)) == (
        "gatebus: The host ws://127.0.0.1:1 cannot be reached: Nobody listens there."
    )
    assert world.fails("call", "--memory", "3GiB", str(HELLO)).startswith(f"gatebus: {HELLO}: The limit memory")


def test_where_no_host_was_named_and_none_is_there_it_is_said_how_to_start_one(world: World) -> None:
    done = world.run("ps", GATEBUS_HOST="127.0.0.1:1")
    assert done.stderr == (
        b"gatebus: The host ws://127.0.0.1:1 cannot be reached: Nobody listens there. "
        b"`gatebus serve` starts one on this machine.\n"
    )


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("status", "nope"), "not-found"),
        (("status", "00000000-0000-4000-8000-000000000000"), "not-found"),
        (("show", "nope"), "not-found"),
        (("ps", "--nope"), "usage"),
        (("ps", "--host", "nope"), "usage"),
        (("ps", "--host", "unix:/no/x"), "cannot-connect"),
        (("io", "--host", "127.0.0.1:1", "nope"), "cannot-connect"),
    ],
)
def test_a_script_can_tell_faults_from_each_other(arguments: tuple[str, ...], error: str, world: World) -> None:
    done = world.run(*arguments, "--json")
    told = json.loads(done.stderr)
    assert (done.returncode, done.stdout, told["exit"], told["error"]) == (125, b"", 125, error), told


def test_a_fault_is_json_where_json_was_asked_for(world: World) -> None:
    done = world.run("ps", "--host", "127.0.0.1:1", "--json")
    told = json.loads(done.stderr)
    assert (done.returncode, done.stdout, told["exit"], told["error"]) == (125, b"", 125, "cannot-connect")
    assert told["text"] == "The host ws://127.0.0.1:1 cannot be reached: Nobody listens there."
    assert told["host"] == "ws://127.0.0.1:1"


def test_a_line_that_was_not_understood_is_json_of_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--json"]) == 125
    told = json.loads(capsys.readouterr().err)
    assert told["text"] == "It is written `gatebus status INSTANCE ...`; see `gatebus status --help`."
    assert told.keys() == json.loads(result_json("", "", Result(0), None, None)).keys()
    assert main(["run", "--json"]) == 125
    assert "backend" in json.loads(capsys.readouterr().err)


def test_every_command_has_help_that_says_how_it_is_written(world: World) -> None:
    from gatebus.cli.bus_options import COMMANDS

    general = world.says("--help")
    for name, command in COMMANDS.items():
        assert re.search(rf"\b{name}\b", general), name
        told = " ".join(world.says(name, "--help").split())
        also = f"gatebus {name} {command.takes}"  # `export` of a file says how that of a snapshot is written
        assert command.help.split(";")[0] in told or also in told, name
