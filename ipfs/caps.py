"""Limits of everything that is fetched, kept or read; words. Each has its reason."""

from dataclasses import dataclass
from math import inf

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30

# What Bitswap and trustless gateways carry at most; a larger block could not be shared with anybody.
BLOCK_MAX = 2 * MIB
# An identity CID carries its bytes in its name. The specification's own bound, which Kubo enforces too.
IDENTITY_MAX = 128
# A CID as text: 64 bytes of hash in base16 are 140 characters; an identity of 128 bytes about 300.
CID_TEXT_MAX = 400
# A CID in bytes: version, codec, hash name and length take at most 9 each; the digest is the rest.
CID_BYTES_MAX = 4 * 9 + IDENTITY_MAX
# Levels below a root. A file of 10 TB has 5; a HAMT of a million names 3; deeper is made to waste our time.
DEPTH_MAX = 32
# Links of one block, and fields of its message. Profiles cut files at 174 and 1,024, HAMTs have at most 1,024, and a
# directory is split at 256 KiB, which is 7,500 of the shortest names. Decoding one takes about 20 microseconds: a block
# of 2 MiB with 40,000 would take a second, again and again.
LINKS_MAX = 8_192
# Values in a block of dag-cbor, and links among them: a list of a snapshot's chunks has 4,096, and nobody else's has
# more. Decoding takes 5 microseconds for each value and 15 for a link: a quarter of a second for the worst block.
VALUES_MAX, CBOR_LINKS_MAX = 32_768, 4_096
# Levels of lists and maps in one block or header, and brackets of a node's answer: the decoders go down to Python's
# limit of recursion, where the finalizers of somebody else's objects fail, too, when the collector comes by.
NESTED_MAX = 64
# Blocks larger than this are decoded in a thread. A link to nothing takes 8 bytes and 20 microseconds, a value of
# dag-cbor one byte and 5: up to 5 ms in which nobody else is served. The way to a thread and back takes a tenth of one.
ASIDE = KIB
# One name of a path, as on most file systems; a whole path as PATH_MAX on Linux.
NAME_MAX, PATH_MAX = 255, 4096
# The header of a CAR is its roots, a few of 40 bytes. It is read where everybody waits, in less than 10 milliseconds.
CAR_HEADER_MAX, CAR_ROOTS_MAX = 2 * KIB, 32
# Blocks of a CAR that are taken before somebody else has a turn: a piece of 64 KiB can have 6,000, a fifth of a second.
CAR_TURN = 64
# Bytes of a CAR that nobody asked for: duplicates of blocks and the path above. More is chaff.
CAR_JUNK_MAX = 4 * MIB
# What each such block counts at least: to read and hash a tiny one costs as much as one of this size. So 4,096 of them.
CAR_JUNK_LEAST = KIB
# Blocks asked for ahead of the one that is read: hides the way to a gateway without holding much (8 * 2 MiB).
AHEAD = 8
# Bytes a second, below which a CAR is asked for elsewhere, too: 2 Mbit/s, the slowest line that is sold.
CAR_RATE = 256 * KIB
# Bytes of a CAR's blocks that are handed on together: of each gateway one such batch waits, of all two more.
CAR_BATCH = 2 * MIB
# How long a source alone may try before the next one is asked too.
HEAD_START = 0.5
# A pause between bytes; and the time for one block, so that one byte a second is no way to hold us.
SILENCE, BLOCK_TIME = 15.0, 30.0
# Of the text that a node says its version is: `0.43.1-rc2` and a commit.
TEXT_MAX_VERSION = 60
# Of what is written into a pin: the hash of a module.
NOTE_MAX = 256
# Blocks of everything pinned that are offered to others: 250 GB in blocks of 1 MiB; knowing them takes 30 MB.
SHELF_MAX = 250_000
# Sources asked for one thing: more are a mistake in the configuration.
SOURCES_MAX = 16


@dataclass(frozen=True, slots=True)
class Budget:
    """What one request may cost. The defaults fit a program and its data; whoever asks can give more."""

    bytes: int = GIB  # verified bytes, and what a directory holds in all
    blocks: int = 100_000  # hashing and storing 100,000 tiny blocks takes about a minute
    entries: int = 100_000  # names of all directories together
    seconds: float = 600.0  # a gibibyte at 14 Mbit/s
    work: float = inf  # seconds of a processor to read what blocks say: one's own may take as long as one waits

    def __post_init__(self) -> None:
        if min(self.bytes, self.blocks, self.entries) < 1 or min(self.seconds, self.work) <= 0:
            raise ValueError("a budget of nothing")
