"""The files that browsers get, read once; a wire.

In:  files of the package. Out: address on the host -> Asset. A table of what is served, so that nothing else ever is.
"""

from importlib.resources import files
from typing import NamedTuple


class Asset(NamedTuple):
    content_type: str
    content: bytes


_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "ts": "text/plain; charset=utf-8",
    "LICENSE": "text/plain; charset=utf-8",
}
_PAGES = {"/": "index.html", "/chat": "chat.html"}
_OURS = (
    *("gatebus.js", "gatebus.d.ts", "protocol.js", "answers.js", "streams.js"),
    *("page.js", "page.css", "chat.js", "chat.css"),
)
_CBORG = (
    *("cborg.js", "LICENSE"),
    *(f"lib/{kind}.js" for kind in ("0uint", "1negint", "2bytes", "3string", "4array", "5map", "6tag", "7float")),
    *(f"lib/{part}.js" for part in ("bl", "byte-utils", "common", "decode", "encode", "is", "jump", "tagged", "token")),
)
_TABLE = (
    _PAGES | {f"/{name}": name for name in _OURS} | {f"/vendor/cborg/{name}": f"vendor/cborg/{name}" for name in _CBORG}
)


def read_assets() -> dict[str, Asset]:
    """All of them: about 150 KiB, kept in memory by the host."""
    folder = files("gatebus.browser")
    return {
        address: Asset(
            _TYPES[name.rpartition("/")[2].rpartition(".")[2]], folder.joinpath(*name.split("/")).read_bytes()
        )
        for address, name in _TABLE.items()
    }
