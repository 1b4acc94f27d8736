"""`gatebus login`: a host's key is compared before anything is remembered; one's own is shown to whom it concerns."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from typing import TYPE_CHECKING

import pytest
from commandworld import HELLO, World, at_a_terminal, at_ones_own_terminal, command_world
from hostprocess import PATIENCE, gatebus
from required import require

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with command_world(tmp_path_factory.mktemp("person")) as there:
        yield there


def test_a_login_remembers_the_host_and_shows_ones_key(world: World, tmp_path: Path) -> None:
    address = world.host.address()
    ours = json.loads(gatebus(world.home, "key", "--make", "--json").stdout)
    host = ours["host"]["fingerprint"]
    (world.home / ".config" / "gatebus" / "authorized_keys").write_text(ours["you"]["line"] + "\n")
    (world.home / ".config" / "gatebus" / "authorized_keys").chmod(0o600)
    assert world.fails("login", "lab", address, "--host-key", "SHA256:other") == (
        f"gatebus: The host's key is {host}, and not the one that you named. Do not go on."
    )
    done = world.run("login", "lab", address, "--host-key", host)
    assert (done.returncode, done.stderr) == (
        0,
        b"gatebus: lab is remembered, and used when no host is named. `gatebus --help` lists what you can do there.\n",
    )
    try:
        assert world.reads("ps", "--host", "lab") == []
        assert world.reads("login")[0]["address"] == f"ws://{address}"
        assert world.says("login").splitlines()[1].startswith("lab *  ws://127.0.0.1:")
        assert world.fails("ps", "--host", "lap") == "gatebus: There is no host lap in your list. Did you mean lab?"
        assert world.reads("ps", "--host", address) == []  # the same host with the same key
        assert world.fails("ps", "--host", address, "--key", "anonymous").startswith("gatebus: Whoever has not shown")
        key = str(world.home / ".config" / "gatebus" / "id_ed25519")
        as_me = ("--host", address, "--key", key)
        instance = world.says("launch", *as_me, "--wall-time", "none", str(world.cat)).strip()
        name = world.says("snapshot", *as_me, instance).strip()
        assert world.says("show", *as_me, name).startswith(f"snapshot   {name}")
        assert world.says("export", *as_me, "--form", "wasm", "--out", str(tmp_path / "out.wasm"), name) == ""
        assert (tmp_path / "out.wasm").read_bytes().startswith(b"\0asm")
        world.says("kill", *as_me, instance)
    finally:
        (world.home / ".config" / "gatebus" / "hosts.toml").unlink()


def test_without_a_terminal_a_new_host_is_not_remembered_unseen(world: World, tmp_path: Path) -> None:
    address = world.host.address()
    done = gatebus(tmp_path, "login", "lab", address, "--key", "anonymous")
    assert done.returncode == 125
    assert done.stderr.decode().startswith("gatebus: The host's key is SHA256:")
    assert done.stderr.decode().endswith("Compare it with `gatebus key` there, and name it: --host-key.\n")
    assert not (tmp_path / ".config").exists()


def test_a_new_host_is_told_once_and_a_changed_one_is_refused(world: World, tmp_path: Path) -> None:
    address = world.host.address()
    first, second = (gatebus(tmp_path, "features", "--host", address) for _ in range(2))
    told = re.fullmatch(
        rf"gatebus: ws://{address} is a new host; its key (SHA256:\S+) is remembered.\n", first.stderr.decode()
    )
    assert told is not None
    assert second.stderr == b""
    known = tmp_path / ".config" / "gatebus" / "known_hosts"
    known.write_text(
        f"ws://{address} ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4\n"
    )
    third = gatebus(tmp_path, "features", "--host", address)
    assert third.returncode == 125
    assert third.stderr.decode().startswith(f"gatebus: The key of ws://{address} has changed to {told[1]}.")
    forgetting = f"gatebus login --forget ws://{address}"
    assert third.stderr.decode().endswith(f"then forget the old one: {forgetting}\n")
    forgotten = gatebus(tmp_path, *forgetting.split()[1:])
    assert (forgotten.returncode, forgotten.stderr.decode()) == (
        0,
        f"gatebus: the key of ws://{address} is forgotten.\n",
    )
    assert known.read_bytes() == b""
    again = gatebus(tmp_path, *forgetting.split()[1:])
    assert (again.returncode, again.stderr.decode()) == (
        125,
        f"gatebus: No key of ws://{address} is remembered.\n",
    )


def test_a_host_is_forgotten_with_its_key_when_its_last_name_is(world: World, tmp_path: Path) -> None:
    address = world.host.address()
    folder = tmp_path / ".config" / "gatebus"
    folder.mkdir(parents=True)
    names = "".join(f'[hosts.{name}]\naddress = "{address}"\n' for name in ("lab", "twin"))
    (folder / "hosts.toml").write_text(f'default = "lab"\n{names}')
    (folder / "known_hosts").write_text(f"ws://{address} ssh-ed25519 AAAA\nws://other ssh-ed25519 BBBB\n")
    told = [gatebus(tmp_path, "login", "--forget", name).stderr.decode() for name in ("lap", "lab", "twin")]
    assert told == [
        "gatebus: There is no host lap in your list. Did you mean lab?\n",
        "gatebus: lab is forgotten; it was the default.\n",
        "gatebus: twin is forgotten.\n",
    ]
    assert (folder / "known_hosts").read_text() == "ws://other ssh-ed25519 BBBB\n"
    nobody = gatebus(tmp_path, "login")
    assert (nobody.returncode, nobody.stdout, nobody.stderr.decode()) == (
        0,
        b"",
        "gatebus: no host is remembered. `gatebus login NAME ADDRESS` remembers one.\n",
    )


def test_a_login_at_a_terminal_asks_and_a_no_remembers_nothing(world: World, tmp_path: Path) -> None:
    login = ("login", "lab", world.host.address(), "--key", "anonymous")
    code, screen = at_a_terminal(tmp_path, *login, types=b"no\n")
    assert code == 125
    assert "Is it what `gatebus key` shows there? [y/N]" in screen
    assert screen.endswith("gatebus: Nothing was remembered.\r\n")
    assert not (tmp_path / ".config").exists()
    code, screen = at_a_terminal(tmp_path, *login, types=b"yes\n")
    assert (code, "lab is remembered" in screen) == (0, True)
    assert json.loads(gatebus(tmp_path, "login", "--json").stdout)[0]["key"] is None
    assert gatebus(tmp_path, "call", "--host", "lab", str(HELLO)).stdout == b"hello, world\n"


def test_a_login_is_json_where_json_was_asked_for(world: World, tmp_path: Path) -> None:
    address = world.host.address()
    host = json.loads(gatebus(world.home, "key", "--json").stdout)["host"]["fingerprint"]
    login = ("login", "lab", address, "--key", "anonymous", "--json")
    refused = json.loads(gatebus(tmp_path, *login, "--host-key", "SHA256:other").stderr)
    assert (refused["exit"], refused["error"]) == (125, "not-trusted")
    away = json.loads(gatebus(tmp_path, "login", "lab", "127.0.0.1:1", "--json").stderr)
    unknown = json.loads(gatebus(tmp_path, "login", "--forget", "lab", "--json").stderr)
    assert (away["error"], unknown["error"]) == ("cannot-connect", "not-found")
    done = gatebus(tmp_path, *login, "--host-key", host)
    row = {"name": "lab", "address": f"ws://{address}", "key": None, "default": True}
    assert (done.returncode, json.loads(done.stdout), done.stderr) == (0, row, b"")
    done = gatebus(tmp_path, "login", "--forget", "lab", "--json")
    assert json.loads(done.stdout) == {"forgotten": "lab", "address": f"ws://{address}"}


def test_control_c_at_the_question_of_a_login_ends_it_at_once(world: World, tmp_path: Path) -> None:
    login = ("login", "lab", world.host.address(), "--key", "anonymous")
    code, screen = at_ones_own_terminal(tmp_path, *login, when=b"[y/N]", types=b"\x03")
    assert code == 130
    assert screen.endswith("[y/N] ^C\r\n")
    assert not (tmp_path / ".config").exists()


def test_a_key_that_the_host_does_not_know_is_shown_to_be_sent_to_its_owner(world: World, tmp_path: Path) -> None:
    host = json.loads(gatebus(world.home, "key", "--json").stdout)["host"]["fingerprint"]
    done = gatebus(tmp_path, "login", "lab", world.host.address(), "--host-key", host)
    line = json.loads(gatebus(tmp_path, "key", "--json").stdout)["you"]["line"]
    assert done.returncode == 125
    assert done.stderr.decode() == (
        f"gatebus: This host does not know your key. Ask its owner to add it. Your line is: {line}\n"
    )


def test_a_key_that_the_host_does_not_know_is_told_where_its_line_is_shown(world: World, tmp_path: Path) -> None:
    gatebus(tmp_path, "key", "--make")
    key = str(tmp_path / ".config/gatebus/id_ed25519")
    done = gatebus(tmp_path, "ps", "--host", world.host.address(), "--key", key)
    assert done.returncode == 125
    assert done.stderr.decode().endswith(
        "gatebus: This host does not know your key. Ask its owner to add it. `gatebus key` shows the line to add.\n"
    )


def test_a_key_that_lives_in_an_ssh_agent_lets_in(world: World, tmp_path: Path) -> None:
    require(shutil.which("ssh-agent"), "ssh-agent is not installed: apt-get install openssh-client")
    made = json.loads(gatebus(tmp_path, "key", "--make", "--json").stdout)
    allowed = world.home / ".config" / "gatebus" / "authorized_keys"
    before = allowed.read_text() if allowed.exists() else ""
    allowed.write_text(f"{before}{made['you']['line']}\n")
    allowed.chmod(0o600)
    with tempfile.TemporaryDirectory() as short:  # a socket's path has at most 107 bytes
        socket = f"{short}/agent"
        agent = subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.PIPE)
        try:
            assert agent.stdout is not None
            agent.stdout.readline()  # it listens now
            key = tmp_path / ".config" / "gatebus" / "id_ed25519"
            environment = {**os.environ, "SSH_AUTH_SOCK": socket}
            subprocess.run(["ssh-add", "-q", str(key)], env=environment, check=True, timeout=PATIENCE)
            key.unlink()
            done = gatebus(
                tmp_path, "ps", "--json", "--host", world.host.address(), "--key", "agent", SSH_AUTH_SOCK=socket
            )
            assert (done.returncode, done.stdout) == (0, b"[]\n"), done
        finally:
            agent.terminate()
            agent.communicate()
