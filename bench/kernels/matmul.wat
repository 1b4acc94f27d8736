;; Floating point with three addresses: 512 x 512 doubles, C = A * B with A[i][j] = i + j, B[i][j] = 2i - j.
;; Everything stays an integer below 2^53, so the trace and the last element are exact.
(module
  (memory 97)
  (func $at (param $base i32) (param $i i32) (param $j i32) (result i32)
    (i32.add (local.get $base) (i32.shl (i32.add (i32.shl (local.get $i) (i32.const 9)) (local.get $j)) (i32.const 3))))
  (func $fill
    (local $i i32) (local $j i32)
    (loop $row
      (local.set $j (i32.const 0))
      (loop $column
        (f64.store (call $at (i32.const 0) (local.get $i) (local.get $j))
          (f64.convert_i32_s (i32.add (local.get $i) (local.get $j))))
        (f64.store (call $at (i32.const 2097152) (local.get $i) (local.get $j))
          (f64.convert_i32_s (i32.sub (i32.shl (local.get $i) (i32.const 1)) (local.get $j))))
        (br_if $column (i32.lt_u (local.tee $j (i32.add (local.get $j) (i32.const 1))) (i32.const 512))))
      (br_if $row (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 512)))))
  (func $multiply
    (local $i i32) (local $j i32) (local $k i32) (local $a i32) (local $b i32) (local $sum f64)
    (loop $row
      (local.set $j (i32.const 0))
      (loop $column
        (local.set $k (i32.const 0))
        (local.set $sum (f64.const 0))
        (local.set $a (call $at (i32.const 0) (local.get $i) (i32.const 0)))
        (local.set $b (call $at (i32.const 2097152) (i32.const 0) (local.get $j)))
        (loop $inner
          (local.set $sum (f64.add (local.get $sum) (f64.mul (f64.load (local.get $a)) (f64.load (local.get $b)))))
          (local.set $a (i32.add (local.get $a) (i32.const 8)))
          (local.set $b (i32.add (local.get $b) (i32.const 4096)))
          (br_if $inner (i32.lt_u (local.tee $k (i32.add (local.get $k) (i32.const 1))) (i32.const 512))))
        (f64.store (call $at (i32.const 4194304) (local.get $i) (local.get $j)) (local.get $sum))
        (br_if $column (i32.lt_u (local.tee $j (i32.add (local.get $j) (i32.const 1))) (i32.const 512))))
      (br_if $row (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 512)))))
  (func $trace (result f64)
    (local $i i32) (local $sum f64)
    (loop $next
      (local.set $sum (f64.add (local.get $sum) (f64.load (call $at (i32.const 4194304) (local.get $i) (local.get $i)))))
      (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 512))))
    (local.get $sum))
  (func (export "run") (result i32)
    (call $fill)
    (call $multiply)
    (i32.or
      (f64.ne (call $trace) (f64.const 39952252928))
      (f64.ne (f64.load (call $at (i32.const 4194304) (i32.const 511) (i32.const 511))) (f64.const 22369536)))))
