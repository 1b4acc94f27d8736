"""`gatebus serve`: it starts, says where, serves its pages, remembers who it is, and stops in order."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import stat
from pathlib import Path

import pytest
import trustme
from commandworld import CAT, HELLO
from hostprocess import PATIENCE, HostProcess, gatebus, serving

LOOPBACK = ("--listen", "127.0.0.1:0", "--sandbox-pool", "1")


def get(address: str, path: str) -> tuple[int, bytes]:
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=PATIENCE)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_a_host_says_where_it_listens_and_serves_its_pages(tmp_path: Path) -> None:
    with serving(tmp_path, *LOOPBACK) as host:
        status, body = get(host.address(), "/health")
        assert (status, json.loads(body)["status"]) == (200, "ok")
        assert json.loads(get(host.address(), "/version")[1])["protocol"] == "gatebus.v1"
        assert b"gatebus" in get(host.address(), "/")[1]
        assert get(host.address(), "/../../etc/passwd")[0] == 404


def test_the_unix_socket_is_for_its_owner_and_goes_with_the_host(tmp_path: Path) -> None:
    with serving(tmp_path, *LOOPBACK) as host:
        path = Path(host.address("unix"))
        assert path == tmp_path / "run" / "gatebus" / "host.sock"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
    assert not path.exists()


def test_every_line_of_the_log_is_json(tmp_path: Path) -> None:
    with serving(tmp_path, *LOOPBACK) as host:
        pass
    assert len(host.events) == len(host.lines)
    assert [each["event"] for each in host.events][-3:] == ["host-signalled", "host-stopping", "host-stopped"]
    assert not [each for each in host.events if "unlisted" in each]


def test_a_host_is_the_same_one_at_its_next_start(tmp_path: Path) -> None:
    lines = []
    for _ in range(2):
        with serving(tmp_path, *LOOPBACK):
            lines.append(gatebus(tmp_path, "key").stdout.splitlines()[0])
    assert lines[0] == lines[1]
    assert lines[0].startswith(b"host      SHA256:")
    identity = tmp_path / ".local" / "state" / "gatebus" / "identity"
    assert stat.S_IMODE(identity.stat().st_mode) == 0o600


def test_two_hosts_on_one_directory_are_told_apart(tmp_path: Path) -> None:
    with serving(tmp_path, *LOOPBACK):
        second = gatebus(tmp_path, "serve", *LOOPBACK, "--socket", str(tmp_path / "other.sock"))
    assert (second.returncode, second.stdout) == (125, b"")
    assert second.stderr.splitlines()[-1] == (
        b"gatebus: Another gatebus host uses this data directory. "
        b"Stop it, or give this one a directory of its own: --data DIR."
    )


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = gatebus(tmp_path, "serve", "--listen", f"127.0.0.1:{port}", "--sandbox-pool", "1")
    assert done.returncode == 125
    last = done.stderr.decode().splitlines()[-1]
    assert last == (
        f"gatebus: Cannot listen on 127.0.0.1 port {port}: the port is in use, perhaps by another host; "
        "take another one."
    )
    assert not (tmp_path / "run" / "gatebus" / "host.sock").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--listen", "", "--socket", ""), "There is nothing to listen on. Set `listen` or `socket`."),
        (
            ("--tls-certificate", "no.pem", "--tls-key", "no.key"),
            "--tls-certificate: `tls.certificate`: there is no file no.pem.",
        ),
    ],
)
def test_what_prevents_the_start_is_one_line_and_nothing_was_begun(
    arguments: tuple[str, ...], told: str, tmp_path: Path
) -> None:
    done = gatebus(tmp_path, "serve", "--sandbox-pool", "1", "--listen", "127.0.0.1:0", *arguments)
    assert (done.returncode, done.stdout) == (125, b"")
    assert done.stderr.decode() == f"gatebus: {told}\n"
    assert not (tmp_path / ".local").exists()


def test_with_a_certificate_the_port_speaks_tls(tmp_path: Path) -> None:
    import ssl

    certificate, key, authority = tmp_path / "cert.pem", tmp_path / "key.pem", trustme.CA()
    ours = authority.issue_cert("127.0.0.1")
    ours.cert_chain_pems[0].write_to_path(str(certificate))
    ours.private_key_pem.write_to_path(str(key))
    with serving(tmp_path, *LOOPBACK, "--tls-certificate", str(certificate), "--tls-key", str(key)) as host:
        _, _, port = host.address("tls").rpartition(":")
        trust = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
        connection = http.client.HTTPSConnection("127.0.0.1", int(port), timeout=PATIENCE, context=trust)
        connection.request("GET", "/health")
        assert connection.getresponse().status == 200
        connection.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_both_signals_stop_it_in_order(number: int, tmp_path: Path) -> None:
    host = HostProcess(tmp_path, *LOOPBACK)
    host.wait_for("host-ready")
    assert host.end(number) == 0
    assert host.wait_for("host-signalled")["signal"] == signal.Signals(number).name
    assert host.events[-1]["event"] == "host-stopped"


def launched(home: Path, *life: str) -> str:
    """A program that waits for input."""
    (home / "cat.wat").write_text(CAT)
    done = gatebus(home, "launch", "--wall-time", "none", *life, str(home / "cat.wat"))
    assert done.returncode == 0, done
    return done.stdout.decode().strip().replace("-", "")


@pytest.mark.parametrize(("life", "event"), [((), "instance-stored"), (("--transient",), "instance-ended")])
def test_programs_that_still_run_are_stored_or_ended_when_their_time_is_over(
    life: tuple[str, ...], event: str, tmp_path: Path
) -> None:
    host = HostProcess(tmp_path, *LOOPBACK, "--stop-seconds", "0.1")
    host.wait_for("host-ready")
    instance = launched(tmp_path, *life)
    assert host.end() == 0
    assert host.wait_for("host-stopping")["instances"] == 1
    assert host.wait_for(event, instance=instance)["instance"] == instance
    assert host.events[-1]["event"] == "host-stopped"


def test_a_second_signal_does_not_wait_for_programs(tmp_path: Path) -> None:
    host = HostProcess(tmp_path, *LOOPBACK, "--stop-seconds", "600")
    host.wait_for("host-ready")
    launched(tmp_path)
    host.process.send_signal(signal.SIGTERM)
    host.wait_for("host-stopping")
    assert host.end() == 0


def test_what_a_host_was_given_is_there_after_it_was_killed(tmp_path: Path) -> None:
    """SIGKILL, as a power cut for this process: what was acknowledged is kept, its socket is replaced."""
    host = HostProcess(tmp_path, *LOOPBACK)
    host.wait_for("host-ready")
    digest = gatebus(tmp_path, "push", "--tag", "kept", str(HELLO)).stdout.decode().strip()
    assert host.end(signal.SIGKILL) == -signal.SIGKILL
    with serving(tmp_path, *LOOPBACK):
        (module,) = json.loads(gatebus(tmp_path, "modules", "--json").stdout)
        assert (module["module"], module["tags"]) == (digest, ["kept"])
        assert gatebus(tmp_path, "call", digest).stdout == b"hello, world\n"
