"""Who rides on a channel on which nobody does; words.

Where it stands: behind a line of a link's attendant, as a Rider. In: what comes for a channel without bytes, or for one
that is over. Out: nothing.
"""


class Nobody:
    """Of a channel without bytes, whose operation is over before anything can happen to it."""

    def came(self, data: bytes) -> None:
        pass

    def touch(self) -> None:
        pass

    def cancelled(self, line: object) -> None:
        pass

    def dropped(self, line: object) -> None:
        pass


NOBODY = Nobody()
