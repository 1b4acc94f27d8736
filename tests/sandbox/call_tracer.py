"""A keeper under a tracer: runs the native executable and writes down which system calls its processes make.

Run as an executable of its own, in the keeper's place. KEEPER and RESULT are put in by the test. RESULT gets
{"spawner": [...], "program": [...], "worker": [...]}: numbers of calls that were made under the first filter (the
spawners and the children that they prepare), and under the last one (programs, compile workers).

Only numbers are looked at, at the entry of each call: a call that a filter forbids ends its process before that.
"""

import ctypes
import json
import os
import signal
import sys
from pathlib import Path

KEEPER, RESULT = "@KEEPER@", "@RESULT@"

TRACEME, CONT, SYSCALL, SETOPTIONS, GETEVENTMSG, GET_SYSCALL_INFO = 0, 7, 24, 0x4200, 0x4201, 0x420E
SYSGOOD, FORK, VFORK, CLONE, EXEC, EXITKILL = 1, 2, 4, 8, 16, 1 << 20
NEW_PROCESS, NEW_PROGRAM = (1, 2, 3), 4  # events: fork, vfork, clone; exec
ENTRY, EXIT = 1, 2
ALL_CHILDREN = 0x40000000  # __WALL
SECCOMP = {"x86_64": 317, "aarch64": 277}[os.uname().machine]

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


class Call(ctypes.Structure):
    """struct ptrace_syscall_info."""

    _fields_ = (
        ("op", ctypes.c_uint8), ("pad", ctypes.c_uint8 * 3), ("arch", ctypes.c_uint32),
        ("ip", ctypes.c_uint64), ("sp", ctypes.c_uint64), ("word", ctypes.c_uint64), ("more", ctypes.c_uint64 * 8),
    )  # fmt: skip


class Traced:
    """`filters`: how many it has installed or inherited. `trade`: of the spawner that it comes from."""

    def __init__(self, filters=0, trade=""):
        self.filters, self.trade, self.installs = filters, trade, False

    @property
    def kind(self):
        if self.filters < 2:
            return "spawner" if self.filters else "keeper"
        return "program" if self.trade == "programs" else "worker"


class Tracer:
    def __init__(self):
        self.seen = {"keeper": set(), "spawner": set(), "program": set(), "worker": set()}
        self.processes, self.early = {}, set()

    def run(self, keeper):
        os.waitpid(keeper, 0)
        libc.ptrace(SETOPTIONS, keeper, None, SYSGOOD | FORK | VFORK | CLONE | EXEC | EXITKILL)
        self.processes[keeper] = Traced()
        self.go_on(keeper)
        code = 70
        while True:
            try:
                pid, status = os.waitpid(-1, ALL_CHILDREN)
            except ChildProcessError:
                return code
            if os.WIFSTOPPED(status):
                self.stopped(pid, os.WSTOPSIG(status), status >> 16)
                continue
            self.processes.pop(pid, None)
            if pid == keeper:
                code = os.waitstatus_to_exitcode(status) & 0xFF

    def stopped(self, pid, number, event):
        if pid not in self.processes:
            self.early.add(pid)  # its first stop came before its parent's word
        elif number == signal.SIGTRAP | 0x80:
            self.call(pid, self.processes[pid])
            self.go_on(pid)
        elif number == signal.SIGTRAP and event:
            self.event(pid, event)
            self.go_on(pid)
        else:
            self.go_on(pid, 0 if number in (signal.SIGSTOP, signal.SIGTRAP) else number)

    def go_on(self, pid, number=0):
        libc.ptrace(SYSCALL, pid, None, number)

    def call(self, pid, process):
        call = Call()
        libc.ptrace(GET_SYSCALL_INFO, pid, ctypes.sizeof(call), ctypes.addressof(call))
        if call.op == ENTRY:
            self.seen[process.kind].add(call.word)
            process.installs = call.word == SECCOMP and call.more[0] == 1
        elif call.op == EXIT and process.installs:
            process.installs = False
            process.filters += call.word == 0

    def event(self, pid, event):
        if event in NEW_PROCESS:
            told = ctypes.c_ulong()
            libc.ptrace(GETEVENTMSG, pid, None, ctypes.addressof(told))
            parent = self.processes[pid]
            self.processes[told.value] = Traced(parent.filters, parent.trade)
            if told.value in self.early:
                self.early.remove(told.value)
                self.go_on(told.value)
        elif event == NEW_PROGRAM:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
            if words[1] == "spawner":
                self.processes[pid].trade = words[2]


def main():
    keeper = os.fork()
    if not keeper:
        libc.ptrace(TRACEME, 0, None, None)
        os.kill(os.getpid(), signal.SIGSTOP)
        os.execve(KEEPER, [KEEPER, *sys.argv[1:]], {})
    os.close(3)  # the host must see the keeper's end of it close
    tracer = Tracer()
    code = tracer.run(keeper)
    Path(RESULT).write_text(json.dumps({kind: sorted(calls) for kind, calls in tracer.seen.items()}))
    sys.exit(code)


if __name__ == "__main__":
    main()
