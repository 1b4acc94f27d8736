"""Wire: the ssh-agent's socket.

In:  which key. Out: keys, a signature; KeyUnusable when the agent is not there or will not.
"""

from __future__ import annotations

from dataclasses import dataclass

import trio

from gatebus.client import agentwords
from gatebus.client.complaints import KeyUnusable
from gatebus.clientbounds import AGENT_SECONDS


async def agent_keys(path: str) -> list[bytes]:
    """The ed25519 keys that the agent at this socket holds."""
    return agentwords.keys_untrusted(await _ask(path, agentwords.list_request()))


@dataclass(frozen=True, slots=True)
class AgentSigner:
    """A key whose private half stays in the agent. A person may have to touch something before it signs."""

    path: str
    public: bytes

    async def sign(self, statement: bytes) -> bytes:
        return agentwords.signature_untrusted(await _ask(self.path, agentwords.sign_request(self.public, statement)))


async def _ask(path: str, request: bytes) -> bytes:
    try:
        with trio.fail_after(AGENT_SECONDS):
            async with await trio.open_unix_socket(path) as stream:
                await stream.send_all(request)
                size = int.from_bytes(await _exactly(stream, 4))
                if not 0 < size <= agentwords.ANSWER_BYTES:
                    raise KeyUnusable("The agent's answer has no sensible size.")
                return await _exactly(stream, size)
    except (OSError, trio.BrokenResourceError, trio.TooSlowError):
        raise KeyUnusable("The ssh-agent cannot be reached, or did not answer. Is SSH_AUTH_SOCK right?") from None


async def _exactly(stream: trio.SocketStream, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = await stream.receive_some(size - len(data))
        if not more:
            raise KeyUnusable("The agent's answer is cut off.")
        data += more
    return data
