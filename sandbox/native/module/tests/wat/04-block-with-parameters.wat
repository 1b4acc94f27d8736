;; A block with parameters that contains a site has none afterwards: they are in locals when it is entered, also from a continuation.
;; run 5 -> 16
(module
  (func $spin (param $n i32) (result i32)
    (loop $next (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i32.const 8))
  (func $both (export "run") (param i32) (result i32)
    i32.const 3
    local.get 0
    block (param i32 i32) (result i32)
      call $spin
      i32.add
    end
    local.get 0
    i32.add))
