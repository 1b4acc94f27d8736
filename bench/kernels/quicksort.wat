;; Branches that nobody can predict: 2 million pseudo-random integers, sorted in place by recursion (Hoare's partition).
(module
  (memory 123)
  (global $count i32 (i32.const 2000000))
  (func $fill
    (local $i i32) (local $x i32)
    (local.set $x (i32.const 12345))
    (loop $next
      (local.set $x (i32.add (i32.mul (local.get $x) (i32.const 1664525)) (i32.const 1013904223)))
      (i32.store (i32.shl (local.get $i) (i32.const 2)) (local.get $x))
      (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (global.get $count)))))
  ;; Addresses of the first and the last element.
  (func $sort (param $low i32) (param $high i32)
    (local $pivot i32) (local $i i32) (local $j i32) (local $x i32)
    (if (i32.ge_s (local.get $low) (local.get $high)) (then (return)))
    (local.set $pivot (i32.load (i32.and (i32.shr_u (i32.add (local.get $low) (local.get $high)) (i32.const 1)) (i32.const -4))))
    (local.set $i (i32.sub (local.get $low) (i32.const 4)))
    (local.set $j (i32.add (local.get $high) (i32.const 4)))
    (block $parted
      (loop $swap
        (loop $up
          (local.set $i (i32.add (local.get $i) (i32.const 4)))
          (br_if $up (i32.lt_s (i32.load (local.get $i)) (local.get $pivot))))
        (loop $down
          (local.set $j (i32.sub (local.get $j) (i32.const 4)))
          (br_if $down (i32.gt_s (i32.load (local.get $j)) (local.get $pivot))))
        (br_if $parted (i32.ge_s (local.get $i) (local.get $j)))
        (local.set $x (i32.load (local.get $i)))
        (i32.store (local.get $i) (i32.load (local.get $j)))
        (i32.store (local.get $j) (local.get $x))
        (br $swap)))
    (call $sort (local.get $low) (local.get $j))
    (call $sort (i32.add (local.get $j) (i32.const 4)) (local.get $high)))
  (func $sum (result i32)
    (local $i i32) (local $sum i32)
    (loop $next
      (local.set $sum (i32.add (local.get $sum) (i32.load (i32.shl (local.get $i) (i32.const 2)))))
      (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (global.get $count))))
    (local.get $sum))
  (func $disorder (result i32)
    (local $i i32)
    (local.set $i (i32.const 1))
    (loop $next
      (if (i32.gt_s (i32.load (i32.shl (i32.sub (local.get $i) (i32.const 1)) (i32.const 2)))
                    (i32.load (i32.shl (local.get $i) (i32.const 2))))
        (then (return (i32.const 1))))
      (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (global.get $count))))
    (i32.const 0))
  (func (export "run") (result i32)
    (local $sum i32)
    (call $fill)
    (local.set $sum (call $sum))
    (call $sort (i32.const 0) (i32.shl (i32.sub (global.get $count) (i32.const 1)) (i32.const 2)))
    (i32.or (call $disorder) (i32.ne (call $sum) (local.get $sum)))))
