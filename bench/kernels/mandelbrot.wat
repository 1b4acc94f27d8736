;; Floating point in registers: iterations over a grid of 400 x 400 points, at most 4,000 each. The total is the check.
(module
  (func $iterations (param $a f64) (param $b f64) (result i32)
    (local $x f64) (local $y f64) (local $xx f64) (local $yy f64) (local $n i32)
    (loop $next
      (local.set $y (f64.add (f64.mul (f64.mul (f64.const 2) (local.get $x)) (local.get $y)) (local.get $b)))
      (local.set $x (f64.add (f64.sub (local.get $xx) (local.get $yy)) (local.get $a)))
      (local.set $xx (f64.mul (local.get $x) (local.get $x)))
      (local.set $yy (f64.mul (local.get $y) (local.get $y)))
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br_if $next (i32.and
        (f64.le (f64.add (local.get $xx) (local.get $yy)) (f64.const 4))
        (i32.lt_u (local.get $n) (i32.const 4000)))))
    (local.get $n))
  (func (export "run") (result i32)
    (local $i i32) (local $j i32) (local $total i32)
    (loop $row
      (local.set $j (i32.const 0))
      (loop $column
        (local.set $total (i32.add (local.get $total) (call $iterations
          (f64.sub (f64.mul (f64.convert_i32_u (local.get $j)) (f64.const 0.0078125)) (f64.const 2.25))
          (f64.sub (f64.mul (f64.convert_i32_u (local.get $i)) (f64.const 0.0078125)) (f64.const 1.5625)))))
        (br_if $column (i32.lt_u (local.tee $j (i32.add (local.get $j) (i32.const 1))) (i32.const 400))))
      (br_if $row (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 400))))
    (i32.ne (local.get $total) (i32.const 99943253))))
