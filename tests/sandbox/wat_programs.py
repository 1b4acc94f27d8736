"""Programs for the tests, as text: each does one thing."""

from __future__ import annotations

_IMPORTS = """
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_fdstat_get" (func $fd_fdstat_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $args_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ_sizes_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get" (func $environ_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
"""

# write(descriptor, address, length): an iovec at 0; ends the program with the errno when it fails
_WRITE = """
  (func $write (param $fd i32) (param $at i32) (param $length i32)
    (local $error i32)
    (i32.store (i32.const 0) (local.get $at))
    (i32.store (i32.const 4) (local.get $length))
    (local.set $error (call $fd_write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8)))
    (if (local.get $error) (then (call $proc_exit (local.get $error)))))
"""


def program(body: str, data: str = "", more: str = "", memory: str = "1") -> bytes:
    """A WASI program whose entry does `body`."""
    segment = f'(data (i32.const 16) "{data}")' if data else ""
    return f"""(module {_IMPORTS}
  (memory (export "memory") {memory})
  {segment}
  {_WRITE}
  {more}
  (func (export "_start") {body}))""".encode()


# Ends with the file types of its output (units) and its log (tens).
FILE_TYPES = program("""
  (drop (call $fd_fdstat_get (i32.const 1) (i32.const 64)))
  (drop (call $fd_fdstat_get (i32.const 2) (i32.const 96)))
  (call $proc_exit (i32.add (i32.load8_u (i32.const 64)) (i32.mul (i32.const 10) (i32.load8_u (i32.const 96)))))""")

HELLO = program("(call $write (i32.const 1) (i32.const 16) (i32.const 6))", "hello\\n")
SAY_ON_STDERR = program("(call $write (i32.const 2) (i32.const 16) (i32.const 6))", "oh no\\n")
NOTHING = program("")
BUSY = program("(loop $again (br $again))")
SLEEP = program(
    """(i32.store8 (i32.const 40) (i32.const 0))
    (i32.store (i32.const 48) (i32.const 1))
    (i64.store (i32.const 56) (i64.const 3600000000000))
    (drop (call $poll_oneoff (i32.const 32) (i32.const 128) (i32.const 1) (i32.const 192)))"""
)
WRITE_FOR_EVER = program("(loop $again (call $write (i32.const 1) (i32.const 16) (i32.const 32768)) (br $again))")
LOG_FOR_EVER = program("(loop $again (call $write (i32.const 2) (i32.const 16) (i32.const 4096)) (br $again))")
ECHO = program(
    """(local $n i32)
    (loop $again
      (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const 4096)) (if (call $fd_read
      (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)) (then (call $proc_exit (i32.const 99)))) (local.set
      $n (i32.load (i32.const 8)))
      (if (local.get $n) (then (call $write (i32.const 1) (i32.const 1024) (local.get $n)) (br $again))))"""
)
ARGUMENTS = program(
    """(drop (call $args_sizes_get (i32.const 16) (i32.const 20)))
    (drop (call $args_get (i32.const 1024) (i32.const 4096)))
    (call $write (i32.const 1) (i32.const 4096) (i32.load (i32.const 20)))"""
)
ENVIRONMENT = program(
    """(drop (call $environ_sizes_get (i32.const 16) (i32.const 20)))
    (drop (call $environ_get (i32.const 1024) (i32.const 4096)))
    (call $write (i32.const 1) (i32.const 4096) (i32.load (i32.const 20)))"""
)


def exit_with(code: int) -> bytes:
    return program(f"(call $proc_exit (i32.const {code}))")


def write_file(name: str, content: str) -> bytes:
    """Makes a file below the preopened directory and writes to it."""
    return program(
        f"""(local $error i32)
    (local.set $error (call $path_open (i32.const 3) (i32.const 0) (i32.const 16) (i32.const {len(name)}) (i32.const 1)
      (i64.const 64) (i64.const 64) (i32.const 0) (i32.const 12)))
    (if (local.get $error) (then (call $proc_exit (local.get $error))))
    (call $write (i32.load (i32.const 12)) (i32.const {16 + len(name)}) (i32.const {len(content)}))""",
        name + content,
    )


def read_file(name: str) -> bytes:
    """Prints the start of a file."""
    return program(
        f"""(local $error i32)
    (local.set $error (call $path_open (i32.const 3) (i32.const 0) (i32.const 16) (i32.const {len(name)}) (i32.const 0)
      (i64.const 2) (i64.const 2) (i32.const 0) (i32.const 12)))
    (if (local.get $error) (then (call $proc_exit (local.get $error))))
    (i32.store (i32.const 0) (i32.const 1024))
    (i32.store (i32.const 4) (i32.const 4096))
    (drop (call $fd_read (i32.load (i32.const 12)) (i32.const 0) (i32.const 1) (i32.const 8)))
    (call $write (i32.const 1) (i32.const 1024) (i32.load (i32.const 8)))""",
        name,
    )


