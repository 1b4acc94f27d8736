;; Calls: the Fibonacci numbers by recursion. 78 million calls of almost nothing: fib(37).
(module
  (func $fib (param $n i32) (result i32)
    (if (result i32) (i32.lt_u (local.get $n) (i32.const 2))
      (then (local.get $n))
      (else (i32.add (call $fib (i32.sub (local.get $n) (i32.const 1)))
                     (call $fib (i32.sub (local.get $n) (i32.const 2)))))))
  (func (export "run") (result i32)
    (i32.ne (call $fib (i32.const 37)) (i32.const 24157817))))
