"""Every bound of the client (gatebus.client), with its reason; words, no I/O. The host's are in gatebus.bounds."""

from gatebus.bounds import HELLO_SECONDS

GREETING_SECONDS = 2 * HELLO_SECONDS
"""For the host's greeting and its welcome: what the host itself allows a client."""

AGENT_SECONDS = 60.0
"""For an ssh-agent to sign: a person may have to find a token and touch it."""

RECONNECT_FIRST = 0.1
"""Seconds before the second attempt to connect, a random half to whole of it: a broken link is often back at once."""

RECONNECT_LONGEST = 10.0
"""... and at most, so that a host that comes back is noticed soon."""

RECONNECT_PATIENCE = 60.0
"""Seconds that an operation waits for a link before it fails: longer than a restart, and than a host keeps streams."""

LOSSES = 8
"""Links in a row that may break under one operation soon after it began: it may be what breaks them."""

STEADY_SECONDS = 5.0
"""A link that lived for so long had no trouble of its own: the next attempt to connect is made at once."""

CALL_OUTPUT_BYTES = 64 * 1024 * 1024
"""Output that `call` keeps in memory, unless it is told otherwise; more is an error, and open_call streams it."""

CALL_LOG_BYTES = 1024 * 1024
"""What a program wrote to stderr and its debug log, as far as `call` keeps it: the end counts, so the oldest goes."""

INLINE_FILES = 32 * 1024
"""Bytes of files that travel in the message that opens a call; larger ones are uploaded before."""

READ_PIECE = 256 * 1024
"""One read of a file that is uploaded: some messages, so that a thread is asked not too often."""

WATCHED_EVENT_BYTES = 65_536
"""One event of a subscription, at most: they are small maps."""

MODULES_REMEMBERED = 1_024
"""Modules that a bus has offered to its host, so that the next call need not ask: about 100 bytes each."""

LISTED_ROWS = 100_000
"""Modules or instances of one list: more than a host's quotas let anybody have; a list that goes on is no list."""

KNOWN_HOSTS_BYTES = 8 * 1024 * 1024
"""The file of known hosts: some tens of thousands of lines. A device or a disk image in its place ends here."""
