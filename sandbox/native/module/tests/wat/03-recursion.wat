;; A recursion without loops is stopped by the check behind its own call.
;; run 6 -> 720
(module
  (func $factorial (export "run") (param $n i32) (result i32)
    (if (result i32) (local.get $n)
      (then (i32.mul (local.get $n) (call $factorial (i32.sub (local.get $n) (i32.const 1)))))
      (else (i32.const 1)))))
