;; Byte stores with a stride: the primes below 8 million, three times. There are 539,777.
(module
  (memory 123)
  (global $limit i32 (i32.const 8000000))
  (func $sieve (result i32)
    (local $i i32) (local $j i32) (local $count i32)
    (memory.fill (i32.const 0) (i32.const 0) (global.get $limit))
    (local.set $i (i32.const 2))
    (loop $next
      (if (i32.eqz (i32.load8_u (local.get $i)))
        (then
          (local.set $count (i32.add (local.get $count) (i32.const 1)))
          (local.set $j (i32.shl (local.get $i) (i32.const 1)))
          (block $done
            (loop $cross
              (br_if $done (i32.ge_u (local.get $j) (global.get $limit)))
              (i32.store8 (local.get $j) (i32.const 1))
              (local.set $j (i32.add (local.get $j) (local.get $i)))
              (br $cross)))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $i) (global.get $limit))))
    (local.get $count))
  (func (export "run") (result i32)
    (local $round i32)
    (loop $again
      (if (i32.ne (call $sieve) (i32.const 539777)) (then (return (i32.const 1))))
      (local.set $round (i32.add (local.get $round) (i32.const 1)))
      (br_if $again (i32.lt_u (local.get $round) (i32.const 3))))
    (i32.const 0)))
