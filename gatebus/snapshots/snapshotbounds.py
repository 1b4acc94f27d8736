"""Bounds of snapshots, each with its reason; words."""

from sandbox.limits import STATE_MAX

CHUNK = 64 * 1024
"""Unit in which memory is named, left out and shared: a page of WebAssembly. Smaller ones cost more names than they
save bytes."""

SPREAD = 256
"""Chunks that one index block names: 16 MiB of memory, 8 KiB of names. A change of one chunk writes one block again."""

ABOUT_MAX = 64 * 1024
"""CBOR that describes a snapshot: ids, tags, limits, policy."""

SECTIONS_MAX = 1_024
"""Memory, state and a part for each service; a program has some dozen services at most."""

NAME_MAX = 255
"""Bytes of a section's name; it has one byte for its length."""

MEMORY_MAX = 4 << 30
"""What 32 bits address."""

PART_MAX = 64 << 20
"""What one service keeps: its streams' windows and its mailboxes, each bounded by its own."""

INLINE_MAX = 1_024
"""Parts up to this stand in the manifest: a chunk of their own would cost 72 bytes of names and a look-up."""

MANIFEST_MAX = 4 << 20
"""Everything above that stands in a manifest, with room: 320 index blocks, 1,024 small parts, what describes it."""

ACCOUNT_MAX = 1_024
"""Bytes of the name of an account."""

PROGRAM_MAX = 32 << 20
"""As sandbox/statefile.py has it."""

PAIRS_COMPARED = 4_096
"""Different pairs of chunks that `diff` reads: 512 MiB, a second or two of a thread. A memory that was changed in more
places than that is told by whole chunks."""

PIECE = 1 << 20
"""Bytes of a file handed over at once on their way out or in: a millisecond of hashing, one change of threads."""

IMPORT_SECONDS = 120.0
"""Without a byte, and an import lets go of what it holds."""

SIGNERS = 256
"""Hosts whose files one host takes: looked through for each file that comes in."""

CHECKPOINTS_KEPT = 3
"""Of one instance, where its policy does not say: the last, the one before should it be damaged, and one more."""

LEFT_SECONDS = 3_600.0
"""How long an automatic snapshot stays that no record points to: whoever takes it writes the record in the same step or
soon after."""

PACKS_EACH = 32
"""Files that one snapshot's chunks may lie in. With more, the smallest ones are copied into its own: opening 32 files
takes 0.3 ms, and a checkpoint every second leaves a hundred in two minutes."""

ENTRIES_MAX = 4 * (MEMORY_MAX + STATE_MAX) // CHUNK
"""Chunks of one file: whatever a snapshot may hold, with room for parts and index blocks."""

SNAPSHOT_COST = 16 * 1024
"""Bytes that a snapshot counts at least: its records, its file's block and name."""

RECENT = 1_024
"""Snapshots whose files are known without asking the records, 0.3 KiB each: what was stored or went on lately is what
goes on or is stored again next."""

AT_ONCE = 4 << 20
"""Bytes up to which a snapshot is read with its list of contents, before anybody has paid for it: a turn of a thread
costs as much as reading one of a MiB, and 40 threads read 160 MiB at most."""

ANSWERED_SECONDS = 30.0
"""For a step that must not be cut in the middle, such as removing what was not finished."""

COMPRESS_LEVEL = 1
"""Of zstd: level 3 takes twice the time for a twentieth less."""

TRIED = 4 * 1024
"""Of each chunk are compressed first: where that gains nothing, the rest would not either."""

RESERVE = 256 * 1024
"""Bytes kept free for ends that must be written down on a full disk: some twenty of them (three pages and their heads
in the log each) until the log begins anew, and then for as many as come."""
