;; Active data is loaded by `gatebus:load`, and the start function is called by the host: making an instance leaves no trace. Operators on segments are functions, which
;; remember what was dropped and which a continuation can call.
;; run 2 -> 304
(module
  (memory 1)
  (data (i32.const 0) "\05\00\00\00")
  (data $late "\2b\01\00\00")
  (start $begin)
  (func $begin (i32.store (i32.const 4) (i32.load (i32.const 0))))
  (func $loads (export "run") (param $n i32) (result i32)
    (loop $next (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (memory.init $late (i32.const 8) (i32.const 0) (i32.const 4))
    (data.drop $late)
    (i32.add (i32.load (i32.const 4)) (i32.load (i32.const 8)))))
