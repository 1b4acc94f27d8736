"""Bytes of files -> blocks; words.

In:  the bytes of a file, piece by piece; names and roots of a directory's members. Out: blocks with their CIDs, and
the root.

A CID does not say how its file was cut. The same bytes have the same CID only under the same profile, so profiles have
names (IPIP-499), and whoever wants another node's CID names that node's.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ipfs.addresses import check_name
from ipfs.caps import BLOCK_MAX, KIB, LINKS_MAX, MIB
from ipfs.cid import DAG_PB, RAW, Cid, cid_of
from ipfs.dagpb import EMPTY_DIRECTORY, Link, encode_block, encode_file, encode_symlink
from ipfs.troubles import BadName, TooLarge

Block = tuple[Cid, bytes]


@dataclass(frozen=True, slots=True)
class Profile:
    version: int  # of the CIDs
    raw_leaves: bool
    chunk: int
    width: int  # links of one node


PROFILES: Mapping[str, Profile] = {
    "unixfs-v0-2015": Profile(0, raw_leaves=False, chunk=256 * KIB, width=174),  # `ipfs add`
    "kubo-v1": Profile(1, raw_leaves=True, chunk=256 * KIB, width=174),  # `ipfs add --cid-version=1`
    "unixfs-v1-2025": Profile(1, raw_leaves=True, chunk=MIB, width=1024),
}
DEFAULT_PROFILE = "unixfs-v1-2025"


def profile_named(name: str) -> Profile:
    if name not in PROFILES:
        raise BadName(f"There is no profile of that name. There are {', '.join(PROFILES)}.")
    return PROFILES[name]


@dataclass(frozen=True, slots=True)
class Root:
    """A subtree that was imported: `size` bytes of the file, `cumulative` bytes of blocks."""

    cid: Cid
    size: int
    cumulative: int


class FileImport:
    """Feed it a file, take its blocks as they are ready; `finish` returns the root. Holds one open node a level."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._rest = b""
        self._levels: list[list[Root]] = [[]]
        self._any = False

    def feed(self, data: bytes) -> Iterator[Block]:
        view, chunk = memoryview(self._rest + data if self._rest else data), self._profile.chunk
        whole = len(view) - len(view) % chunk
        for at in range(0, whole, chunk):
            yield from self._leaf(bytes(view[at : at + chunk]))
        self._rest = bytes(view[whole:])

    def finish(self) -> Iterator[Block]:
        """The last blocks. Afterwards `root` is there."""
        if self._rest or not self._any:
            yield from self._leaf(self._rest)
        level = 0
        while level < len(self._levels) - 1 or len(self._levels[level]) > 1:
            if self._levels[level]:  # a lone last child is wrapped too: all leaves are at one depth
                yield from self._close(level)
            level += 1

    @property
    def root(self) -> Root:
        (root,) = self._levels[-1]
        return root

    def _leaf(self, data: bytes) -> Iterator[Block]:
        self._any = True
        raw = self._profile.raw_leaves
        block = data if raw else encode_block(encode_file(len(data), (), data), ())
        cid = cid_of(RAW if raw else DAG_PB, block, self._profile.version)
        yield cid, block
        yield from self._append(0, Root(cid, len(data), len(block)))

    def _append(self, level: int, root: Root) -> Iterator[Block]:
        """A full node is closed only when its next sibling comes: a lone node is the root itself."""
        if level == len(self._levels):
            self._levels.append([])
        if len(self._levels[level]) == self._profile.width:
            yield from self._close(level)
        self._levels[level].append(root)

    def _close(self, level: int) -> Iterator[Block]:
        """One node over everything that waits on a level."""
        nodes, self._levels[level] = self._levels[level], []
        sizes = [node.size for node in nodes]
        links = [Link("", node.cid, node.cumulative) for node in nodes]
        block = encode_block(encode_file(sum(sizes), sizes), links)
        cid = cid_of(DAG_PB, block, self._profile.version)
        yield cid, block
        yield from self._append(level + 1, Root(cid, sum(sizes), _cumulative(block, nodes)))


def _cumulative(block: bytes, roots: Iterable[Root]) -> int:
    return len(block) + sum(root.cumulative for root in roots)


def symlink(target: bytes, profile: Profile) -> tuple[Root, bytes]:
    """(root, block) of a symbolic link: where it leads, and nothing of what is there."""
    block = encode_block(encode_symlink(target), ())
    return Root(cid_of(DAG_PB, block, profile.version), 0, len(block)), block


def directory(members: Mapping[str, Root], profile: Profile) -> tuple[Root, bytes]:
    """(root, block) of a directory. Raises BadName, TooLarge: larger ones would be a HAMT, which is only read."""
    for name in members:
        check_name(name)
    ordered = sorted(members.items(), key=lambda member: member[0].encode())
    links = [Link(name, root.cid, root.cumulative) for name, root in ordered]
    block = encode_block(EMPTY_DIRECTORY, links)
    if len(block) > BLOCK_MAX or len(links) > LINKS_MAX:
        raise TooLarge("The directory has too many names to be imported; put some of them into directories below.")
    cid = cid_of(DAG_PB, block, profile.version)
    return Root(cid, 0, _cumulative(block, members.values())), block
