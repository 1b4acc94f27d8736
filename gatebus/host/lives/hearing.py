"""What comes for a program that stands still, or is about to; a wire without I/O of its own.

Where it stands: beside Lives, which decides what is done about it. In: an instance, what its policy says of who may
wake it. Out: whether something has come since it was told to stand still, and from whom it is heard.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gatebus.host.busstreams import bus_streams
from gatebus.host.lives.live import live_of
from gatebus.host.lives.manners import Wake

if TYPE_CHECKING:
    from gatebus.host.instances import Instance
    from gatebus.host.lives.live import Live


def mark(instance: Instance) -> None:
    """Only what comes for it from now on wakes it."""
    live_of(instance).touched = False
    for stream in bus_streams(instance):
        stream.mark()


def watch(live: Live) -> None:
    """What others than its clients send to a program that any packet wakes."""
    if live.policy.wake is Wake.ANY and live.exchange is not None:
        live.exchange.watch(live.is_touched)


def listen(live: Live) -> None:
    """The same of one that is parked: it stays here, and calls the program."""
    if live.policy.wake is Wake.ANY and live.exchange is not None:
        live.exchange.hold(live.on_io)


def listen_no_longer(live: Live) -> None:
    """Its policy is another one now."""
    if live.policy.wake is not Wake.ANY and live.exchange is not None:
        live.exchange.release()


def has_news(instance: Instance) -> bool:
    return live_of(instance).touched or any(stream.has_news for stream in bus_streams(instance))
