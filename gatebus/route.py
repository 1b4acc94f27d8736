"""One service as one program sees it: its number, its service object, its unanswered calls; words, no I/O.

In:  packets of the program for this number (untrusted content), in order.
Out: packets of the service for the program, encoded, into the queue of the switchboard.

A Route is the one place where two programs' sockets may one day be joined or a native forwarder put (architecture
16): whoever forwards keeps no credit and no byte counts, the two ends of a stream do.
"""

from collections.abc import Callable
from struct import Struct, error

from gatebus.bounds import MAX_UNANSWERED, VIEW_BYTES
from gatebus.faults import ServiceBroken, StateRefused, Violation
from gatebus.flow import (
    DATA_HEAD,
    Change,
    Chunk,
    Run,
    changes_untrusted,
    chunk_untrusted,
    data_content,
    flow_content,
    readdressed,
    run_untrusted,
)
from gatebus.services.base import Call, Flow, Info, Offer, Service
from sandbox.packets import CALL, CONTENT_MAX, DATA, FLOW, HEADER, HEADER_SIZE, INFO, PACKET_MAX

_HEAD = Struct("<IH")  # next ticket, number of unanswered calls
_TICKET = Struct("<I")
_PADDING = tuple(bytes(size) for size in range(8))
_LONG = VIEW_BYTES + DATA_HEAD.size  # size of a data packet that is handed on without a copy
DOMAIN_BITS = 15  # of the header's field; the others are reserved

Queue = Callable[[bytes], None]
Room = Callable[[], int]


