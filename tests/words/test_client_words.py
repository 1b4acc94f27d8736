"""The words of gatebus.client: known hosts, the agent, answers of hosts, orders, pauses, whose fault it is."""

from __future__ import annotations

import copy
import re
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from buswords import values
from hypothesis import given
from hypothesis import strategies as st

from gatebus.bounds import ERROR_TEXT
from gatebus.client import agentwords, answers, orders
from gatebus.client.backoff import pause
from gatebus.client.complaints import (
    Denied,
    HostError,
    HostNonsense,
    HostTrouble,
    KeyUnusable,
    ProgramRefused,
    QuotaReached,
    SoftwareFault,
    host_error,
)
from gatebus.client.knownhosts import (
    Verdict,
    changed_text,
    known_host_line,
    parse_known_hosts_untrusted,
    unknown_text,
    without_host,
)
from gatebus.client.signers import SeedSigner, as_signer
from gatebus.clientbounds import RECONNECT_FIRST, RECONNECT_LONGEST
from gatebus.faults import UsageError
from gatebus.protocol.proofs import public_key, sign, verify
from gatebus.sshkeys import fingerprint, public_blob

KEY, OTHER = public_key(b"a" * 32), public_key(b"b" * 32)
NAME = "ws://example.org:6473"


# Known hosts.


@given(st.sampled_from((NAME, "wss://[::1]:443", "ws://h:1")), st.binary(min_size=32, max_size=32))
def test_a_host_that_was_written_down_is_known(name: str, key: bytes) -> None:
    known = parse_known_hosts_untrusted(known_host_line(name, key).encode())
    assert known.judge(name, key) is Verdict.KNOWN
    assert known.judge(name + "0", key) is Verdict.NEW
    assert known.judge(name, bytes(32) if key != bytes(32) else b"x" * 32) is Verdict.CHANGED
    assert known.problems == ()


def test_a_host_may_have_two_keys_while_it_changes_from_one_to_the_other() -> None:
    text = known_host_line(NAME, KEY) + "# a remark\n\n" + known_host_line(NAME, OTHER)
    known = parse_known_hosts_untrusted(text.encode())
    assert known.judge(NAME, KEY) is known.judge(NAME, OTHER) is Verdict.KNOWN


@pytest.mark.parametrize(
    "line",
    [
        "ws://h",
        "ws://h ssh-ed25519",
        "ws://h ssh-rsa AAAAB3NzaC1yc2E=",
        "ws://h ssh-ed25519 ????",
        "ws://h ssh-ed25519 AAAA",
        known_host_line(NAME, KEY).strip()[:-3],
    ],
)
def test_a_line_that_is_not_understood_believes_nobody_and_the_others_still_count(line: str) -> None:
    known = parse_known_hosts_untrusted((line + "\n" + known_host_line("ws://other:1", KEY)).encode())
    assert known.problems == (1,)
    assert known.judge(line.split(maxsplit=1)[0], KEY) is Verdict.CHANGED
    assert known.judge("ws://other:1", KEY) is Verdict.KNOWN


@given(st.binary(max_size=200))
def test_any_file_is_read_without_an_error(data: bytes) -> None:
    assert parse_known_hosts_untrusted(data).judge("name", KEY) in Verdict


@pytest.mark.parametrize("name", ["", "two words", " x", "x\n", "#x", "\x1b[31m"])
def test_a_name_that_would_be_read_otherwise_is_not_written(name: str) -> None:
    with pytest.raises(ValueError, match="The name of a host has no spaces"):
        known_host_line(name, KEY)


def test_a_host_is_forgotten_with_all_its_lines_and_nothing_else_changes() -> None:
    kept = b"# mine\r\nws://other ssh-ed25519 x\n\n  damaged"
    line = known_host_line(NAME, KEY).encode()
    assert without_host(line + kept + b"\n" + line, NAME) == kept + b"\n"
    assert without_host(kept, NAME) == kept
    assert without_host(b"", NAME) == b""
    spaced = f"x\u2028{NAME} y\n{NAME}\u00a0z\n".encode()
    assert NAME not in parse_known_hosts_untrusted(without_host(spaced, NAME)).keys


@given(st.binary(max_size=200), st.sampled_from([NAME, "h", "ws://h:1"]))
def test_a_forgotten_host_is_new_whatever_else_the_file_has(data: bytes, name: str) -> None:
    left = without_host(data.replace(b"\r", b"") + b"\n" + known_host_line(name, KEY).encode(), name)
    assert parse_known_hosts_untrusted(left).judge(name, KEY) is Verdict.NEW


