"""Every bound of the package gatebus, with its reason; words, no I/O.

Where it stands: beside all of one program's conversations with its services (switchboard, services, exchange).
Nothing comes in. The bounds of the sandbox itself (memory, time, files ...) are in sandbox.limits; those a person
sets for one run come from there.
"""

MAX_SERVICES = 256
"""Discovered services of one program: Gate's number (an answer with all their states stays a small packet)."""

MAX_NAME = 127
"""Bytes of a service's name in a discovery request: Gate's number."""

MAX_UNANSWERED = 256
"""Unanswered calls per service: the position of the answered call travels in one byte of the packet header."""

MAX_CREDIT = 2**31 - 1
"""Credit per stream and direction: values travel as i32."""

OUTBOX_BYTES = 256 * 1024
"""Bytes waiting for one program that does not read: some full packets. Above it the program's own output waits too."""

ORIGIN_STREAMS = 16
"""Open connections of one program (`maxconns`): with ORIGIN_WINDOW each, slow clients hold at most 1 MiB of it."""

ORIGIN_WAITING = 64
"""Connections that wait for a program to accept them; the next one is turned away at once."""

ORIGIN_WINDOW = 64 * 1024
"""Bytes a program may have on the way to one client: a full packet, so that it need not wait for each small one."""

TERMINAL_WINDOW = 16 * 65_520
"""The same for the one connection of `gatebus run`: sixteen full data packets of 65,520 bytes, about 1 MiB, so that
writing and computing overlap."""

RANDOM_BITS_PER_MINUTE = 7680
"""Allowance of the service `random`: 16 bytes per second, Gate's default."""

CATALOG_BYTES = 60_000
"""Text of one answer of the catalog; a packet holds 65,528. The rest is left out and the answer says so."""

PROBLEM_TEXT = 200
"""Characters of a public error text: one line on a terminal that wraps once."""
