;; Behind a call that may be left stands a check. The operand under the call is moved into a local before it; a call of $leaf needs nothing.
;; run 3 -> 19
(module
  (func $leaf (param i32) (result i32) (i32.mul (local.get 0) (i32.const 5)))
  (func $count (param $n i32) (result i32) (local $i i32)
    (loop $next (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $n))))
    (local.get $i))
  (func $sum (export "run") (param i32) (result i32)
    (i32.const 1)
    (call $leaf (local.get 0))
    (call $count (local.get 0))
    i32.add
    i32.add))