def test_a_person_is_told_what_to_compare_and_what_to_do() -> None:
    assert changed_text(NAME, KEY) == (
        f"The key of ws://example.org:6473 has changed to {fingerprint(KEY)}. Somebody may pretend to be this host, or "
        "it was installed anew: ask whoever runs it, then forget the old one: "
        "gatebus login --forget ws://example.org:6473"
    )
    assert unknown_text("h", KEY) == (
        f"The host h is not known. Its key is {fingerprint(KEY)}: compare it with `gatebus key` at the host."
    )


# The agent.


def string(data: bytes) -> bytes:
    return len(data).to_bytes(4) + data


def test_the_agents_questions_have_the_drafts_bytes() -> None:
    assert agentwords.list_request() == bytes.fromhex("00000001 0b")
    asked = agentwords.sign_request(KEY, b"statement")
    assert asked == (len(asked) - 4).to_bytes(4) + b"\x0d" + string(public_blob(KEY)) + string(b"statement") + bytes(4)


def test_the_agents_keys_are_those_of_our_kind() -> None:
    rsa = string(string(b"ssh-rsa") + string(b"\x01\x00\x01")) + string(b"an rsa key")
    ours = string(public_blob(KEY)) + string(b"mine")
    assert agentwords.keys_untrusted(b"\x0c" + (2).to_bytes(4) + rsa + ours) == [KEY]


def test_an_agents_signature_is_taken_out_of_its_wrapping() -> None:
    signature = sign(b"a" * 32, b"statement")
    answer = b"\x0e" + string(string(b"ssh-ed25519") + string(signature))
    assert agentwords.signature_untrusted(answer) == signature
    assert verify(KEY, signature, b"statement")
    for wrong in (string(b"ssh-rsa") + string(signature), string(b"ssh-ed25519") + string(b"short")):
        with pytest.raises(KeyUnusable, match="another kind of signature"):
            agentwords.signature_untrusted(b"\x0e" + string(wrong))


@given(st.binary(max_size=80))
def test_whatever_an_agent_answers_is_understood_or_said(data: bytes) -> None:
    said = set()
    for read in (agentwords.keys_untrusted, agentwords.signature_untrusted):
        for answer in (data, b"\x0c" + data, b"\x0e" + data):
            try:
                read(answer)
            except KeyUnusable as fault:
                said.add(fault.text)
    assert said <= {
        "The agent does not have this key, or did not want to sign.",
        "The agent's answer is cut off.",
        "The agent answered with another kind of signature.",
    }


async def test_a_key_may_be_given_in_several_forms() -> None:
    signer = as_signer(b"a" * 32)
    assert isinstance(signer, SeedSigner)
    assert as_signer(signer) is signer
    assert as_signer(None) is None
    assert verify(signer.public, await signer.sign(b"x"), b"x")
    assert repr(signer) == "SeedSigner(...)"
    with pytest.raises(UsageError, match="32 bytes"):
        as_signer(b"short")


# Answers.

USAGE = {"cpu_ms": 1, "peak_memory": 2, "bytes_in": 3, "bytes_out": 4, "wall_ms": 5.5, "log_dropped": 6}
OUTCOME: dict[str, Any] = {"state": "HALTED", "cause": "NORMAL", "result": 0, "text": "t", "usage": USAGE}
STATUS = {**OUTCOME, "instance": b"i" * 16, "module": b"m" * 32, "created": 7, "tags": ["a"]}
MODULE = {"module": b"m" * 32, "size": 9, "tags": ["a"], "pinned": True}
UPLOADED = {"module": b"m" * 32, "size": 9, "known": True}
READERS: list[tuple[Any, dict[str, Any]]] = [
    (answers.outcome_untrusted, OUTCOME),
    (answers.status_untrusted, STATUS),
    (answers.module_untrusted, MODULE),
    (answers.uploaded_untrusted, UPLOADED),
    (answers.event_untrusted, {"number": 1, "event": "ended"}),
]


def test_an_outcome_is_read_whole_and_alone_or_inside_an_answer() -> None:
    outcome = answers.outcome_untrusted(OUTCOME)
    assert outcome == answers.outcome_untrusted({"outcome": OUTCOME, "files": {}})
    assert (outcome.state, outcome.cause, outcome.result, outcome.text) == ("HALTED", "NORMAL", 0, "t")
    assert outcome.usage == answers.Usage(1, 2, 3, 4, 6, 6)
    status = answers.status_untrusted(STATUS)
    assert (status.instance.bytes, status.module, status.created, status.tags) == (b"i" * 16, "6d" * 32, 7, ("a",))


