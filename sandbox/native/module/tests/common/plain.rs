//! The untransformed module, and what can be seen of a program when it has ended.

use super::running::{Results, Running};
use gatebus_module::{GLOBAL, MEMORY, TABLE};
use std::collections::HashMap;
use wasmparser::{Operator, Parser, Payload, TypeRef};
use wasmtime::{Engine, Module, Ref, Val};

/// All of the state that a program can see, as bits; of a reference to a function its number in the module, plus 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Seen {
    pub memories: Vec<Vec<u8>>,
    pub globals: Vec<u128>,
    pub tables: Vec<Vec<u32>>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The results, or the trap.
    pub results: Results,
    /// Nothing where no instance could be made.
    pub seen: Seen,
    pub trace: Vec<String>,
}

impl Outcome {
    pub fn of(running: &mut Running, results: Results, functions: &HashMap<usize, u32>) -> Outcome {
        let seen = seen(running, functions);
        Outcome { results, seen, trace: running.store.data().trace.clone() }
    }
}

/// Memories, globals and tables in the order of the source's numbers, by the hidden names.
fn seen(running: &mut Running, functions: &HashMap<usize, u32>) -> Seen {
    let mut seen = Seen::default();
    while let Some(memory) = running.memory(seen.memories.len() as u32) {
        seen.memories.push(memory.data(&running.store).to_vec());
    }
    while let Some(global) = running.instance.get_global(&mut running.store, &format!("{GLOBAL}{}", seen.globals.len()))
    {
        let value = global.get(&mut running.store);
        seen.globals.push(match value.ref_() {
            Some(reference) => number(running, functions, &reference).into(),
            None => super::world::bits(&value),
        });
    }
    while let Some(table) = running.instance.get_table(&mut running.store, &format!("{TABLE}{}", seen.tables.len())) {
        let mut entries = Vec::new();
        for place in 0..table.size(&running.store) {
            let reference = table.get(&mut running.store, place).unwrap();
            entries.push(number(running, functions, &reference));
        }
        seen.tables.push(entries);
    }
    seen
}

fn number(running: &mut Running, functions: &HashMap<usize, u32>, reference: &Ref) -> u32 {
    match reference {
        Ref::Func(Some(function)) => functions[&(function.to_raw(&mut running.store) as usize)],
        reference => u32::from(!reference.is_null()) * 77,
    }
}

const FUNCTION: &str = "gatebus:function:";

/// Runs the module as it came but for exports that show its end.
pub fn plain(engine: &Engine, wasm: &[u8], entry: &str, arguments: &[Val]) -> Outcome {
    let (shown, escaped) = expose(wasm);
    let module = Module::new(engine, shown).unwrap();
    let mut running = match Running::new(engine, &module) {
        Ok(running) => running,
        Err(trap) => return Outcome { results: Err(trap), seen: Seen::default(), trace: Vec::new() },
    };
    let mut functions = HashMap::new();
    for function in escaped {
        let reference = running.instance.get_func(&mut running.store, &format!("{FUNCTION}{function}")).unwrap();
        functions.insert(reference.to_raw(&mut running.store) as usize, function + 1);
    }
    let results = running.call(entry, arguments);
    Outcome::of(&mut running, results, &functions)
}

/// Only the exports are other ones; the code stays as it was. Also gives the functions that references can mean.
fn expose(wasm: &[u8]) -> (Vec<u8>, Vec<u32>) {
    let mut module = wasm_encoder::Module::new();
    let mut exports = wasm_encoder::ExportSection::new();
    let mut counts = [
        (MEMORY, wasm_encoder::ExportKind::Memory, 0),
        (GLOBAL, wasm_encoder::ExportKind::Global, 0),
        (TABLE, wasm_encoder::ExportKind::Table, 0),
    ];
    let mut functions = 0;
    let mut after = Vec::new();
    let mut escaped = std::collections::BTreeSet::new();
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload.unwrap();
        match &payload {
            Payload::ImportSection(section) => {
                let imports = section.clone().into_imports();
                functions +=
                    imports.filter(|import| matches!(import.as_ref().unwrap().ty, TypeRef::Func(_))).count() as u32;
            }
            Payload::FunctionSection(section) => functions += section.count(),
            Payload::MemorySection(section) => counts[0].2 = section.count(),
            Payload::GlobalSection(section) => counts[1].2 = section.count(),
            Payload::TableSection(section) => counts[2].2 = section.count(),
            Payload::ExportSection(section) => {
                for export in section.clone() {
                    let export = export.unwrap();
                    if export.kind == wasmparser::ExternalKind::Func {
                        exports.export(export.name, wasm_encoder::ExportKind::Func, export.index);
                    }
                }
                continue;
            }
            Payload::CodeSectionEntry(body) => {
                for operator in body.get_operators_reader().unwrap() {
                    if let Operator::RefFunc { function_index } = operator.unwrap() {
                        escaped.insert(function_index);
                    }
                }
            }
            _ => {}
        }
        if let Some((id, range)) = payload.as_section() {
            // Sections behind the exports: start, elements, data count, code, data.
            if matches!(id, 8..=12) {
                after.push((id, range))
            } else if id != 0 {
                module.section(&wasm_encoder::RawSection { id, data: &wasm[range] });
            }
        }
    }
    for (name, kind, count) in counts {
        (0..count).for_each(|number| _ = exports.export(&format!("{name}{number}"), kind, number));
    }
    for function in 0..functions {
        exports.export(&format!("{FUNCTION}{function}"), wasm_encoder::ExportKind::Func, function);
    }
    module.section(&exports);
    for (id, range) in after {
        module.section(&wasm_encoder::RawSection { id, data: &wasm[range] });
    }
    (module.finish(), (0..functions).collect())
}
