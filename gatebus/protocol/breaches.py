"""Whose fault it is when the conversation breaks; words, no I/O.

Where it stands: raised anywhere below gatebus.protocol. A RemoteFault never leaves a Session: it becomes the event
Broken, in one place. A LocalProtocolError always leaves it: it is a bug of whoever drives the session.
"""

from gatebus.faults import GatebusError


class RemoteFault(GatebusError):
    """The other side's fault: the link ends. `code` is the protocol's, `text` may be shown to the other side."""

    code = "protocol"

    def __init__(self, text: str, code: str = "protocol") -> None:
        super().__init__(text)
        self.code = code


class LocalProtocolError(GatebusError):
    """Our own fault: the table does not allow to send this now."""

    code = "local-protocol"
