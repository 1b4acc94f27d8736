"""The client of the bus in an ordinary program, without trio.

    python without_trio.py 127.0.0.1:6473 MODULE-SHA256-OR-SOURCE

It sends three lines to an echo program one after the other, as if somebody typed them, and prints what comes back.
"""

import sys

from gatebus.client import Program, sync
from gatebus.faults import GatebusError


def talk(bus, module):
    with bus.open_call(Program(module)) as running:
        for line in (b"one\n", b"two\n", b"three\n"):
            running.send(line)
            yield running.receive()
        running.end()
        yield from running
        yield f"the program ended: {running.wait().cause}\n".encode()


def main(address, module):
    try:
        with sync.connect(address) as bus:
            for said in talk(bus, module):
                sys.stdout.write(said.decode())
    except GatebusError as fault:
        sys.exit(fault.text)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python without_trio.py 127.0.0.1:6473 MODULE-SHA256-OR-SOURCE")
    main(*sys.argv[1:])
