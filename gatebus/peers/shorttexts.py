"""Texts of at most 255 bytes with their length in one byte before them: Gate's way to name groups and programs; words.

In:  contents of packets of programs and saved states (untrusted). Out: bytes; nobody here believes them to be UTF-8.
"""


def texts(*parts: bytes) -> bytes:
    return b"".join(bytes([len(part)]) + part for part in parts)


def texts_untrusted(content: bytes, at: int, count: int) -> tuple[tuple[bytes, ...], int]:
    """So many texts from this place on, and where they end. Raises IndexError when one is cut off."""
    found = []
    for _ in range(count):
        end = at + 1 + content[at]
        if end > len(content):
            raise IndexError(end)
        found.append(bytes(content[at + 1 : end]))
        at = end
    return tuple(found), at
