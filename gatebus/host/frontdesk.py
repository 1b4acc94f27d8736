"""Who comes in: the greeting of a link, its principal, its place in the quota; a wire.

Where it stands: beside every attendant (a Desk). In: what a link proves (a unix socket's uid, a signature that the
session has checked). Out: a Principal, or a Refusal that ends the link; then operations by name.

A key is looked up at each connection, and those of open links every few seconds: who no longer is in `authorized_keys`
(or whose line has expired) is sent away. What is missing at one look only is a file that is being written.
"""

from __future__ import annotations

import os
from collections import Counter
from itertools import count
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import trio

from gatebus.accountbounds import CHANNELS_EACH, FLOOD_PASSES, KEYS_SECONDS
from gatebus.host.operations import open_untrusted
from gatebus.host.principals import Principal, anonymous, by_key, local
from gatebus.host.quotas import Amounts
from gatebus.host.refusals import Refusal
from gatebus.protocol.proofs import sign

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gatebus.host.attendant import Attendant, Line
    from gatebus.host.quotas import Ticket
    from gatebus.host.wholeparts import WholeParts
    from gatebus.protocol.session import Session
    from gatebus.web.link import Link


class FrontDesk:
    """`seed`: the host's private key. `known`: the comment of a key that may come in, or None."""

    def __init__(self, parts: WholeParts, seed: bytes, known: Callable[[bytes], str | None]) -> None:
        self._parts, self._seed, self._known = parts, seed, known
        self._numbers = count(1)
        self._missing: set[bytes] = set()  # keys of open links that were unknown at the last look
        self._channels: Counter[str] = Counter()  # open ones, by account
        self._floors: WeakValueDictionary[str, trio.Lock] = WeakValueDictionary()  # of accounts that flood now
        self.arriving: set[Attendant] = set()  # everybody
        self.attendants: set[Attendant] = set()  # who was let in

    def count(self, account: str, more: int) -> None:
        self._channels[account] += more
        if not self._channels[account]:
            del self._channels[account]
        elif more > 0 and self._channels[account] > CHANNELS_EACH:
            raise Refusal("busy", f"{CHANNELS_EACH} channels of yours are open, the most there can be. Close some.")

    def floor(self, account: str) -> trio.Lock:
        if (floor := self._floors.get(account)) is None:
            floor = self._floors[account] = trio.Lock()
        return floor

    def passes(self) -> int:
        """Whoever is alone keeps nobody waiting."""
        return FLOOD_PASSES if len(self.arriving) > 1 else 1

    def greet(self, session: Session) -> bytes:
        return session.greet(os.urandom(32), lambda statement: sign(self._seed, statement))

    def stranger(self, link: Link) -> Principal:
        peer = link.peer
        if peer.transport == "unix" and peer.uid is not None:
            return local(peer.uid)
        return anonymous(str(next(self._numbers)))

    def known(self, key: bytes) -> Principal:
        name = self._known(key)
        if name is None:
            self._parts.note("connection-refused", code="not-authorized", principal=by_key(key).id)
            raise Refusal("not-authorized", "This host does not know your key. Ask its owner to add it.")
        return by_key(key, name)

    async def keep_out(self) -> None:
        """Until cancelled."""
        while True:
            await trio.sleep(KEYS_SECONDS)
            with self._parts.turn:
                self.look_again()

    def look_again(self) -> None:
        """Whoever is unknown for the second time leaves."""
        here = {each.principal.key for each in self.attendants} - {b""}
        missing = {each for each in here if self._known(each) is None}
        gone, self._missing = missing & self._missing, missing
        for attendant in [each for each in self.attendants if each.principal.key in gone]:
            self._parts.note("connection-dismissed", principal=attendant.principal.id)
            attendant.dismiss(Refusal("not-authorized", "This host no longer knows your key. Ask its owner."))

    def enter(self, attendant: Attendant, principal: Principal) -> None:
        note = self._parts.note
        try:
            ticket = self._ticket(principal)
        except Refusal as refusal:
            note("connection-refused", code=refusal.code, principal=principal.id)
            raise
        self.attendants.add(attendant)
        note("connection-opened", principal=principal.id, kind=principal.kind.value)

        def leave() -> None:
            self._parts.quotas.release(ticket)
            self.attendants.discard(attendant)
            cut = {"why": attendant.cut} if attendant.cut else {}
            note("connection-closed", principal=principal.id, **cut)

        attendant.on_left = leave

    def _ticket(self, principal: Principal) -> Ticket:
        if self._parts.stopping:
            raise Refusal("stopping", "The host is about to stop. Try again later, or at another host.")
        return self._parts.quotas.take(principal.account, Amounts(connections=1))

    def open(self, line: Line, operation: str, parameters: Mapping[str, object]) -> None:
        try:
            open_untrusted(self._parts, line, operation, parameters)
        except Refusal as refusal:
            self._parts.note("operation-refused", principal=line.principal.id, code=refusal.code)
            raise
