;; Segments, tables that change, references in locals, operands, globals and tables, functions of the host behind references, two memories.
(module
  (type $t (func (param i32) (result i32)))
  (import "env" "host" (func $host (type $t)))
  (import "env" "other" (func $other (param funcref i32) (result funcref i32)))
  (memory $a 1)
  (memory $b 1 4)
  (data $active (memory $a) (i32.const 8) "active")
  (data $late (memory $b) (offset (i32.add (i32.const 64) (i32.const 16))) "late")
  (data $passive "0123456789")
  (global $held (mut funcref) (ref.func $host))
  (global $none (mut externref) (ref.null extern))
  (table $changes 6 20 funcref)
  (table $fixed 3 3 funcref)
  (table $refs 2 externref)
  (elem (table $fixed) (i32.const 0) func $double $host $spin)
  (elem $later func $spin $double $host)
  (elem $exprs funcref (item ref.func $spin) (item ref.null func) (item ref.func $host))
  (export "host again" (func $host))
  (func $double (type $t) (i32.mul (local.get 0) (i32.const 2)))
  (func $spin (type $t) (local $n i32)
    (loop $l
      (local.set $n (i32.add (local.get $n) (i32.const 3)))
      (br_if $l (i32.lt_u (local.get $n) (local.get 0))))
    (local.get $n))
  (func $pick (param i32) (result funcref)
    (drop (call $spin (i32.const 4)))
    (table.get $fixed (i32.rem_u (local.get 0) (i32.const 3))))
  (func $drops (data.drop $passive) (elem.drop $later))
  (func $round (param $i i32) (result i32) (local $f funcref) (local $e externref) (local $sum i32)
    ;; A reference as an operand below a call, as a result of one, and in a local.
    i32.const 0
    ref.func $spin
    (call $pick (local.get $i))
    (local.set $f (call $pick (i32.add (local.get $i) (i32.const 1))))
    (local.set $sum (call $spin (i32.const 7)))
    local.get $i
    call $other
    local.set $sum
    drop
    (call $pick (i32.const 2))
    drop
    table.set $changes
    (table.set $changes (i32.const 1) (local.get $f))
    (table.set $refs (i32.const 1) (local.get $e))
    (drop (table.grow $changes (ref.func $host) (i32.const 1)))
    (global.set $held (table.get $changes (i32.const 1)))
    (if (i32.lt_u (local.get $i) (i32.const 3))
      (then
        (table.init $changes $later (i32.const 2) (i32.const 0) (i32.const 3))
        (memory.init $b $passive (i32.mul (local.get $i) (i32.const 100)) (local.get $i) (i32.const 5))))
    (if (i32.eq (local.get $i) (i32.const 3)) (then (call $drops)))
    (if (i32.eq (local.get $i) (i32.const 4))
      (then
        (drop (memory.grow $b (i32.const 1)))
        (table.init $changes $exprs (i32.const 3) (i32.const 0) (i32.const 3))
        (elem.drop $exprs)
        (memory.copy $a $b (i32.const 200) (i32.const 60) (i32.const 100))
        (memory.fill $b (i32.const 66000) (i32.const 7) (i32.const 50))
        (table.copy $changes $fixed (i32.const 1) (i32.const 0) (i32.const 2))
        (table.fill $changes (i32.const 5) (ref.null func) (i32.const 1))))
    (i32.add (local.get $sum)
      (call_indirect $changes (type $t) (local.get $i) (i32.and (local.get $i) (i32.const 1)))))
  (func (export "run") (param i32) (result i32) (local $i i32) (local $sum i32)
    (loop $l
      (local.set $sum (i32.add (local.get $sum) (call $round (local.get $i))))
      (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get 0))))
    ;; Nothing is left of the segments.
    (memory.init $a $active (i32.const 0) (i32.const 0) (i32.const 0))
    (i32.add (local.get $sum) (i32.add (i32.load $a (i32.const 8)) (i32.load $b (i32.const 80)))))
  (func (export "too late") (param i32) (result i32)
    (drop (call $spin (i32.const 9)))
    (memory.init $a $active (i32.const 0) (i32.const 0) (local.get 0))
    (call $spin (i32.const 5))))
