"""A keeper that protects nothing: section A of PROTOCOL.md in Python, to test the native client alone.

Run as an executable of its own. An image's bytes are the name of what `run` below does; a program is one forked
process. A compilation copies its source to the image; `compile-...` names what a worker does wrong.
"""

import array
import ctypes
import fcntl
import json
import os
import select
import signal
import socket
import struct
import sys
import termios
from hashlib import sha256

START, KILL, COMPILE, STATUS, READY, ENDED, FAILED = 1, 2, 3, 4, 16, 17, 18
HEADER = struct.Struct("<IhBB")


def packet(code, domain, content=b"", index=0):
    size = 8 + len(content)
    return HEADER.pack(size, code, domain, index) + content + bytes(-size % 8)


def report(status, result, text=b""):
    return packet(-2, 0, struct.pack("<IiQQ", status, result, 65536, 0) + text, 8)


def read_packet(sock):
    head = sock.recv(8, socket.MSG_WAITALL)
    if len(head) < 8:
        sys.exit(75)
    size, code, domain, index = HEADER.unpack(head)
    rest = (size + 7 & ~7) - 8
    return code, domain, index, sock.recv(rest, socket.MSG_WAITALL)[: size - 8] if rest else b""


def end(sock, status, result=0, text=b""):
    sock.sendall(report(status, result, text))
    os._exit(status)


def run(name, sock, memory):
    arguments = []
    there = array.array("i", [0])
    fcntl.ioctl(sock, termios.FIONREAD, there)
    while True:
        _code, _domain, kind, content = read_packet(sock)
        if kind == 1:
            arguments.append(content)
        if kind == 6:
            break
    if name == "echo":
        while True:
            code, domain, index, content = read_packet(sock)
            sock.sendall(packet(code, domain, content, index))
    elif name == "arguments":
        sock.sendall(packet(0, 0, b"|".join(arguments)))
        end(sock, 2)
    elif name == "there":
        sock.sendall(packet(0, 0, str(there[0]).encode()))
        end(sock, 2)
    elif name == "hang":
        signal.pause()
    elif name == "flood":
        block = packet(0, 3, bytes(65528))
        while True:
            sock.sendall(block)
    elif name == "small":
        block = packet(0, 3, bytes(56)) * 256
        while True:
            sock.sendall(block)
    elif name == "touch":
        os.pwrite(memory, b"x" * 8192, 0)
        end(sock, 0)
    elif name == "garbage":
        sock.sendall(bytes(64))
        signal.pause()
    elif name.startswith("exit-"):
        end(sock, int(name[5:]), int(name[5:]) & 1, b"said so")
    elif name.startswith("signal-"):
        signal.signal(int(name[7:]), signal.SIG_DFL) if int(name[7:]) != 9 else None
        os.kill(os.getpid(), int(name[7:]))
    elif name == "mute":
        os._exit(3)
    os._exit(70)


def in_child(keeper):
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: nothing outlives its keeper
    if os.getppid() != keeper:
        os._exit(75)  # which ended before that
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)


class Keeper:
    def __init__(self, control):
        self.control = control
        self.programs = {}
        self.stubborn = set()

    def answer(self, *parts):
        self.control.send(b"".join(parts))

    def ready(self, identity):
        self.answer(struct.pack("<IIIIIIQIIII", READY, identity, 1, 0x1FFFF, 0, 1, 77, 0, 0, len(self.programs), 1))

    def failed(self, identity, reason):
        self.answer(struct.pack("<IIII", FAILED, identity, reason, 0))

    def loop(self):
        signal.set_wakeup_fd(self.wakeup(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self.ready(0)
        while True:
            ready, _, _ = select.select([self.control, self.pipe], [], [])
            if self.pipe in ready:
                os.read(self.pipe, 4096)
                self.reap()
            if self.control in ready and not self.request():
                return

    def wakeup(self):
        self.pipe, writer = os.pipe()
        os.set_blocking(writer, False)
        return writer

    def reap(self):
        for identity, (pid, killed) in list(self.programs.items()):
            found, status, usage = os.wait4(pid, os.WNOHANG)
            if found:
                del self.programs[identity]
                why = 1 if killed and os.WIFSIGNALED(status) else 0
                cpu = int(usage.ru_utime * 1e6), int(usage.ru_stime * 1e6)
                self.answer(struct.pack("<IIiIQQQ", ENDED, identity, status, why, *cpu, usage.ru_maxrss * 1024))

    def request(self):
        data, ancillary, _, _ = self.control.recvmsg(256, socket.CMSG_SPACE(64))
        if not data:
            return False
        fds = array.array("i")
        for _level, _kind, content in ancillary:
            fds.frombytes(content)
        kind, identity = struct.unpack_from("<II", data)
        if kind == START:
            self.start(identity, fds)
        elif kind == KILL and identity in self.stubborn:
            pass
        elif kind == KILL and identity in self.programs:
            self.programs[identity] = self.programs[identity][0], True
            os.kill(self.programs[identity][0], signal.SIGKILL)
        elif kind == COMPILE:
            self.compile(identity, fds)
        elif kind == STATUS:
            self.ready(identity)
        for fd in fds:
            os.close(fd)
        return True

    def start(self, identity, fds):
        name = os.pread(fds[1], 4096, 0).decode()
        if name == "die":
            os._exit(9)
        if name == "nonsense":
            self.answer(b"nonsense!")
            return
        if name.startswith("fail-"):
            self.failed(identity, int(name[5:]))
            return
        if name == "stubborn":
            self.stubborn.add(identity)
            name = "hang"
        keeper, pid = os.getpid(), os.fork()
        if not pid:
            in_child(keeper)
            run(name, socket.socket(fileno=fds[0]), fds[2])
        self.programs[identity] = pid, False

    def compile(self, identity, fds):
        source = os.pread(fds[0], 1 << 20, 0)
        keeper, pid = os.getpid(), os.fork()
        if not pid:
            in_child(keeper)
            self.compile_in_child(source, fds)
        self.programs[identity] = pid, False

    def compile_in_child(self, source, fds):
        name = source.decode()
        if name == "compile-hang":
            signal.pause()
        if name.startswith("compile-signal-"):
            os.kill(os.getpid(), int(name[15:]))
        if name.startswith("compile-exit-"):
            os._exit(int(name[13:]))
        if name == "compile-lie":
            os.write(fds[2], b"{]")
            os._exit(0)
        if name == "compile-refuse":
            os.write(fds[2], json.dumps({"ok": False, "code": "invalid", "text": "It is invalid."}).encode())
            os._exit(0)
        digest = sha256(b"other" if name == "compile-other" else source).hexdigest()
        os.write(fds[1], source)
        facts = {
            "ok": True,
            "personality": "wasi",
            "functions": 1,
            "memory_pages": 1,
            "memory_max_pages": None,
            "table_elements": 0,
            "exports": ["_start"],
            "has_start": False,
            "imports": 0,
            "wasm_sha256": digest,
        }
        os.write(fds[2], json.dumps(facts).encode())
        os._exit(0)


if __name__ == "__main__":
    if set(os.environ) - {"LC_CTYPE"}:  # which Python itself sets
        sys.exit("the keeper's environment must be empty")
    Keeper(socket.socket(fileno=3)).loop()
