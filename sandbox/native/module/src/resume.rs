//! The continuation module for a set of sites. Last step of the path.
//!
//! One function per site, entered at the site, and one chooser per list of results. Values come from the control memory, never from the code: the module
//! depends on the program and the set of sites alone, is cached like a program, and no forged state can change it.
//!
//! ```wat
//! (func $run (param $n i32)                  (func $from_site (local $n i32) (local $entering i32) (local $frame i32)
//!   lead-1                                     pop frame: $n                             ;; values of the site
//!   loop $l                                    entering = 1
//!     poll                                     loop $l                                  ;; lead-1 is gone: it never runs again
//!     lead-2                                     if entering  entering = 0              ;; first time
//!     call $f  check                               call $next                          ;; the frame inside this one
//!     tail-1                                       if unwinding  push the frame, return
//!     br_if $l                                   else  poll  lead-2  call $f  check  end
//!   end                                          tail-1  br_if $l
//!   tail-2)                                    end  tail-2)
//! ```
//!
//! From the site on it is the original code with the original sites, so a second stop writes frames of the *program*: a state never tells how often
//! it has moved. The first check asks only whether the inner frame was left again, and a header's poll is passed: each leg makes progress.

use crate::base::{Base, Links, name_of, results_at};
use crate::form::Form;
use crate::frames::BadFrames;
use crate::helpers;
use crate::instrument::{Suspendable, add_hints};
use crate::layout::{CONTROL, PROGRAM};
use crate::print::{Printer, Within};
use crate::references;
use crate::scalar::Types;
use crate::sections::{self, hidden};
use crate::table::{Place, results_of};
use crate::tail;
use crate::target::{Body, Target};
use std::collections::{BTreeMap, BTreeSet};
use wasm_encoder::{
    BranchHints, CodeSection, EntityType, ExportKind, ExportSection, Function, FunctionSection, ImportSection,
    Instruction, Module, TagKind, TagType,
};
use wasmparser::{BlockType, Operator, Parser, Payload, TypeRef, ValType};

/// Bytes of normal forms that one continuation may be printed from: a function is printed once for each of its sites in the set. A recursion through
/// all of sqlite3's interpreter would need 20 MiB.
const CONTINUATION: usize = 64 << 20;
/// The same of an exported module: what is left of the functions is half of them on the average, and no module has more than 64 MiB.
pub(crate) const EXPORTED: usize = 2 * CONTINUATION;

impl Suspendable<'_> {
    /// The continuation module for these sites.
    pub fn continuation_untrusted(&self, sites: &BTreeSet<u32>) -> Result<Vec<u8>, BadFrames> {
        self.check_sites_untrusted(sites, CONTINUATION)?;
        Ok(print(&self.base, sites))
    }

    /// Are these the program's, and their functions no more than `most` bytes?
    pub(crate) fn check_sites_untrusted(&self, sites: &BTreeSet<u32>, most: usize) -> Result<(), BadFrames> {
        if sites.iter().any(|site| self.table().saved_untrusted(*site).is_none()) {
            return Err(BadFrames::NO_SITE);
        }
        let defined = sites.iter().filter_map(|site| self.table().sites.get(site));
        let defined = defined.filter(|site| site.place != Place::Import);
        let size: usize = defined.map(|site| self.base.program.body(site.function).range().len()).sum();
        if size > most { Err(BadFrames::LARGE_FUNCTIONS) } else { Ok(()) }
    }
}

/// The functions that go on from a set of sites: the sites' bodies from `first` on, then the choosers.
pub(crate) struct Plan {
    sites: Vec<(u32, Vec<ValType>)>,
    pub(crate) choosers: BTreeMap<Vec<ValType>, u32>,
    first: u32,
    within: Within,
}

/// One of them. It takes nothing.
pub(crate) struct Planned {
    /// Where it goes on; none of a chooser.
    pub(crate) site: Option<u32>,
    pub(crate) results: Vec<ValType>,
    pub(crate) body: Function,
    pub(crate) hints: Vec<(u32, bool)>,
}

