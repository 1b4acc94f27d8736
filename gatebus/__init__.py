"""gatebus: send programs instead of messages.

General layout (words are pure, wires do I/O, assembly puts objects together), along the path of a program:

    web/        sockets, websocket, HTTP: whole messages in and out
    protocol/   gatebus.v1: one session for both sides; words
    host/       who may, what runs, what is kept; Host puts it together
    switchboard, exchange, services/, peers/    one program's packets and whoever answers them
    client/     the other end, for people's programs; cli/ for people; browser/ for browsers

`gatebus.Host` and `gatebus.HostConfig` embed a host, `gatebus.connect` and `gatebus.Program` use one. They are looked
up when they are asked for: importing gatebus does nothing, and `gatebus run` does not pay for a host. The package
sandbox runs the programs and never imports this one.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gatebus.client.connecting import connect
    from gatebus.client.orders import Program
    from gatebus.host.hostconfig import HostConfig
    from gatebus.host.server import Host

_PLACES = (
    ("Host", "gatebus.host.server"),
    ("HostConfig", "gatebus.host.hostconfig"),
    ("Program", "gatebus.client.orders"),
    ("connect", "gatebus.client.connecting"),
)
__all__ = ["Host", "HostConfig", "Program", "connect"]


def __getattr__(name: str) -> object:
    place = dict(_PLACES).get(name)
    if place is None:
        raise AttributeError(f"gatebus has no {name}")
    return getattr(import_module(place), name)
