;; A reference has no bits: the frame holds its place in a hidden table, and the state the function's number.
;; run 3 -> 12
(module
  (type $f (func (param i32) (result i32)))
  (table $t 1 funcref)
  (elem declare func $four)
  (func $four (type $f) (i32.mul (local.get 0) (i32.const 4)))
  (func $spin (param $n i32)
    (loop $next (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
  (func $holds (export "run") (param i32) (result i32) (local $f funcref)
    (local.set $f (ref.func $four))
    (call $spin (local.get 0))
    (table.set $t (i32.const 0) (local.get $f))
    (call_indirect $t (type $f) (local.get 0) (i32.const 0))))
