;; An import is called through a wrapper, also where it is in a table: the call that was left is made again, the call that was made is not.
;; run 2 -> 499
(module
  (type $f (func (param i32) (result i32)))
  (import "env" "host" (func $host (type $f)))
  (table funcref (elem $host))
  (func $ask (export "run") (param i32) (result i32)
    (i32.add
      (call $host (local.get 0))
      (call_indirect (type $f) (i32.const 63) (i32.const 0)))))
