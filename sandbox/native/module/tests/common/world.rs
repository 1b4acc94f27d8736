//! What stands outside of the program: host functions that write a trace, and values as bits.

use wasmtime::{Extern, Func, ResourceLimiter, Store, Val, ValType};

/// What the host calls of a run did, and whether the next one "would block".
#[derive(Default)]
pub struct World {
    pub trace: Vec<String>,
    /// After so many host calls the next one would block.
    pub block: Option<u32>,
    pub control: Option<wasmtime::Memory>,
}

/// A program of dice may ask for 4 GiB; nobody wants to copy them for each stop. The core suite has 51 MiB once.
impl ResourceLimiter for World {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(current == 0 || desired <= 128 << 20)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= 10_000)
    }
}

/// Of a reference only whether it is null.
pub fn bits(value: &Val) -> u128 {
    match value {
        Val::I32(x) => u128::from(x.cast_unsigned()),
        Val::I64(x) => u128::from(x.cast_unsigned()),
        Val::F32(x) => u128::from(*x),
        Val::F64(x) => u128::from(*x),
        Val::V128(x) => x.as_u128(),
        Val::FuncRef(x) => u128::from(x.is_some()),
        Val::ExternRef(x) => u128::from(x.is_some()),
        _ => 0,
    }
}

/// Of a reference null.
pub fn value(ty: &ValType, bits: u128) -> Val {
    match ty {
        ValType::I32 => Val::I32((bits as u32).cast_signed()),
        ValType::I64 => Val::I64((bits as u64).cast_signed()),
        ValType::F32 => Val::F32(bits as u32),
        ValType::F64 => Val::F64(bits as u64),
        ValType::V128 => Val::V128(bits.into()),
        ValType::Ref(ty) => Val::null_ref(ty.heap_type()),
    }
}

/// A host function that answers with a mixture of its arguments.
pub fn host(store: &mut Store<World>, name: &str, ty: &wasmtime::FuncType) -> Extern {
    let name = name.to_owned();
    let results: Vec<ValType> = ty.results().collect();
    let function = Func::new(store, ty.clone(), move |mut caller, arguments, answer| {
        let bits: Vec<u128> = arguments.iter().map(bits).collect();
        let mix = bits.iter().fold(7u128, |sum, bits| sum.wrapping_mul(31).wrapping_add(*bits));
        for (slot, ty) in answer.iter_mut().zip(&results) {
            *slot = value(ty, mix);
        }
        let left = caller.data().block;
        caller.data_mut().block = left.and_then(|calls| calls.checked_sub(1));
        if left == Some(0) {
            let control = caller.data().control.unwrap();
            control.data_mut(&mut caller)[gatebus_module::UNWINDING as usize] = 1;
            return Ok(());
        }
        caller.data_mut().trace.push(format!("{name}{bits:?}"));
        Ok(())
    });
    function.into()
}
