"""`gatebus key` and `gatebus serve --print-config`: what a person sees, and what never appears."""

from __future__ import annotations

import json
import os
import subprocess
from base64 import b64encode
from typing import TYPE_CHECKING

import pytest
from commandfork import run_command

from gatebus.host.identityfile import own_private_key, read_private_key
from gatebus.sshkeys import fingerprint, public_line

if TYPE_CHECKING:
    from pathlib import Path


def gatebus(home: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    ours = {"HOME": str(home), "PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": str(home / "run"), **variables}
    done = run_command(arguments, ours)
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def test_before_anything_was_made_the_commands_that_make_keys_are_named(tmp_path: Path) -> None:
    done = gatebus(tmp_path, "key")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "host      no key yet: `gatebus serve` makes it\nyou       no key yet: `gatebus key --make` makes it\n"
    )
    assert list(tmp_path.iterdir()) == [], "asking makes nothing"


def test_ones_own_key_is_made_once_and_shown_without_its_secret(tmp_path: Path) -> None:
    first, second = gatebus(tmp_path, "key", "--make"), gatebus(tmp_path, "key", "--make")
    key = read_private_key(tmp_path / ".config" / "gatebus" / "id_ed25519")
    assert key is not None
    assert first.stdout == second.stdout
    assert f"you       {fingerprint(key.public)}\nyour line {public_line(key.public, key.comment)}\n" in first.stdout
    for secret in (key.seed.hex(), b64encode(key.seed).decode(), b64encode(key.seed + key.public).decode()):
        assert secret not in first.stdout + first.stderr


def test_the_hosts_key_is_shown(tmp_path: Path) -> None:
    host = own_private_key(tmp_path / ".local" / "state" / "gatebus" / "identity", "gatebus host")
    assert gatebus(tmp_path, "key").stdout.startswith(f"host      {fingerprint(host.public)}\n")
    elsewhere = own_private_key(tmp_path / "data" / "identity", "gatebus host")
    there = json.loads(gatebus(tmp_path, "key", "--json", "--data", str(tmp_path / "data")).stdout)
    assert there == {
        "host": {
            "fingerprint": fingerprint(elsewhere.public),
            "line": public_line(elsewhere.public, "gatebus host"),
        },
        "you": None,
    }


def test_a_key_that_others_can_read_is_told_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "mine"
    own_private_key(path, "me")
    path.chmod(0o644)
    done = gatebus(tmp_path, "key", "--file", str(path))
    assert (done.returncode, done.stdout) == (125, "")
    assert done.stderr == (
        f"gatebus: The key {path} can be read by others. Write `chmod 600` for it, or make a new one.\n"
    )


def test_what_would_be_used_is_printed_with_where_it_came_from(tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text("[quotas.host]\ninstances = 7\n")
    done = gatebus(
        tmp_path,
        *("serve", "--config", str(tmp_path / "my.toml"), "--log", "json", "--print-config"),
        GATEBUS_STOP_SECONDS="3s",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "instances = 7  # instances at once, of the whole host (my.toml, line 2)\n" in done.stdout
    assert 'log = "json"  # form of the log; auto: text on a terminal, else JSON (--log)\n' in done.stdout
    assert (
        "stop_seconds = 3  # how long programs may go on when the host is asked to stop (GATEBUS_STOP_SECONDS)\n"
        in (done.stdout)
    )
    assert f'socket = "{tmp_path}/run/gatebus/host.sock"' in done.stdout
    assert f'data = "{tmp_path}/.local/state/gatebus"' in done.stdout


def test_what_is_printed_can_be_used_as_the_file(tmp_path: Path) -> None:
    first = gatebus(tmp_path, "serve", "--print-config", "--limits-memory", "16MiB")
    (tmp_path / "again.toml").write_text(first.stdout)
    second = gatebus(tmp_path, "serve", "--print-config", "--config", str(tmp_path / "again.toml"))
    assert [line.split("  #")[0] for line in second.stdout.splitlines()] == [
        line.split("  #")[0] for line in first.stdout.splitlines()
    ]


def test_the_configuration_of_the_user_is_found_by_itself(tmp_path: Path) -> None:
    (tmp_path / ".config" / "gatebus").mkdir(parents=True)
    (tmp_path / ".config" / "gatebus" / "host.toml").write_text("lisen = 1")
    done = gatebus(tmp_path, "serve")
    assert (done.returncode, done.stdout) == (125, "")
    assert done.stderr == "gatebus: host.toml, line 1: there is no setting `lisen`. Did you mean `listen`?\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--config", "nothing.toml"), "The configuration nothing.toml cannot be read: no such file or directory."),
        (("--log", "loud"), "--log: `log` is 'loud'; it must be auto or json or text."),
        (("--lisen", "x"), "Unrecognized arguments: --lisen x. `gatebus serve --help` shows how it is written."),
        (("--tls-key", "k"), "--tls-key: `tls.key` needs `tls.certificate` too."),
    ],
)
def test_a_wrong_start_is_one_line(arguments: tuple[str, ...], told: str, tmp_path: Path) -> None:
    done = gatebus(tmp_path, "serve", *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (125, "", f"gatebus: {told}\n")
    assert list(tmp_path.iterdir()) == []


def test_help_names_every_setting(tmp_path: Path) -> None:
    from gatebus.host.hostsettings import SETTINGS

    done = gatebus(tmp_path, "serve", "--help")
    assert done.returncode == 0
    for setting in SETTINGS.values():
        assert setting.flag in done.stdout
