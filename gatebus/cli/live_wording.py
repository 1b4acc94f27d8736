"""What a host said about stopped programs, for a person; words: nothing is printed here.

In:  frozen answers (gatebus.client.liveanswers; their texts are untrusted). Out: lines and tables.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gatebus.cli.bus_wording import age, id_text, pairs, table, text, words
from gatebus.cli.wording import Result, failed, size_text
from gatebus.client.liveanswers import Difference, Shown, Snapshot
from gatebus.sshkeys import fingerprint

_ID_SHOWN, _NAME_SHOWN = 8, 12
_FRAMES_SHOWN, _RANGES_SHOWN = 64, 16
_KEY = 32
_PAGE = 65_536
_WHY_SHOWN = 200


def snapshots_table(snapshots: Iterable[Snapshot], now: float) -> str:
    heads = ("SNAPSHOT", "INSTANCE", "KIND", "SIZE", "AGE", "MODULE", "TAGS")
    rows = [
        (
            each.snapshot.hex()[:_NAME_SHOWN],
            str(each.instance)[:_ID_SHOWN],
            text(each.kind),
            size_text(each.size),
            age(each.taken / 1000, now),
            text(each.module)[:_NAME_SHOWN],
            _tags(each),
        )
        for each in snapshots
    ]
    return table(heads, rows)


def _tags(snapshot: Snapshot) -> str:
    """In brackets those of its instance: no name of its own."""
    return f"({words(snapshot.instance_tags)})" if snapshot.instance_tags else words(snapshot.tags)


def shown_lines(shown: Shown) -> str:
    head = pairs(
        [
            ("snapshot", shown.snapshot.hex()),
            *_origin(shown.about.get("kind"), shown.about.get("instance")),
            ("module", text(shown.module, 100)),
            *_signed(shown.about.get("signer")),
            ("memory", f"{size_text(shown.pages * _PAGE)}; {size_text(shown.touched)} of it may not be zero"),
            *((f"{text(name)}", size_text(size)) for name, size in sorted(shown.sizes.items())),
        ]
    )
    return "\n".join((head, "", "frames, innermost first", *_frames(shown.frames)))


def _origin(kind: object, instance: object) -> list[tuple[str, str]]:
    """What was asked for by a name may be older than whoever asks thinks."""
    of = f" of {id_text(instance)[:_ID_SHOWN]}" if isinstance(instance, bytes) else ""
    return [("kind", f"{text(kind)}{of}")]


def _signed(signer: object) -> list[tuple[str, str]]:
    """Of a file that came in: by which host."""
    return [("signed by", fingerprint(signer))] if isinstance(signer, bytes) and len(signer) == _KEY else []


def _frames(frames: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = []
    for frame in frames[:_FRAMES_SHOWN]:
        depth, number = (_number(frame.get(name)) for name in ("depth", "function"))
        lines.append(f"  {depth:>6}  {number:>6} {text(frame.get('name'))}  {text(frame.get('place'), 100)}".rstrip())
    if len(frames) > _FRAMES_SHOWN:
        lines.append(f"          ... {len(frames) - _FRAMES_SHOWN} more ...")
    return lines


def _number(value: object) -> str:
    return str(value) if type(value) is int else ""


def difference_lines(difference: Difference) -> str:
    first, second = difference.frames
    lines = [
        pairs(
            [
                ("changed", f"{difference.changed} pages of 4 KiB"),
                ("sizes", " -> ".join(map(size_text, difference.sizes))),
                ("frames", "the same" if first == second else f"{len(first)} -> {len(second)}"),
            ]
        )
    ]
    lines += [f"  {offset:#010x} .. {offset + length:#010x}" for offset, length in difference.ranges[:_RANGES_SHOWN]]
    if len(difference.ranges) > _RANGES_SHOWN:
        lines.append("  ...")
    return "\n".join(lines)


def policy_lines(policy: Mapping[str, Any]) -> str:
    """By the names of the options that change it."""
    return pairs([(text(name).replace("_", "-"), _said(value)) for name, value in policy.items()])


def _said(value: object) -> str:
    if isinstance(value, float):  # a time; numbers of things are whole
        return f"{value:g}s" if value else "no"
    return text(value) if isinstance(value, str) else _number(value)


def failed_copy(refused: Sequence[Mapping[str, Any]], asked: int) -> Result:
    """The first one's reason stands for all."""
    why = refused[0].get("text")
    code = refused[0].get("code")
    line = f"{len(refused)} of {asked} copies were refused: {text(why, _WHY_SHOWN)}"
    return failed("", code if isinstance(code, str) else "internal", line)
