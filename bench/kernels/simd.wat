;; Vectors: the dot product of two arrays of a million 16-bit integers, 1,000 times; a[i] = i mod 256, b[i] = (i mod 128) - 64.
;; One period of 256 gives sum a*b = 333184, so a round gives 4096 times that (sums wrap at 32 bits, lane by lane and in the end).
(module
  (memory 65)
  (func $fill
    (local $i i32)
    (loop $next
      (i32.store16 (i32.shl (local.get $i) (i32.const 1)) (i32.and (local.get $i) (i32.const 255)))
      (i32.store16 offset=2097152 (i32.shl (local.get $i) (i32.const 1))
        (i32.sub (i32.and (local.get $i) (i32.const 127)) (i32.const 64)))
      (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 1048576)))))
  (func $dot (result i32)
    (local $at i32) (local $sum v128)
    (loop $next
      (local.set $sum (i32x4.add (local.get $sum)
        (i32x4.dot_i16x8_s (v128.load (local.get $at)) (v128.load offset=2097152 (local.get $at)))))
      (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 16))) (i32.const 2097152))))
    (i32.add
      (i32.add (i32x4.extract_lane 0 (local.get $sum)) (i32x4.extract_lane 1 (local.get $sum)))
      (i32.add (i32x4.extract_lane 2 (local.get $sum)) (i32x4.extract_lane 3 (local.get $sum)))))
  (func (export "run") (result i32)
    (local $round i32)
    (call $fill)
    (loop $again
      (if (i32.ne (call $dot) (i32.const 1364721664)) (then (return (i32.const 1))))
      (br_if $again (i32.lt_u (local.tee $round (i32.add (local.get $round) (i32.const 1))) (i32.const 1000))))
    (i32.const 0)))
