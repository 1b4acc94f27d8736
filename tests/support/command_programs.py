"""Small programs in text form for the tests of the command: each does one thing."""

_WASI = """
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $args_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ_sizes_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get" (func $environ_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func $write (param $fd i32) (param $at i32) (param $size i32)
    (i32.store (i32.const 0) (local.get $at))
    (i32.store (i32.const 4) (local.get $size))
    (drop (call $fd_write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8))))
"""


def program(body: str) -> str:
    """Bytes 0..15 of its memory are scratch; texts of the body begin at 1024."""
    return f"(module {_WASI} {body})"


HELLO = program("""
  (data (i32.const 1024) "hello, world\\n")
  (func (export "_start") (call $write (i32.const 1) (i32.const 1024) (i32.const 13)))
  (func (export "other") (call $write (i32.const 1) (i32.const 1031) (i32.const 6)))""")

# Clears a terminal, names its window, and turns the direction of writing, if its name is printed as it is.
RUDE = program(r"""
  (func (export "_start"))
  (func (export "\1b[2J\1b]0;owned\07\0d\0a\u{202e}rude"))""")

# Makes a directory in a directory, 300 times; ends with the errno of what cannot be made.
DEEP = """(module
  (import "wasi_snapshot_preview1" "path_create_directory" (func $make (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start") (local $end i32) (local $error i32)
    (loop $fill
      (i32.store16 (local.get $end) (i32.const 0x2f61))
      (local.set $end (i32.add (local.get $end) (i32.const 2)))
      (br_if $fill (i32.lt_u (local.get $end) (i32.const 600))))
    (local.set $end (i32.const 1))
    (loop $deeper
      (local.set $error (call $make (i32.const 3) (i32.const 0) (local.get $end)))
      (if (local.get $error) (then (call $proc_exit (local.get $error))))
      (local.set $end (i32.add (local.get $end) (i32.const 2)))
      (br_if $deeper (i32.lt_u (local.get $end) (i32.const 600))))))"""

# Ends with the file type of its output: 2 is a character device, 0 nothing in particular.
KIND_OF_OUTPUT = """(module
  (import "wasi_snapshot_preview1" "fd_fdstat_get" (func $stat (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (drop (call $stat (i32.const 1) (i32.const 64)))
    (call $exit (i32.load8_u (i32.const 64)))))"""

COMPLAIN = program("""
  (data (i32.const 1024) "to stdout\\nto stderr\\n")
  (func (export "_start")
    (call $write (i32.const 1) (i32.const 1024) (i32.const 10))
    (call $write (i32.const 2) (i32.const 1034) (i32.const 10)))""")

# Everything from stdin to stdout, 64 KiB at a time; ends with 9 when a write fails.
CAT = program("""
  (func (export "_start") (local $left i32) (local $at i32)
    (loop $more
      (i32.store (i32.const 0) (i32.const 65536))
      (i32.store (i32.const 4) (i32.const 65536))
      (if (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8))
        (then (call $proc_exit (i32.const 8))))
      (local.set $left (i32.load (i32.const 8)))
      (local.set $at (i32.const 65536))
      (if (i32.eqz (local.get $left)) (then (return)))
      (loop $write
        (i32.store (i32.const 0) (local.get $at))
        (i32.store (i32.const 4) (local.get $left))
        (if (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))
          (then (call $proc_exit (i32.const 9))))
        (local.set $at (i32.add (local.get $at) (i32.load (i32.const 8))))
        (local.set $left (i32.sub (local.get $left) (i32.load (i32.const 8))))
        (br_if $write (local.get $left)))
      (br $more)))""")

# Reads five bytes once and writes them.
FIVE = program("""
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 1024))
    (i32.store (i32.const 4) (i32.const 5))
    (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
    (call $write (i32.const 1) (i32.const 1024) (i32.load (i32.const 8))))""")

# Writes for ever, and does not care whether anybody reads.
YES = program("""
  (func (export "_start")
    (loop $for_ever (call $write (i32.const 1) (i32.const 65536) (i32.const 65536)) (br $for_ever)))""")

