"""gatebus.v1, the conversation of clients and hosts; words only: no I/O, no clock, no randomness.

Where it stands: between a link (gatebus.web, whole websocket messages) and whoever drives it: gatebus.host's attendant
on one side, gatebus.client on the other. PROTOCOL.md beside this file is the specification; tests hold the code to its
CDDL and its tables.

One class for both sides, in the shape that every conversation of this project has:

    session = Session(Role.HOST, Settings(agent, key, ...), now)      # or Role.CLIENT
    session.receive(message)        one whole binary message (untrusted); never raises, faults come out as an event
    session.next_event()            a frozen event, or NEED_DATA
    session.receive_many(messages)  -> events of a batch; handle each before you ask for the next
    session.send(message)           -> bytes of one message; LocalProtocolError when the tables do not allow it
    session.timeout(now, heard)     hello late: Broken; silence: PingDue, then Broken. `heard`: the link's last_heard
    session.next_timeout()          -> when, or None
    session.close()                 the link is gone
    session.state                   HELLO, AUTH, OPEN, FAREWELL, CLOSED, ERROR

Events are the messages themselves (messages.Open, ...), and Authenticated(key), PingDue(), Broken(code, text, reply,
close_code): send `reply` if there is one, close the link. What is late, doubled or dropped makes no event. Nothing is
answered by itself: a driver answers Ping with Pong.

The greeting: client `hello(challenge)`; host, on ClientHello, `greet(challenge, sign)`, and Welcome at once when
`hello.key` is None, else on Authenticated; client, on HostHello (its proof was checked; compare `.key` with the known
one), `send(Auth(signature of proof_to_sign()))` when it named a key.

Streams: `flows = session.flows(channel)` are two counted directions that outlive the channel (streams.Outflow, Inflow).

    host      send(Accept(channel, about, window))                 a fresh stream: it may send `window` bytes
              resume(channel, flows, taken, about)                 attach; ask flows.out.holds(taken) first
    client    open(operation, parameters, window) -> number, bytes
              open("attach", {"stream": id}, flows=flows)          adds `taken` and the window by itself
    both      flows.out.append(data) while flows.out.room; flows.out.end(note)
              flows.into.consume(n) when the reader is done with n bytes of Data events; flows.into.stop()
              for parts in session.unsent(channel): link.write(*parts)     after any of these, and on Credit and Accept

Module by module: messages (frozen types, encode), reading (parse_untrusted), strictcbor, transitions (the tables),
greeting and proofs (hello, sign, verify), streams, channels (one channel's state), session (all of it together).
"""

from gatebus.protocol.breaches import LocalProtocolError
from gatebus.protocol.greeting import FEATURES, Settings
from gatebus.protocol.session import NEED_DATA, Authenticated, Broken, Event, PingDue, Session
from gatebus.protocol.streams import Flows
from gatebus.protocol.transitions import Role, State

__all__ = [
    "FEATURES",
    "NEED_DATA",
    "Authenticated",
    "Broken",
    "Event",
    "Flows",
    "LocalProtocolError",
    "PingDue",
    "Role",
    "Session",
    "Settings",
    "State",
]
