"""Where a symbolic link leads; words.

In:  the target that stands in a link, of a stranger's tree (untrusted) or of one's own; how deep the link lies in its
tree. Out: whether whoever follows it stays in the tree, and the target as a person may see it.

A link is judged by its text alone: as many steps up as there are directories above it, then only names. Each name is a
directory, or a link that was judged in the same way, so no chain of links leads out. A step up behind a name is not
allowed: where that name is a link, it would go up from where the link leads.
"""

from itertools import dropwhile

from ipfs.addresses import check_name
from ipfs.caps import PATH_MAX
from ipfs.troubles import BadName

_SHOWN = 60


def stays_inside(target: bytes, depth: int) -> bool:
    """`depth`: directories between the tree's root and the link; 0 for a link in the root."""
    text = target.decode(errors="surrogateescape")
    if not target or len(target) >= PATH_MAX or text.startswith("/"):
        return False
    steps = [each for each in text.split("/") if each not in ("", ".")]
    names = list(dropwhile(lambda each: each == "..", steps))
    return len(steps) - len(names) <= depth and all(map(_is_name, names))


def _is_name(text: str) -> bool:
    try:
        check_name(text)
    except BadName:
        return False
    return True


def shown(target: bytes) -> str:
    """On a terminal, whatever it contains."""
    text = target.decode(errors="replace")
    clean = "".join(each if each.isprintable() else "?" for each in text[:_SHOWN])
    return f"{clean}..." if len(text) > _SHOWN else clean
