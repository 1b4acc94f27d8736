"""What one host is told: frozen values, each with a default that is right for a person's own machine; words.

Where it stands: at the start of everything; made once, by gatebus.host.configreader (files, environment, flags) or by
whoever embeds a host: `HostConfig()` is enough. Host and its parts only read it. What each value means stands in the
table of gatebus/host/hostsettings.py, which the reference of `gatebus serve --help` and `--print-config` is made of.
"""

from dataclasses import dataclass, field

from gatebus.bounds import (
    HOST_STORED,
    LAUNCHED_SECONDS,
    LINGER_SECONDS,
    PARTIAL_SECONDS,
    STOP_SECONDS,
    UNPINNED_SECONDS,
)
from gatebus.contentbounds import FETCHED_HOURLY, LENT_HOURLY
from gatebus.faults import UsageError
from gatebus.host.policy import Policy
from gatebus.host.quotas import QuotaBounds
from sandbox.layers import REQUIRED
from sandbox.limits import Limits
from sandbox.settings import POOL_DEFAULT

DEFAULT_ADDRESS = "127.0.0.1:6473"
FETCHED = "fetched"
"""The folder of what a host has by content, in its data directory."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where one TCP listener stands. `port` 0: any that is free."""

    host: str
    port: int

    def __post_init__(self) -> None:
        """The system would take the lower 16 bits of any number. Raises UsageError."""
        if not 0 <= self.port < 1 << 16:
            raise UsageError(f"The port is {self.port}; it must be 0 to 65535.")

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Tls:
    """Files in PEM form. Both or neither."""

    certificate: str | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class StoreBounds:
    """What becomes of modules that nobody pinned."""

    unpinned_seconds: float = UNPINNED_SECONDS
    unpinned_bytes: int = HOST_STORED // 2
    partial_seconds: float = PARTIAL_SECONDS


@dataclass(frozen=True, slots=True)
class Fetch:
    """Who is asked for `ipfs://...`, as gatebus ipfs writes its sources. Nobody: the host fetches nothing."""

    gateways: tuple[str, ...] = ()
    hourly: int = FETCHED_HOURLY


@dataclass(frozen=True, slots=True)
class Gateway:
    """Whether anybody may have what is pinned, at /ipfs/CID; of which block store. None: the host's own."""

    serve: bool = False
    store: str | None = None
    hourly: int = LENT_HOURLY


@dataclass(frozen=True, slots=True)
class Snapshots:
    """Which files of snapshots may come in: any; what some host has signed; only what this one has. With `signers`, by
    the fingerprints of their keys: unless any, what this one and these have.
    """

    accept: str = "any"
    signers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SandboxConfig:
    backend: str = "native"
    require: tuple[str, ...] = REQUIRED
    pool: int = POOL_DEFAULT
    spin: float | None = None


# A sender may ask for ten minutes of a core and a gigabyte; its owner's configuration allows more.
MOST = Limits(
    memory=1 << 30,
    table=1_000_000,
    stack=8 << 20,
    cpu_time=600.0,
    wall_time=None,
    files=256 << 20,
    nodes=100_000,
    log=16 << 20,
    clock_resolution=1_000,
)


@dataclass(frozen=True, slots=True)
class HostConfig:
    listen: tuple[Address, ...] = (Address("127.0.0.1", 6473),)
    socket: str | None = None
    """Path of the unix socket. None: there is none; `gatebus serve` has a default of its own."""
    data: str | None = None
    """Directory of identity, modules and records. None: a temporary one that goes with the host."""
    authorized_keys: str | None = None
    origins: frozenset[str] = frozenset()
    stop_seconds: float = STOP_SECONDS
    linger_seconds: float = LINGER_SECONDS
    launched_seconds: float = LAUNCHED_SECONDS
    log: str = "auto"
    log_level: str = "info"
    tls: Tls = field(default_factory=Tls)
    policy: Policy = field(default_factory=Policy)
    quotas: QuotaBounds = field(default_factory=QuotaBounds)
    limits: Limits = field(default_factory=Limits)
    """Of a program whose sender says nothing."""
    most: Limits = MOST
    """What a sender can ask for."""
    store: StoreBounds = field(default_factory=StoreBounds)
    fetch: Fetch = field(default_factory=Fetch)
    gateway: Gateway = field(default_factory=Gateway)
    snapshots: Snapshots = field(default_factory=Snapshots)
    sandbox: SandboxConfig = field(default_factory=SandboxConfig)
