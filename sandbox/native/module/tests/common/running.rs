//! An instance as a host sees it: calls, requests, and its state by the hidden exports alone.

use super::PATIENCE;
use super::world::{World, bits, host, value};
use gatebus_module::{
    CHANGES, CONTROL, DROPPED, FRAMES, FUNCTIONS, GLOBAL, Global, LOAD, MEMORY, Memory, Phase, REFERENCES,
    REFERENCES_WRITTEN, START, Scalar, State, TABLE, Table, UNWINDING, WRITTEN, ZONE,
};
use std::collections::HashMap;
use wasmtime::{Engine, Extern, Func, Instance, Module, Ref, Store, Val, ValType};

/// The results of a call, or why it ended.
pub type Results = Result<Vec<u128>, String>;

/// An instance and its store.
pub struct Running {
    pub store: Store<World>,
    pub instance: Instance,
}

impl Running {
    /// The instance as it is made, or the trap in making it.
    pub fn new(engine: &Engine, module: &Module) -> Result<Running, String> {
        let mut store = Store::new(engine, World::default());
        store.set_epoch_deadline(PATIENCE);
        store.limiter(|world| world);
        let imports: Vec<Extern> =
            module.imports().map(|import| host(&mut store, import.name(), import.ty().unwrap_func())).collect();
        let instance = Instance::new(&mut store, module, &imports).map_err(|error| end(&error))?;
        let control = instance.get_memory(&mut store, CONTROL);
        store.data_mut().control = control;
        Ok(Running { store, instance })
    }

    /// What comes before the start function.
    pub fn load(&mut self) -> Results {
        if self.exports(LOAD) { self.call(LOAD, &[]) } else { Ok(Vec::new()) }
    }

    pub fn exports(&mut self, name: &str) -> bool {
        self.instance.get_export(&mut self.store, name).is_some()
    }

    pub fn control(&self) -> wasmtime::Memory {
        self.store.data().control.unwrap()
    }

    pub fn request(&mut self) {
        let control = self.control();
        control.data_mut(&mut self.store)[..ZONE as usize].fill(1);
    }

    /// Only the sites with this number, modulo the size of the zone, are to stop.
    pub fn request_one(&mut self, byte: usize) {
        let control = self.control();
        control.data_mut(&mut self.store)[byte % ZONE as usize] = 1;
    }

    pub fn withdraw(&mut self) {
        let control = self.control();
        control.data_mut(&mut self.store)[..ZONE as usize].fill(0);
    }

    pub fn word(&self, at: u32) -> u32 {
        let bytes = &self.control().data(&self.store)[at as usize..][..4];
        u32::from_le_bytes(bytes.try_into().unwrap())
    }

    pub fn was_left(&self) -> bool {
        self.word(UNWINDING) == 1
    }

    pub fn call(&mut self, name: &str, arguments: &[Val]) -> Results {
        let function = self.instance.get_func(&mut self.store, name).unwrap();
        self.call_function(function, arguments)
    }

    pub fn call_function(&mut self, function: Func, arguments: &[Val]) -> Results {
        let mut results = vec![Val::I32(0); function.ty(&self.store).results().len()];
        match function.call(&mut self.store, arguments, &mut results) {
            Ok(()) => Ok(results.iter().map(bits).collect()),
            Err(error) => Err(end(&error)),
        }
    }

    pub fn memory(&mut self, number: u32) -> Option<wasmtime::Memory> {
        self.instance.get_memory(&mut self.store, &format!("{MEMORY}{number}"))
    }

    /// The numbers of the functions behind a program's references, by the engine's pointers.
    pub fn numbers(&mut self) -> HashMap<usize, u32> {
        let mut numbers = HashMap::new();
        let Some(table) = self.instance.get_table(&mut self.store, FUNCTIONS) else { return numbers };
        for place in 0..table.size(&self.store) {
            let Some(Ref::Func(Some(function))) = table.get(&mut self.store, place) else { panic!("a hole") };
            numbers.insert(function.to_raw(&mut self.store) as usize, place as u32 + 1);
        }
        numbers
    }

    fn number_of(&mut self, numbers: &HashMap<usize, u32>, reference: &Ref) -> u32 {
        match reference {
            Ref::Func(Some(function)) => numbers[&(function.to_raw(&mut self.store) as usize)],
            reference => {
                assert!(reference.is_null());
                0
            }
        }
    }

    fn entries(&mut self, numbers: &HashMap<usize, u32>, name: &str, count: Option<u64>) -> Option<Vec<u32>> {
        let table = self.instance.get_table(&mut self.store, name)?;
        let count = count.unwrap_or_else(|| table.size(&self.store));
        let mut entries = Vec::new();
        for place in 0..count {
            let reference = table.get(&mut self.store, place).unwrap();
            entries.push(self.number_of(numbers, &reference));
        }
        Some(entries)
    }

