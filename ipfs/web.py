"""One HTTP request to a source that is not trusted; a wire.

In:  a source, what to ask. Out: bytes as they come, not more than was allowed for; SourceFailed, SourceRefused.

No redirect is followed, no proxy of the environment is used, nothing is decompressed. A public gateway's name is
resolved here, every address of it is looked at, and the connection goes to the address that was looked at: between a
look and a second resolution the name could have moved (security: SSRF). Certificates are checked against the name.
"""

import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from socket import gaierror
from typing import Self

import httpx
import trio

from ipfs.addresses import GATEWAY, Source, is_public
from ipfs.caps import AHEAD, BLOCK_TIME, SILENCE
from ipfs.troubles import SourceFailed, SourceRefused

# Closing a connection waits for nobody; should it, not for long.
_CLOSING = 1.0
_UNKNOWN = "The source's name is not known."
_OK, _MOVED, _ERRORS = 200, 300, 400


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a source may be silent, and how long one block may take."""

    silence: float = SILENCE
    block: float = BLOCK_TIME


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    parameters: Mapping[str, str]
    accept: str = "*/*"
    body: bytes | None = None
    """As a file of a form, which is how a node's RPC takes blocks."""


class Web:
    """The connections to one source."""

    def __init__(self, source: Source, client: httpx.AsyncClient) -> None:
        self._url = httpx.URL(source.url)
        self._public = source.kind == GATEWAY
        self._client = client

    async def read(self, request: Request, limit: int) -> bytes:
        """A whole answer of at most `limit` bytes."""
        out = bytearray()
        async with self.stream(request) as answer:
            while piece := await answer.piece():
                out += piece
                if len(out) > limit:
                    raise SourceFailed("The source sends more than was asked for.")
        return bytes(out)

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator["Answer"]:
        with _told():
            built = await self._build(request)
            response = await self._client.send(built, stream=True)
        answer = Answer(response)
        try:
            _check(response)
            yield answer
        finally:
            with trio.CancelScope(deadline=trio.current_time() + _CLOSING, shield=True):
                await answer.close()

    async def _build(self, request: Request) -> httpx.Request:
        base = self._url.path.rstrip("/")
        url = self._url.copy_with(path=base + request.path, params=dict(request.parameters))
        headers = {"Accept": request.accept, "Accept-Encoding": "identity", "User-Agent": "gatebus"}
        extensions = {}
        if self._public:
            headers["Host"] = self._url.netloc.decode("ascii")
            extensions["sni_hostname"] = self._url.host
            url = url.copy_with(host=await public_address(self._url.host, self._url.port or 443))
        files = None if request.body is None else {"file": request.body}
        built = self._client.build_request(request.method, url, headers=headers, files=files, extensions=extensions)
        if isinstance(built.stream, httpx.SyncByteStream):
            built.stream = _Whole(b"".join(built.stream))
        return built


class _Whole(httpx.AsyncByteStream):
    """A body that is sent at once. The library's are generators, and nobody closes those when a request is given up."""

    def __init__(self, data: bytes) -> None:
        self._left = [data]

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if not self._left:
            raise StopAsyncIteration
        return self._left.pop()


async def public_address(host: str, port: int) -> str:
    """One address of a host all of whose addresses are public. Raises SourceRefused, SourceFailed."""
    try:
        found = await trio.socket.getaddrinfo(host, port, type=trio.socket.SOCK_STREAM)
    except OSError:
        raise SourceFailed(_UNKNOWN) from None
    addresses = [str(each[4][0]) for each in found]
    if not addresses or not all(map(is_public, addresses)):
        raise SourceRefused("The source is an address of a private network. Write local+URL if that is meant.")
    return addresses[0]


def _check(response: httpx.Response) -> None:
    status = response.status_code
    if status in range(_MOVED, _ERRORS):
        raise SourceRefused("The source sends us elsewhere; redirects are not followed.")
    if status != _OK:
        raise SourceFailed(f"The source does not have it (status {status}).")
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise SourceFailed("The source compresses what must not be compressed.")


class Answer:
    """The body of a response as it comes."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        self._pieces = response.aiter_raw()

    async def piece(self) -> bytes:
        """Nothing at the end. Raises SourceFailed."""
        with _told():
            return await anext(self._pieces, b"")

    async def close(self) -> None:
        """The connection first: then the generators that the library has stacked upon it all end, with its error."""
        await self._response.aclose()
        with suppress(SourceFailed):
            while await self.piece():
                pass


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as problem:
        raise SourceFailed(_why(problem)) from problem


def _why(problem: BaseException) -> str:
    """The library wraps what the system said, several times over."""
    if isinstance(problem, httpx.TimeoutException):
        return "The source did not answer in time."
    kinds = {type(each) for each in _below(problem)}
    if gaierror in kinds:
        return _UNKNOWN
    if ConnectionRefusedError in kinds:
        return "The source refused the connection: nothing listens at its port."
    return "The source did not answer properly."


def _below(problem: BaseException) -> Iterator[BaseException]:
    yield problem
    inner = problem.exceptions if isinstance(problem, BaseExceptionGroup) else ()
    for each in (*inner, problem.__cause__ or problem.__context__):
        if each is not None:
            yield from _below(each)


@asynccontextmanager
async def open_web(source: Source, patience: Patience) -> AsyncIterator[Web]:
    limits = httpx.Limits(max_connections=AHEAD, max_keepalive_connections=AHEAD)
    # Reading all authorities takes 20 ms. Whoever asks over plain http need not wait for it; nobody is believed then.
    trusted = True if source.url.startswith("https:") else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    async with httpx.AsyncClient(
        trust_env=False, follow_redirects=False, timeout=patience.silence, limits=limits, verify=trusted
    ) as client:
        yield Web(source, client)
