//! A stopped program as one ordinary module, which any engine can finish.
//!
//! The module as it came, untransformed, under its own numbers; behind it the functions that go on from the frames, as in a continuation but without sites; the
//! frames as data of a memory that nothing else uses; memories, globals and tables as the stop found them. It imports what the module imported, and nothing else.
//!
//! ```wat
//! (func $run …)                              (func $run …)                                  ;; byte for byte
//! (export "_start" (func $run))              (func $from_site …) … (func $next …)           ;; see `resume`
//! (memory 1)                                 (func $go_on
//! (data (i32.const 8) "…")                     global.get $gone  if  return_call $run  end  ;; only the first call goes on
//!                                              i32.const 1  global.set $gone  call $next)
//!                                            (export "_start" (func $go_on))
//!                                            (memory 7)  (memory $frames 1)
//!                                            (data (i32.const 8) "what was there") (data (memory $frames) (i32.const 4128) "frames")
//! ```
//!
//! The state is from outside: it is checked as it is where a program goes on, and then is only constants and data of a module that is validated like any other.
//! What stood outside of the program (its files, what it had not read, its clock) is no part of the module. Of a program that had come to its end nothing goes on:
//! the module is the program with what it has left, without its start function.

use crate::Suspendable;
use crate::base::{Base, Links, results_at};
use crate::frames::{read_untrusted, sites_of};
use crate::frozen::Frozen;
use crate::instrument::add_hints;
use crate::print::Within;
use crate::references;
use crate::resume::{EXPORTED, Plan};
use crate::scalar::Types;
use crate::state::{BadState, Memory, Phase, State};
use crate::{BadFrames, features, fits, sections};
use std::collections::BTreeSet;
use wasm_encoder::{
    BlockType, BranchHints, CodeSection, CustomSection, ExportSection, Function, FunctionSection, Instruction, Module,
    RawSection, SectionId, StartSection,
};
use wasmparser::ValType;

/// Why there is no module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unexported {
    /// The program cannot have left this state.
    State(BadState),
    /// It can, but not as one module.
    Large(&'static str),
}

impl From<BadState> for Unexported {
    fn from(bad: BadState) -> Unexported {
        Unexported::State(bad)
    }
}

impl From<BadFrames> for Unexported {
    fn from(bad: BadFrames) -> Unexported {
        if bad.is_bound() { Unexported::Large(bad.text) } else { Unexported::State(BadState { text: bad.text }) }
    }
}

impl Suspendable<'_> {
    /// The module. `first` is what memory 0 holds; data of at most `room` bytes.
    pub fn export_untrusted(&self, state: &State, first: &Memory, room: usize) -> Result<Vec<u8>, Unexported> {
        let frames = read_untrusted(self.table(), &state.frames)?;
        let sites = sites_of(&frames);
        let (going, frames) = match frames.first() {
            None => (None, Vec::new()),
            Some(outermost) => {
                self.check_sites_untrusted(&sites, EXPORTED)?;
                let guide = self.guide_untrusted(&sites)?;
                guide.check_untrusted(state.call(), &frames, state.references.len())?;
                (Some(results_at(&self.base, outermost.site)), guide.write_frames(&frames)?)
            }
        };
        fits::check_untrusted(&self.base, state, first)?;
        let frozen = Frozen { base: &self.base, state, first, frames, room };
        let wasm = Export { base: &self.base, state, frozen }.print(&sites, going.as_deref())?;
        match wasmparser::Validator::new_with_features(features::ACCEPTED).validate_all(&wasm) {
            Ok(_) => Ok(wasm),
            Err(_) => Err(Unexported::Large("the exported module would exceed a limit of the engine")),
        }
    }
}

/// What it is printed from.
struct Export<'x, 'a> {
    base: &'x Base<'a>,
    state: &'x State,
    frozen: Frozen<'x, 'a>,
}

/// The functions of the new module, behind the imported ones.
struct Functions {
    types: Types,
    section: FunctionSection,
    code: CodeSection,
    hints: BranchHints,
    /// Of those that were added.
    names: Vec<(u32, String)>,
    next: u32,
}

impl Functions {
    fn add(&mut self, ty: u32, body: &Function) -> u32 {
        self.section.function(ty);
        self.code.function(body);
        self.next += 1;
        self.next - 1
    }
}

