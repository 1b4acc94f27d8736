"""Where the images of programs come from, and where the files that they left go; a wire.

Where it stands: between an order and the sandbox. In: a module's hash, or a source (untrusted text); bytes from the
store or the source (untrusted: the sandbox's admission judges them). Out: an Image; the files of an order; what a
result says about files.

Cheapest first: the sandbox's memory, its disk, the module store, the source. What was fetched is known by its hash
afterwards, so that a source is asked once as long as the image stays cached.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import trio

from gatebus.bounds import FILES_ANSWERED, FILES_INLINE, SOURCES_KNOWN
from gatebus.contentbounds import FETCHES_EACH
from gatebus.host.moduledata import tags_untrusted
from gatebus.host.refusals import Refusal
from sandbox.errors import BadSetup, BadState, Refused
from sandbox.form import Form
from sandbox.lanes import Lanes
from sandbox.tree import File, Node, Tree

if TYPE_CHECKING:
    from gatebus.host.modulestore import Held, ModuleStore
    from gatebus.host.principals import Principal
    from gatebus.host.runorders import Order
    from gatebus.host.statuses import Map
    from sandbox.box import Sandbox
    from sandbox.image import Image
    from sandbox.setup import Setup


class Source(Protocol):
    """Where modules that are named by an address come from."""

    async def fetch(self, address: str, size: int, account: str) -> bytes:
        """At most `size` bytes, for whoever draws on this account. Raises GatebusError."""


@runtime_checkable
class Keeper(Source, Protocol):
    """A source whose modules can be pinned by their addresses."""

    def check_keeping(self, address: str) -> None:
        """Raises Refusal: a module from there cannot be pinned."""

    async def keep(self, address: str, digest: bytes) -> str:
        """What was just fetched stays, as long as this module does. Its own address, for others. Raises as `fetch`."""

    async def let_go(self, digest: bytes) -> None:
        """Nobody pins this module any more. Raises GatebusError."""


class Programs:
    """An instances.Admission."""

    def __init__(self, box: Sandbox, store: ModuleStore, source: Source, program_size: int) -> None:
        self._box, self._store, self._source, self._size = box, store, source, program_size
        self._hashes: OrderedDict[str, str] = OrderedDict()  # of sources
        self._compiling = Lanes()  # by account: the bytes of its next ones stay on the disk meanwhile
        self._coming, self._come = Lanes(), Lanes(FETCHES_EACH)  # by account, and address or scheme
        self._pinning = trio.Lock()  # of two who pin and unpin one module, the second sees what the first did

    def ready(self, module: str, form: Form = Form.PLAIN) -> Image | None:
        digest = self._hashes.get(module) if "://" in module else module
        image = self._box.ready(digest, form) if digest is not None else None
        if image is not None and digest is module:
            self._store.touch(bytes.fromhex(module))
        return image

    async def admit(self, order: Order) -> Image:
        module, form = order.module, order.form
        if (image := await self._cached(module, form)) is not None:
            return image
        if "://" in module:
            return await self._from_source(module, order)
        async with self._compiling.one(order.principal.account):
            return await self._cached(module, form) or await self._from_store(module, order)

    async def image(self, digest: str, principal: Principal, form: Form) -> Image:
        """Of a program that is known by its hash. Raises SandboxError, GatebusError."""
        if (image := self._box.ready(digest, form) or await self._box.cached(digest, form)) is not None:
            return image
        async with self._compiling.one(principal.account):
            return await self._box.compile(
                await self.bytes_of(digest), principal=principal.account, sha256=digest, form=form
            )

    async def prepare(self, image: Image, state: bytes, order: Order) -> None:
        """What goes on from this state is in the caches then. Raises SandboxError, GatebusError."""
        try:
            await self._box.prepare(image, state, order.limits)
        except BadState as bad:
            if bad.code != "state-program":
                raise
            async with self._compiling.one(order.principal.account):
                await self._box.prepare(image, state, order.limits, await self.bytes_of(image.sha256))

    async def bytes_of(self, digest: str) -> bytes:
        """Raises Refusal."""
        return await self._store.get(bytes.fromhex(digest))

    async def _cached(self, module: str, form: Form) -> Image | None:
        digest = self._hashes.get(module) if "://" in module else module
        if digest is not None and (image := await self._box.cached(digest, form)) is not None:
            return image
        return None

    async def _from_store(self, module: str, order: Order) -> Image:
        digest = bytes.fromhex(module)
        if (size := await self._store.size(digest)) > self._size:
            raise Refused("too-large", f"The program has {size} bytes; at most {self._size} are allowed.")
        wasm = await self._store.get(digest)
        return await self._box.compile(wasm, principal=order.principal.account, sha256=module, form=order.form)

    async def _from_source(self, module: str, order: Order) -> Image:
        """A source may be slow: meanwhile the compiler takes the account's other programs. What came waits in memory,
        few of each account and scheme. Who wants the same address finds it there afterwards.
        """
        account, scheme = order.principal.account, module.partition("://")[0]
        async with self._coming.one((account, module)), self._come.one((account, scheme)):
            if (image := await self._cached(module, order.form)) is not None:
                return image
            wasm = await self._source.fetch(module, self._size, account)
            async with self._compiling.one(account):
                image = await self._box.compile(wasm, principal=account, form=order.form)
            self._remember(module, image.sha256)
            if image.suspendable:
                await self.keep(order.principal, wasm)  # it goes on from there, when its source may be gone
            return image

    def _remember(self, source: str, digest: str) -> None:
        self._hashes[source] = digest
        self._hashes.move_to_end(source)
        if len(self._hashes) > SOURCES_KNOWN:
            self._hashes.popitem(last=False)

    # Pins.

    async def pin(self, address: str, principal: Principal, tags: object) -> tuple[Held, str]:
        """Fetched, kept as if it had been uploaded, and pinned; and its own address. Raises Refusal."""
        if not isinstance(self._source, Keeper):
            raise Refusal("bad-request", "Modules cannot be pinned by address here. Upload it, and pin that.")
        self._source.check_keeping(address)
        checked = tags_untrusted(tags)
        wasm = await self._source.fetch(address, self._size, principal.account)
        digest = await self.keep(principal, wasm)
        async with self._pinning:
            held = await self._store.pin(digest, principal, checked)
            own = await self._source.keep(address, digest)
        self._remember(address, digest.hex())
        return held, own

    async def unpin(self, digest: bytes, principal: Principal, tags: object) -> Held:
        """What stayed only for this module goes with the last pin. Raises Refusal."""
        async with self._pinning:
            held = await self._store.unpin(digest, principal, tags)
            if isinstance(self._source, Keeper) and not await self._store.is_pinned(digest):
                await self._source.let_go(digest)
        return held

    # Files.

    async def with_stored_files(self, order: Order) -> Setup:
        """What was uploaded before goes to its places: the account's own, as the program may print it."""
        nodes: dict[str, Node] = dict(order.setup.tree or {})
        left = order.limits.files
        for path, digest in order.stored.items():
            left -= await self._store.own(order.principal, digest)
            if left < 0:
                raise BadSetup("tree-size", f"The files are larger than the limit `files`, {order.limits.files} bytes.")
            nodes[path] = File(await self._store.get(digest))
        return replace(order.setup, tree=Tree(nodes))

    async def keep_files(self, principal: Principal, tree: Tree) -> Map:
        """Path -> content, or {sha256, size} of what is to be downloaded, or {size, code} of what could not be kept."""
        told: Map = {}
        left = FILES_INLINE
        for path, node in tree.items():
            if not isinstance(node, File):
                continue
            if len(told) >= FILES_ANSWERED:
                break
            if len(node.content) + len(path) <= left:
                told[path] = node.content
                left -= len(node.content) + len(path)
            elif len(path) <= left:
                told[path] = await self._keep(principal, node.content)
                left -= len(path)
        return told

    async def _keep(self, principal: Principal, content: bytes) -> Map:
        try:
            return {"sha256": await self.keep(principal, content), "size": len(content)}
        except Refusal as refusal:
            return {"size": len(content), "code": refusal.code}

    async def keep(self, principal: Principal, content: bytes) -> bytes:
        """Into the module store, drawing on the principal's quota. Its hash."""
        digest = sha256(content).digest()
        upload = await self._store.upload(digest, len(content), principal)
        try:
            if not upload.known:
                await upload.write(content)
            await upload.finish()
        finally:
            await upload.aclose()
        return digest
