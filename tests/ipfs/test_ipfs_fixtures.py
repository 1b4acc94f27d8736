"""Other people's CARs: read whole, with a byte flipped, with a block missing, and with names that lead outside."""

from __future__ import annotations

import random
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from ipfsdata import answered, fixture

from ipfs.blockstore import BlockStore
from ipfs.caps import Budget
from ipfs.car import CarReader
from ipfs.cid import parse_cid_untrusted
from ipfs.content import complete
from ipfs.dagpb import decode_block_untrusted, linked_untrusted
from ipfs.fetching import Fetcher
from ipfs.reader import FileWalk, list_directory, resolve
from ipfs.troubles import IpfsError, Malformed, Unavailable, Unsupported

if TYPE_CHECKING:
    from pathlib import Path

    from ipfs.cid import Cid

CONFORMANCE = [
    f"gateway-conformance/{name}.car"
    for name in (
        "gateway-raw-block",
        "dir_listing/fixtures",
        "path_gateway_dag/dag-cbor-traversal",
        "path_gateway_dag/dag-json-traversal",
        "path_gateway_dag/dag-pb",
        "path_gateway_dag/gateway-json-cbor",
        "path_gateway_dag/plain-cbor",
        "path_gateway_dag/plain-cbor-that-can-be-dag-cbor",
        "path_gateway_dag/plain-cbor-that-can-be-dag-json",
        "path_gateway_dag/plain-json",
        "path_gateway_tar/fixtures",
        "path_gateway_tar/inside-root",
        "path_gateway_tar/outside-root",
        "path_gateway_unixfs/dir-with-files",
        "path_gateway_unixfs/dir-with-percent-encoded-filename",
        "path_gateway_unixfs/symlink",
        "subdomain_gateway/fixtures",
        "trustless_gateway_car/dir-with-dag-cbor-with-links",
        "trustless_gateway_car/dir-with-duplicate-files",
        "trustless_gateway_car/file-3k-and-3-blocks-missing-block",
        "trustless_gateway_car/single-layer-hamt-with-multi-block-files",
        "trustless_gateway_car/subdir-with-mixed-block-files",
        "trustless_gateway_car/subdir-with-two-single-block-files",
    )
]
OTHERS = [
    "boxo/dir-special-chars.car",
    "boxo/directory-with-multilayer-hamt-and-multiblock-files.car",
    "boxo/unixfs-dir-with-mode-mtime.car",
    "go-car/sample-v1-noidentity.car",
    "go-car/sample-v1.car",
    "go-unixfsnode/QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o.car",
    "go-unixfsnode/QmT8EC9sJq63SkDZ1mWLbWWyVV66PuqyHWpKkH4pcVyY4H.car",
    "go-unixfsnode/wikipedia-cryptographic-hash-function.car",
]
LARGE = Budget()


def read(data: bytes) -> tuple[tuple[Cid, ...], dict[Cid, bytes]]:
    reader = CarReader()
    blocks = dict(reader.feed(data))
    reader.finish()
    return reader.roots or (), blocks


def content(cid: Cid, blocks: dict[Cid, bytes]) -> bytes:
    walk, out = FileWalk(cid, LARGE), []
    while (wanted := walk.wanted) is not None:
        out.append(walk.give(blocks[wanted]))
    return b"".join(out)


def files(cid: Cid, blocks: dict[Cid, bytes], at: str = "") -> dict[str, bytes]:
    """Every file below a root that is there and is one."""
    if (block := blocks.get(cid)) is None:
        return {}
    try:
        node = decode_block_untrusted(cid, block)
        if node.is_file:
            return {at: content(cid, blocks)}
        found: dict[str, bytes] = {}
        for entry in answered(list_directory(cid, LARGE), blocks):
            found |= files(entry.cid, blocks, f"{at}/{entry.name}")
    except (KeyError, IpfsError):
        return {}
    return found


