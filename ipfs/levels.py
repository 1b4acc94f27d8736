"""How deep something lies below a root; words.

In:  a block whose hash was right (what it says is untrusted), and how deep it lies. Out: what it names, and how deep
that lies; TooLarge beyond what can be read and saved, so that nothing is kept that nobody can get.

Directories count by themselves, since paths and folders have that many names; parts of a file, or of a large directory,
begin anew in each. What is neither (dag-cbor, dag-pb of others) is only kept, and adds nothing.
"""

from collections.abc import Sequence
from typing import NamedTuple

from ipfs.caps import DEPTH_MAX
from ipfs.cid import DAG_PB, Cid
from ipfs.dagpb import DIRECTORY, SHARD, Node, decode_block_untrusted, linked_untrusted
from ipfs.hamt import prefix_length
from ipfs.troubles import Malformed, TooLarge, Unsupported


class Level(NamedTuple):
    """Names above it, and blocks between it and the beginning of its file or directory."""

    names: int
    parts: int

    def covers(self, other: "Level") -> bool:
        return self.names >= other.names and self.parts >= other.parts

    def joined(self, other: "Level") -> "Level":
        """At least as deep as both, whichever way leads to it."""
        return Level(max(self.names, other.names), max(self.parts, other.parts))


TOP = Level(0, 0)


def below_untrusted(cid: Cid, block: bytes, level: Level) -> Sequence[tuple[Cid, Level]]:
    """Raises TooLarge, Malformed."""
    node = _node_untrusted(cid, block)
    if node is None:
        return [(each, level) for each in linked_untrusted(cid, block)]
    named, part = Level(level.names + 1, 0), Level(level.names, level.parts + 1)
    whole = _whole_names(node)
    found = [(link.cid, named if len(link.name) > whole else part) for link in node.links]
    for _, each in found:
        check_names(each.names)
        if each.parts > DEPTH_MAX:
            raise TooLarge(f"A file or directory has more than {DEPTH_MAX} levels of blocks.")
    return found


def check_names(names: int) -> None:
    """Of what is saved, added or kept. Raises TooLarge."""
    if names > DEPTH_MAX:
        raise TooLarge(f"The directory has more than {DEPTH_MAX} levels.")


def _node_untrusted(cid: Cid, block: bytes) -> Node | None:
    if cid.codec != DAG_PB:
        return None
    try:
        return decode_block_untrusted(cid, block)
    except (Malformed, Unsupported):
        return None


def _whole_names(node: Node) -> int:
    """A link with a longer name than this is an entry of a directory; any other is a part."""
    if node.kind == DIRECTORY:
        return -1
    return prefix_length(node.fanout) if node.kind == SHARD else _NEVER


_NEVER = 1 << 30  # a part of a file is a part, whatever name its link has
