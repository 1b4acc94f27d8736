"""Limits of content by its name (IPFS) at a host, each with its reason; words."""

FETCH_SECONDS = 120.0
"""For the fetch of one module that a call names by content: twice the time of a large one over a slow line."""

FETCHES, FETCHES_EACH = 8, 2
"""Programs that a host fetches at once: each may hold a program of the largest size in memory. So many of one
account, that no other has to wait for the slowest gateway; its programs that are compiled meanwhile wait for none."""

FETCH_BLOCKS = 10_000
"""Of one program: the largest one in blocks of a hundredth of the usual size."""

FETCH_WORK = 5.0
"""Seconds of a processor to read what the blocks of one program say: of honest ones a hundredth of that, of ones that
were made for it a whole fetch. It is in threads, but all of them share one interpreter."""

WORK_COST = 4 * 1024 * 1024
"""Bytes that such a second costs of an allowance, wherever the blocks were: by default a minute of it in an hour."""

FETCH_COST = 64 * 1024
"""Bytes that a fetch costs of an allowance at least: names of what is nowhere make gateways search, too."""

FETCH_KEPT = 512 * 1024 * 1024
"""Fetched content that a host keeps; then it is emptied. What is in use is compiled and needs it no more."""

FETCHED_HOURLY = 256 * 1024 * 1024
"""Bytes that a host fetches for one account in an hour: hundreds of programs of the usual size."""

LENT_AT_ONCE, LENT_WAIT = 16, 5.0
"""Answers of the host's gateway under way, each with a piece in memory; how long one more waits for its turn: two
clients may each ask for 8 blocks at once."""

LENT_PIECE = 256 * 1024
"""Bytes of a CAR that are read and handed over together: a few blocks of the usual size, a millisecond of hashing."""

LENT_SECONDS = 600.0
"""For one answer of the gateway: a gibibyte at 14 Mbit/s, as whoever fetches gives it."""

LENT_HOURLY = 10 * 1024 * 1024 * 1024
"""Bytes that the gateway gives away in an hour: 24 Mbit/s. More than that is worth a decision of the host's owner."""

SHELF_LOOK_SECONDS = 10.0
"""Between two looks whether pins have come or gone: one call of the system."""
