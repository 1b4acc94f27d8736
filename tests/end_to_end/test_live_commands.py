"""Programs that outlive their process, as a person at a terminal has them: the commands against a real host."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from commandworld import World


def told(world: World, *line: str) -> dict[str, object]:
    answer: dict[str, object] = json.loads(world.says(*line))
    return answer


def state(world: World, instance: str) -> tuple[str, str]:
    (status,) = json.loads(world.says("status", "--json", instance))
    return status["state"], status["live"]["depth"]


def test_a_program_is_stored_goes_on_and_answers_as_if_nothing_had_been(world: World, instance: str) -> None:
    assert world.says("suspend", "waits") == ""
    assert state(world, instance) == ("SUSPENDED", "stored")
    assert "SUSPENDED stored" in world.says("ps")
    assert world.says("resume", instance) == ""
    assert state(world, instance) == ("RUNNING", "")
    assert world.run("io", instance, stdin=b"hello\n").stdout == b"hello\n"


def test_whoever_connects_to_a_stored_program_wakes_it(world: World, instance: str) -> None:
    world.says("suspend", instance)
    assert world.run("io", instance, stdin=b"hello\n").stdout == b"hello\n"


def test_a_snapshot_is_named_listed_restored_and_dropped(world: World, instance: str) -> None:
    name = world.says("snapshot", "--tag", "mine", instance).strip()
    assert state(world, instance) == ("RUNNING", "")
    listed = json.loads(world.says("snapshots", "--json", instance))
    assert [(each["snapshot"], each["kind"], each["tags"]) for each in listed] == [(name, "snapshot", ["mine"])]
    assert name[:12] in world.says("snapshots")
    restored = world.says("restore", "mine").strip()
    assert restored != instance
    assert world.run("io", restored, stdin=b"again\n").stdout == b"again\n"
    world.says("rm", restored)
    newer = world.says("snapshot", instance).strip()
    assert world.says("drop", name[:8]) == ""
    assert [each["snapshot"] for each in json.loads(world.says("snapshots", "--json", instance))] == [newer]


def test_copies_are_instances_of_their_own(world: World, instance: str) -> None:
    copies = world.says("clone", "-n", "2", instance).split()
    assert len({instance, *copies}) == 3
    for number, copy in enumerate(copies):
        line = f"copy {number}\n".encode()
        assert world.run("io", copy, stdin=line).stdout == line
        world.says("rm", copy)


def test_copies_have_a_tag_of_their_own_and_the_original_keeps_its(world: World, instance: str) -> None:
    copies = world.says("clone", "-n", "2", "--tag", "copy", "waits").split()
    assert world.reads("status", "waits")[0]["instance"] == instance, "it alone has the tag"
    for copy in copies:
        assert world.reads("status", copy)[0]["tags"] == ["copy"]
    world.says("suspend", copies[0])
    assert world.reads("status", copies[0])[0]["tags"] == ["copy"]
    world.says("kill", *copies)
    world.says("rm", *copies)


def test_what_export_writes_to_a_pipe_import_takes_from_one(world: World, instance: str) -> None:
    name = world.says("snapshot", instance).strip()
    made = world.run("export", "--out", "-", name)
    assert made.returncode == 0
    done = world.run("import", "-", stdin=made.stdout)
    assert (done.returncode, done.stderr) == (0, b"")
    restored = world.says("restore", done.stdout.decode().strip()).strip()
    assert world.run("io", restored, stdin=b"again\n").stdout == b"again\n"
    world.says("rm", restored)
    empty = world.run("import", "-")
    assert (empty.returncode, b"The file is empty." in empty.stderr) == (125, True)
    piped = world.run("import", "/dev/stdin", stdin=made.stdout)
    assert (piped.returncode, b"Write `-` for what comes through stdin" in piped.stderr) == (125, True)


def test_only_of_a_name_that_means_nothing_it_is_said_that_there_is_no_such_file(world: World, instance: str) -> None:
    world.says("snapshot", "--tag", "kept", instance)
    world.says("snapshot", instance)  # from which it goes on
    (world.home / "there").write_bytes(b"")
    said = world.fails("export", "--out", str(world.home / "there"), "kept")
    assert said == "gatebus: --out: there is such a file already. Name a new one."
    assert world.fails("show", "nothing").endswith(" There is no file nothing here, either.")
    world.says("drop", "kept")


def test_a_plain_program_says_that_it_cannot_be_stopped(world: World) -> None:
    plain = world.says("launch", "--plain", "--wall-time", "none", str(world.cat)).strip()
    done = world.run("suspend", plain)
    assert (done.returncode, done.stdout) == (125, b"")
    assert done.stderr.startswith(b"gatebus: ")
    world.run("kill", plain)


def test_a_snapshot_that_nobody_has_taken_is_said_with_the_command_that_lists_them(world: World) -> None:
    done = world.run("restore", "abcdef")
    assert (done.returncode, done.stderr) == (
        125,
        b"gatebus: None of your snapshots begins with abcdef, or has it as a tag. `gatebus snapshots` lists them.\n",
    )


def test_the_policy_of_what_is_restored_is_said_and_changed(world: World, instance: str) -> None:
    name = world.says("snapshot", instance).strip()
    restored = world.says("restore", "--wake", "never", "--idle-store", "1h", name).strip()
    assert world.says("policy", restored).splitlines()[:3] == ["wake       never", "idle-park  no", "idle-store 3600s"]
    assert world.says("policy", "--wake", "any", restored) == ""
    assert json.loads(world.says("policy", "--json", restored))["wake"] == "any"
    world.says("kill", restored)


def test_copies_are_as_durable_as_one_asks(world: World, instance: str) -> None:
    for option, durable in (("--durable", True), ("--transient", False)):
        copy = told(world, "clone", "--json", option, instance)
        live = copy["live"]
        assert isinstance(live, dict)
        assert live["durable"] is durable
        world.says("kill", str(copy["instance"]))
