"""What a check of stored snapshots has found; words.

In:  names of files and snapshots, texts of errors. Out: findings, and how they are said: each names what it is about,
so that nothing is repaired or lost without its name.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from sandbox.errors import public_text_untrusted

RECORDS, FILE, MISSING, STRAY, SNAPSHOT, INSTANCE, MODULE = (
    "records", "file", "missing", "stray", "snapshot", "instance", "module",
)  # fmt: skip
_NAME_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Finding:
    """`kind`: one of the above. `name`: of the file, or the id in hex. `done`: what the repair did about it."""

    kind: str
    name: str
    text: str
    done: str = ""


@dataclass(slots=True)
class Report:
    snapshots: int = 0
    files: int = 0
    instances: int = 0
    modules: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.findings

    def lines(self) -> str:
        counts = f"{self.snapshots} snapshots in {self.files} files, {self.instances} instances, {self.modules} modules"
        if self.ok:
            return f"{counts}: nothing is wrong.\n"
        return "\n".join([*map(_line, self.findings), f"{counts}: {len(self.findings)} found."]) + "\n"

    def as_json(self) -> str:
        found = [{"kind": e.kind, "name": e.name, "text": e.text, "done": e.done} for e in self.findings]
        counts = {"snapshots": self.snapshots, "files": self.files, "instances": self.instances}
        return json.dumps({"ok": self.ok, **counts, "modules": self.modules, "findings": found}) + "\n"


def _line(found: Finding) -> str:
    """Whoever can write into the folder named the file (untrusted)."""
    name = public_text_untrusted(found.name, _NAME_SHOWN)
    return f"{found.kind} {name}: {found.text}{' ' + found.done if found.done else ''}"