def grow_to(pages: int) -> bytes:
    """Grows from 1 page and touches the last one; status 1 when it may not."""
    return program(
        f"""(if (i32.eq (memory.grow (i32.const {pages - 1})) (i32.const -1)) (then (call $proc_exit (i32.const 1))))
    (i32.store (i32.const {pages * 65536 - 4}) (i32.const 1))"""
    )


def grow_table_to(elements: int) -> bytes:
    return program(
        f"""(if (i32.eq (table.grow $t (ref.null func) (i32.const {elements})) (i32.const -1))
      (then (call $proc_exit (i32.const 1))))""",
        more="(table $t 0 funcref)",
    )


def recurse(depth: int) -> bytes:
    """Calls itself `depth` times; a frame takes at least 16 bytes of stack."""
    return program(
        f"(drop (call $down (i32.const {depth})))",
        more="""(func $down (param $n i32) (result i32)
    (if (result i32) (local.get $n)
      (then (i32.add (call $down (i32.sub (local.get $n) (i32.const 1))) (i32.load (i32.const 0))))
      (else (i32.const 0))))""",
    )


TRAPS = {
    "UNREACHABLE": program("unreachable"),
    "CALL_STACK_EXHAUSTED": recurse(100_000_000),
    "MEMORY_ACCESS_OUT_OF_BOUNDS": program("(drop (i32.load (i32.const 65533)))"),
    "INDIRECT_CALL_INDEX_OUT_OF_BOUNDS": program(
        "(call_indirect (type $v) (i32.const 7))", more="(type $v (func)) (table 1 funcref)"
    ),
    "INDIRECT_CALL_SIGNATURE_MISMATCH": program(
        "(call_indirect (type $v) (i32.const 0))",
        more="(type $v (func)) (table funcref (elem $other)) (func $other (result i32) (i32.const 1))",
    ),
    "INTEGER_DIVIDE_BY_ZERO": program("(drop (i32.div_u (i32.const 1) (i32.load (i32.const 64))))"),
    "INTEGER_OVERFLOW": program(
        "(drop (i32.div_s (i32.const 0x80000000) (i32.sub (i32.load (i32.const 64)) (i32.const 1))))"
    ),
    "TRAP": program("(throw $e)", more="(tag $e)"),
}
NULL_ELEMENT = program("(call_indirect (type $v) (i32.const 0))", more="(type $v (func)) (table 1 funcref)")
BAD_CONVERSION = program("(drop (i32.trunc_f64_s (f64.const 1e30)))")
SEGMENT_TOO_FAR = program("", more='(data (i32.const 65535) "xx")')

# Gate's personality: io(receive vector, its length, received, send vector, its length, sent, timeout, flags)
_GATE = """(module
  (import "gate" "io_65536" (func $io (param i32 i32 i32 i32 i32 i32 i64 i32)))
  (memory (export "memory") 2)
  {data}
  (func $send (param $at i32) (param $length i32)
    (i32.store (i32.const 0) (local.get $at))
    (i32.store (i32.const 4) (local.get $length))
    (call $io (i32.const 0) (i32.const 0) (i32.const 8)
      (i32.const 0) (i32.const 1) (i32.const 12) (i64.const -1) (i32.const 32)))
  (func (export "_start") {body}))"""


def gate_program(data: bytes, body: str = "") -> bytes:
    """Sends the bytes as they are, then does `body`."""
    escaped = "".join(f"\\{byte:02x}" for byte in data)
    send = f"(call $send (i32.const 64) (i32.const {len(data)}))"
    return _GATE.format(data=f'(data (i32.const 64) "{escaped}")', body=send + body).encode()


def gate_flood(packet: bytes) -> bytes:
    """Sends the same packet for ever."""
    escaped = "".join(f"\\{byte:02x}" for byte in packet)
    # The host may take a part of it: the rest goes first the next time.
    loop = f"""(local $done i32) (loop $again
      (call $send (i32.add (i32.const 64) (local.get $done)) (i32.sub (i32.const {len(packet)}) (local.get $done)))
      (local.set $done (i32.add (local.get $done) (i32.load (i32.const 12))))
      (if (i32.eq (local.get $done) (i32.const {len(packet)})) (then (local.set $done (i32.const 0))))
      (br $again))"""
    return _GATE.format(data=f'(data (i32.const 64) "{escaped}")', body=loop).encode()
