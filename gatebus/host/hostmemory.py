"""How the process of a host keeps its memory; a wire: the collector's and the C library's.

Where it stands: in front of the first link of a host that has a process of its own. Whoever embeds one decides himself.
In: nothing. Out: both are set, for the whole process.
"""

import gc

from gatebus.bounds import FREED_KEPT, GC_THRESHOLD, LARGE_PIECE

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h


def settle_memory() -> None:
    """What a host has made by now stays: the collector need not look at it again (8 % of an echo, 10 % of a start)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
    keep_freed_memory()


def keep_freed_memory() -> None:
    """Of the C library: what a stream lets go is what it takes next. Given back to the system and taken anew, each
    64 KiB of a stream cost up to 16 page faults, of 1 to 2 us. Only glibc does that, and can be told.
    """
    import ctypes  # whoever embeds a host pays for neither

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return
    for parameter, value in ((M_TRIM_THRESHOLD, FREED_KEPT), (M_MMAP_THRESHOLD, LARGE_PIECE)):
        mallopt(parameter, value)
