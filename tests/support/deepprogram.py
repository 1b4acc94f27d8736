"""A program that waits deep in a recursion: what tests of stops on both back-ends share."""

# Calls itself so many times, says "go" at the bottom, waits there for a byte, and gives the depth and the byte.
DEEP = b"""(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "\\20\\00\\00\\00\\02\\00\\00\\00\\28\\00\\00\\00\\01\\00\\00\\00") (data (i32.const 32) "go")
  (func $down (param $n i32) (result i32)
    (if (result i32) (local.get $n)
      (then (i32.add (i32.const 1) (call $down (i32.sub (local.get $n) (i32.const 1)))))
      (else
        (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 8)))
        (drop (call $read (i32.const 0) (i32.const 24) (i32.const 1) (i32.const 8)))
        (i32.load8_u (i32.const 40)))))
  (func (export "shallow") (result i32) (call $down (i32.const 3)))
  (func (export "deep") (result i32) (call $down (i32.const 10000))))"""
