"""Which key a command signs with: a file, an ssh-agent's, or none; a wire.

In:  --key or what the list of hosts has; SSH_AUTH_SOCK; what the agent says (untrusted). Out: a Signer, a PrivateKey or
None; UsageError with one line. With an agent the private half is never here: a hardware token does, too.
"""

import os

from gatebus.cli.bus_options import BusOptions
from gatebus.cli.hostbook import AGENT, Target
from gatebus.cli.hostbookfile import own_key
from gatebus.client import AgentSigner, agent_keys
from gatebus.client.signers import Signer
from gatebus.faults import UsageError
from gatebus.sshkeys import PrivateKey, fingerprint

_SHOWN = 5


def is_agent(named: str | None) -> bool:
    """`agent`, or `agent:SHA256:...`; a file of that name is written ./agent."""
    return named is not None and named.partition(":")[0] == AGENT


async def signer(options: BusOptions, chosen: Target) -> Signer | PrivateKey | None:
    """Raises UsageError, KeyUnusable."""
    named = options.key or chosen.key
    return await _of_agent(named) if named is not None and is_agent(named) else own_key(options, chosen)


async def _of_agent(named: str) -> AgentSigner:
    path = os.environ.get("SSH_AUTH_SOCK")
    if not path:
        raise UsageError("--key agent needs an ssh-agent, and SSH_AUTH_SOCK names none.")
    wanted = named.partition(":")[2]
    keys = await agent_keys(path)
    found = [each for each in keys if wanted in ("", fingerprint(each))]
    if not found:
        which = f"the key {wanted[:60]}" if wanted else "an ed25519 key"
        raise UsageError(f"Your ssh-agent does not have {which}. `ssh-add FILE` adds one, `ssh-add -l` lists them.")
    if len(found) > 1:
        shown = ", ".join(map(fingerprint, found[:_SHOWN]))
        raise UsageError(f"Your ssh-agent has {len(found)} ed25519 keys: {shown}. Write --key agent:SHA256:...")
    return AgentSigner(path, found[0])
