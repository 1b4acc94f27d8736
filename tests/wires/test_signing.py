"""gatebus.cli.signing: which key a command signs with."""

from __future__ import annotations

import pytest

from gatebus.cli.bus_options import BusOptions
from gatebus.cli.hostbook import Target
from gatebus.cli.signing import is_agent, signer
from gatebus.client import AgentSigner
from gatebus.faults import UsageError
from gatebus.sshkeys import fingerprint

ADA, GRACE = b"a" * 32, b"g" * 32


def options(key: str | None) -> BusOptions:
    return BusOptions("ps", None, key, json=False)


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The keys that the agent has."""
    keys = [ADA]

    async def listed(path: str) -> list[bytes]:
        assert path == "/run/agent"
        return keys

    monkeypatch.setenv("SSH_AUTH_SOCK", "/run/agent")
    monkeypatch.setattr("gatebus.cli.signing.agent_keys", listed)
    return keys


async def fault(key: str) -> str:
    with pytest.raises(UsageError) as caught:
        await signer(options(key), Target("ws://h"))
    return caught.value.text


async def test_the_agents_only_key_signs_whether_typed_or_of_the_list_of_hosts(agent: list[bytes]) -> None:
    expected = AgentSigner("/run/agent", ADA)
    assert await signer(options("agent"), Target("ws://h")) == expected
    assert await signer(options(None), Target("ws://h", "agent")) == expected
    assert await signer(options("anonymous"), Target("ws://h", "agent")) is None


async def test_of_several_keys_one_is_named_by_its_fingerprint(agent: list[bytes]) -> None:
    agent.append(GRACE)
    named = f"agent:{fingerprint(GRACE)}"
    assert await signer(options(named), Target("ws://h")) == AgentSigner("/run/agent", GRACE)
    assert await fault("agent") == (
        f"Your ssh-agent has 2 ed25519 keys: {fingerprint(ADA)}, {fingerprint(GRACE)}. Write --key agent:SHA256:..."
    )


async def test_a_key_that_the_agent_does_not_have_is_told(agent: list[bytes]) -> None:
    assert await fault("agent:SHA256:other") == (
        "Your ssh-agent does not have the key SHA256:other. `ssh-add FILE` adds one, `ssh-add -l` lists them."
    )
    agent.clear()
    assert await fault("agent") == (
        "Your ssh-agent does not have an ed25519 key. `ssh-add FILE` adds one, `ssh-add -l` lists them."
    )


async def test_without_an_agent_it_is_said_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    assert await fault("agent") == "--key agent needs an ssh-agent, and SSH_AUTH_SOCK names none."


@pytest.mark.parametrize(
    ("named", "agents"),
    [("agent", True), ("agent:SHA256:x", True), ("./agent", False), ("agents", False), ("", False), (None, False)],
)
def test_a_file_is_no_agent(named: str | None, agents: bool) -> None:
    assert is_agent(named) is agents
