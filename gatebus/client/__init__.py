"""A client of the bus: programs sent to a host, from trio; gatebus.client.sync is the same without trio.

    from gatebus.client import Program, connect
    async with connect("ws://127.0.0.1:6473", key=key) as bus:
        result = await bus.call(Program(wasm, args=["a"]), stdin=b"...")
        async with bus.open_call(Program(wasm)) as running:      # a stream both ways
            await running.send(b"...")
            async for data in running: ...
            outcome = await running.wait()

Where it stands: between a person's program (or gatebus.cli) and gatebus.protocol and gatebus.web. A link that is lost
is made again, and every stream goes on where it was; what cannot is an error by whose fault it is (complaints).

Which module has what:
    words     complaints (errors), answers, liveanswers (what a host says), orders (what it is asked to run), backoff,
              knownhosts, agentwords (ssh-agent), signers
    wires     handshake (greeting), hostline (one link), lifeline (the next one), clientstream (a stream), transfers
    (upload, download), watching (events), asking, livebus, bus (all operations), agentsocket, trustfile
    assembly  connecting (connect), sync
"""

from gatebus.client.agentsocket import AgentSigner, agent_keys
from gatebus.client.answers import (
    Clients,
    Event,
    Live,
    Module,
    Outcome,
    Pinned,
    Result,
    Status,
    Stored,
    Uploaded,
    Usage,
)
from gatebus.client.bus import Bus
from gatebus.client.clientstream import Running
from gatebus.client.complaints import (
    BusError,
    Denied,
    HostError,
    HostNonsense,
    HostTrouble,
    KeyUnusable,
    LinkLost,
    NotTrusted,
    ProgramRefused,
    QuotaReached,
    SoftwareFault,
    StateUnusable,
    StreamLost,
    StreamStopped,
    TooMuchOutput,
)
from gatebus.client.connecting import Manner, connect
from gatebus.client.liveanswers import Difference, Imported, Shown, Snapshot, Taken
from gatebus.client.orders import Life, Program
from gatebus.client.signers import SeedSigner
from gatebus.client.transfers import file_source
from gatebus.client.trustfile import ExactKey, KnownHostsFile

__all__ = [
    "AgentSigner",
    "Bus",
    "BusError",
    "Clients",
    "Denied",
    "Difference",
    "Event",
    "ExactKey",
    "HostError",
    "HostNonsense",
    "HostTrouble",
    "Imported",
    "KeyUnusable",
    "KnownHostsFile",
    "Life",
    "LinkLost",
    "Live",
    "Manner",
    "Module",
    "NotTrusted",
    "Outcome",
    "Pinned",
    "Program",
    "ProgramRefused",
    "QuotaReached",
    "Result",
    "Running",
    "SeedSigner",
    "Shown",
    "Snapshot",
    "SoftwareFault",
    "StateUnusable",
    "Status",
    "Stored",
    "StreamLost",
    "StreamStopped",
    "Taken",
    "TooMuchOutput",
    "Uploaded",
    "Usage",
    "agent_keys",
    "connect",
    "file_source",
]
