"""What a jailed worker says and what a disk kept: believed only when every field is right."""

from __future__ import annotations

import json
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.cachefile import HEAD_SIZE, MAGIC, DamagedEntry, decode_entry_untrusted, encode_entry
from sandbox.compilefailure import compile_failure
from sandbox.errors import CompileLimit, Refused, SandboxBroken, SandboxError, public_text_untrusted
from sandbox.form import Form
from sandbox.image import FACTS_MAX, Facts, image_key, parse_facts_untrusted, unsuspendable_facts
from sandbox.limits import CompileLimits
from sandbox.outcome import SIGKILL, SIGXCPU, EndRecord, Why
from sandbox.testing import fake_facts

KEY = sha256(b"key").hexdigest()


def entry(facts: bytes = b"{}", image: bytes = b"code", key: str = KEY) -> bytes:
    return b"".join(encode_entry(key, facts, image))


@given(st.binary(max_size=100), st.binary(min_size=1, max_size=300))
def test_an_entry_comes_back_as_it_was_written(facts: bytes, image: bytes) -> None:
    assert decode_entry_untrusted(entry(facts, image), KEY) == (facts, image)


@pytest.mark.parametrize("at", range(len(entry())))
def test_a_flipped_bit_in_any_byte_is_noticed(at: int) -> None:
    data = bytearray(entry())
    data[at] ^= 1
    with pytest.raises(DamagedEntry):
        decode_entry_untrusted(bytes(data), KEY)


@pytest.mark.parametrize("size", range(len(entry())))
def test_a_cut_entry_is_noticed_at_every_length(size: int) -> None:
    with pytest.raises(DamagedEntry):
        decode_entry_untrusted(entry()[:size], KEY)


def test_a_renamed_entry_is_noticed() -> None:
    with pytest.raises(DamagedEntry, match="another file"):
        decode_entry_untrusted(entry(), sha256(b"other").hexdigest())


def test_an_entry_with_a_right_checksum_and_a_wrong_length_is_noticed() -> None:
    for length in (5, FACTS_MAX + 1, (1 << 32) - 1):
        body = length.to_bytes(4, "little") + b"{}c"
        data = MAGIC + bytes.fromhex(KEY) + sha256(body).digest() + body
        with pytest.raises(DamagedEntry, match="wrong lengths"):
            decode_entry_untrusted(data, KEY)
    assert HEAD_SIZE == 76


def test_a_key_depends_on_program_and_engine() -> None:
    one, two = sha256(b"1").hexdigest(), sha256(b"2").hexdigest()
    assert len({image_key(one, "a"), image_key(two, "a"), image_key(one, "b")}) == 3


def test_the_two_forms_of_a_program_have_keys_of_their_own() -> None:
    one = sha256(b"1").hexdigest()
    assert image_key(one, "a", Form.PLAIN) == image_key(one, "a") != image_key(one, "a", Form.SUSPENDABLE)


def written(**changes: object) -> bytes:
    return json.dumps({**fake_facts(b"program"), **changes}).encode()


def test_facts_say_whether_a_program_can_be_suspended_and_why_not() -> None:
    assert parse_facts_untrusted(written(suspendable=True)).suspendable
    reasons = ["function 7 (f): why", "bad \x1b[2J name", "x" * 500]
    found = parse_facts_untrusted(written(unsuspendable=reasons))
    assert not found.suspendable
    assert found.unsuspendable == ("function 7 (f): why", "bad  [2J name", "x" * 199 + "…")


def test_facts_of_a_plain_program_can_be_given_a_reason() -> None:
    assert parse_facts_untrusted(unsuspendable_facts(written(), "too large")).unsuspendable == ("too large",)


def test_facts_are_read() -> None:
    digest = sha256(b"program").hexdigest()
    assert parse_facts_untrusted(written()) == Facts("wasi", 1, 1, None, 0, ("_start",), False, 0, digest)


