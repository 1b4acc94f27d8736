"""The smallest client of the bus: level 0 of gatebus.v1 with somebody else's websocket library and nothing of ours.

    python level0.py ws://127.0.0.1:6473/bus MODULE-SHA256-OR-SOURCE < input > output

It says hello without a key, calls one program, sends its input within the host's window, takes its output and gives
credit for it, and returns the program's outcome. docs/protocol.md shows the same bytes one by one.
"""

import os
import sys

import cbor2
import trio
import trio_websocket

HELLO, OPEN, ACCEPT, DATA, CREDIT, END, STOP, RESULT, ERROR = 0, 4, 5, 6, 7, 8, 9, 11, 12
WINDOW, PIECE = 256 * 1024, 65_536
STEP = 4_096  # a quarter of the least that a host keeps of a stream until it hears that we have it


class Refused(Exception):  # noqa: N818
    """The host said no: code and text."""


async def call(url, module, stdin):
    """(output, outcome) of one run."""
    async with trio_websocket.open_websocket_url(url, subprotocols=["gatebus.v1"]) as link:

        async def say(*items):
            await link.send_message(cbor2.dumps(list(items)))

        await say(HELLO, {"versions": [1], "agent": "level0", "features": [], "challenge": os.urandom(32)})
        await say(OPEN, 1, "call", {"stream": os.urandom(16), "module": module}, WINDOW)
        return await converse(link, say, stdin)


async def converse(link, say, stdin):
    output, taken, sent, edge, ended = bytearray(), 0, 0, 0, False
    while True:
        kind, *items = cbor2.loads(await link.get_message())
        if kind == ACCEPT:
            edge = items[2]
        elif kind == CREDIT:
            edge = items[1] + items[2]
        elif kind == DATA:
            output += items[1]
            if len(output) - taken >= STEP:
                taken = len(output)
                await say(CREDIT, 1, taken, WINDOW)
        elif kind == STOP:
            stdin, ended = b"", True
        elif kind == RESULT:
            return bytes(output), items[1]
        elif kind == ERROR:
            raise Refused(items[1]["code"], items[1]["text"])
        while sent < min(edge, len(stdin)):
            piece = stdin[sent : min(edge, sent + PIECE)]
            await say(DATA, 1, piece)
            sent += len(piece)
        if edge and sent == len(stdin) and not ended:
            await say(END, 1, 0)
            ended = True


def main(url, module):
    try:
        name = module if "://" in module else bytes.fromhex(module)
        output, outcome = trio.run(call, url, name, sys.stdin.buffer.read())
    except ValueError:
        sys.exit(f"{module} is neither a SHA-256 nor a source such as ipfs://...")
    except trio_websocket.HandshakeError:
        sys.exit(f"There is no bus at {url}.")
    except Refused as refused:
        sys.exit("The host says no: {}: {}".format(*refused.args))
    sys.stdout.buffer.write(output)
    sys.exit(outcome["result"] if outcome["cause"] == "NORMAL" else 125)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python level0.py ws://127.0.0.1:6473/bus MODULE-SHA256-OR-SOURCE < input > output")
    main(*sys.argv[1:])
