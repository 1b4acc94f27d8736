;; Looks for the number below a limit whose Collatz chain is longest, prints it and ends: some minutes of work. The best one
;; so far stands in memory. It knows nothing of being stopped, stored, copied or carried elsewhere.
(module
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param $fd i32) (param $iovecs i32) (param $count i32) (param $written i32) (result i32)))
  (memory (export "memory") 1)
  (global $below (export "below") i32 (i32.const 400000000))
  (data (i32.const 95) "\n")

  (func $chain (param $start i64) (result i32) (local $number i64) (local $steps i32)
    (local.set $number (local.get $start))
    (loop $next
      (if (i64.le_u (local.get $number) (i64.const 1)) (then (return (local.get $steps))))
      (local.set $number
        (if (result i64) (i64.eqz (i64.and (local.get $number) (i64.const 1)))
          (then (i64.shr_u (local.get $number) (i64.const 1)))
          (else (i64.add (i64.mul (local.get $number) (i64.const 3)) (i64.const 1)))))
      (local.set $steps (i32.add (local.get $steps) (i32.const 1)))
      (br $next))
    (unreachable))

  ;; At address 16: the best number so far; at 20: the length of its chain; at 24: how far the search has come.
  (func $search (local $number i32) (local $steps i32)
    (local.set $number (i32.const 1))
    (loop $next
      (local.set $steps (call $chain (i64.extend_i32_u (local.get $number))))
      (if (i32.gt_u (local.get $steps) (i32.load (i32.const 20)))
        (then
          (i32.store (i32.const 16) (local.get $number))
          (i32.store (i32.const 20) (local.get $steps))))
      (i32.store (i32.const 24) (local.get $number))
      (br_if $next
        (i32.lt_u (local.tee $number (i32.add (local.get $number) (i32.const 1))) (global.get $below)))))

  ;; The decimal digits end in front of the line break at address 95; one iovec at address 0.
  (func $print (param $value i32) (local $at i32)
    (local.set $at (i32.const 95))
    (loop $next
      (local.set $at (i32.sub (local.get $at) (i32.const 1)))
      (i32.store8 (local.get $at) (i32.add (i32.const 48) (i32.rem_u (local.get $value) (i32.const 10))))
      (br_if $next (local.tee $value (i32.div_u (local.get $value) (i32.const 10)))))
    (i32.store (i32.const 0) (local.get $at))
    (i32.store (i32.const 4) (i32.sub (i32.const 96) (local.get $at)))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))

  (func (export "_start")
    (call $search)
    (call $print (i32.load (i32.const 16)))))
