"""Ordinary slips of whoever uses the library: each is told what was wanted, before anything is sent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatebus.client.orders import Program
from gatebus.faults import UsageError
from gatebus.slips import check_bytes, check_mapping, check_texts, instance_id
from gatebus.web.places import parse_address

if TYPE_CHECKING:
    from uuid import UUID


@given(st.uuids())
def test_an_instance_is_its_id_or_the_text_of_that(instance: UUID) -> None:
    for written in (instance, str(instance), instance.hex, str(instance).upper()):
        assert instance_id(written) == instance.bytes


@given(st.one_of(st.text(max_size=31), st.binary(), st.integers(), st.none()))
def test_anything_else_is_told_what_an_instance_is(written: Any) -> None:
    with pytest.raises(UsageError) as caught:
        instance_id(written)
    assert caught.value.text.startswith("An instance is the id that launch() gives, or all 32 digits of it as a text;")


def test_the_text_says_what_was_given() -> None:
    for written, told in (("nope", "str 'nope'."), (b"x" * 16, "bytes."), (None, "NoneType."), (7, "int '7'.")):
        with pytest.raises(UsageError) as caught:
            instance_id(written)  # type: ignore[arg-type]
        assert caught.value.text.endswith(f"; not {told}")


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"args": "abc"}, 'args is a list of texts, such as ["a", "b"]; not str \'abc\'.'),
        ({"args": b"abc"}, 'args is a list of texts, such as ["a", "b"]; not bytes.'),
        ({"args": (1,)}, 'args is a list of texts, such as ["a", "b"]; not tuple \'(1,)\'.'),
        ({"args": 3}, 'args is a list of texts, such as ["a", "b"]; not int \'3\'.'),
        ({"args": None}, 'args is a list of texts, such as ["a", "b"]; not NoneType.'),
        ({"tags": "nightly"}, 'tags is a list of texts, such as ["a", "b"]; not str \'nightly\'.'),
        ({"env": "A=b"}, 'env is a map, such as {"LANG": "C"}; not str \'A=b\'.'),
        ({"env": ["A=b"]}, 'env is a map, such as {"LANG": "C"}; not list "[\'A=b\']".'),
        ({"limits": 3}, "limits is a map, such as {\"cpu_time\": 1.5}; not int '3'."),
        ({"files": ["a"]}, 'files is a map, such as {"in.txt": b"..."}; not list "[\'a\']".'),
        (
            {"files": {"a": "text"}},
            "The file a is bytes, such as read_bytes() of a file or encode() of a text; not str 'text'.",
        ),
    ],
)
def test_a_program_is_refused_where_it_is_written(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError) as caught:
        Program(b"", **wrong)
    assert caught.value.text == told


def test_what_is_right_passes_in_every_form() -> None:
    Program(b"", args=("a",), env={"A": "b"}, files={"a": b"x", "b": {"sha256": bytes(32)}}, limits={"memory": None})
    Program(b"", args=[], tags=["x"])
    check_texts("args", iter(["a"]))  # type: ignore[arg-type]
    check_mapping("env", {}, "")
    for content in (b"", bytearray(b"x"), memoryview(b"x")):
        check_bytes("stdin", content)


@pytest.mark.parametrize("address", [None, 5, b"127.0.0.1:6473", Path("/run/host.sock")])
def test_an_address_that_is_no_text_is_told_so(address: Any) -> None:
    with pytest.raises(UsageError) as caught:
        parse_address(address)
    kind = type(address).__name__
    assert caught.value.text == f"The address of a host is a text, such as 127.0.0.1:6473; not {kind}."
