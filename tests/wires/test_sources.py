"""Modules that are named by an address: the owner's interpreters, and which schemes there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gatebus.host.refusals import Refusal
from gatebus.host.sources import HostModules, ScriptModule, Sources

if TYPE_CHECKING:
    from pathlib import Path


class Echo:
    """A source whose modules are their own addresses."""

    async def fetch(self, address: str, size: int, account: str) -> bytes:
        return (account + address).encode()[: size + len(account)]


def interpreter(path: Path) -> ScriptModule:
    return ScriptModule(path, ("qjs", "--std", "{file}", "{arguments}"), {"stack": 8 << 20})


async def test_an_interpreter_is_fetched_by_its_extension(tmp_path: Path) -> None:
    module = tmp_path / "qjs.wasm"
    module.write_bytes(b"\0asm and more")
    assert await HostModules({".js": interpreter(module)}).fetch("host://.js", 1 << 20, "alice") == b"\0asm and more"


async def test_of_a_file_that_is_too_large_one_byte_too_many_is_read_so_that_admission_says_it(tmp_path: Path) -> None:
    module = tmp_path / "qjs.wasm"
    module.write_bytes(bytes(100))
    assert len(await HostModules({".js": interpreter(module)}).fetch("host://.js", 10, "alice")) == 11


@pytest.mark.parametrize("address", ["host://.py", "host://", "host://../.js", "host:///etc/passwd"])
async def test_only_what_the_owner_named_is_read(address: str, tmp_path: Path) -> None:
    with pytest.raises(Refusal) as refused:
        await HostModules({".js": interpreter(tmp_path / "qjs.wasm")}).fetch(address, 10, "alice")
    assert refused.value.code == "not-found"
    assert refused.value.text == "This host has no such interpreter. `features` lists those that there are."


async def test_an_interpreter_that_went_away_is_said_without_its_path(tmp_path: Path) -> None:
    with pytest.raises(Refusal) as refused:
        await HostModules({".js": interpreter(tmp_path / "gone.wasm")}).fetch("host://.js", 10, "alice")
    assert refused.value.text == "This host's interpreter cannot be read any more. Tell whoever runs it."


async def test_a_source_is_chosen_by_the_scheme_and_an_unknown_one_names_those_there_are() -> None:
    sources = Sources({"ipfs": Echo(), "host": Echo()})
    assert await sources.fetch("ipfs://bafy", 4, "alice") == b"aliceipfs"
    with pytest.raises(Refusal) as refused:
        await sources.fetch("http://127.0.0.1/x", 4, "alice")
    assert refused.value.text == "This host fetches no modules from there. Upload it. Sources: host://, ipfs://."
    with pytest.raises(Refusal, match=r"Sources: none\."):
        await Sources({}).fetch("http://127.0.0.1/x", 4, "alice")
    with pytest.raises(Refusal, match=r"`gateways` under `\[fetch\]` in its configuration"):
        await Sources({}).fetch("ipfs://bafy", 4, "alice")


def test_clients_are_told_what_to_call_with_the_script_s_place_filled_in(tmp_path: Path) -> None:
    assert interpreter(tmp_path / "qjs.wasm").told(".js") == {
        "module": "host://.js",
        "file": "script.js",
        "args": ["qjs", "--std", "script.js"],
        "limits": {"stack": 8 << 20},
    }
