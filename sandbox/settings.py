"""Words: how a sandbox is opened. Everything has a default that is right for `gatebus run`."""

from __future__ import annotations

from dataclasses import dataclass, field

from sandbox.errors import BadSetup
from sandbox.layers import LAYER_NAMES, REQUIRED
from sandbox.limits import CompileLimits, HostLimits

# Prepared programs kept ready: more hide longer bursts, each takes 150 KiB and a process.
POOL_DEFAULT, POOL_MAX = 4, 64
# Longer than this is no spin but a busy loop.
SPIN_MAX = 0.001


@dataclass(frozen=True, slots=True)
class Settings:
    """`cache_directory`: None is the user's cache directory, "" keeps compiled programs in memory only.

    `spin`: seconds for which a receiver looks again before it sleeps (traffic.py); None: 50 us where there are
    processors for it. `executable`: the native part, None finds it. `require`: layers without which nothing may
    run. `without`: layers switched off, for hostile tests only.
    """

    cache_directory: str | None = None
    executable: str | None = None
    pool: int = POOL_DEFAULT
    require: tuple[str, ...] = REQUIRED
    without: tuple[str, ...] = ()
    spin: float | None = None
    compile_limits: CompileLimits = field(default_factory=CompileLimits)
    host_limits: HostLimits = field(default_factory=HostLimits)

    def __post_init__(self) -> None:
        if not 1 <= self.pool <= POOL_MAX:  # a program begins as a prepared one: with none there would be no start
            raise BadSetup("setting-pool", f"The pool must be 1 to {POOL_MAX} prepared programs.")
        if self.spin is not None and not 0 <= self.spin <= SPIN_MAX:
            raise BadSetup("setting-spin", f"The spin must be 0 to {SPIN_MAX:g} seconds.")
        unknown = [name for name in (*self.require, *self.without) if name not in LAYER_NAMES]
        if unknown:
            raise BadSetup(
                "setting-layer", f"There is no layer of this name; the layers are: {', '.join(LAYER_NAMES)}."
            )
