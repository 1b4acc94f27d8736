"""Programs of one principal on one host: they see each other appear and go, connect, stream, send messages; words.

Where it stands: behind the services `peer`, `peerindex/principal` and `group` (gatebus.services), which parse what
programs say; docs/peers.md is the specification, byte by byte. Nothing here knows packets, time or sockets.

    neighbourhood   Neighbourhood (one per host) -> Neighbours (of one principal) -> Resident (one program)
    gathering       Gathering: a group of names, its Members, who meets whom in it
    peerstream      End: one program's side of a connection; credit that is never more than a window
    mailbox         Mailbox: messages and notices for one program that may not be reading
    sleeping        Sleeper: a stored program that its peers wake, and what it misses meanwhile

What holds everywhere: a program that does not read stops nobody else and makes the host keep a bounded number of
bytes; whoever leaves, others are told exactly once; another principal's programs do not exist.
"""
