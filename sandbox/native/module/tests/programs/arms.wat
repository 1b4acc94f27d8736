;; Sites in both arms of an `if`, in loops and outside of them, with branches out of the leading parts that a continuation moves.
(module
  (import "env" "host" (func $host (param i32) (result i32)))
  (memory 1)
  (func $work (param i32) (result i32)
    (loop (br_if 0 (i32.and (local.tee 0 (i32.sub (local.get 0) (i32.const 1))) (i32.const 1))))
    (local.get 0))
  (func $body (param $n i32) (result i32) (local $i i32) (local $s i32)
    (if (i32.gt_u (local.get $n) (i32.const 3))
      (then (local.set $s (call $work (i32.const 5))))
      (else (local.set $s (call $work (i32.const 8)))))
    (block $out
      (loop $again
        (br_if $out (i32.gt_u (local.get $i) (local.get $n)))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (block $skip
          (br_if $skip (i32.eq (local.get $i) (i32.const 2)))
          (br_if $again (i32.eq (local.get $i) (i32.const 3)))
          (if (i32.and (local.get $i) (i32.const 1))
            (then
              (local.set $s (i32.add (local.get $s) (call $work (local.get $i))))
              (br_if $skip (i32.eq (local.get $i) (i32.const 5)))
              (loop $inner
                (local.set $s (i32.mul (local.get $s) (i32.const 3)))
                (if (i32.rem_u (local.get $s) (i32.const 5))
                  (then (local.set $s (i32.add (local.get $s) (call $host (local.get $s)))))
                  (else (br $again)))
                (br_if $inner (i32.lt_u (local.get $s) (i32.const 100000)))))
            (else
              (local.set $s (i32.xor (local.get $s) (call $host (local.get $i))))
              (block $a (block $b (block $c
                (br_table $a $b $c $skip (i32.and (call $work (local.get $i)) (i32.const 3))))
                (local.set $s (i32.add (local.get $s) (call $work (i32.const 3)))))
                (local.set $s (i32.add (local.get $s) (call $work (i32.const 4)))))
              (i32.store (i32.shl (local.get $i) (i32.const 2)) (local.get $s)))))
        (br $again)))
    (local.get $s))
  (func (export "run") (param i32) (result i32)
    (i32.add (call $body (local.get 0)) (call $body (i32.const 2)))))
