;; A loop is left at its header, where it reads its own byte of the request zone. Only what is read later is saved: not $square.
;; run 4 -> 30
(module
  (func $squares (export "run") (param $n i32) (result i32) (local $sum i32) (local $square i32)
    (loop $next
      (local.set $square (i32.mul (local.get $n) (local.get $n)))
      (local.set $sum (i32.add (local.get $sum) (local.get $square)))
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum)))
