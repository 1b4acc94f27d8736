;; Operands below calls and blocks, parameters of blocks and loops, results by twos, branch tables with values, vectors, unreachable rests.
(module
  (type $two (func (param i32) (result i32 i64)))
  (import "env" "host" (func $host (param i32) (result i32)))
  (memory (export "memory") 1)
  (global $g (mut f64) (f64.const 1.5))
  (table 4 funcref)
  (elem (i32.const 0) $two $leaf2)
  (func $leaf (param i32) (result i32) local.get 0 i32.const 3 i32.mul)
  (func $two (type $two) local.get 0 call $spin local.get 0 i64.extend_i32_s)
  (func $leaf2 (type $two) local.get 0 i64.const 5)
  (func $spin (param i32) (result i32) (local i32)
    loop (result i32)
      local.get 1 i32.const 1 i32.add local.tee 1 i32.const 3 i32.lt_u br_if 0
      local.get 0 local.get 1 i32.add
    end)
  (func $product (param i32) (result i64)
    local.get 0 i32.eqz
    if (result i64) i64.const 1
    else local.get 0 i64.extend_i32_u local.get 0 i32.const 1 i32.sub call $product i64.mul
    end)
  (func $switch (param i32 i32) (result i32)
    i32.const 1000
    block $d (result i32)
      block $c (result i32)
        block $b (result i32)
          local.get 1 call $spin
          local.get 0 br_table $b $c $d $b
        end
        i32.const 10 i32.add call $host br $d
      end
      i32.const 20 i32.add
    end
    i32.add)
  (func $ends_early (param i32) (result i32)
    block (result i32) local.get 0 call $spin return i32.const 1 call $spin drop unreachable end)
  (func (export "run") (param i32) (result i32) (local i32 i32 f32 f64 v128 i64)
    f32.const 0x1.8p0 local.set 3
    v128.const i32x4 1 2 3 4 local.set 5
    i32.const 7
    i32.const 0 i64.const 9
    loop $l (param i32 i64) (result i64)
      local.set 6 local.set 1
      f64.const 2.5
      local.get 1 call $leaf
      local.get 1 call $host
      i32.add
      local.get 1 i32.const 1 i32.and
      if (param i32) (result i32) call $spin end
      local.get 1
      block (param i32 i32) (result i32)
        call $spin i32.add
        local.get 1 i32.const 3 i32.rem_u
        if (param i32) (result i32) local.get 1 call $switch else call $ends_early i32.const 1 i32.add end
      end
      local.get 1 i32.const 1 i32.and call_indirect (type $two)
      local.get 6 i64.add local.set 6
      local.get 2 i32.add local.set 2
      global.get $g f64.add global.set $g
      local.get 5 local.get 5 i32x4.add local.set 5
      local.get 3 f32.const nan:0x200001 f32.copysign local.set 3
      local.get 1 i32.const 1 i32.add local.tee 1
      local.get 6 local.get 1 i32.const 3 i32.and call $product i64.add
      local.get 1 local.get 0 i32.lt_s br_if $l
      local.set 6 drop local.get 6
    end
    i32.wrap_i64 i32.add local.get 2 i32.add
    local.get 5 i32x4.extract_lane 2 i32.add
    local.get 3 i32.reinterpret_f32 i32.add
    global.get $g i32.trunc_sat_f64_s i32.add))
