"""What happened to instances, for those who subscribe; words.

In:  events of instances. Out: for each subscriber a CBOR sequence of maps, its own instances' events only, in order, by
     number; from an earlier number on, as far back as is remembered.

A subscriber that does not read loses events and is told: the next one that fits is preceded by `lost` and their number.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple, Protocol

import cbor2

from gatebus.accountbounds import SUBSCRIPTIONS
from gatebus.bounds import EVENTS_REMEMBERED
from gatebus.host.refusals import Refusal

if TYPE_CHECKING:
    from gatebus.host.statuses import Map


class Kept(Protocol):
    """What is used of an Order."""

    @property
    def kept(self) -> bool: ...


class Subject(Protocol):
    """What is used of an Instance."""

    @property
    def owner(self) -> str: ...

    @property
    def order(self) -> Kept: ...

    def status(self) -> Map: ...


class Listener(Protocol):
    @property
    def owner(self) -> str: ...

    def hear(self, event: bytes) -> bool:
        """False: there is no room for it."""


class Remembered(NamedTuple):
    number: int
    owner: str
    event: bytes


class EventLog:
    """Numbers grow by one for each event of the host, so that a gap says that others' events lie between."""

    def __init__(self) -> None:
        self.number = 0
        self._remembered: deque[Remembered] = deque(maxlen=EVENTS_REMEMBERED)
        self._listeners: dict[str, dict[Listener, int]] = {}  # by owner: events that it has lost

    def note(self, event: str, subject: Subject) -> None:
        """What is launched is remembered; a call's caller has heard of it, so that only who listens now is told."""
        self.number += 1
        owner = subject.owner
        listeners = self._listeners.get(owner, {})
        if not listeners and not subject.order.kept:
            return
        told = cbor2.dumps({"number": self.number, "event": event} | subject.status())
        if subject.order.kept:
            self._remembered.append(Remembered(self.number, owner, told))
        for listener in listeners:
            self._tell(listener, told)

    def check_room(self, owner: str) -> None:
        """Before a subscription. Raises Refusal."""
        if len(self._listeners.get(owner, ())) >= SUBSCRIPTIONS:
            raise Refusal("busy", f"You listen to your events {SUBSCRIPTIONS} times already. End one of them first.")

    def subscribe(self, listener: Listener, since: int | None) -> None:
        """`since`: the number of the last event that it knows; None: only what is new."""
        self._listeners.setdefault(listener.owner, {})[listener] = 0
        if since is not None:
            for each in self._remembered:
                if each.number > since and each.owner == listener.owner:
                    self._tell(listener, each.event)

    def unsubscribe(self, listener: Listener) -> None:
        listeners = self._listeners.get(listener.owner, {})
        listeners.pop(listener, None)
        if not listeners:
            self._listeners.pop(listener.owner, None)

    def _tell(self, listener: Listener, event: bytes) -> None:
        listeners = self._listeners[listener.owner]
        lost = listeners[listener]
        if lost and listener.hear(cbor2.dumps({"number": self.number, "event": "lost", "count": lost})):
            lost = 0
        listeners[listener] = 0 if not lost and listener.hear(event) else lost + 1
