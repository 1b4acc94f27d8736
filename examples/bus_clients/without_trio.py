"""The client of the bus in an ordinary program, without trio.

    python without_trio.py 127.0.0.1:6473 MODULE-SHA256-OR-SOURCE

It sends three lines to an echo program one after the other, as if somebody typed them, and prints what comes back.
"""

import sys

from gatebus.client import Program, sync


def talk(bus, module):
    with bus.open_call(Program(module)) as running:
        for line in (b"one\n", b"two\n", b"three\n"):
            running.send(line)
            yield running.receive()
        running.end()
        yield from running
        yield f"the program ended: {running.wait().cause}\n".encode()


if __name__ == "__main__":
    with sync.connect(sys.argv[1]) as bus:
        for said in talk(bus, sys.argv[2]):
            sys.stdout.write(said.decode())