impl Export<'_, '_> {
    /// `results`: of the outermost frame; of a program that had come to its end there is none, and nothing goes on.
    fn print(&self, sites: &BTreeSet<u32>, results: Option<&[ValType]>) -> Result<Vec<u8>, Unexported> {
        let program = &self.base.program;
        let mut functions = self.own();
        let go_on = results.map(|results| self.go_on(&mut functions, sites, results));
        let mut module = Module::new();
        module.section(&functions.types.section());
        self.copy(&mut module, SectionId::Import);
        module.section(&functions.section);
        module.section(&self.frozen.tables()).section(&self.frozen.memories());
        self.copy(&mut module, SectionId::Tag);
        module.section(&self.frozen.globals());
        module.section(&self.exports(go_on));
        if let (Phase::Start, Some(function_index)) = (self.state.phase, go_on) {
            module.section(&StartSection { function_index });
        }
        let (count, data) = self.frozen.data()?;
        module.section(&self.frozen.elements()).section(&count);
        if !functions.hints.is_empty() {
            module.section(&functions.hints);
        }
        module.section(&functions.code).section(&data);
        if let Some(names) = program.name_section {
            let data = sections::names_with(names, &program.names, &functions.names);
            module.section(&CustomSection { name: "name".into(), data: data.into() });
        }
        Ok(module.finish())
    }

    fn copy(&self, module: &mut Module, id: SectionId) {
        if let Some(data) = self.base.program.section(id.into()) {
            module.section(&RawSection { id: id.into(), data });
        }
    }

    /// Those of the module, byte for byte.
    fn own(&self) -> Functions {
        let program = &self.base.program;
        let mut all = Functions {
            types: Types::of(&program.types),
            section: FunctionSection::new(),
            code: CodeSection::new(),
            hints: BranchHints::new(),
            names: Vec::new(),
            next: crate::number(program.functions.len()),
        };
        for function in program.defined() {
            all.section.function(program.functions[function as usize]);
            all.code.raw(&program.bytes[program.body(function).range()]);
            let hints = program.hints.get(&function).into_iter().flatten();
            let hints: Vec<_> = hints.map(|(at, likely)| (crate::number(*at), *likely)).collect();
            add_hints(&mut all.hints, function, &hints);
        }
        all
    }

    /// What goes on from the frames: the number of the function that begins with the outermost one.
    fn continuation(&self, all: &mut Functions, sites: &BTreeSet<u32>, results: &[ValType]) -> u32 {
        let mut links = Links::default();
        if !self.state.references.is_empty() || self.base.added.references {
            let ty = all.types.intern(references::TAKE.0, references::TAKE.1);
            links.take = Some(all.add(ty, &references::take(self.frozen.references_table())));
        }
        let plan = Plan::of(self.base, sites, all.next, Within::Export);
        for planned in plan.functions(self.base, &links, &mut all.types) {
            let ty = all.types.intern(&[], &planned.results);
            let number = all.add(ty, &planned.body);
            add_hints(&mut all.hints, number, &planned.hints);
            let name =
                planned.site.and_then(|site| self.base.program.names.get(&self.base.table.sites[&site].function));
            all.names.extend(name.map(|name| (number, format!("{name} (goes on)"))));
        }
        plan.choosers[results]
    }

    /// What is called in the place of the function that was left.
    fn go_on(&self, all: &mut Functions, sites: &BTreeSet<u32>, results: &[ValType]) -> u32 {
        let chooser = self.continuation(all, sites, results);
        let called = fits::called(self.base, self.state).expect("checked with the rest of the state");
        all.add(self.base.program.functions[called as usize], &self.goes_on_once(called, chooser))
    }

    /// With the type of the function that was left, since that is what callers know.
    fn goes_on_once(&self, called: u32, chooser: u32) -> Function {
        let mut out = Function::new([]);
        let mut write = |instruction: Instruction<'_>| _ = out.instruction(&instruction);
        [Instruction::GlobalGet(self.frozen.gone()), Instruction::If(BlockType::Empty)]
            .into_iter()
            .for_each(&mut write);
        (0..crate::number(self.base.program.type_of(called).params().len()))
            .map(Instruction::LocalGet)
            .for_each(&mut write);
        [Instruction::Call(called), Instruction::Return, Instruction::End].into_iter().for_each(&mut write);
        [Instruction::I32Const(1), Instruction::GlobalSet(self.frozen.gone())].into_iter().for_each(&mut write);
        [Instruction::Call(chooser), Instruction::End].into_iter().for_each(&mut write);
        out
    }

    fn exports(&self, go_on: Option<u32>) -> ExportSection {
        let mut section = ExportSection::new();
        for export in &self.base.program.exports {
            let kind = sections::export_kind(export.kind);
            let replaced = self.state.phase != Phase::Start
                && kind == wasm_encoder::ExportKind::Func
                && export.name == self.state.call();
            section.export(export.name, kind, go_on.filter(|_| replaced).unwrap_or(export.index));
        }
        section
    }
}
