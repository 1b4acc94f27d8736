"""The guests that the benchmarks start, as text modules: nothing to build, the same bytes everywhere."""

from __future__ import annotations

# Says one line, then waits for input that never comes: what an idle program is.
IDLE_HELLO = b"""
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\10\\00\\00\\00\\06\\00\\00\\00" "\\20\\00\\00\\00\\01\\00\\00\\00" "hello\\0a")
  (func (export "_start")
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 64)))
    (drop (call $read (i32.const 0) (i32.const 8) (i32.const 1) (i32.const 64)))))
"""

# Says one line and ends.
HELLO = IDLE_HELLO.replace(b"(drop (call $read (i32.const 0) (i32.const 8) (i32.const 1) (i32.const 64)))))", b"))")
