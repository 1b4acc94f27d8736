//! The transformed program. Sixth step of the path.
//!
//! Everything added stands behind what the module has, so no number changes: wrappers of the imports, a frame writer and dispatchers behind its functions,
//! the control memory behind its memories, hidden exports behind its exports.
//!
//! ```wat
//! (module                                        (module
//!   (memory (export "memory") 1)                   (memory (export "memory") 1)  (memory $control N N)
//!   (start $init)                                                                      ;; the host calls it
//!   (func $init …)                                 (func $init …)
//!   (func (export "run") …))                       (func (export "run") … polls and checks …)
//!                                                  (func $push …) (func $dispatch.. …)
//!                                                  (export "gatebus:start" (func $init))  (export "gatebus:control" (memory $control)) …)
//! ```
//!
//! A function without sites is copied byte for byte. Custom sections but the names are dropped: their offsets would be wrong.

use crate::base::{Base, Links, add, called};
use crate::entries::{self, Loops};
use crate::exits::{self, Exits};
use crate::form::Form;
use crate::graph::Graph;
use crate::helpers;
use crate::live::add_liveness;
use crate::normal::normalise;
use crate::parse::Program;
use crate::print::Printer;
use crate::reenter;
use crate::references;
use crate::refused::{Reason, Refused};
use crate::scalar::{Scalar, Types};
use crate::sections;
use crate::segments;
use crate::table::{SiteTable, build, count, first_sites};
use wasm_encoder::{
    BranchHint, BranchHints, CodeSection, CustomSection, Function, FunctionSection, Module, RawSection, SectionId,
};
use wasmparser::{ExternalKind, ValType};

/// Words of 64 bits that the sets of live locals of one function may take: 128 MiB. sqlite3's interpreter needs 0.1 MiB.
const LIVENESS_WORDS: usize = 1 << 24;
/// Values that all sites together may save: at about 4 bytes of code each, what the largest module may grow by.
const SAVED_VALUES: usize = 1 << 22;

/// A program that can be stopped and continued, and the table of the places where.
pub struct Suspendable<'a> {
    pub(crate) base: Base<'a>,
    wasm: Vec<u8>,
}