def test_limits_are_numbers_or_none_and_may_be_others_than_ours() -> None:
    told = {"cpu_time": 1.5, "memory": 3, "wall_time": None, "of a newer host": 1}
    assert answers.status_untrusted(STATUS | {"limits": told}).limits == told
    assert answers.status_untrusted(STATUS).limits is None
    for wrong in ({"memory": "3"}, {"memory": True}, {"memory": float("nan")}, {1: 3}):
        with pytest.raises(HostNonsense):
            answers.status_untrusted(STATUS | {"limits": wrong})


def test_what_has_not_ended_has_no_cause_and_what_was_killed_no_result() -> None:
    running = answers.status_untrusted({"instance": b"i" * 16, "state": "RUNNING"})
    assert (running.cause, running.result) == ("", None)
    killed = answers.outcome_untrusted({"state": "KILLED", "cause": "CPU_TIME"})
    assert (killed.cause, killed.result, answers.Result(killed).ok) == ("CPU_TIME", None, False)


@pytest.mark.parametrize("told", [7, 7.4, 6.6])
def test_times_are_whole_however_fine_a_host_is(told: float) -> None:
    status = answers.status_untrusted({**STATUS, "created": told, "usage": {"cpu_ms": told, "wall_ms": told}})
    for each in (status.created, status.usage.cpu_ms, status.usage.wall_ms):
        assert (each, type(each)) == (7, int)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), True, None, "7"])
def test_a_time_that_is_no_number_is_nonsense(wrong: object) -> None:
    with pytest.raises(HostNonsense) as caught:
        answers.status_untrusted({**STATUS, "created": wrong})
    assert caught.value.text == "The host's answer has a wrong created."


@pytest.mark.parametrize(("read", "told"), READERS, ids=lambda value: getattr(value, "__name__", ""))
def test_each_field_of_an_answer_has_one_type(read: Any, told: dict[str, Any]) -> None:
    assert read(told | {"colour": "blue"}) == read(told) or read is answers.event_untrusted
    for name in told:
        for wrong in (object(), [1], {"a": 1}, b"short"):
            if (name, wrong) == ("usage", {"a": 1}) or (read is answers.status_untrusted and name == "module"):
                continue  # what is not known in a map is ignored; a status names a module in any form
            with pytest.raises(HostNonsense) as caught:
                read(told | {name: wrong})
            assert caught.value.text.startswith(("The host's answer has", "The host named"))


@given(st.dictionaries(st.sampled_from(sorted({*STATUS, *MODULE, *UPLOADED, "outcome", "event"})), values))
def test_any_answer_is_read_or_is_nonsense(told: dict[str, Any]) -> None:
    for read, _ in READERS:
        try:
            assert read(told) is not None
        except HostNonsense:
            continue


def test_files_of_a_result_are_content_or_where_it_is() -> None:
    told = {"files": {"a": b"x", "b": {"sha256": b"s" * 32, "size": 5}}}
    assert answers.files_untrusted(told) == {"a": b"x", "b": answers.Stored(b"s" * 32, 5)}
    for wrong in ({"files": {"a": 1}}, {"files": {"a": {"sha256": b"x"}}}, {"files": []}):
        with pytest.raises(HostNonsense):
            answers.files_untrusted(wrong)


def test_a_list_of_answers_is_a_list_of_maps() -> None:
    assert answers.rows_untrusted({"modules": [MODULE]}, "modules") == [MODULE]
    for wrong in ({}, {"modules": {}}, {"modules": [1]}):
        with pytest.raises(HostNonsense):
            answers.rows_untrusted(wrong, "modules")


@pytest.mark.parametrize(
    ("cause", "result", "ok"), [("NORMAL", 0, True), ("NORMAL", 1, False), ("UNREACHABLE", 0, False), ("", 0, True)]
)
def test_a_result_is_good_when_the_program_ended_by_itself_and_was_content(cause: str, result: int, ok: bool) -> None:
    assert answers.Result(answers.Outcome("HALTED", cause, result)).ok is ok


# Orders.


