"""gatebus.host.authorizedkeys: whom a host knows, line by line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatebus.bounds import AUTHORIZED_KEYS_LINE, AUTHORIZED_KEYS_LINES, KEY_COMMENT
from gatebus.host.authorizedkeys import HARMLESS, NotTaken, parse_authorized_keys_untrusted
from gatebus.sshkeys import public_line

ADA, GRACE = b"a" * 32, b"g" * 32


def read(*lines: str) -> tuple[dict[bytes, str], tuple[NotTaken, ...]]:
    found = parse_authorized_keys_untrusted("\n".join(lines).encode())
    return {key: known.comment for key, known in found.keys.items()}, found.problems


def problem(line: str) -> str:
    keys, problems = read("# a comment", line)
    assert not keys
    (one,) = problems
    assert one.line == 2
    return one.reason


def test_keys_with_and_without_comments_are_known() -> None:
    assert read(public_line(ADA, "ada of the analytical engine"), public_line(GRACE)) == (
        {ADA: "ada of the analytical engine", GRACE: ""},
        (),
    )


def test_empty_lines_and_comments_are_passed_over() -> None:
    assert read("", "   ", "# hello", "  # more", "\t" + public_line(ADA)) == ({ADA: ""}, ())


def test_lines_may_end_as_on_windows() -> None:
    assert parse_authorized_keys_untrusted(f"{public_line(ADA, 'ada')}\r\n".encode()).keys[ADA].comment == "ada"


def test_no_line_hides_behind_a_carriage_return() -> None:
    """A terminal shows `# harmless`; sshd ends lines by newlines only."""
    hidden = parse_authorized_keys_untrusted(f"# harmless\r{public_line(ADA)}\n{public_line(GRACE)}\r\n".encode())
    assert set(hidden.keys) == {GRACE}
    assert hidden.problems == (NotTaken(1, "a carriage return in the middle"),)


@pytest.mark.parametrize("separator", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"])
def test_nothing_but_a_newline_ends_a_line(separator: str) -> None:
    assert not parse_authorized_keys_untrusted(f"# harmless{separator}{public_line(ADA)}".encode()).keys


def test_a_mark_before_the_first_line_is_no_part_of_it() -> None:
    assert set(parse_authorized_keys_untrusted(b"\xef\xbb\xbf" + public_line(ADA).encode()).keys) == {ADA}


def test_an_expiry_that_is_there_twice_gives_no_access() -> None:
    options = 'expiry-time="20200101",EXPIRY-TIME="20990101"'
    assert problem(f"{options} {public_line(ADA)}") == "the option expiry-time is there twice"
    assert read(f"no-pty,no-pty {public_line(ADA)}") == ({ADA: ""}, ())


def test_a_key_knows_its_line() -> None:
    assert parse_authorized_keys_untrusted(f"\n\n{public_line(ADA)}".encode()).keys[ADA].line == 3


@pytest.mark.parametrize("option", sorted(HARMLESS))
def test_options_that_take_away_what_is_not_offered_are_taken(option: str) -> None:
    assert read(f"{option} {public_line(ADA)}") == ({ADA: ""}, ())
    assert read(f"{option.upper()},restrict {public_line(ADA)}") == ({ADA: ""}, ())


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ('command="echo hello"', "command"),
        ('from="10.0.0.0/8"', "from"),
        ("cert-authority", "cert-authority"),
        ('restrict,command="a b, \\"c\\" d",no-pty', "command"),
        ('environment="A=1"', "environment"),
        ("unheard-of", "unheard-of"),
    ],
)
def test_an_option_that_would_have_to_be_obeyed_refuses_the_line(options: str, name: str) -> None:
    assert (
        problem(f"{options} {public_line(ADA)}") == f"the option {name} is not known here, so the line gives no access"
    )


@pytest.mark.parametrize("options", ['command="open', "restrict,", "restrict, no-pty", "=", '"x"', "a=b"])
def test_options_that_cannot_be_read_refuse_the_line(options: str) -> None:
    assert problem(f"{options} {public_line(ADA)}") == "its options cannot be read"


@pytest.mark.parametrize("kind", ["ssh-rsa", "ecdsa-sha2-nistp256", "sk-ssh-ed25519@openssh.com", "ssh-dss"])
def test_other_kinds_of_keys_are_named(kind: str) -> None:
    assert problem(f"{kind} AAAA ada") == f"{kind} is no key for gatebus; only ssh-ed25519 is"


def test_a_kind_without_a_key_is_refused() -> None:
    assert problem("ssh-ed25519") == "nothing follows ssh-ed25519"


def test_a_damaged_key_is_refused() -> None:
    text = public_line(ADA).split()[1]
    assert problem(f"ssh-ed25519 {text[:-1]}!") == "the key is no base64"
    assert problem(f"ssh-ed25519 {text[:-8]}") == "the key is cut off"
    assert problem(f"ssh-ed25519 {'AAAAB3NzaC1yc2E' + 'A' * 61}") == "the key inside is no ssh-ed25519"


def test_a_key_that_is_there_twice_counts_once() -> None:
    keys, problems = read(public_line(ADA, "first"), public_line(ADA, "second"))
    assert keys == {ADA: "first"}
    assert problems == (NotTaken(2, "the same key as in line 1"),)


def test_one_bad_line_takes_nothing_from_the_others() -> None:
    keys, problems = read(public_line(ADA), "ssh-rsa AAAA", public_line(GRACE))
    assert set(keys) == {ADA, GRACE}
    assert [each.line for each in problems] == [2]


def test_comments_hold_nothing_that_moves_a_cursor() -> None:
    keys, _ = read(public_line(ADA, "a\x1b[2Jb"))
    assert keys == {ADA: "a?[2Jb"}


def test_comments_are_cut() -> None:
    keys, _ = read(public_line(ADA, "c" * 500))
    assert keys == {ADA: "c" * KEY_COMMENT}


def test_long_lines_and_long_files_are_bounded() -> None:
    assert problem(public_line(ADA, "c" * AUTHORIZED_KEYS_LINE)) == f"longer than {AUTHORIZED_KEYS_LINE} bytes"
    keys, problems = read(*[""] * AUTHORIZED_KEYS_LINES, public_line(ADA))
    assert not keys
    assert problems == (NotTaken(AUTHORIZED_KEYS_LINES + 1, f"only {AUTHORIZED_KEYS_LINES} lines are read"),)


def test_bytes_that_are_no_text_are_refused_by_line() -> None:
    found = parse_authorized_keys_untrusted(b"\xff\xfe\n" + public_line(ADA).encode())
    assert list(found.keys) == [ADA]
    assert found.problems == (NotTaken(1, "no UTF-8 text"),)


@pytest.mark.parametrize(
    ("text", "moment"),
    [("20271231", 1_830_211_200), ("202712312359", 1_830_297_540), ("20271231235959Z", 1_830_297_599)],
)
def test_a_key_expires_when_its_line_says(text: str, moment: float) -> None:
    known = parse_authorized_keys_untrusted(f'expiry-time="{text}" {public_line(ADA)}'.encode())
    assert known.find(ADA, moment - 1) is not None
    assert known.find(ADA, moment) is None
    assert known.find(GRACE, 0) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", 'expiry-time is written like expiry-time="20271231" or "202712312359Z"'),
        ("tomorrow", 'expiry-time is written like expiry-time="20271231" or "202712312359Z"'),
        ("20271332", "expiry-time is no day and time that there is"),
    ],
)
def test_an_expiry_that_is_no_time_gives_no_access(text: str, reason: str) -> None:
    assert problem(f'expiry-time="{text}" {public_line(ADA)}') == reason


@given(st.binary(max_size=400))
def test_garbage_never_raises_and_gives_nobody_access(data: bytes) -> None:
    assert not parse_authorized_keys_untrusted(data).keys


@given(st.integers(0, 200), st.integers(1, 255))
def test_one_wrong_byte_never_makes_another_options_line_pass(at: int, flip: int) -> None:
    line = bytearray(f'command="id" {public_line(ADA)}'.encode())
    line[at % len(line)] ^= flip
    known = parse_authorized_keys_untrusted(bytes(line)).keys
    if known:  # the damage has cut the line in two: what follows is a line of its own
        assert b"\n" in bytes(line) or b"\r" in bytes(line)
