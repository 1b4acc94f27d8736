"""Datagrams of the keeper: each field, each wrong length; nothing but SandboxBroken comes out."""

from __future__ import annotations

import json
import os
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.errors import SandboxBroken
from sandbox.keeperwire import Ended, Failed, Ready, decode_untrusted, decode_wait_status
from sandbox.layers import ADVICE, LAYER_NAMES, REQUIRED, Missing, layers_from_bits, names_of, parse_probe_untrusted
from sandbox.outcome import EndRecord, Why

READY = struct.pack("<IIIIIIQIIII", 16, 0, 1, 0x1FFFF, 0, 1, 7, 4, 4, 0, 1)
ENDED = struct.pack("<IIiIQQQ", 17, 5, 0x0300, 0, 1, 2, 3)
FAILED = struct.pack("<IIII", 18, 5, 2, 11)


def test_answers_are_values() -> None:
    assert decode_untrusted(READY) == Ready(0, 1, 0x1FFFF, 0, 1, 7, 4, 4, 0, 1)
    assert decode_untrusted(ENDED) == Ended(5, EndRecord(3, None, Why.ITSELF, 1, 2, 3))
    assert decode_untrusted(FAILED) == Failed(5, 2, 11)


@pytest.mark.parametrize("whole", [READY, ENDED, FAILED], ids=["READY", "ENDED", "FAILED"])
def test_every_other_length_is_refused(whole: bytes) -> None:
    for size in range(len(whole)):
        with pytest.raises(SandboxBroken):
            decode_untrusted(whole[:size])
    with pytest.raises(SandboxBroken):
        decode_untrusted(whole + b"\0")


@pytest.mark.parametrize("kind", [0, 1, 2, 3, 4, 5, 15, 19, (1 << 32) - 1])
def test_every_other_kind_is_refused(kind: int) -> None:
    with pytest.raises(SandboxBroken) as caught:
        decode_untrusted(kind.to_bytes(4, "little") + READY[4:])
    assert caught.value.code == "keeper-message"


@pytest.mark.parametrize("why", [4, 5, (1 << 32) - 1])
def test_a_reason_that_the_keeper_cannot_know_is_refused(why: int) -> None:
    with pytest.raises(SandboxBroken):
        decode_untrusted(ENDED[:12] + why.to_bytes(4, "little") + ENDED[16:])


@given(st.binary(max_size=80))
def test_any_bytes_are_an_answer_or_a_broken_sandbox(data: bytes) -> None:
    try:
        assert isinstance(decode_untrusted(data), Ready | Ended | Failed)
    except SandboxBroken:
        return


@given(st.integers(0, 255))
def test_an_exit_code_is_read_as_the_system_reads_it(code: int) -> None:
    assert decode_wait_status(code << 8) == (code, None)
    assert os.waitstatus_to_exitcode(code << 8) == code


@given(st.integers(1, 64), st.booleans())
def test_a_signal_is_read_as_the_system_reads_it(signal: int, core: bool) -> None:
    status = signal | (0x80 if core else 0)
    assert decode_wait_status(status) == (None, signal)
    assert os.waitstatus_to_exitcode(status) == -signal


def test_a_stopped_process_has_not_ended() -> None:
    with pytest.raises(ValueError, match="stopped"):
        decode_wait_status(0x137F)


@pytest.mark.parametrize("reason", [0, 1, 2, 3, 4, 5, 6, 1 << 31])
def test_every_failure_has_a_code_and_a_text(reason: int) -> None:
    code, text = Failed(1, reason, 0).code_and_text
    assert code == code.lower()
    assert text.endswith(".")


def test_a_missing_layer_says_how_to_get_it() -> None:
    layers = layers_from_bits(0x1FFFF & ~1, 1, 2)
    assert layers.required_missing == ("user",)
    assert "user" not in layers.on
    assert layers.cgroups == "v2"
    assert "AppArmor" in layers.missing[0].advice
    assert set(ADVICE) == set(LAYER_NAMES)
    assert set(REQUIRED) <= set(LAYER_NAMES)


def test_a_layer_of_a_newer_keeper_is_named_by_its_number() -> None:
    assert names_of(1 << 16 | 1 << 20) == ("tsc", "layer-20")


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"{}", b'{"layers": 1}', b'{"layers": [], "cgroups": "v1"}', b"\xff", b"[" * 100_000]
)
def test_a_probe_that_is_no_list_of_layers_is_broken(data: bytes) -> None:
    with pytest.raises(SandboxBroken) as caught:
        parse_probe_untrusted(data)
    assert caught.value.code == "probe-answer"


def test_a_probe_says_why_a_layer_is_missing() -> None:
    rows = [{"name": name, "on": name != "landlock", "why": "too old"} for name in LAYER_NAMES]
    layers = parse_probe_untrusted(json.dumps({"layers": rows, "cgroups": "none"}).encode())
    assert len(layers.on) == len(LAYER_NAMES) - 1
    assert layers.missing == (Missing("landlock", "too old", ADVICE["landlock"]),)
    assert layers.required_missing == ()
