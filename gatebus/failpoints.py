"""Named places in what must survive a crash; words.

Where it stands: in the hand of whoever writes to the disk or starts and ends programs: snapshots, records, suspension.
In: a name of the table. Out: nothing; in production nobody listens. A test hands in something that ends the process
(kill -9), raises (a full disk) or counts, and knows by the table that no place was left out.
"""

from typing import Protocol

SAVE = (
    "save-begun",
    "save-pack-made",
    "save-pack-half",
    "save-pack-written",
    "save-pack-synced",
    "save-folder-synced",
    "save-committing",
    "save-committed",
)
LOAD = ("load-begun", "load-half", "load-whole")
DROP = ("drop-committing", "drop-committed", "drop-removed")
COLLECT = ("collect-chosen", "collect-committed", "collect-removed")
RECORD = ("record-committing", "record-committed")
IMPORT = ("import-begun", "import-half", "import-whole")
STORE = SAVE + LOAD + DROP + COLLECT + RECORD + IMPORT
"""Those of the snapshot store, in the order in which a life passes them."""

LIVES = ("life-stopped", "life-stored", "life-copied", "life-loaded", "life-began", "life-recovered")
"""Those of an instance's life, around the store's: its process is gone, it rests, a copy was handed out, it is to go on
from what was stored, it runs, the host has found it again.
"""


class Failpoints(Protocol):
    def reached(self, name: str) -> None:
        """Of any thread. What it raises passes through, as what the disk raises there would."""
        ...


class Unwatched:
    """What production has."""

    __slots__ = ()

    def reached(self, name: str) -> None:
        return


UNWATCHED = Unwatched()