@pytest.mark.parametrize(
    "changes",
    [
        {"ok": 1}, {"ok": None}, {"personality": "other"}, {"personality": []}, {"functions": -1},
        {"functions": 1.5}, {"functions": True},
        {"memory_pages": 1 << 33}, {"memory_max_pages": "1"}, {"table_elements": None}, {"exports": "x"},
        {"exports": [1]},
        {"exports": ["x"] * 65}, {"exports": ["x" * 1025]}, {"has_start": 0}, {"imports": {}}, {"wasm_sha256": "00"},
        {"wasm_sha256": "Z" * 64}, {"wasm_sha256": 5}, {"suspendable": 1}, {"unsuspendable": "f"},
        {"unsuspendable": [1]}, {"unsuspendable": ["x"] * 17}, {"summary": 5}, {"summary": "0"},
    ],
)  # fmt: skip
def test_every_field_of_the_facts_is_checked(changes: dict[str, object]) -> None:
    with pytest.raises(SandboxBroken) as caught:
        parse_facts_untrusted(written(**changes))
    assert caught.value.code == "compiler-facts"


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"ok":true}', b" " * (FACTS_MAX + 1), b'{"ok":false}'],
)
def test_nonsense_is_the_workers_fault(data: bytes) -> None:
    with pytest.raises(SandboxBroken):
        parse_facts_untrusted(data)


@pytest.mark.parametrize("code", ["malformed", "invalid", "unsupported", "too-large", "bad-import"])
def test_a_refusal_is_the_programs_fault(code: str) -> None:
    with pytest.raises(Refused) as caught:
        parse_facts_untrusted(json.dumps({"ok": False, "code": code, "text": "Because.\n\x1b"}).encode())
    assert (caught.value.code, caught.value.text) == (code, "Because.  ")


def test_too_much_code_is_a_limit_and_an_unknown_code_is_nonsense() -> None:
    with pytest.raises(CompileLimit) as caught:
        parse_facts_untrusted(json.dumps({"ok": False, "code": "code-too-large", "text": "It has 9 bytes."}).encode())
    assert caught.value.code == "code-too-large"
    for said in ({"code": "other", "text": "x"}, {"code": "invalid", "text": 1}, {"code": ["invalid"], "text": "x"}):
        with pytest.raises(SandboxBroken):
            parse_facts_untrusted(json.dumps({"ok": False, **said}).encode())


@pytest.mark.parametrize(
    ("end", "kind", "code"),
    [
        (EndRecord(None, SIGKILL, Why.WALL), CompileLimit, "compile-wall-time"),
        (EndRecord(61, None), CompileLimit, "compile-wall-time"),
        (EndRecord(None, SIGKILL, Why.MEMORY), CompileLimit, "compile-memory"),
        (EndRecord(62, None), CompileLimit, "compile-memory"),
        (EndRecord(60, None), CompileLimit, "compile-cpu-time"),
        (EndRecord(None, SIGXCPU), CompileLimit, "compile-cpu-time"),
        (EndRecord(None, SIGKILL, user_us=60_000_000), CompileLimit, "compile-cpu-time"),
        (EndRecord(None, SIGKILL), CompileLimit, "compile-crashed"),
        (EndRecord(None, 11), CompileLimit, "compile-crashed"),
        (EndRecord(70, None), CompileLimit, "compile-crashed"),
        (EndRecord(None, None, Why.LOST), SandboxBroken, "keeper-lost"),
    ],
)
def test_a_worker_that_ends_badly_has_a_reason(end: EndRecord, kind: type[SandboxError], code: str) -> None:
    failure = compile_failure(end, CompileLimits())
    assert type(failure) is kind
    assert failure.code == code
    assert failure.text.endswith(".")


@given(st.text(max_size=400), st.integers(1, 300))
def test_a_public_text_is_printable_and_short(text: str, longest: int) -> None:
    public = public_text_untrusted(text, longest)
    assert public.isprintable()
    assert len(public) <= longest
    if text.isprintable() and len(text) <= longest:
        assert public == text
