"""What is kept, and the removal of everything else; a wire.

In:  CIDs to pin (with everything below them), a store. Out: the pins; how much was removed.

Nothing is deleted on doubt: if a block of something pinned is missing or damaged, nobody knows what it leads to, and
nothing is removed at all.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from ipfs.blockstore import UNFINISHED, BlockStore, Contents, Unfinished, remove_stale, sync_folder, told
from ipfs.caps import NOTE_MAX
from ipfs.cid import DAG_PB, SHA2_256, Cid, parse_cid_untrusted
from ipfs.dagpb import linked_untrusted
from ipfs.plainfile import NotPlain, open_plain
from ipfs.troubles import BadName, Damaged, NoEntry


class Pins:
    def __init__(self, store: BlockStore) -> None:
        self._store, self._folder = store, store.folder / "pins"

    def add(self, cid: Cid, note: bytes = b"") -> None:
        """What it leads to is on the disk before it is. `note`: whose pin it is, for whoever keeps several kinds."""
        self._store.settle()
        with told():
            self._folder.mkdir(exist_ok=True, mode=0o700)
            with Unfinished(self._path(cid), note) as pin:
                pin.finish()
            sync_folder(self._folder)

    def remove(self, cid: Cid) -> None:
        """The one of this name, or of the same content in the other version of names. Raises NoEntry."""
        with told():
            if not any(map(self._removed, (cid, *_otherwise(cid)))):
                raise NoEntry("It is not pinned.")
            sync_folder(self._folder)

    def _removed(self, cid: Cid) -> bool:
        try:
            self._path(cid).unlink()
        except FileNotFoundError:
            return False
        return True

    def note(self, cid: Cid) -> bytes | None:
        """Nothing: it is not pinned."""
        with told():
            try:
                with open_plain(self._path(cid)) as file:
                    return file.read(NOTE_MAX)
            except FileNotFoundError:
                return None
            except NotPlain:
                raise _no_pin(str(cid)) from None

    def all(self) -> list[Cid]:
        """What is no file or has another name than a CID is an accident of somebody's: said, not passed over."""
        return [_pin_untrusted(path) for path in self._paths() if not path.name.endswith(UNFINISHED)]

    def remove_unfinished(self) -> None:
        remove_stale(self._paths())

    def _paths(self) -> list[Path]:
        with told(), suppress(FileNotFoundError):
            return sorted(self._folder.iterdir())
        return []

    def stamp(self) -> int:
        """Another number whenever pins have come or gone."""
        with told(), suppress(FileNotFoundError):
            return self._folder.stat().st_mtime_ns
        return 0

    def _path(self, cid: Cid) -> Path:
        return self._folder / str(cid)


def _otherwise(cid: Cid) -> Iterator[Cid]:
    """The same bytes, read the same way: `Qm...` for `bafybei...`, and back."""
    if (cid.codec, cid.hash) == (DAG_PB, SHA2_256):
        yield Cid(1 - cid.version, DAG_PB, SHA2_256, cid.digest)


def _pin_untrusted(path: Path) -> Cid:
    with told():
        plain = path.is_file() and not path.is_symlink()
    try:
        cid = parse_cid_untrusted(path.name)
    except BadName:
        raise _no_pin(path.name) from None
    if not plain or str(cid) != path.name:
        raise _no_pin(path.name)
    return cid


def _no_pin(name: str) -> Damaged:
    return Damaged(f"Among the pins of the block store is something that is none: pins/{name[:60]}. Take it away.")


def below(store: BlockStore, root: Cid, alive: Callable[[], None]) -> set[bytes]:
    """Keys of a root and everything that it names. Raises Damaged for a block that is not there."""
    found: set[bytes] = set()
    waiting, seen = [root], {root}
    while waiting:
        cid = waiting.pop()
        alive()
        block = store.get(cid)
        if block is None:
            raise Damaged(f"The block {cid} of something pinned is missing. Fetch it again, or remove the pin.")
        found.add(cid.key)
        fresh = set(linked_untrusted(cid, block)) - seen
        seen |= fresh
        waiting += fresh
    return found


def collect(store: BlockStore, pins: Pins, alive: Callable[[], None] = lambda: None) -> Contents:
    """Removes what no pin leads to; what was removed. `alive` is called often and may raise to stop it."""
    with store.alone():
        kept: set[bytes] = set()
        for pin in pins.all():
            kept |= below(store, pin, alive)
        gone = {key: size for key, size in store.entries() if key not in kept}
        alive()
        store.remove(gone)
        store.remove_unfinished()
        pins.remove_unfinished()
        return Contents(len(gone), sum(gone.values()))
