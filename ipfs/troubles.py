"""What can go wrong with content, one class per whose fault it is; words.

Each has `.code` (stable) and `.text` (public: what, why, what to do; never a path, an address or a traceback).
"""

TEXT_MAX = 300


class IpfsError(Exception):
    """The base; never raised itself."""

    code = "ipfs"

    def __init__(self, text: str) -> None:
        clean = "".join(char if char.isprintable() else " " for char in text[:TEXT_MAX])
        super().__init__(clean)
        self.text = clean


class BadName(IpfsError):
    """The caller's fault: no CID, path, profile or source is written like this."""

    code = "bad-name"


class Malformed(IpfsError):
    """The author's fault: the bytes are what the CID says, but they are no block of the format they claim."""

    code = "malformed"


class Unsupported(IpfsError):
    """The author's choice: a codec or hash that is not read here."""

    code = "unsupported"


class NoEntry(IpfsError):
    """The caller's fault: the directory has no such name."""

    code = "no-entry"


class TooLarge(IpfsError):
    """More than the budget of this request."""

    code = "too-large"


class Unverified(IpfsError):
    """The source's fault: its answer is not what was asked for. Nothing of it is kept."""

    code = "unverified"


class SourceFailed(IpfsError):
    """The source's fault, or the network's: it did not answer, or not in time."""

    code = "source-failed"


class SourceRefused(IpfsError):
    """The configuration's: this source leads where no source may lead."""

    code = "source-refused"


class Unavailable(IpfsError):
    """No source has the block. `answers`: what each said, with its URL, for whoever chose them; never for others, who
    hear only the `last` reason, in `.text`. `short` is without it, for whoever hears all of them.
    """

    code = "unavailable"

    def __init__(self, text: str, answers: tuple[str, ...] = (), last: str = "") -> None:
        super().__init__(f"{text} The last one: {last}" if last else text)
        self.answers = answers
        self.short = text


class Damaged(IpfsError):
    """The disk's fault: an entry of the store is not what was written. It is left where it is."""

    code = "damaged"


class StoreFailed(IpfsError):
    """The machine's fault: the store cannot be read or written."""

    code = "store-failed"
