"""What was promised of programs that outlive their processes, and whether it was kept: the judge of a host that is
killed; words.

In:  what a recorder outside the host has seen, in its order: what was asked, what was answered, bytes to and from
counting programs, deaths of the host, what was there afterwards. Out: nothing, or Broken at the first thing that no
host may do: acknowledged work that is gone, a program that runs though it had ended or never was stored, output that
goes back or that no input explains.

A counting program (COUNT) writes for each byte that it reads its number and a hash of all bytes until then: one record
says which input, from the first byte on, the program that wrote it has had, each byte once.

What the recorder cannot know (how far a program was when it was stopped) stays open: an instance has every past that
fits what was seen, and one of which nothing is left breaks the promise.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

RECORD = struct.Struct("<II")
_PRIME = 16_777_619
SUSPENDED, RUNNING, GONE = "SUSPENDED", "RUNNING", "GONE"
STORED = frozenset({SUSPENDED})
RUNS = frozenset({RUNNING})
EITHER = STORED | RUNS  # it is on its way from one to the other
OVER = frozenset({GONE})
# Of instances that an answer says were made: whether they are there after a death of the host. None: perhaps.
PROMISED = {"launch": False, "clone": None, "restore": True}

# (module ...) of a counting program: reads at most 128 bytes at once, writes 8 for each.
COUNT = b"""(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 0) "\\00\\10\\00\\00\\80\\00\\00\\00")
  (func (export "_start") (local $hash i32) (local $count i32) (local $at i32) (local $n i32) (local $to i32)
    (loop $more
      (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 16)))
      (local.set $n (i32.load (i32.const 16)))
      (if (local.get $n) (then
        (local.set $at (i32.const 0))
        (loop $each
          (local.set $hash (i32.mul (i32.const 16777619) (i32.xor (local.get $hash)
            (i32.load8_u (i32.add (i32.const 4096) (local.get $at))))))
          (local.set $count (i32.add (local.get $count) (i32.const 1)))
          (local.set $to (i32.add (i32.const 8192) (i32.shl (local.get $at) (i32.const 3))))
          (i32.store (local.get $to) (local.get $count))
          (i32.store offset=4 (local.get $to) (local.get $hash))
          (br_if $each (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 1))) (local.get $n))))
        (i32.store (i32.const 8) (i32.const 8192))
        (local.set $n (i32.shl (local.get $n) (i32.const 3)))
        (loop $out
          (i32.store (i32.const 12) (local.get $n))
          (drop (call $write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 20)))
          (i32.store (i32.const 8) (i32.add (i32.load (i32.const 8)) (i32.load (i32.const 20))))
          (br_if $out (local.tee $n (i32.sub (local.get $n) (i32.load (i32.const 20))))))
        (br $more))))))"""


def counted(data: bytes) -> bytes:
    """What COUNT writes for it."""
    said, total = bytearray(), 0
    for number, byte in enumerate(data, 1):
        total = counted_on(total, byte)
        said += RECORD.pack(number, total)
    return bytes(said)


def counted_on(total: int, byte: int) -> int:
    """The hash of all bytes until then, and of one more."""
    return ((total ^ byte) * _PRIME) & 0xFFFFFFFF


class Broken(AssertionError):  # noqa: N818  # it is no error of the judge
    """A promise that was not kept."""


@dataclass(frozen=True, slots=True)
class Past:
    """`given`: input that it has had, or that waits for it, since before its stream; `start`: of which so many bytes
    were counted.
    """

    given: bytes = b""
    start: int = 0


@dataclass(frozen=True, slots=True)
class Mark:
    """How far an instance is for certain: records heard, bytes fed, and whether its stream is there already."""

    heard: int = 0
    fed: int = 0
    stream: bool = False


@dataclass(slots=True)
class Seen:
    """An instance. `may`: what it may be found as. `stored`: whether anything of it is in the store; None: perhaps.
    `safe`: what that knows at least. `lost`: its stream is not to be had any more. `parks`: what a good stop makes of
    it while it runs: who was parked is suspended after that, and perhaps after a crash; then it may be `back` at what
    was stored before.
    """

    pasts: frozenset[Past] = frozenset({Past()})
    fed: bytes = b""
    heard: int = 0
    stream: bool = False
    may: frozenset[str] = RUNS
    parks: frozenset[str] = RUNS
    back: bool = False
    stored: bool | None = False
    safe: Mark = Mark()
    lost: bool = False
    ending: bool = False
    part: bytes = b""  # of a record that has not come whole

    def mark(self) -> Mark:
        return self.safe if self.lost else Mark(self.heard, len(self.fed), self.stream)

    def owed(self) -> int:
        """Records that must still come, whatever its past."""
        return min(len(past.given) + len(self.fed) - past.start for past in self.pasts) - self.heard

    def copies(self, least: Mark) -> frozenset[Past]:
        """Every past of a copy of it that has at least this."""
        found: set[Past] = set()
        for past in self.pasts:
            line = past.given + self.fed
            for at in range(past.start + least.heard, len(line) + 1):
                found.update(Past(line[:end], at) for end in range(at, len(line) + 1))
        return frozenset(found)

    def is_woken(self) -> None:
        """Perhaps."""
        if self.parks == STORED:
            self.parks = EITHER
        if self.may == STORED:
            self.may = EITHER
            if not (self.lost or self.back):
                self.safe = Mark(self.heard, len(self.fed), self.safe.stream)


@dataclass(slots=True)
class Asked:
    """An operation that was begun; `mark`, `quiet`: as its instance was then. `wanted`: instances that it makes."""

    what: str
    instance: bytes | None
    snapshot: bytes | None = None
    wanted: tuple[bytes, ...] = ()
    mark: Mark = Mark()
    quiet: bool = True


@dataclass(slots=True)
class Shot:
    """A snapshot that somebody asked for. `there`: None: somebody has begun to drop it."""

    pasts: frozenset[Past]
    there: bool | None = True


@dataclass
class History:
    """Tell it what happens, in the order in which it was seen. Raises Broken."""

    instances: dict[bytes, Seen] = field(default_factory=dict)
    shots: dict[bytes, Shot] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    ended: set[bytes] = field(default_factory=set)
    unknown: int = 0  # snapshots that were asked for and not answered when the host died
    coming: bytes | None = None  # the instance that its client connects to, and has no answer yet

    # Bytes.

    def comes(self, instance: bytes) -> None:
        """Its client connects to it, or comes back for its stream: from now on that may wake it."""
        self.coming = instance

    def connected(self, instance: bytes) -> None:
        self.coming = None
        self.instances[instance].stream = True
        self.instances[instance].is_woken()

    def fed(self, instance: bytes, data: bytes) -> None:
        """Bytes are on their way to it; they wake it."""
        self.instances[instance].is_woken()
        self.instances[instance].fed += data

    def heard(self, instance: bytes, data: bytes) -> None:
        """What came on its stream since the last time."""
        seen = self.instances[instance]
        come = seen.part + data
        whole = len(come) // RECORD.size * RECORD.size
        new, seen.part = come[:whole], come[whole:]
        fitting = frozenset(past for past in seen.pasts if _explains(past, seen, new))
        if not fitting:
            raise Broken(f"output that no input explains, after {seen.heard} records: {new.hex()} of {seen}")
        seen.pasts, seen.heard = fitting, seen.heard + whole // RECORD.size

    # Operations.

    def began(self, what: str, instance: bytes | None = None, *wanted: bytes, snapshot: bytes | None = None) -> Asked:
        asked = Asked(what, instance, snapshot, wanted)
        self.asked.append(asked)
        seen = self.instances.get(instance) if instance is not None else None
        if seen is not None:
            asked.mark, asked.quiet = seen.mark(), seen.owed() == 0
            _goes(what, seen)
        if what == "drop" and snapshot is not None:
            self.shots[snapshot].there = None
        for each in wanted:
            self.instances[each] = Seen(self._copied(asked), may=EITHER, stored=None)
        return asked

    def _copied(self, asked: Asked) -> frozenset[Past]:
        if asked.snapshot is not None:
            return self.shots[asked.snapshot].pasts
        return frozenset({Past()}) if asked.instance is None else self.instances[asked.instance].copies(asked.mark)

    def answered(self, asked: Asked, snapshot: bytes | None = None, *, refused: tuple[bytes, ...] = ()) -> None:
        """`snapshot`: which it has made. `refused`: of the instances that it should make."""
        self.asked.remove(asked)
        for each in refused:
            del self.instances[each]
        for each in set(asked.wanted) - {*refused}:
            made = self.instances[each]
            made.stored = PROMISED[asked.what]
            made.may = RUNS if made.may == EITHER and not made.fed else made.may
        if asked.what == "drop" and asked.snapshot is not None:
            self.shots[asked.snapshot].there = False
        elif asked.what == "import" and asked.snapshot is not None and snapshot is not None:
            self.shots[snapshot] = Shot(self.shots[asked.snapshot].pasts)
        elif asked.what in ("end", "kill") and asked.instance is not None:
            del self.instances[asked.instance]
            self.ended.add(asked.instance)
        elif asked.instance is not None:
            self._is_done(asked, self.instances[asked.instance], snapshot)

    def _is_done(self, asked: Asked, seen: Seen, snapshot: bytes | None) -> None:
        if asked.what == "suspend":  # what had come and was not read may wake it at once
            if seen.may != STORED:
                seen.safe = asked.mark
            seen.may, seen.stored, seen.back = STORED if asked.quiet else EITHER, True, False
        elif asked.what == "park":
            seen.parks = STORED if asked.quiet else EITHER
        elif asked.what == "resume":
            seen.may = seen.parks = RUNS
        elif asked.what == "snapshot" and snapshot is not None:
            seen.safe = seen.safe if seen.may == STORED else asked.mark
            seen.stored = True
            self.shots[snapshot] = Shot(seen.copies(asked.mark))

    def unwritten(self, asked: Asked) -> None:
        """A full disk: it is not running, and its end is not on record. The host tries again; should it die before, it
        is as if nobody had killed it.
        """
        self.asked.remove(asked)
        assert asked.instance is not None
        seen = self.instances[asked.instance]
        seen.may, seen.ending, seen.lost = EITHER | OVER, True, True

    def runs_unwritten(self, instance: bytes) -> None:
        """A full disk: one that was perhaps parked runs, and perhaps that is not on record."""
        self.instances[instance].parks = EITHER

    def refused(self, asked: Asked) -> None:
        """Nothing was changed."""
        self.asked.remove(asked)
        for each in asked.wanted:
            del self.instances[each]
        if asked.what == "drop" and asked.snapshot is not None:
            self.shots[asked.snapshot].there = True

    # After a death.

    def died(self) -> None:
        self.unknown += sum(each.what in ("snapshot", "import") for each in self.asked)
        self.asked.clear()
        for seen in self.instances.values():
            if RUNNING in seen.may and seen.parks & STORED:  # that it is parked is written down a little later
                seen.may, seen.back = seen.may | STORED, True
        if self.coming is not None:
            self.instances[self.coming].is_woken()
            self.coming = None

    def stopped(self) -> None:
        """The host has stopped in good order, with nobody's operation under way: what ran is stored, and runs again."""
        assert not self.asked
        for seen in self.instances.values():
            seen.stored = True
            if seen.may != STORED and seen.owed() == 0:  # else what it was fed may not have come
                seen.safe = seen.mark()
            seen.may = seen.parks if seen.may == RUNS else seen.may | (seen.parks & STORED)
            seen.parks = RUNS  # and that is on record
        self.coming = None

    def found(self, instance: bytes, state: str) -> bool:
        """What it is (GONE: it is not known, or has ended) when the host is there again. Whether it still is."""
        if instance in self.ended:
            if state != GONE:
                raise Broken(f"{instance.hex()} had ended, and is {state}")
            return False
        seen = self.instances[instance]
        allowed = OVER if seen.stored is False else seen.may if seen.stored else seen.may | OVER
        if state not in allowed:
            raise Broken(f"{instance.hex()} is {state}; promised was {sorted(allowed)}: {seen}")
        if state == GONE:
            del self.instances[instance]
            return False
        seen.may, seen.stored = frozenset({state}) | (OVER if seen.ending else frozenset()), True
        seen.parks = RUNS
        return True

    def came_back(self, instance: bytes, *, accepted: bool) -> None:
        """Its stream was asked for again. Not accepted: its client knows more than what was stored."""
        seen, self.coming = self.instances[instance], None
        if not accepted and seen.safe == Mark(seen.heard, len(seen.fed), stream=True):
            raise Broken(f"a stream of which everything was stored was refused: {seen}")
        if not accepted and seen.safe.stream and seen.may == STORED and not seen.back:
            raise Broken(f"a stored program went back behind what was promised: {seen}")
        seen.lost = seen.lost or not accepted
        seen.is_woken()
        seen.back = False

    def listed(self, snapshots: frozenset[bytes]) -> None:
        """All that are there that somebody asked for (not those which go by themselves)."""
        missing = [name.hex()[:8] for name, shot in self.shots.items() if shot.there and name not in snapshots]
        if missing:
            raise Broken(f"snapshots that were answered are gone: {missing}")
        back = [name.hex()[:8] for name, shot in self.shots.items() if shot.there is False and name in snapshots]
        if back:
            raise Broken(f"snapshots that were dropped are there again: {back}")
        strange = snapshots - self.shots.keys()
        if len(strange) > self.unknown:
            raise Broken(f"{len(strange)} snapshots that nobody asked for; {self.unknown} were under way at a death")
        for name, shot in self.shots.items():
            shot.there = name in snapshots


def _goes(what: str, seen: Seen) -> None:
    """An operation on it was begun."""
    if what in ("suspend", "snapshot", "keep"):
        seen.stored = seen.stored or None
    if what == "suspend":
        seen.may |= STORED
    elif what == "park":
        seen.parks |= STORED
    elif what == "resume":
        seen.is_woken()
    elif what in ("end", "kill"):
        seen.may, seen.ending = EITHER | OVER, True


def _explains(past: Past, seen: Seen, new: bytes) -> bool:
    return counted(past.given + seen.fed)[RECORD.size * (past.start + seen.heard) :][: len(new)] == new