@pytest.mark.parametrize(
    ("written", "named"),
    [(b"m" * 32, b"m" * 32), ("6d" * 32, b"m" * 32), ("ipfs://bafy", "ipfs://bafy"), ("host://.js", "host://.js")],
)
def test_a_module_is_named_by_its_hash_or_a_source(written: bytes | str, named: bytes | str) -> None:
    assert orders.module_name(written) == named


@pytest.mark.parametrize("written", ["file.wasm", "6d" * 31, "", "zz" * 32])
def test_what_names_no_module_is_refused_before_anything_is_sent(written: bytes | str) -> None:
    with pytest.raises(UsageError) as caught:
        orders.module_name(written)
    assert caught.value.text.startswith("A module's name is")


def test_a_path_is_told_that_its_bytes_are_wanted() -> None:
    with pytest.raises(UsageError) as caught:
        orders.module_name(Path("hello.wasm"))  # type: ignore[arg-type]
    assert caught.value.text.endswith("of a file, give what read_bytes() returns.")


def test_bytes_are_a_module_unless_they_are_as_long_as_a_hash_and_do_not_begin_as_one() -> None:
    assert orders.is_content(b"\0asm" + bytes(28))
    assert orders.is_content(b"(module)")
    assert not orders.is_content(b"m" * 32)
    assert not orders.is_content("ipfs://bafy")


def test_only_what_was_given_is_sent() -> None:
    assert orders.parameters(orders.Program(b""), b"m") == {"module": b"m"}
    whole = orders.Program(b"", ["a"], {"B": "c"}, {"f": b"x"}, {"memory": 5}, "run", True, ["t"], True)
    assert orders.parameters(whole, "ipfs://x") == {
        "module": "ipfs://x",
        "args": ["a"],
        "env": {"B": "c"},
        "files": {"f": b"x"},
        "limits": {"memory": 5},
        "function": "run",
        "want_files": True,
        "tags": ["t"],
        "open": True,
    }


def test_a_program_knows_its_modules_hash_and_is_equal_to_one_that_was_not_asked() -> None:
    asked, other = orders.Program(b"module", ["a"]), orders.Program(b"module", ["a"])
    assert asked.digest() == asked.digest() == sha256(b"module").digest()
    assert asked == other
    assert repr(asked) == repr(other)
    assert replace(asked, module=b"another").digest() == sha256(b"another").digest()


# Pauses and complaints.


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_a_pause_grows_to_its_bound_and_is_never_less_than_half_of_it(failures: int, dice: float) -> None:
    longest = min(RECONNECT_LONGEST, RECONNECT_FIRST * 2 ** min(failures, 30))
    assert longest / 2 <= pause(failures, dice) <= longest


@pytest.mark.parametrize(
    ("kind", "codes"),
    [
        (Denied, ["not-authorized", "forbidden", "origin", "not-found", "conflict"]),
        (Denied, ["stream-exists", "attached-elsewhere"]),
        (QuotaReached, ["quota-instances", "quota-memory", "quota-storage", "quota-uploads"]),
        (QuotaReached, ["quota-connections", "busy"]),
        (ProgramRefused, ["refused", "compile-limit", "bad-setup"]),
        (SoftwareFault, ["protocol", "version", "too-slow", "too-large", "bad-request"]),
        (HostTrouble, ["stopping", "internal", "a code of the future"]),
    ],
)
def test_every_code_says_whose_fault_it_is(kind: type[HostError], codes: list[str]) -> None:
    for code in codes:
        fault = host_error(code, "Why.", {"reason": "r"})
        assert type(fault) is kind
        assert (fault.code, fault.text, fault.details) == (code, "Why.", {"reason": "r"})


def test_every_code_of_the_page_is_known() -> None:
    page = (Path(__file__).parents[2] / "gatebus/protocol/PROTOCOL.md").read_text()
    table = page[page.index("| code | whose | meaning |") : page.index("## Limits")]
    codes = re.findall(r"`([a-z-]+)`", " ".join(line.split("|")[1] for line in table.splitlines()[2:] if "|" in line))
    assert len(codes) > 20
    for code in codes:
        assert type(host_error(code, "", {})) is not HostTrouble or code in ("stopping", "internal", "disk-full")


def test_what_a_host_says_is_shortened_and_made_printable() -> None:
    fault = host_error("internal", "a\x1b[31m\n" + "x" * 999, {})
    assert fault.text == ("a[31m" + "x" * 999)[:ERROR_TEXT]
    assert str(copy.copy(fault)) == fault.text
    assert copy.copy(fault).code == "internal"
