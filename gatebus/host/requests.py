"""Parameters of operations, taken apart once; words.

In:  the parameters of an `open` message (untrusted: any map that the reader of messages lets through). Out: frozen
     requests, or a Refusal `bad-request` that names the parameter. Keys that nobody knows are ignored: so a version
     grows.

What a program is started with has two judges: form is judged here, amounts by what the host's configuration allows
(`most`) and by the sandbox's own ranges (Limits, Setup, Tree raise BadSetup, which is answered as `bad-setup`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from uuid import UUID

from gatebus.accountbounds import INPUT_BYTES
from gatebus.bounds import SOURCE_TEXT, TAG_CHARACTERS, TAGS
from gatebus.host.refusals import Refusal
from gatebus.protocol.reading import NOTE_MAX
from sandbox.errors import BadSetup
from sandbox.limits import Limits, written
from sandbox.setup import Setup
from sandbox.tree import File, Tree

Parameters = Mapping[str, object]

_ID, _DIGEST = 16, 32


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of the configuration: what a program gets whose sender says nothing, and what one may ask for."""

    limits: Limits = field(default_factory=Limits)
    most: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class RunRequest:
    """The common part of call and launch. `stored`: files whose content was uploaded before, by sha256."""

    module: str
    setup: Setup
    limits: Limits
    stored: Mapping[str, bytes] = field(default_factory=dict)
    want_files: bool = False


def run_untrusted(given: Parameters, bounds: Bounds, window: int) -> RunRequest:
    """`window`: of the program's first connection. Raises Refusal, BadSetup."""
    files = map_untrusted(given, "files")
    inline = {path: File(content) for path, content in files.items() if isinstance(content, bytes)}
    stored = {path: _stored(content) for path, content in files.items() if not isinstance(content, bytes)}
    want_files = flag_untrusted(given, "want_files")
    setup = Setup(
        arguments=tuple(_texts(given, "args")),
        environment=_environment(given),
        function=function_untrusted(given),
        tree=Tree(inline) if files or want_files else None,
        origin_credit=window,
    )
    return RunRequest(module_untrusted(given), setup, limits_untrusted(given, bounds), stored, want_files)


def first_untrusted(given: Parameters) -> tuple[bytes, int | None]:
    """Of a call's input what came with its open, and the note of its end if that came, too. Raises Refusal."""
    data, end = given.get("input", b""), given.get("end")
    if not isinstance(data, bytes) or len(data) > INPUT_BYTES:
        raise _bad("input", f"at most {INPUT_BYTES} bytes")
    if end is not None and (type(end) is not int or not -NOTE_MAX <= end < NOTE_MAX):
        raise _bad("end", "a note, a whole number of 32 bits")
    return data, end


def module_untrusted(given: Parameters) -> str:
    """sha256 in hex, or a source as it was written."""
    module = given.get("module")
    if isinstance(module, bytes) and len(module) == _DIGEST:
        return module.hex()
    if isinstance(module, str) and 0 < len(module) <= SOURCE_TEXT and "://" in module:
        return module
    raise _bad("module", "a SHA-256 of 32 bytes, or a source such as ipfs://...")


def digest_untrusted(given: Parameters, name: str = "sha256") -> bytes:
    digest = given.get(name)
    if isinstance(digest, bytes) and len(digest) == _DIGEST:
        return digest
    raise _bad(name, "a SHA-256 of 32 bytes")


def id_untrusted(given: Parameters, name: str) -> bytes:
    value = given.get(name)
    if isinstance(value, bytes) and len(value) == _ID:
        return value
    raise _bad(name, "16 bytes")


def instance_untrusted(given: Parameters) -> UUID:
    return UUID(bytes=id_untrusted(given, "instance"))


def count_untrusted(given: Parameters, name: str, otherwise: int | None = None) -> int:
    value = given.get(name, otherwise)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise _bad(name, "a whole number that is not negative")


def flag_untrusted(given: Parameters, name: str) -> bool:
    value = given.get(name, False)
    if isinstance(value, bool):
        return value
    raise _bad(name, "true or false")


def tags_untrusted(given: Parameters) -> tuple[str, ...]:
    tags = tuple(_texts(given, "tags"))
    if len(tags) > TAGS or any(not 0 < len(tag) <= TAG_CHARACTERS or not tag.isprintable() for tag in tags):
        raise _bad("tags", f"at most {TAGS} texts of 1 to {TAG_CHARACTERS} printable characters")
    return tags


def limits_untrusted(given: Parameters, bounds: Bounds) -> Limits:
    """What was not asked for is the host's default; more than its most is refused, with the number."""
    asked = map_untrusted(given, "limits")
    if not asked:
        return bounds.limits
    known = {each.name for each in fields(Limits)}
    for name, value in asked.items():
        if name not in known:
            raise _bad("limits", f"a map of {', '.join(sorted(known))}")
        _check_most(name, value, getattr(bounds.most, name))
    return replace(bounds.limits, **asked)  # type: ignore[arg-type]  # checked by Limits


def _check_most(name: str, value: object, most: float | None) -> None:
    if most is None or (value is not None and not isinstance(value, int | float)):
        return
    if value is None or value > most:
        unit = next(each.metadata["range"].unit for each in fields(Limits) if each.name == name)
        raise BadSetup("limit-range", f"The limit {name} is at most {written(most, unit)} at this host.")


def _environment(given: Parameters) -> Mapping[str, str]:
    environment = map_untrusted(given, "env")
    if not all(isinstance(value, str) for value in environment.values()):
        raise _bad("env", "a map of texts")
    return environment  # type: ignore[return-value]


def _stored(content: object) -> bytes:
    digest = content.get("sha256") if isinstance(content, Mapping) else None
    if isinstance(digest, bytes) and len(digest) == _DIGEST:
        return digest
    raise _bad("files", "a map of paths to bytes, or to {sha256} of an upload")


def map_untrusted(given: Parameters, name: str) -> dict[str, object]:
    if name not in given:
        return {}
    value = given[name]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return dict(value)
    raise _bad(name, "a map with texts as keys")


def _texts(given: Parameters, name: str) -> list[str]:
    if name not in given:
        return []
    value = given[name]
    if isinstance(value, list | tuple) and all(isinstance(each, str) for each in value):
        return list(value)
    raise _bad(name, "a list of texts")


def function_untrusted(given: Parameters) -> str | None:
    value = given.get("function")
    if value is None or isinstance(value, str):
        return value
    raise _bad("function", "a text")


def _bad(name: str, must: str) -> Refusal:
    return Refusal("bad-request", f"The parameter `{name}` must be {must}.")
