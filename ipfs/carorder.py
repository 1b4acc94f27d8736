"""Which blocks a CAR holds and in which order; words.

In:  an address, how much below it is meant, and the blocks as they are asked for (their hashes were right; what they
say is untrusted). Out: the CIDs, depth first: those on the way of the path, then what lies at its end.

A question as in reader.py: it yields a CID and is sent its block. A path that leads nowhere (no such name, a symbolic
link on the way, no directory) ends it early: the blocks up to there are the proof that it does. No subtree is walked
twice, so that a small DAG that doubles at each level ends.
"""

from collections.abc import Generator, Iterator

from ipfs.addresses import Address
from ipfs.caps import DEPTH_MAX, Budget
from ipfs.cid import DAG_PB, RAW, Cid
from ipfs.dagpb import SHARD, Link, Node, decode_block_untrusted, linked_untrusted
from ipfs.offer import ALL, ENTITY, Span
from ipfs.reader import list_directory, resolve
from ipfs.troubles import Malformed, NoEntry, TooLarge, Unsupported

Blocks = Generator[Cid, bytes, None]


def blocks_of(address: Address, scope: str, span: Span | None = None) -> Blocks:
    """Raises Malformed, TooLarge, Unsupported."""
    try:
        end = yield from resolve(address.cid, address.path)
    except (Malformed, NoEntry, Unsupported):
        return
    if scope == ALL:
        yield from _everything(end)
    elif scope == ENTITY:
        yield from _entity(end, span or Span(0, None))
    else:
        yield end


def _everything(root: Cid) -> Blocks:
    seen, waiting = {root}, [root]
    while waiting:
        cid = waiting.pop()
        fresh = [each for each in dict.fromkeys(linked_untrusted(cid, (yield cid))) if each not in seen]
        seen.update(fresh)
        waiting += reversed(fresh)


def _entity(cid: Cid, span: Span) -> Blocks:
    """What is needed to read a file, or to list a directory; of anything else the block alone."""
    block = yield cid
    if cid.codec not in (RAW, DAG_PB):
        return
    try:
        node = decode_block_untrusted(cid, block)
    except (Malformed, Unsupported):
        return
    if node.kind == SHARD:
        listing = list_directory(cid, Budget())
        next(listing)
        try:
            wanted = listing.send(block)
            while True:
                wanted = listing.send((yield wanted))
        except StopIteration:
            return
    if node.is_file and (meant := span.within(node.size)):
        yield from _part(cid, block, meant)


def _part(cid: Cid, block: bytes, meant: range) -> Blocks:
    """Below a file's root: what overlaps the bytes that are meant."""
    node = decode_block_untrusted(cid, block)
    waiting = [(link.cid, start, size, 1) for link, start, size in _parts(node, 0, meant)][::-1]
    seen: set[tuple[Cid, int, int]] = set()
    while waiting:
        each, start, size, depth = waiting.pop()
        clip = (each, max(meant.start - start, 0), min(meant.stop - start, size))
        if clip in seen:
            continue
        seen.add(clip)
        below = decode_block_untrusted(each, (yield each))
        if depth >= DEPTH_MAX:
            raise TooLarge("The file has more levels than files have.")
        waiting += [(link.cid, at, long, depth + 1) for link, at, long in _parts(below, start, meant)][::-1]


def _parts(node: Node, start: int, meant: range) -> Iterator[tuple[Link, int, int]]:
    """(link, where its bytes begin in the file, how many they are) of the parts that are meant."""
    at = start + len(node.data)
    for link, size in zip(node.links, node.parts, strict=True):
        if at < meant.stop and at + size > meant.start:
            yield link, at, size
        at += size
