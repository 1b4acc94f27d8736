;; Counts the primes below five million, which takes a second or two, and prints how many there are. It knows nothing of being stopped.
(module
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param $fd i32) (param $iovecs i32) (param $count i32) (param $written i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 31) "\n")

  (func $is_prime (param $number i32) (result i32) (local $divisor i32)
    (local.set $divisor (i32.const 2))
    (loop $next
      (if (i32.gt_u (i32.mul (local.get $divisor) (local.get $divisor)) (local.get $number))
        (then (return (i32.const 1))))
      (if (i32.eqz (i32.rem_u (local.get $number) (local.get $divisor)))
        (then (return (i32.const 0))))
      (local.set $divisor (i32.add (local.get $divisor) (i32.const 1)))
      (br $next))
    (unreachable))

  (func $count_primes (param $below i32) (result i32) (local $number i32) (local $found i32)
    (local.set $number (i32.const 2))
    (loop $next
      (local.set $found (i32.add (local.get $found) (call $is_prime (local.get $number))))
      (br_if $next
        (i32.lt_u (local.tee $number (i32.add (local.get $number) (i32.const 1))) (local.get $below))))
    (local.get $found))

  ;; The decimal digits end in front of the line break at address 31; one iovec at address 0.
  (func $print (param $value i32) (local $at i32)
    (local.set $at (i32.const 31))
    (loop $next
      (local.set $at (i32.sub (local.get $at) (i32.const 1)))
      (i32.store8 (local.get $at) (i32.add (i32.const 48) (i32.rem_u (local.get $value) (i32.const 10))))
      (br_if $next (local.tee $value (i32.div_u (local.get $value) (i32.const 10)))))
    (i32.store (i32.const 0) (local.get $at))
    (i32.store (i32.const 4) (i32.sub (i32.const 32) (local.get $at)))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))

  (func (export "_start") (call $print (call $count_primes (i32.const 5000000)))))
