"""Verified blocks -> names and bytes; words.

In:  blocks whose hashes were right; what they say is untrusted. Out: the CIDs that are wanted next; entries, bytes.

Nothing is fetched here. A question is a generator: it yields the CID that it needs, is sent its block, and returns its
answer. A file is read by FileWalk, which knows what comes next, so that whoever fetches can be ahead of the reading.
"""

from collections.abc import Generator
from dataclasses import dataclass
from itertools import islice

from ipfs.addresses import check_name
from ipfs.caps import DEPTH_MAX, Budget
from ipfs.cid import Cid
from ipfs.dagpb import DIRECTORY, SHARD, SYMLINK, Link, Node, decode_block_untrusted
from ipfs.hamt import MURMUR3, prefix_length, prefixes
from ipfs.symlinks import shown
from ipfs.troubles import BadName, Malformed, NoEntry, TooLarge, Unsupported

_NOT_FOLLOWED = "links are not followed. Name what it leads to."
_KINDS = {DIRECTORY: "directory", SHARD: "directory", SYMLINK: "link"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One name of a directory. `size` is what its author says: for display."""

    name: str
    cid: Cid
    size: int


def kind_of(node: Node) -> str:
    return _KINDS.get(node.kind, "file")


def resolve(cid: Cid, path: tuple[str, ...]) -> Generator[Cid, bytes, Cid]:
    """The CID at the end of a path. Raises NoEntry, Malformed, Unsupported."""
    for name in path:
        node = decode_block_untrusted(cid, (yield cid))
        if node.kind == DIRECTORY:
            cid = _only(name, [link.cid for link in node.links if link.name == name])
        elif node.kind == SHARD:
            cid = yield from _in_shard(node, name)
        elif node.kind == SYMLINK:
            raise Unsupported(f"The path leads over a symbolic link (to {shown(node.data)}); {_NOT_FOLLOWED}")
        else:
            raise NoEntry(f"The path goes on below a file: {name} is looked for in it.")
    return cid


def _only(name: str, found: list[Cid]) -> Cid:
    if not found:
        raise _no_name(name)
    if len(set(found)) > 1:
        raise Malformed("A directory has a name twice.")
    return found[0]


def _in_shard(node: Node, name: str) -> Generator[Cid, bytes, Cid]:
    fanout = node.fanout
    for prefix in prefixes(name, fanout):
        _check_shard(node, fanout)
        here = {link.name: link.cid for link in node.links}
        if prefix + name in here and name:
            return here[prefix + name]
        if prefix not in here:
            break
        below = here[prefix]
        node = decode_block_untrusted(below, (yield below))
    raise _no_name(name)


def _no_name(name: str) -> NoEntry:
    return NoEntry(f"There is no {name} in the directory.")


def _check_shard(node: Node, fanout: int) -> None:
    if node.kind != SHARD or node.fanout != fanout:
        raise Malformed("A large directory has a part that is none of it.")
    if node.hash != MURMUR3:
        raise Unsupported("A large directory spreads its names by an unknown hash.")


def list_directory(cid: Cid, budget: Budget) -> Generator[Cid, bytes, tuple[Entry, ...]]:
    """In order of names. Raises NoEntry for what is no directory."""
    node = decode_block_untrusted(cid, (yield cid))
    if node.kind not in (DIRECTORY, SHARD):
        raise NoEntry(f"It is a {kind_of(node)}, no directory.")
    links = node.links if node.kind == DIRECTORY else (yield from _shard_links(node, budget))
    if len(links) > budget.entries:
        raise TooLarge(f"The directory has more than {budget.entries} names.")
    entries = {link.name: Entry(link.name, link.cid, link.size) for link in links}
    if len(entries) != len(links):
        raise Malformed("A directory has a name twice.")
    for name in entries:
        _check_entry(name)
    return tuple(entries[name] for name in sorted(entries))


def _check_entry(name: str) -> None:
    try:
        check_name(name)
    except BadName:
        raise Malformed("A directory has a name that no file may have.") from None


def _shard_links(node: Node, budget: Budget) -> Generator[Cid, bytes, list[Link]]:
    fanout, found = node.fanout, []
    width = prefix_length(fanout)
    waiting = [(node, 0)]
    blocks = 0
    while waiting:
        each, depth = waiting.pop()
        _check_shard(each, fanout)
        for link in each.links:
            if len(link.name) > width:
                found.append(Link(link.name[width:], link.cid, link.size))
                continue
            blocks += 1
            if depth >= DEPTH_MAX:
                raise TooLarge(f"The directory has more than {DEPTH_MAX} levels of blocks.")
            if blocks > budget.blocks or len(found) > budget.entries:
                most = f"{budget.blocks} blocks and {budget.entries} names"
                raise TooLarge(f"The directory has more than the {most} that this request may read.")
            waiting.append((decode_block_untrusted(link.cid, (yield link.cid)), depth + 1))
    return found


class FileWalk:
    """The bytes of a file, in order. `wanted` is the next block; `give` takes it and returns the bytes it brings."""

    def __init__(self, cid: Cid, budget: Budget) -> None:
        self._budget = budget
        self._stack: list[tuple[Cid, int | None, int]] = [(cid, None, 0)]  # CID, its size by its parent, depth
        self._blocks = self._bytes = 0
        self.size: int | None = None
        """Of the whole file, as soon as its root is known."""

    @property
    def wanted(self) -> Cid | None:
        return self._stack[-1][0] if self._stack else None

    def ahead(self, count: int) -> list[Cid]:
        """What will be wanted soon, without repetition."""
        return list(dict.fromkeys(cid for cid, _, _ in islice(reversed(self._stack), count)))

    def give(self, block: bytes) -> bytes:
        """Raises Malformed, TooLarge, Unsupported, NoEntry."""
        cid, size, depth = self._stack.pop()
        node = decode_block_untrusted(cid, block)
        self._check(node, size, depth)
        if self._blocks + len(self._stack) + len(node.links) > self._budget.blocks:
            raise self._too_many()
        below = [(link.cid, part, depth + 1) for link, part in zip(node.links, node.parts, strict=True)]
        self._stack += reversed(below)
        return node.data

    def _check(self, node: Node, size: int | None, depth: int) -> None:
        if not node.is_file:
            raise _no_file(node, size is None)
        if size is not None and node.size != size:
            raise Malformed("A part of a file is not as long as the file says.")
        if self.size is None:
            self.size = node.size
        self._blocks += 1
        self._bytes += len(node.data)
        if self.size > self._budget.bytes or self._bytes > self._budget.bytes:
            raise TooLarge(f"The file is larger than the {self._budget.bytes} bytes that this request may read.")
        if depth > DEPTH_MAX:
            raise TooLarge(f"The file has more than {DEPTH_MAX} levels of blocks.")
        if self._blocks > self._budget.blocks:
            raise self._too_many()

    def _too_many(self) -> TooLarge:
        """Blocks that are here already or are their own names count, too: what they cost is the walk."""
        return TooLarge(f"The file has more than the {self._budget.blocks} blocks that this request may read.")


def _no_file(node: Node, root: bool) -> NoEntry | Malformed | Unsupported:  # noqa: FBT001 - two texts of one thought
    if not root:
        return Malformed("A part of a file is no file.")
    if node.kind == SYMLINK:
        return no_followed_link(node)
    return NoEntry("It is a directory. Name a file in it.")


def no_followed_link(node: Node) -> Unsupported:
    return Unsupported(f"It is a symbolic link (to {shown(node.data)}); {_NOT_FOLLOWED}")
