"""Words: in which form a program is compiled, and what a compile worker is asked for.

A program runs as it came (PLAIN), or rewritten so that it can be stopped anywhere and continued (SUSPENDABLE): the
same results, a tenth slower and two to three times the code. A program that cannot be rewritten runs as it came.
"""

from __future__ import annotations

import enum


class Form(enum.Enum):
    PLAIN = "plain"
    SUSPENDABLE = "suspendable"


class CompileJob(enum.IntEnum):
    """PROTOCOL.md section A, COMPILE."""

    PLAIN = 0
    SUSPENDABLE = 1
    CONTINUE = 2
    SHOW = 3
    EXPORT = 4


JOBS = {Form.PLAIN: CompileJob.PLAIN, Form.SUSPENDABLE: CompileJob.SUSPENDABLE}