impl<'a> Suspendable<'a> {
    /// Transforms a module.
    pub fn new_untrusted(bytes: &'a [u8]) -> Result<Suspendable<'a>, Refused> {
        Suspendable::entered_untrusted(bytes, Loops::Usual)
    }

    /// The same with a choice of the loops that a continuation leaves to the program, for tests and comparisons.
    pub fn entered_untrusted(bytes: &'a [u8], loops: Loops) -> Result<Suspendable<'a>, Refused> {
        let base = derived_untrusted(bytes, loops)?;
        let wasm = print(&base);
        // Only a module close to the engine's limits can fail here, for instance by too many locals.
        match wasmparser::Validator::new().validate_all(&wasm) {
            Ok(_) => Ok(Suspendable { base, wasm }),
            Err(_) => Err(whole("the transformed module would exceed a limit of the engine")),
        }
    }

    /// Of a module that was transformed before and has been stopped since: what it was transformed into is not made again. There is no [`Suspendable::wasm`]; all
    /// that is made of its states is the same.
    pub(crate) fn stopped_untrusted(bytes: &'a [u8]) -> Result<Suspendable<'a>, Refused> {
        Ok(Suspendable::of(derived_untrusted(bytes, Loops::Usual)?))
    }

    /// Without the transformed program.
    pub(crate) fn of(base: Base<'a>) -> Suspendable<'a> {
        Suspendable { base, wasm: Vec::new() }
    }

    /// The transformed program.
    pub fn wasm(&self) -> &[u8] {
        &self.wasm
    }

    /// Every place where it can be left.
    pub fn table(&self) -> &SiteTable {
        &self.base.table
    }

    /// The module's own name for a function, to show a frame to a person.
    pub fn name(&self, function: u32) -> Option<&str> {
        self.base.program.names.get(&function).map(String::as_str)
    }

    /// The functions that a reference can mean, in the order of their numbers in a state (of which the first is 1).
    pub fn referenced(&self) -> &[u32] {
        &self.base.escaped
    }

    /// The function behind an export of the module.
    pub fn entry(&self, name: &str) -> Option<u32> {
        let export = self.base.program.exports.iter().find(|export| export.name == name);
        export.filter(|export| export.kind == ExternalKind::Func).map(|export| export.index)
    }
}

/// Everything that is known of a program before anything is printed.
fn derived_untrusted(bytes: &[u8], loops: Loops) -> Result<Base<'_>, Refused> {
    let program = Program::read_untrusted(bytes)?;
    let graph = Graph::of(&program)?;
    let has_form =
        |function: &u32| graph.may_leave(*function) || graph.stops_at_entry(*function) || graph.rewritten(*function);
    let forms = forms_of(&program, &graph, program.defined().filter(has_form))?;
    let table = build(&program, &forms, first_sites(&program, &count(&program, &forms)))?;
    let saved = || table.sites.values().flat_map(|site| &site.saved);
    if saved().count() > SAVED_VALUES {
        return Err(whole("its sites save too many values"));
    }
    let references = saved().any(|ty| *ty == Scalar::Function);
    let added = add(&program, &graph, &called(&program, &forms), references);
    let mut base = Base::new(program, graph, forms, table, added);
    base.reentries = entries::choose(&base.program, &base.forms, loops);
    Ok(base)
}

fn whole(why: &'static str) -> Refused {
    Refused::Suspension(vec![Reason { function: None, name: None, why }])
}

/// The normal forms of these functions: of all those that have sites or cannot be copied as they are, or of some that have sites.
pub(crate) fn forms_of(
    program: &Program<'_>,
    graph: &Graph,
    functions: impl IntoIterator<Item = u32>,
) -> Result<Vec<Form>, Refused> {
    let mut forms = Vec::new();
    let mut reasons = Vec::new();
    for function in functions {
        let mut form = normalise(program, graph, function)?;
        if (form.spots.len() + 2 * form.ends.len()).saturating_mul(form.locals.len().div_ceil(64)) > LIVENESS_WORDS {
            reasons.push(program.reason(function, "it has too many locals for its size"));
        } else if form.locals.iter().any(|ty| crate::scalar::encode(*ty).is_none()) {
            reasons.push(program.reason(function, "it uses a reference type that is not handled"));
        } else {
            add_liveness(&mut form);
            forms.push(form);
        }
    }
    if reasons.is_empty() { Ok(forms) } else { Err(Refused::Suspension(reasons)) }
}

/// The code of the module and what goes with it.
struct Printed {
    functions: FunctionSection,
    code: CodeSection,
    hints: BranchHints,
}

fn print(base: &Base<'_>) -> Vec<u8> {
    let links = base.links(base.first_helper());
    let mut types = base.types.clone();
    let mut printed = print_own(base, &links, &mut types);
    print_added(base, &links, &mut types, &mut printed);
    let program = &base.program;
    let mut module = Module::new();
    let copy = |module: &mut Module, id: u8| {
        if let Some(data) = program.section(id) {
            module.section(&RawSection { id, data });
        }
    };
    module.section(&types.section());
    copy(&mut module, SectionId::Import.into());
    module.section(&printed.functions);
    module.section(&sections::tables(base)).section(&sections::memories(base));
    copy(&mut module, SectionId::Tag.into());
    module.section(&sections::globals(base)).section(&sections::exports(base, &links));
    module.section(&sections::elements(base));
    let data = sections::data(base);
    data.iter().for_each(|(count, _)| _ = module.section(count));
    if !printed.hints.is_empty() {
        module.section(&printed.hints);
    }
    module.section(&printed.code);
    data.iter().for_each(|(_, data)| _ = module.section(data));
    if let Some(names) = program.name_section {
        module.section(&CustomSection { name: "name".into(), data: sections::names(names).into() });
    }
    module.finish()
}

fn print_own(base: &Base<'_>, links: &Links, types: &mut Types) -> Printed {
    let mut printed =
        Printed { functions: FunctionSection::new(), code: CodeSection::new(), hints: BranchHints::new() };
    for function in base.program.defined() {
        printed.functions.function(base.program.functions[function as usize]);
        match base.forms.get(&function) {
            Some(form) => {
                let (body, hints) = print_form(base, form, links, types);
                printed.code.function(&body);
                add_hints(&mut printed.hints, function, &hints);
            }
            None => {
                printed.code.raw(&base.program.bytes[base.program.body(function).range()]);
                let hints = base.program.hints.get(&function).into_iter().flatten();
                let hints: Vec<_> = hints.map(|(at, likely)| (crate::number(*at), *likely)).collect();
                add_hints(&mut printed.hints, function, &hints);
            }
        }
    }
    printed
}

fn print_form(base: &Base<'_>, form: &Form, links: &Links, types: &mut Types) -> (Function, Vec<(u32, bool)>) {
    let mut locals = form.locals[form.params..].to_vec();
    locals.extend(Exits::LOCALS);
    let out = helpers::with_locals(&locals);
    let mut printer = Printer::new((base, links, types), form, out);
    exits::print(&mut printer, |printer| printer.range(0..form.ops.len(), 0));
    (printer.out, printer.hints)
}

/// Of one function: where its branches are, and whether they are likely.
pub(crate) fn add_hints(section: &mut BranchHints, function: u32, hints: &[(u32, bool)]) {
    if !hints.is_empty() {
        let hints = hints
            .iter()
            .map(|(offset, likely)| BranchHint { branch_func_offset: *offset, branch_hint_value: u32::from(*likely) });
        section.function_hints(function, hints);
    }
}

fn print_added(base: &Base<'_>, links: &Links, types: &mut Types, printed: &mut Printed) {
    for import in 0..base.program.imported {
        printed.functions.function(base.program.functions[import as usize]);
        printed.code.function(&helpers::wrapper(base, links, import));
    }
    printed.functions.function(types.intern(helpers::PUSH.0, helpers::PUSH.1));
    printed.code.function(&helpers::push(base));
    for (ty, targets) in &base.added.dispatch {
        printed.functions.function(*ty);
        let parameters = crate::number(base.program.types[*ty as usize].params().len());
        printed.code.function(&helpers::dispatcher(base.control, parameters, targets));
    }
    print_hidden(base, links, types, printed);
}

/// References, segments and the loader, in the order of [`Links`].
fn print_hidden(base: &Base<'_>, links: &Links, types: &mut Types, printed: &mut Printed) {
    let mut add = |(params, results): (&[ValType], &[ValType]), body: &Function| {
        printed.functions.function(types.intern(params, results));
        printed.code.function(body);
    };
    if base.added.references {
        add(references::TAKE, &references::take(base.references_table()));
        add(references::KEEP, &references::keep(base));
    }
    for op in &base.added.segments {
        add((op.params(), &[]), &segments::function(base, *op));
    }
    print_reentries(base, links, types, printed);
    let mut add = |(params, results): (&[ValType], &[ValType]), body: &Function| {
        printed.functions.function(types.intern(params, results));
        printed.code.function(body);
    };
    if base.added.loads {
        add((&[], &[]), &segments::loader(base, links));
    }
}

fn print_reentries(base: &Base<'_>, links: &Links, types: &mut Types, printed: &mut Printed) {
    for (function, number) in &links.reentries {
        let (params, results) = base.reentries[function].signature(&base.forms[function]);
        printed.functions.function(types.intern(&params, &results));
        let (body, hints) = reenter::print(base, links, types, *function);
        printed.code.function(&body);
        add_hints(&mut printed.hints, *number, &hints);
    }
}
