//! The little of WASI that the benchmark's programs need: arguments, output, a clock that only counts. No packets, so that nothing but the
//! program's own code is measured.

use wasmtime::{Caller, Error, FuncType, Linker, Memory, Module, Val};

/// Not provided; no such descriptor.
const NOSYS: i32 = 52;
const BADF: i32 = 8;
/// A character device, as a terminal is: C libraries then write line by line, everybody the same.
const TERMINAL: u8 = 2;

/// What a program was given and what it has written.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) words: Vec<String>,
    pub(crate) out: Vec<u8>,
    pub(crate) exit: Option<i32>,
    pub(crate) ticks: u64,
}

/// A host function for each import of the module.
pub(crate) fn linker(module: &Module) -> Result<Linker<World>, Error> {
    let mut linker = Linker::new(module.engine());
    for import in module.imports() {
        let (name, ty) = (import.name().to_owned(), import.ty());
        let ty: &FuncType = ty.unwrap_func();
        linker.func_new(import.module(), import.name(), ty.clone(), move |mut caller, arguments, results| {
            let answer = answer(&mut caller, &name, arguments)?;
            results.iter_mut().for_each(|result| *result = Val::I32(answer));
            Ok(())
        })?;
    }
    Ok(linker)
}

fn answer(caller: &mut Caller<'_, World>, name: &str, arguments: &[Val]) -> Result<i32, Error> {
    let memory = caller.get_export("memory").and_then(wasmtime::Extern::into_memory);
    let at = |index: usize| match arguments.get(index) {
        Some(Val::I32(value)) => value.cast_unsigned() as usize,
        _ => 0,
    };
    if name == "proc_exit" {
        caller.data_mut().exit = Some(i32::try_from(at(0)).unwrap_or(-1));
        return Err(Error::msg("exit"));
    }
    let Some(memory) = memory else { return Ok(0) };
    let (bytes, world) = memory.data_and_store_mut(caller);
    Ok(match name {
        "args_sizes_get" => put(bytes, at(0), world.words.len()) | put(bytes, at(1), text(&world.words).len()),
        "args_get" => arguments_into(bytes, &world.words, at(0), at(1)),
        "environ_sizes_get" => put(bytes, at(0), 0) | put(bytes, at(1), 0),
        "fd_write" if matches!(at(0), 1 | 2) => write(bytes, world, at(1), at(2), at(3)),
        "fd_fdstat_get" if at(0) < 3 => {
            bytes[at(1)..][..24].fill(0);
            bytes[at(1)] = TERMINAL;
            0
        }
        "clock_time_get" => {
            world.ticks += 1_000_000;
            bytes[at(2)..][..8].copy_from_slice(&world.ticks.to_le_bytes());
            0
        }
        "environ_get" | "random_get" | "fd_close" => 0,
        "fd_prestat_get" | "fd_fdstat_get" | "fd_read" | "fd_seek" => BADF,
        _ => NOSYS,
    })
}

fn put(bytes: &mut [u8], at: usize, value: usize) -> i32 {
    bytes[at..][..4].copy_from_slice(&u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes());
    0
}

fn get(bytes: &[u8], at: usize) -> usize {
    bytes[at..][..4].iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte))
}

fn text(words: &[String]) -> String {
    words.iter().map(|word| format!("{word}\0")).collect()
}

fn arguments_into(bytes: &mut [u8], words: &[String], mut list: usize, mut at: usize) -> i32 {
    for word in words {
        put(bytes, list, at);
        bytes[at..][..word.len()].copy_from_slice(word.as_bytes());
        bytes[at + word.len()] = 0;
        list += 4;
        at += word.len() + 1;
    }
    0
}

fn write(bytes: &mut [u8], world: &mut World, list: usize, count: usize, written: usize) -> i32 {
    let pieces = (0..count).map(|piece| (get(bytes, list + 8 * piece), get(bytes, list + 8 * piece + 4)));
    let before = world.out.len();
    pieces.for_each(|(at, length)| world.out.extend(&bytes[at..][..length]));
    put(bytes, written, world.out.len() - before)
}

/// All memories and variable globals of a stopped program, by their hidden names.
pub(crate) struct Parts {
    pub(crate) memories: Vec<Memory>,
    pub(crate) globals: Vec<wasmtime::Global>,
}

impl Parts {
    pub(crate) fn of(store: &mut wasmtime::Store<World>, instance: wasmtime::Instance) -> Parts {
        let mut parts = Parts { memories: Vec::new(), globals: Vec::new() };
        while let Some(memory) = instance.get_memory(&mut *store, &format!("gatebus:memory:{}", parts.memories.len())) {
            parts.memories.push(memory);
        }
        while let Some(global) = instance.get_global(&mut *store, &format!("gatebus:global:{}", parts.globals.len())) {
            parts.globals.push(global);
        }
        parts
    }
}
