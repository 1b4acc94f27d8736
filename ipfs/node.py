"""What is asked of a node's RPC (Kubo) besides blocks: to take blocks, to keep what they make up, its version; a wire.

In:  a CID and its block; answers of the node (untrusted, bounded). Out: nothing, or SourceFailed when the node did not
do it; Unverified when it names a block otherwise than we do.
"""

import json
import re

import trio

from ipfs.caps import KIB, NESTED_MAX, TEXT_MAX_VERSION
from ipfs.cid import BLAKE2B_256, DAG_CBOR, DAG_PB, RAW, SHA2_256, SHA2_512, Cid, parse_cid_untrusted
from ipfs.troubles import BadName, SourceFailed, Unsupported, Unverified
from ipfs.web import Patience, Request, Web

_CODECS = {RAW: "raw", DAG_PB: "dag-pb", DAG_CBOR: "dag-cbor"}
_HASHES = {SHA2_256: "sha2-256", SHA2_512: "sha2-512", BLAKE2B_256: "blake2b-256"}
_ANSWER = 64 * KIB  # an answer is one or two names
# Kubo's; older ones name blocks otherwise or have no `cid-codec`, and get no repairs any more.
OLDEST = "0.39"
_NUMBERS = re.compile(r"(\d{1,6})\.(\d{1,6})")


class NodeRpc:
    def __init__(self, web: Web, patience: Patience) -> None:
        self._web, self._patience = web, patience

    async def version(self) -> str:
        text = (await self._ask("version", {})).get("Version")
        if not isinstance(text, str):
            raise SourceFailed("The node does not say its version.")
        return "".join(each for each in text[:TEXT_MAX_VERSION] if each.isprintable())

    async def put(self, cid: Cid, block: bytes) -> None:
        """Whatever version of the name it answers with."""
        if cid.codec not in _CODECS or cid.hash not in _HASHES:
            raise Unsupported("A block of this kind cannot be given to a node.")
        names = {"cid-codec": _CODECS[cid.codec], "mhtype": _HASHES[cid.hash], "allow-big-block": "true"}
        answer = await self._ask("block/put", names, block)
        if _named_untrusted(answer.get("Key")).key != cid.key:
            raise Unverified("The node has kept other bytes than it was given.")

    async def pin(self, cid: Cid) -> None:
        """With everything below it. It has all of that: nothing is looked for."""
        pins = (await self._ask("pin/add", {"arg": str(cid)})).get("Pins")
        if not isinstance(pins, list) or cid.key not in [_named_untrusted(each).key for each in pins[:16]]:
            raise SourceFailed("The node does not say that it keeps it.")

    async def _ask(self, what: str, parameters: dict[str, str], block: bytes | None = None) -> dict[str, object]:
        request = Request("POST", f"/api/v0/{what}", parameters, body=block)
        try:
            with trio.fail_after(self._patience.block):
                return _object_untrusted(await self._web.read(request, _ANSWER))
        except trio.TooSlowError:
            raise SourceFailed("The node did not answer in time.") from None


def is_older(version: str) -> bool:
    """Than OLDEST. What says no numbers is another program's: not older."""
    said, oldest = _NUMBERS.match(version), _NUMBERS.match(OLDEST)
    return said is not None and oldest is not None and _pair(said) < _pair(oldest)


def _pair(found: re.Match[str]) -> tuple[int, int]:
    return int(found[1]), int(found[2])


def _object_untrusted(data: bytes) -> dict[str, object]:
    try:
        found = json.loads(data) if data.count(b"[") + data.count(b"{") <= NESTED_MAX else None
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise SourceFailed("The node's answer cannot be read.")
    return found


def _named_untrusted(text: object) -> Cid:
    try:
        return parse_cid_untrusted(text if isinstance(text, str) else "")
    except BadName:
        raise SourceFailed("The node's answer has no name of a block.") from None
