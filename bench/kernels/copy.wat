;; Bulk memory: blocks of 1 KiB to 1 MiB moved within 16 MiB, overlapping too, in an order that a counter gives.
(module
  (memory 257)
  (func (export "run") (result i32)
    (local $n i32) (local $from i32) (local $to i32) (local $size i32) (local $sum i32)
    (loop $mark
      (i32.store (local.get $n) (i32.mul (local.get $n) (i32.const 0x9e3779b1)))
      (br_if $mark (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 4))) (i32.const 16777216))))
    (local.set $n (i32.const 0))
    (loop $next
      (local.set $size (i32.shl (i32.const 1024) (i32.rem_u (local.get $n) (i32.const 11))))
      (local.set $from (i32.and (i32.mul (local.get $n) (i32.const 0x85ebca6b)) (i32.const 0xefffff)))
      (local.set $to (i32.and (i32.mul (local.get $n) (i32.const 0xc2b2ae35)) (i32.const 0xefffff)))
      (memory.copy (local.get $to) (local.get $from) (local.get $size))
      (br_if $next (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 20000))))
    (local.set $n (i32.const 0))
    (loop $add
      (local.set $sum (i32.add (i32.rotl (local.get $sum) (i32.const 1)) (i32.load (local.get $n))))
      (br_if $add (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 4))) (i32.const 16777216))))
    (i32.ne (local.get $sum) (i32.const 1179285376))))
