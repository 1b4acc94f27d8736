"""Words: the error numbers of WASI preview 1, and the exception that carries one to the import that was called.

The numbers are part of the guest ABI (the witx `errno` enumeration, in its order). Only those a host can answer are
named.
"""

from __future__ import annotations

import enum


class Errno(enum.IntEnum):
    """What a preview 1 function returns."""

    SUCCESS = 0
    TOO_BIG = 1
    ACCESS = 2
    AGAIN = 6
    BADF = 8
    BUSY = 10
    EXIST = 20
    FAULT = 21
    FBIG = 22
    ILSEQ = 25
    INVAL = 28
    IO = 29
    ISDIR = 31
    LOOP = 32
    MFILE = 33
    MLINK = 34
    NAMETOOLONG = 37
    NFILE = 41
    NOENT = 44
    NOSPC = 51
    NOSYS = 52
    NOTDIR = 54
    NOTEMPTY = 55
    NOTSOCK = 57
    NOTSUP = 58
    OVERFLOW = 61
    PERM = 63
    PIPE = 64
    SPIPE = 70
    NOTCAPABLE = 76


class CallError(Exception):
    """A call of the guest fails with this number; it never ends the guest."""

    def __init__(self, errno: Errno) -> None:
        super().__init__(errno.name)
        self.errno = errno


class GuestEnd(BaseException):
    """The guest is over with this status (PROTOCOL.md, table of statuses), raised through the engine out of an import.

    A BaseException: nothing between the import and the child's last step may take it for an error of a call.
    """

    def __init__(self, status: int, result: int = 0, text: str = "") -> None:
        super().__init__(status, result, text)
        self.status, self.result, self.text = status, result, text


class Suspend(BaseException):
    """The host has asked for the program's state and the call would have to wait: nothing of it is done. It is to be
    made again, with the same arguments, by whoever goes on from the state.
    """
