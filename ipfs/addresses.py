"""What people and configurations write: `ipfs://CID/path`, sources, hosts; words.

In:  text (of a person, or untrusted). Out: Address and Source, frozen; whether a host's address may be asked.
"""

from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import unquote, urlsplit

from ipfs.caps import CID_TEXT_MAX, DEPTH_MAX, NAME_MAX, PATH_MAX
from ipfs.cid import Cid, parse_cid_untrusted
from ipfs.troubles import BadName

SCHEME = "ipfs://"
GATEWAY, LOCAL_GATEWAY, NODE, THREAD_NODE = "gateway", "local gateway", "node", "node by ipfshttpclient"
_PREFIXES = {"local+": LOCAL_GATEWAY, "node+": NODE, "ipfshttpclient+": THREAD_NODE}
# All of IPv6 that is given out to the public. What is outside carries IPv4 addresses (NAT64, translation), or was meant
# for sites or routers: it leads anywhere. So do, inside, 6to4, Teredo, others of protocols, and documentation.
_GIVEN_OUT = IPv6Network("2000::/3")
_SPECIAL = tuple(map(ip_network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "192.88.99.0/24")))


@dataclass(frozen=True, slots=True)
class Address:
    """A CID and the way below it."""

    cid: Cid
    path: tuple[str, ...] = ()

    def __str__(self) -> str:
        """As it is read again: a percent sign would begin something else."""
        return "/".join((f"{SCHEME}{self.cid}", *(name.replace("%", "%25") for name in self.path)))


@dataclass(frozen=True, slots=True)
class Source:
    """Who may have blocks. None is trusted; `kind` says how it is asked and whether it may be a private address."""

    kind: str
    url: str


def parse_address_untrusted(text: str) -> Address:
    """`ipfs://CID/path`, `/ipfs/CID/path` or `CID/path`. Percent signs are decoded behind `ipfs://` only."""
    if text.partition("/")[0].endswith(":") and not text.startswith(SCHEME):
        raise BadName(
            "It is no address of content. Write ipfs://CID/path, whoever it comes from; a gateway is a source."
        )
    rest = text.removeprefix(SCHEME).removeprefix("/ipfs/")
    cid, *path = rest[: PATH_MAX + 1].split("/")
    if len(cid) > CID_TEXT_MAX:
        raise BadName(f"It is no CID: a CID has at most {CID_TEXT_MAX} characters.")
    if len(text) > PATH_MAX:
        raise BadName(f"The path is too long: with its CID it has at most {PATH_MAX} characters.")
    if text.startswith(SCHEME):
        path = [unquote(name, errors="surrogateescape") for name in path]
    names = tuple(name for name in path if name)
    if len(names) > DEPTH_MAX:
        raise BadName(f"The path has more than {DEPTH_MAX} names.")
    for name in names:
        check_name(name)
    return Address(parse_cid_untrusted(cid), names)


def begins_with_cid(text: str) -> bool:
    """Whether a person who could have meant something else means content: CID or CID/path, in any base that is read.
    What carries its bytes in its name does not count: a short one could be anybody's word.
    """
    try:
        cid = parse_cid_untrusted(text.partition("/")[0])
    except BadName:
        return False
    return cid.inline is None


def check_name(name: str) -> None:
    """Raises BadName for what could lead out of a directory, or what no file system takes."""
    if name in ("", ".", "..") or any(bad in name for bad in "/\\\0"):
        raise BadName("A name may not be empty, `.` or `..`, nor contain a slash, a backslash or a zero byte.")
    if len(name.encode(errors="surrogateescape")) > NAME_MAX:
        raise BadName(f"A name has more than {NAME_MAX} bytes.")
    if not name.isprintable():
        raise BadName("A name contains characters that cannot be shown.")


def parse_source_untrusted(text: str) -> Source:
    """`https://HOST` for a public gateway, `local+http://HOST:PORT` for a gateway anywhere, `node+http://...` for a
    node's RPC, `ipfshttpclient+http://...` for the same by that package.
    """
    prefix = next((each for each in _PREFIXES if text.startswith(each)), "")
    url = text.removeprefix(prefix).rstrip("/")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise BadName("A source is no URL.") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise BadName("A source is written https://HOST, or local+, node+ or ipfshttpclient+ before http://HOST:PORT.")
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise BadName("A source has no name, password, `?` or `#` in its URL.")
    if not prefix and parts.scheme != "https":
        raise BadName("A public gateway is asked over https. For one of your own write local+http://HOST:PORT.")
    return Source(_PREFIXES.get(prefix, GATEWAY), url)


def is_public(address: str) -> bool:
    """Whether a public gateway may have this address: nothing of this machine, of a private net, of a cloud's own."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, IPv6Address):
        if ip.ipv4_mapped is not None:
            return is_public(str(ip.ipv4_mapped))
        if ip not in _GIVEN_OUT:
            return False
    return ip.is_global and not ip.is_multicast and not any(ip in net for net in _SPECIAL)