@pytest.mark.parametrize("name", CONFORMANCE + OTHERS)
def test_a_car_of_others_is_read_and_a_flipped_byte_in_any_block_is_noticed(name: str) -> None:
    data = fixture(name)
    _, blocks = read(data)
    assert blocks
    starts = [data.index(block) for block in blocks.values() if len(block) > 36]
    for start in starts[:8]:
        with pytest.raises(IpfsError):
            read(data[: start + 20] + bytes([data[start + 20] ^ 1]) + data[start + 21 :])


@pytest.mark.parametrize("name", CONFORMANCE + OTHERS)
def test_a_flipped_bit_anywhere_in_a_car_of_others_changes_no_block(name: str) -> None:
    """Of the header, of lengths, of CIDs, of blocks: it is refused, or every block is under its own hash as before. A
    codec may change: it is no part of the hash, and says how to read a block and not what it is.
    """
    data = fixture(name)
    right = {cid.key: block for cid, block in read(data)[1].items()}
    dice, refused = random.Random(name), 0
    tries = 60 if len(data) < 60_000 else 12
    for _ in range(tries):
        at, bit = dice.randrange(len(data)), 1 << dice.randrange(8)
        try:
            _, blocks = read(data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :])
        except IpfsError:
            refused += 1
            continue
        assert {cid.key: block for cid, block in blocks.items()}.items() <= right.items()
    assert refused >= tries // 2  # most bytes are hashes or hashed


@pytest.mark.parametrize("name", CONFORMANCE + OTHERS)
def test_without_a_block_of_it_a_car_of_others_gives_no_wrong_file(name: str) -> None:
    roots, blocks = read(fixture(name))
    right = {path: content for root in roots for path, content in files(root, blocks, str(root)).items()}
    for missing in list(blocks)[: 12 if len(blocks) < 100 else 1]:
        rest = {cid: block for cid, block in blocks.items() if cid != missing}
        found = {path: content for root in roots for path, content in files(root, rest, str(root)).items()}
        assert found.items() <= right.items()


@pytest.mark.parametrize("name", CONFORMANCE + OTHERS)
async def test_a_gateway_without_one_block_of_it_is_found_out(name: str, tmp_path: Path) -> None:
    """Every block below a root but one, the last that is reached: what needs it says so, and nothing is made up."""
    roots, blocks = read(fixture(name))
    reached = reachable(roots[0], blocks) if roots else []
    if not 2 <= len(reached) <= 500 or any(cid.key not in {each.key for each in blocks} for cid in reached):
        return  # nothing lies below it, it takes long, or the fixture itself is not whole
    store = BlockStore(tmp_path)
    store.keep((cid, block) for cid, block in blocks.items() if cid.key != reached[-1].key)
    with pytest.raises((Unavailable, Malformed)):
        await complete(Fetcher(store), roots[0])


def reachable(root: Cid, blocks: dict[Cid, bytes]) -> list[Cid]:
    """Without those that carry themselves."""
    by_key = {cid.key: block for cid, block in blocks.items()}
    found, waiting = dict.fromkeys([root]), [root]
    while waiting:
        cid = waiting.pop()
        block = cid.inline if cid.inline is not None else by_key.get(cid.key)
        with suppress(Malformed):  # two of them have blocks of wrong dag-cbor, on purpose
            fresh = [each for each in linked_untrusted(cid, block or b"") if block and each not in found]
            found.update(dict.fromkeys(fresh))
            waiting += fresh
    return [cid for cid in found if cid.inline is None]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("go-car/sample-wrapped-v2.car", "write it as version 1"),
        ("go-car/sample-v2-indexless.car", "write it as version 1"),
        ("go-car/sample-rw-bs-v2.car", "write it as version 1"),
        ("go-car/sample-unixfs-v2.car", "write it as version 1"),
        ("go-car/sample-rootless-v42.car", "write it as version 1"),
        ("go-car/sample-corrupt-pragma.car", "cut short"),
        ("go-car/sample-v1-tailing-corrupt-section.car", "cut short"),
        ("go-car/sample-v1-with-zero-len-section2.car", "empty piece"),
    ],
)
def test_a_car_that_is_broken_or_of_another_version_is_refused(name: str, text: str) -> None:
    with pytest.raises((Malformed, Unsupported), match=text):
        read(fixture(name))


