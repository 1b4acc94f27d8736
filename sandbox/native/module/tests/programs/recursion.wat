;; As deep as it is told, and at the ground a call of the host.
(module
  (import "env" "host" (func $host (param i64) (result i64)))
  (func $down (param i32) (result i64)
    (if (result i64) (local.get 0)
      (then (i64.add (i64.extend_i32_u (local.get 0)) (call $down (i32.sub (local.get 0) (i32.const 1)))))
      (else (call $host (i64.const 1)))))
  (func (export "run") (param i32) (result i64) (call $down (local.get 0))))
