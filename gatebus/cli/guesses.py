"""What a file seems to be that is no WebAssembly module, and what to do about it; words.

In:  a file's bytes, of anyone; nothing is taken apart but its beginning. Out: one line for a person.
"""

from shlex import quote
from typing import NamedTuple

from gatebus.snapshots.exportwords import MAGIC as SIGNED
from sandbox.statefile import MAGIC as STATE

_MODULE_EXTENSIONS = ("", ".wasm", ".wat")
# Enough to tell text from other bytes.
LOOKED_AT = 4_096

_BUILD = "Build its source for wasm32-wasip1."
_OTHER_MACHINE = "a program for another kind of machine"


class Kind(NamedTuple):
    start: bytes
    name: str
    advice: str


_KINDS = (
    Kind(b"\x7fELF", "a program or library for Linux itself (ELF)", _BUILD),
    Kind(b"\xcf\xfa\xed\xfe", "a program for macOS (Mach-O)", _BUILD),
    Kind(b"\xca\xfe\xba\xbe", f"{_OTHER_MACHINE} (Java or macOS)", _BUILD),
    Kind(b"MZ", "a program for Windows (PE)", _BUILD),
    Kind(b"BC\xc0\xde", "LLVM bitcode", "Link it: clang --target=wasm32-wasip1."),
    Kind(b"!<arch>\n", "an archive of object files", "Link it into a program for wasm32-wasip1."),
    Kind(b"\x1f\x8b", "compressed (gzip)", "Unpack it first: gunzip."),
    Kind(b"\x28\xb5\x2f\xfd", "compressed (zstd)", "Unpack it first: unzstd."),
    Kind(b"\xfd7zXZ\0", "compressed (xz)", "Unpack it first: unxz."),
    Kind(b"BZh", "compressed (bzip2)", "Unpack it first: bunzip2."),
    Kind(b"PK\x03\x04", "a zip archive", "Unpack it first: unzip."),
    Kind(b"version https://git-lfs", "a pointer of Git LFS", "Fetch the file itself: git lfs pull."),
    Kind(b"%PDF", "a PDF document", "Name the program instead."),
    Kind(
        STATE,
        "the state of a stopped program",
        "`gatebus run --resume FILE` goes on with it; `gatebus import FILE` brings it to a host.",
    ),
    Kind(
        SIGNED,
        "a snapshot that a host has signed",
        "`gatebus import FILE` brings it to a host, where `gatebus restore` goes on with it.",
    ),
)
_PAGES = (b"<!doctype", b"<html", b"<?xml", b"<head", b"<!--")
_SCRIPT = "`gatebus call` and `launch` take it with its interpreter as it is."
_WEB_PAGE = "It is no WebAssembly module but a web page. Fetch the file itself, not the page about it."


def what_it_seems_untrusted(wasm: bytes, extension: str) -> str:
    """Nothing for what looks like a module and for what nobody can tell; the sandbox judges those. Else the line."""
    for kind in _KINDS:  # before text: zstd begins with `(`
        if wasm.startswith(kind.start):
            return f"It is no WebAssembly module but {kind.name}. {kind.advice}"
    start = wasm[:LOOKED_AT].lstrip()
    if not wasm or wasm.startswith(b"\0asm") or start.startswith((b"(", b";")):
        return ""
    if start.lower().startswith(_PAGES):
        return _WEB_PAGE
    if extension not in _MODULE_EXTENSIONS:
        return (
            f"It is no WebAssembly module, and the configuration has no module for {extension} files. "
            "Build it for wasm32-wasip1, or name what runs it (README)."
        )
    if _is_text_untrusted(wasm[:LOOKED_AT]):
        return (
            "It is no WebAssembly module but some other text. A script needs its extension (.js), or name what runs "
            "it (README)."
        )
    return ""


def why_no_module_untrusted(content: bytes, script: str = "") -> str:
    """Of a file that is to be kept as a module: stricter, because nobody looks at it again before it is to run.
    `script`: its extension, where an interpreter runs it. Nothing: it may be one.
    """
    if content.startswith(b"\0asm"):
        return ""
    if script:
        return f"It is no WebAssembly module but a script ({script}). {_SCRIPT}"
    if problem := what_it_seems_untrusted(content, ""):
        return problem
    if not content:
        return f"It is empty. {_BUILD}"
    return "" if content[:LOOKED_AT].lstrip().startswith((b"(", b";")) else f"It is no WebAssembly module. {_BUILD}"


def begins_as_module_untrusted(start: bytes) -> bool:
    """Also as text."""
    return start.lstrip().startswith((b"\0asm", b"(", b";"))


def module_for_state(name: str, *, exported: bool) -> str:
    """Of a module where a state should be."""
    if exported:
        return f"It is an exported module, not a state: `gatebus run {quote(name)}` goes on with it."
    return f"It is a module, not a state: `gatebus run {quote(name)}` runs it from its beginning."


def signed_for_state(name: str) -> str:
    """Of what `gatebus export` wrote, where a state should be."""
    return (
        f"It is a snapshot that a host has signed: `gatebus import {quote(name)}` brings it to a host, where "
        "`gatebus show SNAPSHOT` and `restore` take it. For a file without a host: `gatebus export --form state`."
    )


def _is_text_untrusted(head: bytes) -> bool:
    """A character may have been cut at the end."""
    try:
        head.decode()
    except UnicodeDecodeError as fault:
        if fault.start < len(head) - 3:
            return False
    return not any(byte < 32 and byte not in b"\t\n\r\f\x1b" for byte in head)