impl Plan {
    pub(crate) fn of(base: &Base<'_>, sites: &BTreeSet<u32>, first: u32, within: Within) -> Plan {
        let sites: Vec<(u32, Vec<ValType>)> = sites.iter().map(|site| (*site, results_at(base, *site))).collect();
        // Also for what a call inside gives: a set that holds no frame for it cannot be complete, and would trap there.
        let inner = sites.iter().filter_map(|(site, _)| inner_results(base, *site));
        let kinds: BTreeSet<Vec<ValType>> = sites.iter().map(|(_, results)| results.clone()).chain(inner).collect();
        let choosers = kinds.into_iter().zip(first + crate::number(sites.len())..).collect();
        Plan { sites, choosers, first, within }
    }

    /// All of them, in the order of their numbers.
    pub(crate) fn functions(&self, base: &Base<'_>, links: &Links, types: &mut Types) -> Vec<Planned> {
        let mut all = Vec::new();
        for (site, results) in &self.sites {
            let (body, hints) = print_site(base, links, types, self, *site);
            all.push(Planned { site: Some(*site), results: results.clone(), body, hints });
        }
        for results in self.choosers.keys() {
            let body = chooser(base, self, results);
            all.push(Planned { site: None, results: results.clone(), body, hints: Vec::new() });
        }
        all
    }
}

/// Printed twice: which functions of the program it calls is known afterwards, and it imports no other ones, since each costs whenever a program goes on. Each
/// different type costs as much, and the engine compiles a way for each from its own code to the host's.
fn print(base: &Base<'_>, sites: &BTreeSet<u32>) -> Vec<u8> {
    let all = base.links(0);
    let (_, printed) = print_with(base, &all, sites);
    let (types, printed) = print_with(base, &all.called(&Named::of(&printed).functions), sites);
    let mut module = Module::new();
    module.section(&types.only(&Named::of(&printed).types));
    let mut bytes = module.finish();
    bytes.extend(&printed[Module::HEADER.len()..]);
    bytes
}

/// The numbers in what was printed.
#[derive(Default)]
struct Named {
    /// The functions that the code calls.
    functions: BTreeSet<u32>,
    types: BTreeSet<u32>,
}

impl Named {
    fn of(printed: &[u8]) -> Named {
        const KNOWN: &str = "we have printed it";
        let mut named = Named::default();
        for payload in Parser::new(0).parse_all(printed) {
            match payload.expect(KNOWN) {
                Payload::ImportSection(imports) => {
                    imports.into_imports().for_each(|import| named.take_import(import.expect(KNOWN).ty));
                }
                Payload::FunctionSection(types) => named.types.extend(types.into_iter().map(|ty| ty.expect(KNOWN))),
                Payload::CodeSectionEntry(body) => {
                    let operators = body.get_operators_reader().expect(KNOWN);
                    operators.into_iter().for_each(|operator| named.take(&operator.expect(KNOWN)));
                }
                _ => {}
            }
        }
        named
    }

    fn take_import(&mut self, ty: TypeRef) {
        match ty {
            TypeRef::Func(ty) | TypeRef::Tag(wasmparser::TagType { func_type_idx: ty, .. }) => {
                _ = self.types.insert(ty)
            }
            _ => {}
        }
    }

    fn take(&mut self, operator: &Operator<'_>) {
        match operator {
            Operator::Call { function_index } | Operator::ReturnCall { function_index } => {
                self.functions.insert(*function_index);
            }
            Operator::CallIndirect { type_index: ty, .. }
            | Operator::ReturnCallIndirect { type_index: ty, .. }
            | Operator::Block { blockty: BlockType::FuncType(ty) }
            | Operator::Loop { blockty: BlockType::FuncType(ty) }
            | Operator::If { blockty: BlockType::FuncType(ty) } => _ = self.types.insert(*ty),
            Operator::TryTable { try_table } => {
                if let BlockType::FuncType(ty) = try_table.ty {
                    self.types.insert(ty);
                }
            }
            _ => {}
        }
    }
}

/// All but the section of types.
fn print_with(base: &Base<'_>, links: &Links, sites: &BTreeSet<u32>) -> (Types, Vec<u8>) {
    let mut types = base.types.clone();
    let imports = imports(base, links, &mut types);
    let first = links.shared();
    let plan = Plan::of(base, sites, first, Within::Continuation);
    let mut functions = FunctionSection::new();
    let mut code = CodeSection::new();
    let mut hints = BranchHints::new();
    for (number, planned) in (first..).zip(plan.functions(base, links, &mut types)) {
        functions.function(types.intern(&[], &planned.results));
        code.function(&planned.body);
        add_hints(&mut hints, number, &planned.hints);
    }
    let mut exports = ExportSection::new();
    for (results, number) in &plan.choosers {
        exports.export(&name_of(results), ExportKind::Func, *number);
    }
    let mut module = Module::new();
    module.section(&imports).section(&functions).section(&exports);
    if !hints.is_empty() {
        module.section(&hints);
    }
    module.section(&code);
    (types, module.finish())
}

