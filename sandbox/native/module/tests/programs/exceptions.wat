;; Exceptions through frames that are stopped: thrown, caught by tag with values, caught by any, thrown again, and out of the program.
(module
  (type $t (func (param i32) (result i32)))
  (import "env" "host" (func $host (type $t)))
  (tag $e (param i32 i64))
  (tag $f)
  (global $g (mut i32) (i32.const 0))
  (table funcref (elem $thrower))
  (func $spin (type $t) (local $n i32)
    (loop $l (br_if $l (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (local.get 0))))
    (local.get $n))
  (func $thrower (type $t)
    (if (i32.eqz (local.get 0)) (then (throw $f)))
    (drop (call $spin (i32.const 2)))
    (if (i32.and (local.get 0) (i32.const 1))
      (then (throw $e (call $host (local.get 0)) (i64.const 5))))
    (call $spin (local.get 0)))
  ;; The local that the handler reads changes in the body, between sites.
  (func $catcher (type $t) (local $x i32)
    local.get 0
    i32.const 100
    (block $h (param i32) (result i32 i64)
      (loop $again (param i32)
        (try_table (param i32) (catch $e $h)
          (local.set $x)
          (local.set $x (i32.add (local.get $x) (call $thrower (local.get 0))))
          (local.set $x (i32.add (local.get $x) (call_indirect (type $t) (i32.add (local.get 0) (i32.const 2)) (i32.const 0))))
          local.get $x
          local.tee $x
          local.set $x)
        local.get $x
        local.get $x i32.const 150 i32.lt_u
        br_if $again
        drop)
      (call $host (local.get $x))
      i64.const 9)
    i32.wrap_i64
    i32.add
    local.get $x
    i32.add
    i32.add)
  (func $any (type $t)
    (block $all
      (try_table (catch_all $all)
        (drop (call $catcher (local.get 0)))
        (drop (call $thrower (i32.and (local.get 0) (i32.const 2))))))
    (call $spin (i32.const 3)))
  ;; Caught, looked at where nothing can be stopped, thrown again.
  (func $again (type $t)
    (block $r (result exnref)
      (try_table (result i32) (catch_ref $f $r)
        (call $thrower (local.get 0)))
      return)
    (global.set $g (i32.add (global.get $g) (i32.const 1)))
    throw_ref)
  (func $inner (type $t)
    (block $out
      (try_table (catch $f $out) (catch_all $out)
        (drop (call $again (local.get 0)))))
    (i32.add (call $any (local.get 0)) (call $catcher (local.get 0))))
  (func (export "run") (param i32) (result i32) (local $sum i32)
    (loop $l
      (local.set $sum (i32.add (local.get $sum) (call $inner (local.get 0))))
      (br_if $l (i32.ge_s (local.tee 0 (i32.sub (local.get 0) (i32.const 1))) (i32.const 0))))
    (i32.add (local.get $sum) (global.get $g)))
  (func (export "out") (param i32) (result i32)
    (drop (call $spin (i32.const 3)))
    (call $thrower (i32.const 3))))