ARGUMENTS = program("""
  (func (export "_start")
    (drop (call $args_sizes_get (i32.const 0) (i32.const 16)))
    (drop (call $args_get (i32.const 512) (i32.const 65536)))
    (call $write (i32.const 1) (i32.const 65536) (i32.load (i32.const 16))))""")

ENVIRONMENT = program("""
  (func (export "_start")
    (drop (call $environ_sizes_get (i32.const 0) (i32.const 16)))
    (drop (call $environ_get (i32.const 512) (i32.const 65536)))
    (call $write (i32.const 1) (i32.const 65536) (i32.load (i32.const 16))))""")

# Makes the file `made` in its private file system and writes five bytes into it.
MAKER = program("""
  (data (i32.const 1024) "made")
  (data (i32.const 1032) "inside")
  (func (export "_start")
    (if (call $path_open (i32.const 3) (i32.const 0) (i32.const 1024) (i32.const 4) (i32.const 1)
          (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 16))
      (then (call $proc_exit (i32.const 5))))
    (call $write (i32.load (i32.const 16)) (i32.const 1032) (i32.const 6)))""")

# Tries to open the host's password file; ends with the error number.
INTRUDER = program("""
  (data (i32.const 1024) "etc/passwd")
  (func (export "_start")
    (call $proc_exit (call $path_open (i32.const 3) (i32.const 0) (i32.const 1024) (i32.const 10) (i32.const 0)
      (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 16))))""")

LOOP = program('(func (export "_start") (loop $for_ever (br $for_ever)))')
TRAP = program('(func (export "_start") unreachable)')
RECURSE = program('(func $deep (export "_start") (call $deep))')
GREEDY = '(module (memory 2000) (func (export "_start")))'
THREADS = '(module (memory 1 1 shared) (func (export "_start")))'

# Asks for origin (number 0), accepts its connection, says hello and ends the stream: Gate's rules, without WASI.
GATE_HELLO = """(module
  (import "gate" "io_65536" (func $io (param i32 i32 i32 i32 i32 i32 i64 i32)))
  (memory (export "memory") 1)
  (data (i32.const 1024) "\\11\\00\\00\\00\\ff\\ff\\00\\00\\01\\00\\06origin\\00\\00\\00\\00\\00\\00\\00")
  (data (i32.const 1048) "\\08\\00\\00\\00\\00\\00\\00\\00")
  (data (i32.const 1056) "\\15\\00\\00\\00\\00\\00\\03\\00\\00\\00\\00\\00\\00\\00\\00\\00gate\\0a\\00\\00\\00")
  (data (i32.const 1080) "\\10\\00\\00\\00\\00\\00\\03\\00\\00\\00\\00\\00\\00\\00\\00\\00")
  (func $send (param $at i32) (param $size i32)
    (loop $rest
      (i32.store (i32.const 16) (local.get $at))
      (i32.store (i32.const 20) (local.get $size))
      (call $io (i32.const 0) (i32.const 0) (i32.const 24) (i32.const 16) (i32.const 1) (i32.const 28)
        (i64.const -1) (i32.const 0))
      (local.set $at (i32.add (local.get $at) (i32.load (i32.const 28))))
      (local.set $size (i32.sub (local.get $size) (i32.load (i32.const 28))))
      (br_if $rest (local.get $size))))
  (func $receive (param $size i32)
    (loop $rest
      (i32.store (i32.const 0) (i32.const 2048))
      (i32.store (i32.const 4) (local.get $size))
      (call $io (i32.const 0) (i32.const 1) (i32.const 24) (i32.const 16) (i32.const 0) (i32.const 28)
        (i64.const -1) (i32.const 0))
      (local.set $size (i32.sub (local.get $size) (i32.load (i32.const 24))))
      (br_if $rest (local.get $size))))
  (func (export "_start")
    (call $send (i32.const 1024) (i32.const 32))
    (call $receive (i32.const 48))
    (call $send (i32.const 1056) (i32.const 40))))"""

# The same, but its second packet is for a service that it never asked for.
GATE_VIOLATION = GATE_HELLO.replace('"\\08\\00\\00\\00\\00\\00', '"\\08\\00\\00\\00\\07\\00')


def exit_with(result: int) -> str:
    return program(f'(func (export "_start") (call $proc_exit (i32.const {result})))')
