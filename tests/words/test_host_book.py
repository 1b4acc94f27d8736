"""gatebus.cli.hostbook: the hosts that a person knows, and which one a command means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatebus.cli.hostbook import HostBook, KnownHost, Target, book_text, choose, parse_book
from gatebus.faults import UsageError

LAB = KnownHost("wss://bus.example.org", "~/.config/gatebus/id_ed25519")
BOOK = HostBook("lab", {"lab": LAB, "home": KnownHost("ws://192.0.2.1:6473")})


def fault(text: str) -> str:
    with pytest.raises(UsageError) as caught:
        parse_book(text)
    return caught.value.text


def test_a_book_is_read_as_it_was_written() -> None:
    assert parse_book(book_text(BOOK)) == BOOK
    assert parse_book(book_text(HostBook())) == HostBook() == parse_book("")


names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,20}", fullmatch=True)
hosts = st.builds(
    KnownHost,
    st.sampled_from(["ws://a:1", "wss://b.example", "unix:/run/x y.sock"]),
    st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
)


@given(st.dictionaries(names, hosts, max_size=4))
def test_every_book_survives_its_file(known: dict[str, KnownHost]) -> None:
    book = HostBook(next(iter(known), None), known)
    assert parse_book(book_text(book)) == book


def test_a_name_means_its_host_with_its_keys() -> None:
    assert choose("lab", BOOK, None) == Target(LAB.address, LAB.key, "lab")
    assert choose("home", BOOK, "/run/host.sock") == Target("ws://192.0.2.1:6473", named="home")


def test_without_a_name_it_is_the_default_then_the_socket_then_loopback() -> None:
    nameless = HostBook(None, BOOK.hosts)
    assert choose(None, BOOK, "/run/host.sock").named == "lab"
    assert choose(None, nameless, "/run/host.sock") == Target("unix:/run/host.sock")
    assert choose(None, nameless, None) == Target("ws://127.0.0.1:6473")
    assert choose(None, HostBook(), None) == Target("ws://127.0.0.1:6473")


@pytest.mark.parametrize(
    ("typed", "address"),
    [
        ("127.0.0.1:6473", "ws://127.0.0.1:6473"),
        ("ws://127.0.0.1:6473", "ws://127.0.0.1:6473"),
        ("localhost", "ws://localhost:6473"),
        ("wss://bus.example.com", "wss://bus.example.com"),
        ("unix:/run/host.sock", "unix:/run/host.sock"),
        ("[::1]:80", "ws://[::1]"),
    ],
)
def test_an_address_means_itself(typed: str, address: str) -> None:
    target = choose(typed, BOOK, None)
    assert (target.address, target.key, target.named) == (address, None, "")


def test_the_address_of_a_known_host_has_its_key() -> None:
    assert choose("wss://bus.example.org", BOOK, None) == Target(LAB.address, LAB.key)
    assert choose("bus.example.org:443", BOOK, None).key is None  # not by TLS
    assert choose("ws://192.0.2.1", BOOK, None) == Target("ws://192.0.2.1")
    twice = BOOK.with_host("again", LAB)
    assert choose(LAB.address, twice, None).key == LAB.key


def test_an_address_with_two_keys_has_none_because_one_would_be_shown_to_be_somebody_else() -> None:
    for other in ("other-key", None):
        assert choose(LAB.address, BOOK.with_host("other", KnownHost(LAB.address, other)), None).key is None


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("lap", "There is no host lap in your list. Did you mean lab?"),
        ("zzz", "There is no host zzz in your list. `gatebus login NAME ADDRESS` remembers one."),
        ("ftp://x", "ftp: is not a kind of address: use ws://, wss:// or unix:."),
    ],
)
def test_a_name_that_nobody_knows_is_told(typed: str, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        choose(typed, BOOK, None)
    assert caught.value.text == told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a = 1\n\na = 2", "hosts.toml is no TOML: cannot overwrite a value (at the end, line 3)."),
        ("a = ", "hosts.toml is no TOML: invalid value (at the end, line 1)."),
        ("a = " + "9" * 5_000, "hosts.toml has a number that is too long."),
        ("a = " + "[" * 4_000, "hosts.toml has tables that are nested too deeply."),
        ("host = 1", "hosts.toml has the unknown key `host`. There is default and [hosts.NAME]."),
        ("hosts = 1", "hosts.toml: `hosts` is no table."),
        ("default = 'x'", "hosts.toml: the default x is none of its hosts."),
        (
            "[hosts.a]\nadress = 'x'",
            "hosts.toml: [hosts.a] needs `address`, a text; `key` may be there, too.",
        ),
        (
            "[hosts.a]\naddress = 'x'\nkey = 1",
            "hosts.toml: [hosts.a] has a `key` that is no text: it is the name of a file.",
        ),
        ("[hosts.'a b']\naddress = 'x'", "a b cannot be the name of a host: use letters, digits, - and _."),
    ],
)
def test_what_is_wrong_in_the_file_is_named(text: str, told: str) -> None:
    assert fault(text) == told


def test_a_host_is_added_without_changing_the_rest() -> None:
    grown = BOOK.with_host("new", LAB)
    assert grown.hosts == {**BOOK.hosts, "new": LAB}
    assert "new" not in BOOK.hosts


def test_a_forgotten_host_leaves_the_rest_and_nobody_takes_its_place_as_default() -> None:
    book = HostBook("a", {"a": LAB, "b": LAB})
    left = book.without_host("a")
    assert left == HostBook(None, {"b": LAB})
    assert book.without_host("b") == HostBook("a", {"a": LAB})
    assert left.without_host("c") == left
    assert book.named_by(LAB.address) == ["a", "b"]
    assert left.named_by("ws://elsewhere") == []


@given(st.text(max_size=200))
def test_garbage_is_a_fault_or_a_book(text: str) -> None:
    try:
        told = book_text(parse_book(text))
    except UsageError as problem:
        told = f"# {problem.text}"
    assert told.startswith("# ")
    assert len(told) <= 210
