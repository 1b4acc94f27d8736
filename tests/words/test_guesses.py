"""gatebus.cli.guesses: what a file that is no module seems to be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatebus.cli.guesses import what_it_seems_untrusted, why_no_module_untrusted
from gatebus.snapshots.exportwords import MAGIC as SIGNED

BUILD = "Build its source for wasm32-wasip1."


STATE_ADVICE = (
    "the state of a stopped program. `gatebus run --resume FILE` goes on with it; `gatebus import FILE` brings it to a "
    "host."
)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"\x7fELF\x02\x01", f"a program or library for Linux itself (ELF). {BUILD}"),
        (b"\xcf\xfa\xed\xfe\x07", f"a program for macOS (Mach-O). {BUILD}"),
        (b"MZ\x90", f"a program for Windows (PE). {BUILD}"),
        (b"BC\xc0\xde\x35", "LLVM bitcode. Link it: clang --target=wasm32-wasip1."),
        (b"!<arch>\nx", "an archive of object files. Link it into a program for wasm32-wasip1."),
        (b"\x1f\x8b\x08", "compressed (gzip). Unpack it first: gunzip."),
        (b"\x28\xb5\x2f\xfd", "compressed (zstd). Unpack it first: unzstd."),
        (b"PK\x03\x04", "a zip archive. Unpack it first: unzip."),
        (b"\n<!DOCTYPE html>\n<html>", "a web page. Fetch the file itself, not the page about it."),
        (b"<HTML>", "a web page. Fetch the file itself, not the page about it."),
        (
            b"version https://git-lfs.github.com/spec/v1",
            "a pointer of Git LFS. Fetch the file itself: git lfs pull.",
        ),
        (
            b"GBSTATE1\x80\0",
            STATE_ADVICE,
        ),
        (
            SIGNED,
            "a snapshot that a host has signed. `gatebus import FILE` brings it to a host, where `gatebus restore` "
            "goes on with it.",
        ),
        (
            "console.log('grüße')".encode(),
            "some other text. A script needs its extension (.js), or name what runs it (README).",
        ),
    ],
)
@pytest.mark.parametrize("extension", ["", ".wasm"])
def test_a_file_that_is_no_module_is_called_by_its_kind(content: bytes, text: str, extension: str) -> None:
    assert what_it_seems_untrusted(content, extension) == f"It is no WebAssembly module but {text}"


@pytest.mark.parametrize(
    "content", [b"", b"\0asm\x01\0\0\0", b"\0asm", b"  (module)", b";; a comment\n(module)", b"\x01\x02", b"\xff" * 9]
)
def test_what_may_be_a_module_is_left_to_the_sandbox(content: bytes) -> None:
    assert what_it_seems_untrusted(content, ".wasm") == ""


def test_a_text_may_be_cut_within_a_character() -> None:
    assert "some other text" in what_it_seems_untrusted(b"x" * 4095 + "ü".encode(), "")


def test_an_extension_without_a_module_is_named() -> None:
    assert ".py files" in what_it_seems_untrusted(b"print()", ".py")


def test_a_state_is_known_by_what_is_in_it_whatever_its_name() -> None:
    assert what_it_seems_untrusted(b"GBSTATE1", ".state") == f"It is no WebAssembly module but {STATE_ADVICE}"


@given(st.binary(max_size=5000))
def test_whatever_comes_is_one_line_or_nothing(content: bytes) -> None:
    said = what_it_seems_untrusted(content, ".wasm")
    assert said == "" or (said.isprintable() and said.endswith("."))


@pytest.mark.parametrize("content", [b"\0asm\1\0\0\0", b"\0asm", b"(module)", b" \n;; a comment\n(module)", b"(; x ;)"])
def test_what_may_be_a_module_is_kept_as_one(content: bytes) -> None:
    assert why_no_module_untrusted(content) == ""


@pytest.mark.parametrize(
    ("content", "script", "text"),
    [
        (b"", "", f"It is empty. {BUILD}"),
        (bytes(range(256)), "", f"It is no WebAssembly module. {BUILD}"),
        (b" \0asm", "", f"It is no WebAssembly module. {BUILD}"),
        (b"\x7fELF", "", f"It is no WebAssembly module but a program or library for Linux itself (ELF). {BUILD}"),
        (
            b"(function () {})()",
            ".js",
            "It is no WebAssembly module but a script (.js). `gatebus call` and `launch` take it with its interpreter "
            "as it is.",
        ),
    ],
)
def test_what_is_no_module_is_not_kept_as_one(content: bytes, script: str, text: str) -> None:
    assert why_no_module_untrusted(content, script) == text


def test_a_module_under_the_name_of_a_script_is_a_module() -> None:
    assert why_no_module_untrusted(b"\0asm\1\0\0\0", ".js") == ""


@given(st.binary(max_size=40), st.sampled_from(["", ".js"]))
def test_whatever_is_not_kept_is_told_with_what_to_do(content: bytes, script: str) -> None:
    text = why_no_module_untrusted(content, script)
    assert text == "" or text.endswith(".")
    assert not (text and content.startswith(b"\0asm"))
