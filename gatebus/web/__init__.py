"""The wires of the bus: sockets, websocket, HTTP; no message of the protocol is understood here.

Where it stands: first and last on the path of a program. Bytes of strangers come in (untrusted), whole binary websocket
messages go out to a session, and back. The same Link for both ends of a websocket, for TCP, TLS and unix sockets, and
in memory for tests (link.py has the interface and its rules):

    async with link:                                # its drain task; leaving closes within a deadline
        link.peer                                   # frozen: transport, address, uid (unix), origin (browser's), agent
        await link.receive_many() -> list[bytes]    # every whole message already here, at least one; or LinkClosed
        link.write(*parts)                          # one message, from parts; queued until flush()
        link.flush()                                # one non-blocking send; what the kernel refuses waits, bounded
        link.waiting                                # bytes in the outbox
        await link.room()                           # until the outbox is below its high-water mark; LinkClosed
        await link.aclose(code, reason)             # closing handshake within a deadline, then the socket
        link.abort()                                # at once
        link.last_heard                             # for the sweeping task

A cancelled send never leaves half a frame (nothing is sent by awaiting); a link whose outbox makes no progress for
30 s, or grows above its bound, is cut. Listening: `serve(listeners, front)`; one head is read (64 KiB, 10 s), upgrade
goes to the websocket, the rest to an h11 loop over a table of pages. Connecting: `async with dial(address) as link:`.

Which module has what:
    words     link (interface, errors), frames (the usual frame), pages (path -> page), places,
              entry (who may connect)
    wires     bytetransport, tlstransport, memorytransport (streams that never block), cork, outbox, websocketlink,
              httploop, keepalive
    assembly  front, listening (a server), dialling (a client), memorylink (links for tests)
"""
