"""One program's packets <-> its services, without any I/O: discovery, routing, the queue towards the program; words.

In:  whole packets of the program (untrusted), one batch at a time; services that come, change and go; time as a
     number.
Out: bytes for the program (`take`); when time wants to be told (`next_timeout`); Violation for what the program may
     not do.

Drive it like this: `receive(batch)`; then, again and again, `step()` until it says that nothing is left, and between
steps send what `take()` gives while `room` is used up: a program that does not read its replies stops its own calls,
and nobody else's. After Violation or ServiceBroken the switchboard is of no more use: the program is to be killed.
"""

from typing import TYPE_CHECKING

from gatebus.bounds import OUTBOX_BYTES
from gatebus.discovery import Directory
from gatebus.faults import ServiceBroken, Violation
from gatebus.flow import DATA_HEAD
from gatebus.route import DOMAIN_BITS, Route
from gatebus.services.base import Offer, Service
from sandbox.errors import PacketViolation
from sandbox.packets import (
    CALL,
    CODE_DISCOVERY,
    DATA,
    HEADER,
    HEADER_SIZE,
    INFO,
    PACKET_MAX,
    encode,
    padded,
    split_untrusted,
)

if TYPE_CHECKING:
    from collections.abc import Callable


class Switchboard:
    """All conversations of one program."""

    __slots__ = (
        "_at",
        "_batch",
        "_directory",
        "_discovers",
        "_offers",
        "_outbox",
        "_queued",
        "_routes",
        "_size",
        "_states_changed",
        "on_queued",
    )

    def __init__(self, offers: dict[str, Offer], outbox: int = OUTBOX_BYTES) -> None:
        self._offers = dict(offers)
        self._directory = Directory()
        self._routes: list[Route] = []
        self._batch = b""
        self._at = 0  # what of the batch was handled
        self._queued: list[bytes] = []
        self._outbox = outbox
        self._size = 0  # bytes queued, and taken but not yet sent
        self._states_changed = False
        self._discovers = True
        self.on_queued: Callable[[], None] = _nobody_listens

    # Packets of the program.

    def receive(self, batch: bytes) -> None:
        """Whole packets. The batch before must be used up."""
        self._batch, self._at = batch, 0

    def step(self) -> bool:
        """Handle one packet, or one run of data packets; False when there was none. Raises Violation or
        ServiceBroken.
        """
        batch, at = self._batch, self._at
        if at >= len(batch):
            self._batch = b""
            return False
        code = self._code_untrusted(at)
        if code >= 0:
            self._at = self._forward_untrusted(code)
        else:
            self._at = self._discover_untrusted()
        return True

    def _code_untrusted(self, at: int) -> int:
        """Sandbox.Program lets no other packets through; whoever drives a switchboard otherwise is told the same."""
        batch = self._batch
        left = len(batch) - at
        if left >= HEADER_SIZE:
            size, code, domain, _index = HEADER.unpack_from(batch, at)
            if HEADER_SIZE <= size <= min(left, PACKET_MAX) and code >= 0:
                kind = domain & DOMAIN_BITS
                if kind < DATA or (kind == DATA and size >= DATA_HEAD.size):
                    return int(code)
        return self._unusual_untrusted(at)

    def _unusual_untrusted(self, at: int) -> int:
        try:
            return next(split_untrusted(self._batch[at:])).code
        except PacketViolation as fault:
            raise Violation(fault.text) from None

    def _discover_untrusted(self) -> int:
        packet = next(split_untrusted(memoryview(self._batch)[self._at :]))
        if packet.code != CODE_DISCOVERY:
            raise Violation(f"A packet is for service number {packet.code}; {len(self._routes)} were discovered.")
        self._directory.request_untrusted(packet.content, self._offers)
        self._extend_routes()
        self._queue(encode(CODE_DISCOVERY, CALL, self._directory.content(self._offers)))
        return self._at + padded(HEADER_SIZE + len(packet.content))

    def _forward_untrusted(self, code: int) -> int:
        if code >= len(self._routes):
            raise Violation(f"A packet is for service number {code}; {len(self._routes)} were discovered.")
        route = self._routes[code]
        try:
            return route.forward(self._batch, self._at, self._offer(route) if route.service is None else None)
        except (Violation, ServiceBroken):
            raise
        except Exception as fault:
            raise broken(route.name) from fault

    def _offer(self, route: Route) -> Offer | None:
        """Of several numbers with the same name (unknown names may repeat) only the first is the service."""
        return self._offers.get(route.name) if self._directory.code(route.name) == route.code else None

    def _extend_routes(self) -> None:
        for code in range(len(self._routes), len(self._directory.names)):
            self._routes.append(Route(self._directory.names[code], code, self._queue, self._room))

    def open(self, name: str) -> Service:
        """Make a service for a program that cannot ask: a WASI program's origin. It is told nothing."""
        self._discovers = False
        self._directory.names.append(name)
        self._extend_routes()
        return self._routes[-1].attach(self._offers[name])

    # Services that come, change and go while the program runs.

    def entries(self) -> dict[str, str]:
        """Names and revisions of what can be discovered now (the catalog shows them)."""
        return {name: offer.revision for name, offer in self._offers.items()}

    def publish(self, name: str, offer: Offer) -> None:
        """A service appears, or another revision of it takes over."""
        known = self._offers.get(name)
        self._offers[name] = offer
        route = self._route_named(name)
        if known is not None and route is not None:
            with _fault_of(name):
                route.replace(offer)
        self._state_changed(name)

    def withdraw(self, name: str) -> None:
        """A service disappears."""
        if self._offers.pop(name, None) is None:
            return
        route = self._route_named(name)
        if route is not None:
            with _fault_of(name):
                route.withdraw()
        self._state_changed(name)

    def _state_changed(self, name: str) -> None:
        """Whoever asked for the service is told, with the next packets or at once when it listens."""
        if self._discovers and name in self._directory.names:
            self._states_changed = True
            self.on_queued()

    def _route_named(self, name: str) -> Route | None:
        code = self._directory.code(name)
        return self._routes[code] if code is not None and code < len(self._routes) else None

    # The queue towards the program.

    @property
    def room(self) -> int:
        """Bytes that may be queued; 0 means that the program has to read before it is served further."""
        return self._room()

    def take(self) -> bytes:
        """Everything queued, as one piece. Tell `sent` when the kernel has it."""
        if self._states_changed:
            self._announce()
        if not self._queued:
            return b""
        data = b"".join(self._queued)
        self._queued.clear()
        return data

    def owed(self, size: int) -> None:
        """So many bytes of an earlier process' time are on their way before anything of this one."""
        self._size += size

    def sent(self, size: int) -> None:
        """So many bytes of what was taken are out. Services that wait for room are told when it was used up."""
        was_full = self._size >= self._outbox
        self._size -= size
        if was_full and self._size < self._outbox:
            for route in tuple(self._routes):
                if route.service is not None:
                    with _fault_of(route.name):
                        route.service.room_again()

    def _announce(self) -> None:
        """One information packet for any number of changes: only the last state counts."""
        self._states_changed = False
        if self._routes and self._discovers:
            packet = encode(CODE_DISCOVERY, INFO, self._directory.content(self._offers))
            self._queued.append(packet)
            self._size += len(packet)

    def _queue(self, packet: bytes) -> None:
        self._queued.append(packet)
        self._size += len(packet)
        if len(self._queued) == 1:
            self.on_queued()

    def _room(self) -> int:
        room = self._outbox - self._size
        return room if room > 0 else 0

    # Time and end.

    def next_timeout(self) -> float | None:
        least = None
        for route in self._routes:
            if route.waits and route.service is not None:
                due = route.service.next_timeout()
                if due is not None and (least is None or due < least):
                    least = due
        return least

    def timeout(self, now: float) -> None:
        for route in self._routes:
            if route.service is not None and (due := route.service.next_timeout()) is not None and due <= now:
                with _fault_of(route.name):
                    route.service.timeout(now)

    def close(self) -> None:
        """The program is gone. Nothing here holds anything that holds this: it is free when nobody has it any more, not
        when the collector comes by (9 KiB of each program that was stopped waited for that).
        """
        for route in self._routes:
            route.close()
        self._routes, self.on_queued = [], _nobody_listens

    def pause(self) -> None:
        """Before save(), of a program that was stopped: what services owe it is queued."""
        for route in self._routes:
            route.pause()

    def save(self) -> list[tuple[str, bytes]]:
        """Names and states in the order of their numbers. What was taken and not sent is the caller's to keep."""
        return [(route.name, route.save()) for route in self._routes]

    def restore(self, saved: list[tuple[str, bytes]], *, copied: bool = False) -> None:
        """Into a new switchboard. The program is told which services are here. `copied`: it is not the program that
        was saved, but a copy of it (Service.for_copy). Raises StateRefused.
        """
        self._directory = Directory(tuple(name for name, _ in saved))
        self._extend_routes()
        for route, (_, state) in zip(self._routes, saved, strict=True):
            route.restore(state, self._offer(route), copied=copied)
        self._states_changed = True


def _nobody_listens() -> None:
    """Whoever drives the switchboard step by step takes what is queued without being told."""


class _fault_of:  # noqa: N801 - reads as a clause: with _fault_of(name)
    """What a service raises besides Violation is its author's fault: ServiceBroken names it, the cause is kept for
    the log.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, _trace: object) -> None:
        if fault is None or isinstance(fault, Violation | ServiceBroken) or not isinstance(fault, Exception):
            return
        raise broken(self._name) from fault


def broken(name: str) -> ServiceBroken:
    return ServiceBroken(f"The service {name} failed. Please report it.")
