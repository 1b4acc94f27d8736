;; A `try_table` is a block like others. What its handlers read is saved at every site from which an exception may come.
;; run 4 -> 107
(module
  (tag $e (param i32))
  (func $spin (param $n i32)
    (loop $next (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (throw $e (i32.const 7)))
  (func $catches (export "run") (param $n i32) (result i32) (local $kept i32)
    (local.set $kept (i32.const 100))
    (block $caught (result i32)
      (try_table (catch $e $caught)
        (call $spin (local.get $n)))
      (unreachable))
    (i32.add (local.get $kept))))
