;; A loop around br_table, as interpreters have: 16 bytes of program for a machine with two registers, 80 million steps.
(module
  (memory 1)
  (data (i32.const 0) "\00\01\02\03\04\05\06\07\01\03\05\07\00\02\04\06")
  (func (export "run") (result i32)
    (local $pc i32) (local $a i32) (local $b i32) (local $n i32)
    (local.set $a (i32.const 1))
    (loop $next
      (block $done
        (block $7 (block $6 (block $5 (block $4 (block $3 (block $2 (block $1 (block $0
          (br_table $0 $1 $2 $3 $4 $5 $6 $7 (i32.load8_u (local.get $pc))))
          (local.set $a (i32.add (local.get $a) (local.get $b))) (br $done))
          (local.set $b (i32.xor (local.get $b) (local.get $a))) (br $done))
          (local.set $a (i32.rotl (local.get $a) (i32.const 3))) (br $done))
          (local.set $b (i32.add (local.get $b) (i32.const 0x3c6ef372))) (br $done))
          (local.set $a (i32.sub (local.get $a) (local.get $n))) (br $done))
          (local.set $b (i32.rotr (local.get $b) (i32.const 7))) (br $done))
          (local.set $a (i32.xor (local.get $a) (i32.shr_u (local.get $b) (i32.const 9)))) (br $done))
        (local.set $b (i32.mul (local.get $b) (i32.const 5))))
      (local.set $pc (i32.and (i32.add (local.get $pc) (i32.const 1)) (i32.const 15)))
      (br_if $next (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 80000000))))
    (i32.ne (i32.xor (local.get $a) (local.get $b)) (i32.const 3723753297))))