LISTING = "gateway-conformance/dir_listing/fixtures.car"


def test_the_recipe_of_a_fixture_says_what_its_path_leads_to() -> None:
    (root,), blocks = read(fixture(LISTING))
    assert str(root) == "bafybeig6ka5mlwkl4subqhaiatalkcleo4jgnr3hqwvpmsqfca27cijp3i"
    found = answered(resolve(root, ("ą", "ę", "file-źł.txt")), blocks)
    assert str(found) == "bafkreialihlqnf5uwo4byh4n3cmwlntwqzxxs2fg5vanqdi3d7tb2l5xkm"
    assert content(found, blocks) == b"I am a txt file on path with utf8\n"


@pytest.mark.parametrize(
    ("name", "count"),
    [
        (LISTING, 4),
        ("gateway-conformance/path_gateway_unixfs/dir-with-files.car", 4),
        ("gateway-conformance/subdomain_gateway/fixtures.car", 8),
        ("gateway-conformance/trustless_gateway_car/single-layer-hamt-with-multi-block-files.car", 1000),
        ("boxo/directory-with-multilayer-hamt-and-multiblock-files.car", 6),
        ("boxo/dir-special-chars.car", 3),
        ("boxo/unixfs-dir-with-mode-mtime.car", 3),
    ],
)
def test_every_file_below_a_root_is_found_by_list_and_by_path(name: str, count: int) -> None:
    roots, blocks = read(fixture(name))
    found = files(roots[0], blocks)
    assert len(found) == count, sorted(found)
    for path, data in list(found.items())[:: 1 + count // 10]:
        assert content(answered(resolve(roots[0], tuple(path.split("/")[1:])), blocks), blocks) == data


def test_names_in_a_large_directory_of_a_wiki_are_all_found_by_their_hash() -> None:
    (root, *_), blocks = read(fixture("go-unixfsnode/wikipedia-cryptographic-hash-function.car"))
    name = "Cryptographic_hash_function"
    assert answered(resolve(root, ("wiki", name)), blocks)


def test_a_missing_block_is_asked_for_and_nothing_is_made_up_for_it() -> None:
    (root, *_), blocks = read(
        fixture("gateway-conformance/trustless_gateway_car/file-3k-and-3-blocks-missing-block.car")
    )
    with pytest.raises(KeyError) as missing:
        content(root, blocks)
    assert missing.value.args[0] not in blocks


@pytest.mark.parametrize(("name", "path"), [("inside-root", ("foobar", "directory")), ("outside-root", ())])
def test_a_directory_whose_names_lead_outside_is_refused(name: str, path: tuple[str, ...]) -> None:
    roots, blocks = read(fixture(f"gateway-conformance/path_gateway_tar/{name}.car"))
    with pytest.raises(Malformed, match="a name that no file may have"):
        answered(list_directory(answered(resolve(roots[0], path), blocks), LARGE), blocks)


def test_a_symbolic_link_is_listed_and_not_followed() -> None:
    (root,), blocks = read(fixture("gateway-conformance/path_gateway_unixfs/symlink.car"))
    assert [entry.name for entry in answered(list_directory(root, LARGE), blocks)] == ["bar", "foo"]
    with pytest.raises(Unsupported, match="symbolic link"):
        content(answered(resolve(root, ("bar",)), blocks), blocks)
    assert content(answered(resolve(root, ("foo",)), blocks), blocks) == b"content\n"


def test_a_file_has_the_same_bytes_whatever_its_cid_looks_like() -> None:
    (root,), blocks = read(fixture("gateway-conformance/subdomain_gateway/fixtures.car"))
    names = ["hello-CIDv0", "hello-CIDv0to1", "hello-CIDv1", "hello-CIDv1_TOO_LONG"]
    assert {content(answered(resolve(root, (name,)), blocks), blocks) for name in names} == {b"hello\n"}
    assert str(parse_cid_untrusted(str(answered(resolve(root, (names[0],)), blocks)))).startswith("Qm")
