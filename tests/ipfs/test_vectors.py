"""The CIDs that Kubo, js-ipfs and the importer of Helia give to known bytes; other words must not give others."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ipfsdata import imported, vector

from ipfs.cid import RAW, cid_of, parse_cid_untrusted, verify_untrusted
from ipfs.importer import PROFILES, Profile, directory, profile_named
from ipfs.troubles import BadName

KUBO_V1, KUBO_V0, NEW = PROFILES["kubo-v1"], PROFILES["unixfs-v0-2015"], PROFILES["unixfs-v1-2025"]
SMALL = Profile(1, raw_leaves=True, chunk=64, width=174)
SMALLEST_MODULE = b"\0asm\x01\0\0\0"

VECTORS = [
    (KUBO_V1, 0, "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku", 0),
    (KUBO_V1, 1, "bafkreigrxpltxmersc73rayfm5y6eluzova62iahs6j36m4xl7qwkrmbym", 1),
    (KUBO_V1, 262143, "bafkreigwemgw5l6hcwpi2clfbkilt73wbptffpmy7uugqci5drxd6zrae4", 262143),
    (KUBO_V1, 262144, "bafkreibtis6p63llzr6hszlp5adqofyicpmkbmlve32i5hxlxrmtu5ewqi", 262144),
    (KUBO_V1, 262145, "bafybeibluegdfkcp37zanf3i6c5oq2eiykqgiuphjvfgdid2y56s4ytpjy", 262249),
    (KUBO_V1, 1048576, "bafybeigzzfiva5plnsluhu22xn6lcbqi4so7bup4pb2g3hy25q46wylvgu", 1048784),
    (KUBO_V1, 45613056, "bafybeib4m2nwrrsz3nasp5d7oio5hil23zixtynyyo2xv6da3ctzfu7tjy", 45621766),
    (KUBO_V1, 45613057, "bafybeigbjubmzlklovdf7v6rtuvfuefd5kqtel4vgylqspwsgecjxet5ae", 45621926),
    (KUBO_V1, 62914560, "bafybeiebqez2g4odfuarhdyibhgg3gidv42cw5jpd52zt5ga6go6nop2au", 62926693),
    (SMALL, 11136, "bafybeicgzvmjpbavnbg43ljouxphqstsxvuojzje5cz7d6kcaovy4enp3e", 19148),
    (SMALL, 11137, "bafybeia7gqr2pmbesdvvemakzqc5i5ds4llamemaxuyk3vty6tzgu7ebey", 19303),
    (SMALL, 22272, "bafybeicn2vujdwnrbe7wl5stafizlmarvc6acmnhz42gd7p3pi3jjifqum", 38402),
    (SMALL, 1937664, "bafybeibu6cahgaipyhedz4xmg6ltd6z6omsanjqk65zgowi57jmwbecguq", 3340287),
    (SMALL, 1937665, "bafybeid3nssmtlyjarru2qkheiah7a5uw3qzfa2epjwbh4ebcgpekhjuja", 3340497),
    (SMALL, 2000000, "bafybeicpsa4ahvaj6dftif56i4adofodxostvt4adcqscqg5pzf2bjbipi", 3447885),
    (NEW, 0, "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku", 0),
    (NEW, 1, "bafkreigrxpltxmersc73rayfm5y6eluzova62iahs6j36m4xl7qwkrmbym", 1),
    (NEW, 1048576, "bafkreigmcvry6cfz3eegbd45s7q26utcyv2idbsaawrgh4roeaii2ghqli", 1048576),
    (NEW, 1048577, "bafybeic3sy6vl35hcu7ev7uyypzyhaaiuxn5xi6yiatspiwess4ajxtisy", 1048681),
    (NEW, 62914560, "bafybeiciwwuqhi3h3ymz3smqvqgmnqkj5u4ncifu3qepyawqc6sahsvllq", 62917570),
    (KUBO_V0, 0, "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH", 6),
    (KUBO_V0, 1, "QmXEbKxz33Vef346duiFgZyu3NdULKxmNwehuoT9BiY5Ly", 9),
    (KUBO_V0, 262144, "QmegTPtc9guqMxBDbCSRmEZRfqhPXbNuLMvSfsAs85Qekf", 262158),
    (KUBO_V0, 262145, "QmXoLgekUWD42A6q1gS72qaFtyDpt7wS9WuTY1jx8dy4Pm", 262267),
    (KUBO_V0, 1048576, "QmZAPenqwa49tC3321rk6pQX8HXPeNyaG2bf75GXrCoGPv", 1048832),
    (KUBO_V0, 62914560, "QmXZUfJvGkGCewKN63b8WRM2y5zW4Tn8v7EtbsxzJKdxvj", 62929569),
]


@pytest.mark.parametrize(("profile", "size", "cid", "cumulative"), VECTORS)
def test_a_file_gets_the_cid_that_other_nodes_give_it(profile: Profile, size: int, cid: str, cumulative: int) -> None:
    root, blocks = imported(vector(size), profile)
    assert (str(root.cid), root.size, root.cumulative) == (cid, size, cumulative)
    for each, block in blocks.items():
        verify_untrusted(each, block)


def test_the_smallest_module_has_its_cid() -> None:
    assert str(cid_of(RAW, SMALLEST_MODULE)) == "bafkreieturf3xfwhkeqy4taa2r46jqkdlajcuoe2zsqwebnr4tinyx4uoy"


def test_directories_get_the_cids_that_kubo_gives_them() -> None:
    a, main, module = (imported(data)[0] for data in (vector(1), vector(1048576), SMALLEST_MODULE))
    below, _ = directory({"min.wasm": module}, KUBO_V1)
    whole, _ = directory({"sub": below, "main.wasm": main, "a.txt": a}, KUBO_V1)
    assert str(below.cid) == "bafybeicwiysarsgz5xeayyowmw2u3gqkdny2ggpedweygjudrzfubi5rky"
    assert str(whole.cid) == "bafybeibx67mjitgrw4jvepk3z5yd2h2pyw76yv4sppbnp3slobqalihn6q"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\0", "x" * 256, "a\nb"])
def test_a_directory_takes_no_name_that_no_file_may_have(name: str) -> None:
    with pytest.raises(BadName, match="name"):
        directory({name: imported(b"")[0]}, KUBO_V1)


@settings(max_examples=40)
@given(size=st.integers(0, 3000), piece=st.integers(1, 500))
def test_how_a_file_arrives_does_not_change_its_cid(size: int, piece: int) -> None:
    profile = Profile(1, raw_leaves=True, chunk=64, width=3)
    assert imported(vector(size), profile, piece) == imported(vector(size), profile)


def test_an_unknown_profile_is_answered_with_the_known_ones() -> None:
    with pytest.raises(BadName, match=r"There are unixfs-v0-2015, kubo-v1, unixfs-v1-2025\."):
        profile_named("v2")


@pytest.mark.parametrize("text", [each for _, _, each, _ in VECTORS])
def test_a_cid_is_read_and_written_without_a_change(text: str) -> None:
    cid = parse_cid_untrusted(text)
    assert str(cid) == text
    assert parse_cid_untrusted(str(cid)) == cid
