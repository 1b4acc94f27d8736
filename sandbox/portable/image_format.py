"""Words: the file in which a compiled program stands between the compile worker and its programs.

Layout: magic, u32 length of the head, head (JSON), what the engine serialized. The parent checks the whole file's
SHA-256 before a child may load it: loading something else than the engine's own output would be running a
stranger's machine code.
"""

from __future__ import annotations

import json
import struct
from dataclasses import asdict, dataclass

MAGIC = b"gatebus portable image 3\0"
_LENGTH = struct.Struct("<I")


class BadImage(ValueError):
    """The bytes are no image."""


@dataclass(frozen=True, slots=True)
class ImageHead:
    """What a program's process must know before it loads the code. `memory_exports`: our own names of all memories,
    in order. `hidden_tables`: elements of the largest table that only the rewritten form has; None: it is not in it.
    `start`: our name of the start function; `most`: those of the limits that several memories or tables share
    (shared_growth.py). Both empty where there is no need.
    """

    personality: str
    memory_bytes: tuple[int, ...]
    table_elements: tuple[int, ...]
    memory_exports: tuple[str, ...]
    argument_memory: int
    hidden_tables: int | None = None
    start: str = ""
    most: tuple[str, ...] = ()


def encode_image(head: ImageHead, code: bytes) -> bytes:
    text = json.dumps(asdict(head)).encode()
    return b"".join((MAGIC, _LENGTH.pack(len(text)), text, code))


def load_image(data: bytes) -> tuple[ImageHead, bytes]:
    """Raises BadImage."""
    try:
        start = len(MAGIC) + _LENGTH.size
        length = _LENGTH.unpack_from(data, len(MAGIC))[0]
        said = json.loads(data[start : start + length])
        head = ImageHead(
            said["personality"],
            tuple(said["memory_bytes"]),
            tuple(said["table_elements"]),
            tuple(said["memory_exports"]),
            int(said["argument_memory"]),
            None if said["hidden_tables"] is None else int(said["hidden_tables"]),
            said["start"],
            tuple(said["most"]),
        )
    except (struct.error, ValueError, KeyError, TypeError):
        raise BadImage from None
    if not data.startswith(MAGIC):
        raise BadImage
    return head, data[start + length :]
