"""The vectors that bind Rust and Python: every line of vectors.json means the same here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sandbox import control, keeperwire
from sandbox.errors import PacketViolation
from sandbox.form import CompileJob
from sandbox.layers import LAYER_NAMES
from sandbox.limits import CompileLimits, Limits
from sandbox.outcome import EXIT_CAUSES, Cause, EndRecord, Report, State, Wish, decide
from sandbox.packets import HEADER, Known, encode, scan_untrusted, split_untrusted
from sandbox.setup import Setup
from sandbox.tree import Directory, File, Link, Tree

VECTORS = json.loads((Path(__file__).parents[2] / "sandbox/native/wire/vectors.json").read_text())
Vector = dict[str, Any]


def named(kind: str, *names: str) -> list[Vector]:
    return [vector for vector in VECTORS[kind] if vector["name"] in names]


@pytest.mark.parametrize("vector", VECTORS["packets"])
def test_packets_have_the_same_bytes(vector: Vector) -> None:
    data, content = bytes.fromhex(vector["hex"]), bytes.fromhex(vector["content"])
    assert encode(vector["code"], vector["domain"], content, vector["index"]) == data
    (packet,) = split_untrusted(data)
    assert packet == (vector["code"], vector["domain"], content, vector["index"])


@pytest.mark.parametrize("vector", VECTORS["refused_headers"])
def test_headers_that_no_guest_may_write_are_violations_or_control_packets(vector: Vector) -> None:
    data = bytes.fromhex(vector["hex"])
    if vector["code"] == -2:  # refused by the runtime; the host takes them out of the stream
        assert scan_untrusted(data, 8, Known()).controls == [(0, 8)]
        return
    with pytest.raises(PacketViolation):
        scan_untrusted(data + bytes(8), 16, Known())


@pytest.mark.parametrize("vector", named("control", "BEGIN"))
def test_begin_is_written_from_limits_and_setup(vector: Vector) -> None:
    fields = vector["fields"]
    # A file limit above ours (8 GiB) is only in the vector to show the upper half of the number.
    limits = Limits(log=fields["log_limit"], nodes=fields["nodes_limit"], clock_resolution=fields["clock_ms"])
    terminal = not fields["flags"] & control.FLAG_PLAIN_OUTPUT
    setup = Setup(tree=Tree(), debug_log=True, origin_credit=fields["origin_credit"], terminal=terminal)
    instance = bytes.fromhex(fields["instance"])
    if fields["flags"] & control.FLAG_RESUMED:
        data = bytearray(control.resume_packets(setup, limits, instance, control.lifecycle_of(fields["flags"])))
    else:
        data = bytearray(control.setup_packets(setup, limits, instance))
    data[24:32] = fields["files_limit"].to_bytes(8, "little")
    assert data.hex() == vector["hex"]


def test_arguments_environment_function_and_go_have_the_same_bytes() -> None:
    (argument,), (variable,) = named("control", "ARGUMENT"), named("control", "ENVIRONMENT")
    (function,), (go,) = named("control", "FUNCTION"), named("control", "GO")
    setup = Setup(arguments=("hello",), environment={"LANG": "C"}, function="main")
    packets = control.setup_packets(setup, Limits(), bytes(16)) + control.GO_PACKET
    assert packets[64:].hex() == argument["hex"] + variable["hex"] + function["hex"] + go["hex"]


@pytest.mark.parametrize("vector", named("control", "NODE"))
def test_nodes_are_written_and_read_alike(vector: Vector) -> None:
    fields = vector["fields"]
    kind = {3: Directory, 4: lambda modified: File(b"", modified), 7: lambda modified: Link(fields["target"], modified)}
    node = kind[fields["type"]](fields["modified"])
    packets = list(control.tree_packets(Tree({fields["path"]: node})))
    assert packets[-1].hex() == vector["hex"]
    assert control.decode_untrusted(packets[-1]) == control.LeftNode(fields["path"], node)


@pytest.mark.parametrize("vector", named("control", "CONTENT", "LOG", "STATE", "REPORT"))
def test_what_the_runtime_says_is_read_alike(vector: Vector) -> None:
    fields = vector["fields"]
    said = control.decode_untrusted(bytes.fromhex(vector["hex"]))
    if vector["name"] == "CONTENT":
        assert said == control.LeftContent(bytes.fromhex(fields["bytes"]))
    elif vector["name"] == "STATE":
        assert said == control.StatePart(bytes.fromhex(fields["bytes"]))
    elif vector["name"] == "LOG":
        assert said == control.Log(fields["stream"], bytes.fromhex(fields["bytes"]))
    else:
        result = fields["result"] & 0xFFFFFFFF
        assert said == Report(fields["status"], result, fields["memory"], fields["log_dropped"], fields["text"])


def test_suspend_and_restore_have_the_same_bytes() -> None:
    (suspend,), (restore,) = named("control", "SUSPEND"), named("control", "RESTORE")
    assert control.SUSPEND_PACKET.hex() == suspend["hex"]
    head, piece = control.restore_packets(b"", bytes.fromhex(restore["fields"]["bytes"]))
    assert piece.hex() == restore["hex"]
    assert head == encode(-2, 0, bytes(4), control.RESTORE)


def test_a_state_is_cut_into_packets_behind_the_length_of_its_guide() -> None:
    guide, state = bytes(range(256)) * 300, b"state" * 20_000
    packets = list(split_untrusted(b"".join(control.restore_packets(guide, memoryview(state)))))
    assert {packet.place for packet in packets} == {control.RESTORE}
    assert b"".join(packet.content for packet in packets) == len(guide).to_bytes(4, "little") + guide + state


def test_requests_have_the_same_bytes() -> None:
    by_name = {vector["name"]: vector for vector in VECTORS["requests"]}
    assert keeperwire.kill(by_name["KILL"]["id"]).hex() == by_name["KILL"]["hex"]
    assert keeperwire.status(by_name["STATUS"]["id"]).hex() == by_name["STATUS"]["hex"]
    shared = by_name["SHARE"]
    assert keeperwire.share(shared["id"], shared["fields"]["account"]).hex() == shared["hex"]
    scan = by_name["SCAN"]
    assert keeperwire.scan(scan["id"], **scan["fields"]).hex() == scan["hex"]
    assert keeperwire.park(by_name["PARK"]["id"]).hex() == by_name["PARK"]["hex"]
    assert keeperwire.unpark(by_name["UNPARK"]["id"]).hex() == by_name["UNPARK"]["hex"]


@pytest.mark.parametrize("vector", [vector for vector in VECTORS["requests"] if vector["name"] == "START"])
def test_a_start_has_the_same_bytes(vector: Vector) -> None:
    fields = vector["fields"]
    limits = Limits(cpu_time=fields["cpu_ms"] / 1000, wall_time=None, table=fields["table_limit"], stack=8 << 20)
    special = keeperwire.Special(*(fields[name] for name in keeperwire.Special._fields))
    start = bytearray(keeperwire.start(vector["id"], limits, 5 << 20, special))
    assert int.from_bytes(start[16:24], "little") == limits.data + (5 << 20)
    start[8:16] = fields["memory_limit"].to_bytes(8, "little")  # 8 GiB: above our own range
    start[16:24] = fields["data_limit"].to_bytes(8, "little")
    assert start.hex() == vector["hex"]
    assert fields["control_bytes"] in (0, keeperwire.CONTROL_BYTES)


@pytest.mark.parametrize("vector", [vector for vector in VECTORS["requests"] if vector["name"] == "COMPILE"])
def test_a_compilation_has_the_same_bytes(vector: Vector) -> None:
    fields = vector["fields"]
    compiling = CompileLimits(
        memory=fields["memory_limit"],
        max_code=fields["max_code"],
        cpu_time=fields["cpu_ms"] / 1000,
        wall_time=fields["wall_ms"] / 1000,
    )
    assert keeperwire.compile_request(vector["id"], compiling, CompileJob(fields["job"])).hex() == vector["hex"]


@pytest.mark.parametrize("vector", VECTORS["answers"])
def test_answers_are_read_alike(vector: Vector) -> None:
    fields, said = vector["fields"], keeperwire.decode_untrusted(bytes.fromhex(vector["hex"]))
    assert said.identity == vector["id"]
    match said:
        case keeperwire.Ready():
            assert (said.version, said.on, said.missing) == (fields["version"], fields["on"], fields["missing"])
            assert (said.cgroup_mode, said.fingerprint) == (fields["cgroup_mode"], fields["fingerprint"])
            assert (said.pool_ready, said.pool_size) == (fields["pool_ready"], fields["pool_size"])
            assert (said.programs, said.generation) == (fields["programs"], fields["generation"])
        case keeperwire.Ended(_, record):
            assert (record.exit_code, record.signal) == keeperwire.decode_wait_status(fields["wait_status"])
            assert (record.why, record.user_us, record.system_us) == (
                fields["why"],
                fields["user_us"],
                fields["system_us"],
            )
            assert record.max_rss == fields["max_rss"]
        case keeperwire.Failed():
            assert (said.reason, said.errno) == (fields["reason"], fields["errno"])
            assert all(said.code_and_text)
        case keeperwire.Scanned():
            assert said.entries == fields["count"]
        case keeperwire.Parked():
            assert said.parked is fields["parked"]


def test_layers_have_the_same_bits() -> None:
    assert tuple(layer["name"] for layer in VECTORS["layers"]) == LAYER_NAMES


@pytest.mark.parametrize("status", VECTORS["statuses"], ids=lambda status: status["name"])
def test_every_exit_status_of_the_protocol_has_its_outcome(status: Vector) -> None:
    outcome = decide(EndRecord(status["number"], None), None, Wish(), 1.0)
    if status["number"] < 4:
        expected = State.HALTED if status["number"] < 2 else State.TERMINATED
        assert (outcome.state, outcome.cause, outcome.result) == (expected, Cause.NORMAL, status["number"] & 1)
        return
    if status["name"] == "SUSPENDED":
        assert (outcome.state, outcome.cause, outcome.result) == (State.SUSPENDED, Cause.NORMAL, 0)
        return
    internal = {"PANIC", "IMAGE_UNUSABLE", "IMPORTS_UNSATISFIED", "SETUP_MALFORMED"}
    same = {"SEGMENT_OUT_OF_BOUNDS": "MEMORY_ACCESS_OUT_OF_BOUNDS", **dict.fromkeys(internal, "INTERNAL")}
    assert outcome.state is State.KILLED
    assert outcome.cause.name == same.get(status["name"], status["name"])


def test_no_exit_status_of_ours_is_unknown_to_the_protocol() -> None:
    assert set(EXIT_CAUSES) <= {status["number"] for status in VECTORS["statuses"]}


def test_the_header_has_the_protocols_size() -> None:
    assert HEADER.size == 8
