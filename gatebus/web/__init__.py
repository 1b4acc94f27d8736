"""The wires of the bus: sockets, websocket, HTTP; no message of the protocol is understood here.

Where it stands: first and last on the path of a program. Bytes of strangers come in (untrusted), whole binary websocket
messages go out to a session, and back. The same Link for both ends of a websocket, for TCP, TLS and unix sockets, and
in memory for tests:

    class Link(Protocol):
        peer: Peer                              # frozen: transport tcp|tls|unix|memory, uid (unix), origin, agent
        async def receive_many() -> list[bytes] # every whole message already here, at least one; LinkClosed at the end
        def write(*parts: bytes | memoryview)   # one message, from parts; queued until flush()
        def flush()                             # one non-blocking send; what the kernel refuses waits in the outbox
        waiting: int                            # bytes in the outbox
        async def room()                        # until the outbox is below its high-water mark; LinkClosed
        async def aclose(code=1000, reason="")  # closing handshake within a deadline, then the socket
        def abort()                             # at once
        last_heard: float                       # for the sweeping task

A cancelled send never leaves half a frame (nothing is sent by awaiting); a link whose outbox makes no progress for
30 s, or grows above its bound, is cut. Listening: `serve(listeners, front)`; one head is read (64 KiB, 10 s), upgrade
goes to the websocket, the rest to an h11 loop over a table of pages. Connecting: `dial(address) -> Link`.
"""