    /// Everything but memory 0.
    pub fn capture(&mut self, phase: Phase, entry: &str) -> State {
        let numbers = self.numbers();
        let frames = self.control().data(&self.store)[FRAMES as usize..][..self.word(WRITTEN) as usize].to_vec();
        let kept = u64::from(self.word(REFERENCES_WRITTEN));
        let pages = self.memory(0).map_or(0, |memory| memory.size(&self.store)) as u32;
        State {
            module: [7; 32],
            phase,
            entry: entry.to_owned(),
            pages,
            frames,
            references: self.entries(&numbers, REFERENCES, Some(kept)).unwrap_or_default(),
            globals: self.variable_globals(&numbers),
            tables: (0..100)
                .filter_map(|number| {
                    let entries = self.entries(&numbers, &format!("{CHANGES}{number}"), None)?;
                    Some(Table { number, entries })
                })
                .collect(),
            dropped_data: self.dropped("data.drop"),
            dropped_elements: self.dropped("elem.drop"),
            memories: (1..)
                .map_while(|number| self.memory(number).map(|memory| Memory::of(memory.data(&self.store))))
                .collect(),
            world: self.store.data().trace.join("\n").into_bytes(),
        }
    }

    fn variable_globals(&mut self, numbers: &HashMap<usize, u32>) -> Vec<Global> {
        let mut globals = Vec::new();
        for number in 0.. {
            let Some(global) = self.instance.get_global(&mut self.store, &format!("{GLOBAL}{number}")) else { break };
            let ty = global.ty(&self.store);
            if ty.mutability() != wasmtime::Mutability::Var {
                continue;
            }
            let value = global.get(&mut self.store);
            let bits = match value.ref_() {
                Some(reference) => self.number_of(numbers, &reference).into(),
                None => bits(&value),
            };
            globals.push(Global { number, ty: scalar(ty.content()), bits });
        }
        globals
    }

    fn dropped(&mut self, kind: &str) -> Vec<u32> {
        let mut dropped = Vec::new();
        for number in 0..100 {
            let global = self.instance.get_global(&mut self.store, &format!("{DROPPED}{kind}:{number}"));
            if global.is_some_and(|global| global.get(&mut self.store).unwrap_i32() == 1) {
                dropped.push(number);
            }
        }
        dropped
    }

    /// Into a new instance; memory 0 is given besides.
    pub fn restore(&mut self, state: &State, first: &[u8]) {
        if let Some(memory) = self.memory(0) {
            let missing = u64::from(state.pages) - memory.size(&self.store);
            memory.grow(&mut self.store, missing).unwrap();
            memory.data_mut(&mut self.store).copy_from_slice(first);
        }
        for (number, saved) in (1..).zip(&state.memories) {
            let memory = self.memory(number).unwrap();
            let missing = u64::from(saved.pages) - memory.size(&self.store);
            memory.grow(&mut self.store, missing).unwrap();
            saved.write(memory.data_mut(&mut self.store)).unwrap();
        }
        for global in &state.globals {
            let to = self.instance.get_global(&mut self.store, &format!("{GLOBAL}{}", global.number)).unwrap();
            let value = match global.ty {
                Scalar::Function => Val::FuncRef(self.function(global.bits as u32)),
                _ => value(to.ty(&self.store).content(), global.bits),
            };
            to.set(&mut self.store, value).unwrap();
        }
        for table in &state.tables {
            self.fill(&format!("{TABLE}{}", table.number), &table.entries);
        }
        if !state.references.is_empty() {
            self.fill(REFERENCES, &state.references);
        }
        for (kind, list) in [("data", &state.dropped_data), ("elem", &state.dropped_elements)] {
            for segment in list {
                self.call(&format!("gatebus:{kind}.drop:{segment}"), &[]).unwrap();
            }
        }
        let world = String::from_utf8(state.world.clone()).unwrap();
        self.store.data_mut().trace = world.lines().map(str::to_owned).collect();
    }

    fn function(&mut self, number: u32) -> Option<Func> {
        let place = u64::from(number.checked_sub(1)?);
        let table = self.instance.get_table(&mut self.store, FUNCTIONS).unwrap();
        Some(*table.get(&mut self.store, place).unwrap().unwrap_func().unwrap())
    }

    fn fill(&mut self, name: &str, entries: &[u32]) {
        let table = self.instance.get_table(&mut self.store, name).unwrap();
        let null = Ref::null(table.ty(&self.store).element().heap_type());
        let missing = (entries.len() as u64).saturating_sub(table.size(&self.store));
        table.grow(&mut self.store, missing, null.clone()).unwrap();
        for (place, number) in (0..).zip(entries) {
            let reference = self.function(*number).map_or(null.clone(), |function| Ref::Func(Some(function)));
            table.set(&mut self.store, place, reference).unwrap();
        }
    }

    pub fn write_frames(&mut self, bytes: &[u8]) {
        let control = self.control();
        control.data_mut(&mut self.store)[FRAMES as usize..][..bytes.len()].copy_from_slice(bytes);
    }

    pub fn has_start(&mut self) -> bool {
        self.exports(START)
    }
}

fn scalar(ty: &ValType) -> Scalar {
    match ty {
        ValType::I32 => Scalar::I32,
        ValType::I64 => Scalar::I64,
        ValType::F32 => Scalar::F32,
        ValType::F64 => Scalar::F64,
        ValType::V128 => Scalar::V128,
        ValType::Ref(ty) if ty.matches(&wasmtime::RefType::FUNCREF) => Scalar::Function,
        ValType::Ref(_) => Scalar::Extern,
    }
}

/// How a call ended that gave nothing.
pub fn end(error: &wasmtime::Error) -> String {
    if error.is::<wasmtime::ThrownException>() {
        return "an exception".to_owned();
    }
    error.downcast_ref::<wasmtime::Trap>().map_or_else(|| error.to_string(), |trap| trap.to_string())
}
