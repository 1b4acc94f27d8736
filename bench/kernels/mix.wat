;; Integers in registers: 60 million rounds of add, rotate, exclusive or (the quarter of a stream cipher).
(module
  (func (export "run") (result i32)
    (local $a i32) (local $b i32) (local $c i32) (local $d i32) (local $n i32)
    (local.set $a (i32.const 0x61707865)) (local.set $b (i32.const 0x3320646e))
    (local.set $c (i32.const 0x79622d32)) (local.set $d (i32.const 0x6b206574))
    (loop $next
      (local.set $a (i32.add (local.get $a) (local.get $b)))
      (local.set $d (i32.rotl (i32.xor (local.get $d) (local.get $a)) (i32.const 16)))
      (local.set $c (i32.add (local.get $c) (local.get $d)))
      (local.set $b (i32.rotl (i32.xor (local.get $b) (local.get $c)) (i32.const 12)))
      (local.set $a (i32.add (local.get $a) (local.get $b)))
      (local.set $d (i32.rotl (i32.xor (local.get $d) (local.get $a)) (i32.const 8)))
      (local.set $c (i32.add (local.get $c) (local.get $d)))
      (local.set $b (i32.rotl (i32.xor (local.get $b) (local.get $c)) (i32.const 7)))
      (br_if $next (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 60000000))))
    (i32.ne (i32.xor (i32.xor (local.get $a) (local.get $b)) (i32.xor (local.get $c) (local.get $d))) (i32.const 2145801179))))
