"""A gateway for the benchmark of content, in a process of its own: it has one file and one program, in memory.

Prints its port and both roots on one line, and answers until it is killed.
"""

from __future__ import annotations

import hashlib
import http.server
import json
import sys
from urllib.parse import parse_qs, urlsplit

from ipfs.car import car_header, car_section
from ipfs.cid import Cid, parse_cid_untrusted
from ipfs.dagpb import linked_untrusted
from ipfs.importer import PROFILES, FileImport

MIB = 1 << 20
FILE, PROGRAM = 60 * MIB, 100 << 10
PIECE = 4 * MIB


def content(name: bytes, size: int) -> bytes:
    return hashlib.shake_128(name).digest(size)


def imported(data: bytes) -> tuple[Cid, dict[Cid, bytes]]:
    work, blocks = FileImport(PROFILES["kubo-v1"]), {}  # 256 KiB a block: what most files are made of
    for at in range(0, len(data), PIECE):
        blocks.update(work.feed(data[at : at + PIECE]))
    blocks.update(work.finish())
    return work.root.cid, blocks


class Answers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    blocks: dict[Cid, bytes] = {}  # noqa: RUF012 - set once, below
    cars: dict[Cid, bytes] = {}  # noqa: RUF012

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        cid = parse_cid_untrusted(parts.path.removeprefix("/ipfs/"))
        body = (self.cars if parse_qs(parts.query)["format"] == ["car"] else self.blocks).get(cid)
        self.send_response(200 if body is not None else 404)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_: object) -> None:
        pass


def car(root: Cid, blocks: dict[Cid, bytes]) -> bytes:
    """Depth first, as a gateway sends it."""
    out, waiting = [car_header([root])], [root]
    while waiting:
        cid = waiting.pop()
        out.append(car_section(cid, blocks[cid]))
        waiting += reversed(list(linked_untrusted(cid, blocks[cid])))
    return b"".join(out)


def main() -> None:
    roots = []
    for name, size in ((b"file", FILE), (b"program", PROGRAM)):
        root, blocks = imported(content(name, size))
        Answers.blocks |= blocks
        Answers.cars[root] = car(root, blocks)
        roots.append(str(root))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        sys.stdout.write(json.dumps([server.server_address[1], *roots]) + "\n")
        sys.stdout.flush()
        server.serve_forever()


if __name__ == "__main__":
    main()