fn inner_results(base: &Base<'_>, site: u32) -> Option<Vec<ValType>> {
    let site = base.table.sites.get(&site)?;
    match site.place {
        Place::Call(callee) => Some(results_of(&base.program, callee).to_vec()),
        Place::Point | Place::Import => None,
    }
}

fn chooser(base: &Base<'_>, plan: &Plan, results: &[ValType]) -> Function {
    let bodies = plan.sites.iter().zip(plan.first..);
    let bodies: Vec<Option<u32>> = bodies.map(|((_, gives), number)| (gives == results).then_some(number)).collect();
    helpers::next(base.control, &bodies)
}

/// Everything of the program, under the numbers that the program's code knows; only functions are called otherwise.
fn imports(base: &Base<'_>, links: &Links, types: &mut Types) -> ImportSection {
    let mut section = ImportSection::new();
    let mut functions = vec![types.intern(helpers::PUSH.0, helpers::PUSH.1)];
    functions.extend(links.dispatch.keys());
    functions.extend(links.take.map(|_| types.intern(references::TAKE.0, references::TAKE.1)));
    functions.extend(links.keep.map(|_| types.intern(references::KEEP.0, references::KEEP.1)));
    functions.extend(links.segments.keys().map(|op| types.intern(op.params(), &[])));
    for function in links.reentries.keys() {
        let (params, results) = base.reentries[function].signature(&base.forms[function]);
        functions.push(types.intern(&params, &results));
    }
    for (name, kind, index) in hidden(base, links) {
        section.import(PROGRAM, &name, entity(base, kind, index, &functions));
    }
    section.import(PROGRAM, CONTROL, EntityType::Memory(sections::control_type()));
    section
}

fn entity(base: &Base<'_>, kind: ExportKind, index: u32, functions: &[u32]) -> EntityType {
    let program = &base.program;
    let place = index as usize;
    match kind {
        ExportKind::Memory => EntityType::Memory(sections::memory_type(&program.memories[place])),
        ExportKind::Global => {
            EntityType::Global(program.globals.get(place).map_or(sections::FLAG, |own| sections::global_type(&own.ty)))
        }
        ExportKind::Table => EntityType::Table(match program.tables.get(place) {
            Some(table) => sections::table_type(&table.ty),
            None if index == base.references_table() && base.added.references => sections::references_type(base),
            None => sections::functions_type(base),
        }),
        ExportKind::Tag => EntityType::Tag(TagType { kind: TagKind::Exception, func_type_idx: program.tags[place] }),
        ExportKind::Func => EntityType::Function(functions[place]),
    }
}

/// The function that goes on from one site.
fn print_site(base: &Base<'_>, links: &Links, types: &mut Types, plan: &Plan, site: u32) -> Body {
    let saved = base.table.saved_untrusted(site).expect("checked by the caller").to_vec();
    match base.table.sites.get(&site) {
        Some(known) if known.place != Place::Import => {
            let form = &base.forms[&known.function];
            let spot = (site - base.table.first[known.function as usize]) as usize;
            let next = inner_results(base, site).map(|results| plan.choosers[results.as_slice()]);
            let target = Target { form, spot, next, saved, within: plan.within };
            // An export has the program's functions as they were.
            let reentry = base.reentries.get(&form.function).filter(|_| plan.within != Within::Export);
            tail::print((base, links, types), &target, reentry)
        }
        known => {
            let empty = Form::default();
            let mut out = Function::new([(1, wasm_encoder::ValType::I32)]);
            helpers::pop(&mut out, (base, links), &saved, 0, None);
            let printer = Printer::new((base, links, types), &empty, out);
            let mut printer = Printer { within: plan.within, ..printer };
            if let Some(import) = known {
                printer.call(import.function, Instruction::Call);
            }
            printer.write(Instruction::End);
            (printer.out, Vec::new())
        }
    }
}
