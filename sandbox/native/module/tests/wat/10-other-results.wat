;; Behind a call whose first result is no whole number there is no dummy to compare with: the global is asked at once. A vector is saved with all its bits; what is not read
;; later is not saved.
;; run 3 -> 11
(module
  (func $spin (param $n i32) (result f64)
    (loop $next (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (f64.const 2.5))
  (func $pair (param $n i32) (result v128 i32)
    (drop (call $spin (local.get $n)))
    (v128.const i32x4 5 6 7 8)
    (i32.const 4))
  (func $both (export "run") (param $n i32) (result i32) (local $four i32) (local $wide v128)
    (call $pair (local.get $n))
    (local.set $four)
    (local.set $wide)
    (drop (call $spin (local.get $n)))
    (i32.add (local.get $four) (i32x4.extract_lane 2 (local.get $wide)))))
