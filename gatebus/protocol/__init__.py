"""gatebus.v1, the conversation of clients and hosts; words only: no I/O, no clock, no randomness.

Where it stands: between a link (gatebus.web, whole websocket messages) and whoever drives it: gatebus.host's attendant
on one side, gatebus.client on the other. PROTOCOL.md beside this file is the specification; a test holds the code to
its CDDL.

One class for both sides, in the shape that every conversation of this project has:

    session = Session(Role.HOST, settings, now)      # or Role.CLIENT
    session.receive(message)        one whole binary message (untrusted); never raises, faults come out as an event
    session.next_event()            a frozen event, or NEED_DATA
    session.send(message)           -> bytes of one message; LocalProtocolError when the table does not allow it
    session.send_data(channel, n)   -> head bytes of a data message with n bytes of payload (sent beside it, not copied)
    session.timeout(now)            hello too late, silence: events Expired, or a ping that is due
    session.next_timeout()          -> when, or None
    session.state                   HELLO, AUTH, OPEN, FAREWELL, CLOSED, ERROR

Which module has what: messages (frozen types, encode, parse_untrusted), transitions (the table), channels (one
channel's state and credit), streams (Outflow: counts, keeps what was not taken, replays from an offset; Inflow: counts
what came), proofs (transcript, sign, verify), session (all of it together).
"""
