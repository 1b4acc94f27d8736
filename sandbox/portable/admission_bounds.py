"""Words: how much of everything a module may have, checked before the compiler sees a byte.

The numbers and their reasons are those of the native worker (native/runner/src/bounds.rs; a test compares the two):
compiling is the cheapest attack, and these refuse the strange modules at the cost of reading. The limits of the
process are the back-stop.
"""

from __future__ import annotations

MODULE = 32 << 20
TEXT = 4 << 20
FUNCTIONS = 100_000
FUNCTION_BYTES = 1 << 20
LOCALS = 20_000
NESTING = 10_000
BRANCH_TARGETS = 65_536
FUNCTION_BRANCH_TARGETS = 200_000
LOCALS_TIMES_BLOCKS = 20_000_000
TYPES = 20_000
TYPE_SIZE = 1_000
IMPORTS = 1_000
EXPORTS = 50_000
NAME = 10_000
GLOBALS = 20_000
TABLES = 100
TABLE_ELEMENTS = 10_000_000
MEMORIES = 8
TAGS = 1_000
DATA_SEGMENTS = 500_000
ELEMENT_SEGMENTS = 10_000
ELEMENT_ITEMS = 1_000_000
CONSTANT_OPERATORS = 100
ENTRIES = 64
