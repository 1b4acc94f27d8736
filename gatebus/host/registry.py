"""Everything that exists in one host now: instances by id, streams by name, ends that are still remembered; a wire.

Where it stands: between the operations, which look things up for a principal, and the sweeping task, which forgets what
nobody came back for. In: a principal that was proved, ids and names of clients (untrusted, of the right size). Out: the
thing itself, or the same Refusal whether it is missing or somebody else's.

What is bounded here: ended instances in number (of each account, and of all) and time; streams without a link in time
(there are no more of them than their instances let in). An answered stream stays for that time as well, in case the
answer is lost on its way; how many of those there are is bounded by the link that got the answers (attendant), what
they hold by account (endedstreams).
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import TYPE_CHECKING

import trio

from gatebus.accountbounds import ENDED_EACH, LEFTOVER_BYTES
from gatebus.bounds import ENDED_INSTANCES, STREAM_SHARE, STREAM_WINDOW_LEAST, STREAM_WINDOW_MOST
from gatebus.host.busstreams import BusStream
from gatebus.host.connections import Verdict
from gatebus.host.endedstreams import Leftovers
from gatebus.host.lives.folded import Folded
from gatebus.host.lives.lifetable import SUSPENDED, Life
from gatebus.host.lives.streamkeeping import can_be_freed, free
from gatebus.host.principals import Kind, Principal
from gatebus.host.refusals import Refusal
from gatebus.host.statuses import error_map

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from uuid import UUID

    from gatebus.host.instances import Instance


_TOO_MUCH_WAITS = error_map(
    "quota-memory",
    f"More than {LEFTOVER_BYTES >> 20} MiB of your ended programs' output waited; the oldest was dropped. Read faster.",
)


class Registry:
    """`linger`, `remembered`: seconds for streams without a link, and for launched instances that have ended."""

    def __init__(self, linger: float, remembered: float) -> None:
        self._linger, self._remembered = linger, remembered
        self._instances: dict[bytes, Instance | Folded] = {}
        self._folded: Counter[str] = Counter()  # of these, by account
        self._streams: dict[bytes, BusStream] = {}
        self._left: OrderedDict[bytes, BusStream] = OrderedDict()  # without a link, the longest first
        self._ended: OrderedDict[bytes, Instance] = OrderedDict()
        self._ended_of: dict[str, OrderedDict[bytes, Instance]] = {}  # the same, by account
        self._leftovers = Leftovers()
        self._asleep: dict[bytes, bytes] = {}  # names of streams that are in the store alone, and their instances
        self.unfold: Callable[[Folded], Instance]
        self.on_forget: Callable[[Instance], None] = lambda instance: None
        self._weights: dict[str, int] = {}  # account -> connections that its running instances may have

    # Instances.

    def __len__(self) -> int:
        return len(self._instances) - len(self._ended)

    def add(self, instance: Instance) -> None:
        self._instances[instance.id] = instance
        self._weigh(instance, 1)

    def known(self, instance: UUID) -> Instance | None:
        """Whoever it belongs to."""
        found = self._instances.get(instance.bytes)
        return None if found is None else self._here(found)

    def _here(self, found: Instance | Folded) -> Instance:
        if not isinstance(found, Folded):
            return found
        self._folded[found.account] -= 1
        if not self._folded[found.account]:
            del self._folded[found.account]
        instance = self._instances[found.id] = self.unfold(found)
        return instance

    def fold(self, instance: Instance, line: Folded, streams: list[bytes]) -> None:
        """It rests, and nobody is connected to it. Whoever asks for it or one of its streams gets it as it was."""
        for name in streams:
            self._streams.pop(name, None)
            self._left.pop(name, None)
            self._asleep[name] = instance.id
        self._instances[instance.id] = line
        self._folded[line.account] += 1

    def folded(self, account: str) -> int:
        """How many of this account."""
        return self._folded[account]

    def own_instance(self, principal: Principal, instance: UUID) -> Instance:
        """Raises Refusal."""
        found = self._instances.get(instance.bytes)
        if found is None or found.owner != principal.id:
            raise Refusal("not-found", "There is no such instance, or it is not yours.")
        return self._here(found)

    def open_instance(self, principal: Principal, instance: UUID) -> Instance:
        """One's own, or one that whoever knows its id may connect to. Raises Refusal."""
        found = self._instances.get(instance.bytes)
        if found is not None and (found.open if isinstance(found, Folded) else found.order.open):
            return self._here(found)
        return self.own_instance(principal, instance)

    def instances_of(self, principal: Principal) -> list[Instance | Folded]:
        """The oldest first."""
        return [each for each in self._instances.values() if each.owner == principal.id]

    def running(self) -> Iterator[Instance]:
        there = (each for each in tuple(self._instances.values()) if not isinstance(each, Folded))
        return (each for each in there if each.ended_at is None)

    def alive(self) -> Iterator[bytes]:
        """Ids of all that may still go on: folded ones, and those that have halted and may be called again, too."""
        for each in tuple(self._instances.values()):
            if isinstance(each, Folded) or each.ended_at is None or (each.live and each.live.halted is not None):
                yield each.id

    def active(self) -> Iterator[Instance]:
        """Those that have a process, or want one."""
        return (each for each in self.running() if each.live is None or each.live.life is not Life.STORED)

    def over(self, instance: Instance) -> None:
        """It has ended. A call's end is its stream's to tell, and what never ran nobody need remember."""
        self._weigh(instance, -1)
        self.awake(instance, [])
        for each in instance.connected().copy():
            if isinstance(each, BusStream):
                self._left_over(each)
        if not instance.order.kept or instance.refusal is not None:
            del self._instances[instance.id]
            return
        self._ended[instance.id] = instance
        own = self._ended_of.setdefault(instance.order.principal.account, OrderedDict())
        own[instance.id] = instance
        if len(own) > ENDED_EACH:
            self.forget(next(iter(own.values())))
        while len(self._ended) > ENDED_INSTANCES:
            most = max(self._ended_of.values(), key=len)
            self.forget(next(iter(most.values())))

    def forget(self, instance: Instance) -> None:
        """One that has ended."""
        if self._ended.pop(instance.id, None) is None:
            return
        self.on_forget(instance)
        self._give_up_unclaimed(instance)
        del self._instances[instance.id]
        account = instance.order.principal.account
        own = self._ended_of[account]
        del own[instance.id]
        if not own:
            del self._ended_of[account]

    def window(self, account: str, connections: int) -> int:
        """Bytes of one stream of one more instance that may wait here: the more there are, the less each. The sum
        over n of them grows like log n, so an account that fills its quota with slow readers holds some 60 MiB and
        not a GiB.
        """
        share = STREAM_SHARE // (self._weights.get(account, 0) + connections)
        return max(STREAM_WINDOW_LEAST, min(STREAM_WINDOW_MOST, share))

    def _weigh(self, instance: Instance, sign: int) -> None:
        account = instance.order.principal.account
        weight = self._weights.get(account, 0) + sign * instance.order.connections
        if weight:
            self._weights[account] = weight
        else:
            self._weights.pop(account, None)

    # Streams.

    def sleep(self, instance: Instance, streams: list[bytes]) -> None:
        """Of an instance of an earlier run: nobody has asked for these yet."""
        assert instance.live is not None
        instance.live.asleep = streams
        for name in streams:
            self._asleep[name] = instance.id

    def asleep(self, name: bytes) -> Instance | None:
        """Whose stream is that? None: it is not there, or here already."""
        found = self._instances.get(self._asleep.get(name, b""))
        instance = None if found is None else self._here(found)
        return instance if instance is not None and instance.live is not None and instance.live.dormant else None

    def knows(self, stream: BusStream) -> bool:
        return self._streams.get(stream.name) is stream

    def awake(self, instance: Instance, streams: list[BusStream]) -> None:
        """They are here now, and wait for their clients."""
        if instance.live is not None:
            for name in instance.live.asleep:
                self._asleep.pop(name, None)
            instance.live.asleep = []
        for stream in streams:
            if stream.name not in self._streams:
                stream.keeper = self
                self._streams[stream.name] = stream
                self.left(stream)

    def enter(self, stream: BusStream) -> None:
        """It has a link."""
        self._streams[stream.name] = stream
        self._left.pop(stream.name, None)
        self._left_over(stream)

    def check_free(self, name: bytes) -> None:
        if name in self._streams or name in self._asleep:
            raise Refusal("stream-exists", "There is a stream of this name: attach to it, or choose another name.")

    def own_stream(self, principal: Principal, name: bytes) -> BusStream:
        """A stranger's next connection is another stranger: the name, 16 random bytes, is what it shows.
        Raises Refusal.
        """
        found = self._streams.get(name)
        strangers = principal.kind is Kind.ANONYMOUS and found is not None and found.stranger
        if found is None or (found.owner != principal.id and not strangers):
            raise Refusal("not-found", "There is no such stream, it is not yours, or nobody came back for it in time.")
        return found

    def left(self, stream: BusStream) -> None:
        """Its link is lost, or it was answered."""
        if self._streams.get(stream.name) is stream:
            stream.left_at = trio.current_time()
            self._left[stream.name] = stream
            self._left.move_to_end(stream.name)
            self._left_over(stream)

    def drop(self, stream: BusStream) -> None:
        """Nobody will come back for it. One that somebody came back for meanwhile stays."""
        if stream.carrier is not None:
            return
        if stream is stream.instance.unclaimed:
            self._give_up_unclaimed(stream.instance)
            return
        if can_be_freed(stream):
            self.free(stream)  # a launched program goes on without a client whose link was lost
            return
        self._left.pop(stream.name, None)
        self._leftovers.remove(_account(stream), stream)
        if self._streams.get(stream.name) is stream:
            del self._streams[stream.name]
            stream.abandon()

    def free(self, stream: BusStream) -> None:
        """Its client never comes back; the next one may have it."""
        self._left.pop(stream.name, None)
        if self._streams.get(stream.name) is stream:
            del self._streams[stream.name]
        free(stream)

    def _left_over(self, stream: BusStream) -> None:
        """Its program has ended. When too much waits of this account, the oldest is given up."""
        instance = stream.instance
        if instance.ended_at is None or (not self.knows(stream) and stream is not instance.unclaimed):
            return
        for gone in self._leftovers.put(_account(stream), stream, stream.kept):
            gone.give_up(Verdict(_TOO_MUCH_WAITS, error=True))
            self.drop(gone)

    def _give_up_unclaimed(self, instance: Instance) -> None:
        """Nobody came for what it wrote."""
        stream, instance.unclaimed = instance.unclaimed, None
        if isinstance(stream, BusStream):
            self._leftovers.remove(_account(stream), stream)

    # Time.

    def sweep(self, now: float) -> None:
        for stream in _older(self._left, now - self._linger):
            live = stream.instance.live
            if live is not None and live.life in SUSPENDED and not stream.answered:
                self.left(stream)  # it stays as long as its program rests
            else:
                self.drop(stream)
        for instance in _ended_before(self._ended, now - self._remembered):
            if instance.live is None or instance.live.halted is None:  # that one may be called again, as stored ones
                self.forget(instance)
        for instance in _ended_before(self._ended, now - self._linger):
            self._give_up_unclaimed(instance)


def _account(stream: BusStream) -> str:
    """Who pays for its program."""
    return stream.instance.order.principal.account


def _older(left: OrderedDict[bytes, BusStream], before: float) -> list[BusStream]:
    found = []
    for stream in left.values():
        if stream.left_at is not None and stream.left_at > before:
            break
        found.append(stream)
    return found


def _ended_before(ended: OrderedDict[bytes, Instance], before: float) -> list[Instance]:
    found = []
    for instance in ended.values():
        if instance.ended_at is not None and instance.ended_at > before:
            break
        found.append(instance)
    return found