class Route:
    """Made when the program discovers the name; the service object is made at the first packet (it is an Outlet for
    it).
    """

    __slots__ = ("_next_ticket", "_queue", "_room", "_unanswered", "code", "name", "service", "waits")

    def __init__(self, name: str, code: int, queue: Queue, room: Room) -> None:
        self.name = name
        self.code = code
        self.service: Service | None = None
        self.waits = False  # whether the service ever wants to be told the time
        self._queue = queue
        self._room = room
        self._next_ticket = 0
        self._unanswered: list[int] = []

    # What the program sends.

    def forward(self, batch: bytes, at: int, offer: Offer | None) -> int:
        """The packet at this place, or the run of data packets of one stream that begins there. Where the next one is.

        A service that is not there answers calls with nothing at once, so that nobody waits for ever.
        """
        size, _code, domain, _index = HEADER.unpack_from(batch, at)
        step: int = (size + 7) & ~7
        if domain & DOMAIN_BITS == DATA and (size >= _LONG or at + step < len(batch)) and size > DATA_HEAD.size:
            run = run_untrusted(batch, at)
            if run.many > 1 or size >= _LONG:
                if self.service is not None or offer is not None:
                    self._served(offer).run(run)
                return at + len(run.packets)
        content = self._parsed_untrusted(domain & DOMAIN_BITS, batch[at + HEADER_SIZE : at + size])
        if self.service is not None or offer is not None:
            self._served(offer).packet(content)
        elif isinstance(content, Call):
            self.reply(content.ticket)
        return at + step

    def _served(self, offer: Offer | None) -> Service:
        """Whoever is attached; an offer is needed for the first packet only."""
        if self.service is not None:
            return self.service
        assert offer is not None
        return self.attach(offer)

    def attach(self, offer: Offer) -> Service:
        if self.service is None:
            self.service = offer.make(self)
            self.waits = type(self.service).next_timeout is not Service.next_timeout
        return self.service

    def _parsed_untrusted(self, domain: int, content: bytes) -> Call | Info | Flow | Chunk:
        if domain == CALL:
            return self._call(content)
        if domain == INFO:
            return Info(content)
        if domain == FLOW:
            return Flow(changes_untrusted(content))
        return chunk_untrusted(content)

    def _call(self, content: bytes) -> Call:
        if len(self._unanswered) >= MAX_UNANSWERED:
            raise Violation(f"More than {MAX_UNANSWERED} calls of one service are unanswered. Read the replies first.")
        ticket = self._next_ticket
        self._next_ticket = (ticket + 1) % 2**32
        self._unanswered.append(ticket)
        return Call(ticket, content)

    # What the service sends (Outlet).

    @property
    def room(self) -> int:
        return self._room()

    def reply(self, ticket: int, content: bytes = b"") -> None:
        """The index in the packet is the position of the call among those that are unanswered: the right call is
        answered.
        """
        if ticket not in self._unanswered:
            raise ServiceBroken(f"The service {self.name} answered a call twice.")
        index = self._unanswered.index(ticket)
        del self._unanswered[index]
        self._send(CALL, content, index)

    def info(self, content: bytes) -> None:
        self._send(INFO, content)

    def flow(self, *changes: Change) -> None:
        self._send(FLOW, flow_content(changes))

    def data(self, chunk: Chunk) -> None:
        self._send(DATA, data_content(chunk))

    def relay(self, run: Run, stream: int) -> None:
        self._queue(bytes(readdressed(run, self.code, stream)))

    def _send(self, domain: int, content: bytes, index: int = 0) -> None:
        """As sandbox.packets.encode does it, in one call less: everything that a service says passes here."""
        size = HEADER_SIZE + len(content)
        if size > PACKET_MAX:
            raise ServiceBroken(f"The service {self.name} made a packet of {len(content)} bytes; {CONTENT_MAX} fit.")
        self._queue(b"".join((HEADER.pack(size, self.code, domain, index), content, _PADDING[-size & 7])))

    # What happens to the service.

    def withdraw(self) -> None:
        """The service is gone: what the program asked is answered with nothing, so that it does not wait for ever."""
        self.close()
        for ticket in tuple(self._unanswered):
            self.reply(ticket)

    def replace(self, offer: Offer) -> None:
        """Another revision takes over what the former one had saved; if it cannot, it starts anew."""
        if self.service is None:
            return
        state = self.service.save()
        self.close()
        try:
            self.attach(offer).restore(state)
        except StateRefused:
            self.withdraw()

    def close(self) -> None:
        if self.service is not None:
            self.service.close()
            self.service = None
            self.waits = False

    def pause(self) -> None:
        if self.service is not None:
            self.service.pause()

    def save(self) -> bytes:
        tickets = b"".join(_TICKET.pack(ticket) for ticket in self._unanswered)
        state = self.service.save() if self.service is not None else b""
        return _HEAD.pack(self._next_ticket, len(self._unanswered)) + tickets + state

    def restore(self, saved: bytes, offer: Offer | None, *, copied: bool = False) -> None:
        """Before the first packet. Raises StateRefused. A service that is not there any more answers its calls with
        nothing, and so does one that has nothing for a copy.
        """
        state = self._restore_tickets_untrusted(saved)
        if offer is None:
            self.withdraw()
        elif state or self._unanswered:
            service = self.attach(offer)
            if not copied:
                service.restore(state)
            elif part := service.for_copy(state):
                service.restore(part)
            else:
                self.withdraw()

    def _restore_tickets_untrusted(self, saved: bytes) -> bytes:
        try:
            self._next_ticket, count = _HEAD.unpack_from(saved)
            end = _HEAD.size + count * _TICKET.size
            tickets = [ticket for (ticket,) in _TICKET.iter_unpack(saved[_HEAD.size : end])]
        except error:
            raise StateRefused("The saved calls of a service are malformed.") from None
        if len(tickets) != count or count > MAX_UNANSWERED or len(set(tickets)) != count:
            raise StateRefused("The saved calls of a service are malformed.")
        self._unanswered = tickets
        return saved[end:]


def service_state_untrusted(saved: bytes) -> bytes:
    """The same of a file that may come from anyone. Raises StateRefused."""
    try:
        return service_state(saved)
    except error:
        raise StateRefused("The saved calls of a service are malformed.") from None


def service_state(saved: bytes) -> bytes:
    """Of what Route.save() wrote, the service's own part."""
    _next, unanswered = _HEAD.unpack_from(saved)
    return saved[_HEAD.size + unanswered * _TICKET.size :]
