"""Words: the layers of protection around a program: which are on, which are missing, why, and how to get them.

In:  bits (READY) or JSON (`gatebus-sandbox probe`). Out: Layers, for `gatebus doctor`, the start-up log and health.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sandbox.errors import SandboxBroken, public_text_untrusted
from sandbox.jsonwords import json_untrusted

# PROTOCOL.md section A; the position is the bit.
LAYER_NAMES = (
    "user",
    "pid",
    "mount",
    "network",
    "ipc",
    "uts",
    "cgroup-namespace",
    "capabilities",
    "seccomp",
    "landlock",
    "rlimits",
    "cgroup-memory",
    "cgroup-pids",
    "cgroup-cpu",
    "dumpable",
    "nested",
    "tsc",
)

# Without these nothing runs; the others are warnings (architecture, decision 3).
REQUIRED = ("user", "pid", "mount", "network", "capabilities", "seccomp", "rlimits")

CGROUP_MODES = {0: "none", 1: "v1", 2: "v2"}

_USERNS = (
    "Allow unprivileged user namespaces: on Ubuntu 24.04 and later give the program an AppArmor profile with `userns,` "
    "(or sysctl kernel.apparmor_restrict_unprivileged_userns=0);"
    "in a container start it with --security-opt seccomp=unconfined or as root."
)
_CGROUP = (
    "Delegate a cgroup: with systemd start it by `systemd-run --user --scope -p Delegate=yes`, "
    "in a container mount cgroups writable."
)
_KERNEL = "Needs a newer kernel or a kernel that is built with it."

ADVICE: dict[str, str] = {
    **dict.fromkeys(LAYER_NAMES, _KERNEL),
    "user": _USERNS,
    "pid": _USERNS,
    "mount": _USERNS,
    "network": _USERNS,
    "cgroup-memory": _CGROUP,
    "cgroup-pids": _CGROUP,
    "cgroup-cpu": _CGROUP,
    "seccomp": "Use a kernel with CONFIG_SECCOMP_FILTER, and a container runtime that lets programs set filters.",
    "landlock": "Needs Linux 5.13 or newer with landlock in the list of security modules (lsm=landlock,...).",
}


@dataclass(frozen=True, slots=True)
class Missing:
    """A layer that is off: why, and how to get it."""

    name: str
    why: str
    advice: str


@dataclass(frozen=True, slots=True)
class Layers:
    """What protects this machine from a program.

    `required_missing` not empty: programs cannot run with this back-end.
    """

    backend: str
    on: tuple[str, ...]
    missing: tuple[Missing, ...] = ()
    cgroups: str = "none"
    required: tuple[str, ...] = REQUIRED

    @property
    def required_missing(self) -> tuple[str, ...]:
        return tuple(each.name for each in self.missing if each.name in self.required)


def names_of(bits: int) -> tuple[str, ...]:
    """Bits -> names, in the document's order; a bit without a name is from a newer keeper and is named by its
    number.
    """
    return tuple(LAYER_NAMES[bit] if bit < len(LAYER_NAMES) else f"layer-{bit}" for bit in range(32) if bits >> bit & 1)


def layers_from_bits(on: int, missing: int, cgroup_mode: int, required: tuple[str, ...] = REQUIRED) -> Layers:
    absent = tuple(Missing(name, "not available here", ADVICE.get(name, _KERNEL)) for name in names_of(missing))
    return Layers("native", names_of(on), absent, CGROUP_MODES.get(cgroup_mode, "none"), required)


def parse_probe_untrusted(data: bytes, required: tuple[str, ...] = REQUIRED) -> Layers:
    """What `gatebus-sandbox probe` printed.

    Raises SandboxBroken. Untrusted: the file at that place may be any program.
    """
    try:
        said: Any = json_untrusted(data)
        rows: list[dict[str, Any]] = list(said["layers"])
        on = tuple(str(row["name"]) for row in rows if row["on"] is True)
        missing = tuple(_missing_untrusted(row) for row in rows if row["on"] is not True)
        cgroups = str(said["cgroups"])
    except (ValueError, KeyError, TypeError):
        raise SandboxBroken("probe-answer", "The native part's list of layers is not understood.") from None
    if not set(on) | {each.name for each in missing} >= set(LAYER_NAMES) or cgroups not in CGROUP_MODES.values():
        raise SandboxBroken("probe-answer", "The native part's list of layers is not understood.")
    return Layers("native", on, missing, cgroups, required)


def _missing_untrusted(row: dict[str, Any]) -> Missing:
    name, why = str(row["name"]), public_text_untrusted(str(row.get("why") or "not available here"))
    return Missing(name, why, public_text_untrusted(str(row.get("advice") or ADVICE.get(name, _KERNEL))))
