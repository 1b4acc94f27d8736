//! The site table: every place where the program may be left, with what is saved there. Fifth step of the path.
//!
//! It follows from the module's bytes alone, so it is the same on every machine, and it is the only thing that says what a frame may look like:
//! a state from outside is checked against it and never brings a table along.

use crate::form::{Callee, Form};
use crate::graph::Graph;
use crate::parse::Program;
use crate::refused::{Reason, Refused};
use crate::scalar::{Scalar, scalars};
use std::collections::{BTreeMap, BTreeSet};

/// What kind of place a site is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A loop header or the entry of a function: nothing is inside it.
    Point,
    /// Behind a call: the next frame is the callee's.
    Call(Callee),
    /// In front of a host call, which is made again when the program goes on.
    Import,
}

/// A place where the program may be left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// The function that it is in; of an import's wrapper, the import.
    pub function: u32,
    /// What it is.
    pub place: Place,
    /// The types of the saved values, in the order in which a frame holds them.
    pub saved: Vec<Scalar>,
}

/// All sites of a module, by their numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteTable {
    /// By their numbers: functions in their order, in each the sites in theirs, then the imports. Where only some functions are wanted (`summary`), theirs.
    pub sites: BTreeMap<u32, Site>,
    /// The number of the first site of each function.
    pub(crate) first: Vec<u32>,
}

impl SiteTable {
    /// The types of a frame's values; `None` where there is no such site.
    pub fn saved_untrusted(&self, site: u32) -> Option<&[Scalar]> {
        self.sites.get(&site).map(|site| site.saved.as_slice())
    }
}

/// How many sites each function has: of all their normal forms.
pub(crate) fn count(program: &Program<'_>, forms: &[Form]) -> Vec<u32> {
    let mut counts = vec![0; program.functions.len()];
    counts[..program.imported as usize].fill(1);
    forms.iter().for_each(|form| counts[form.function as usize] = crate::number(form.spots.len()));
    counts
}

/// The number of the first site of each function, by how many each has.
pub(crate) fn first_sites(program: &Program<'_>, counts: &[u32]) -> Vec<u32> {
    let mut first = vec![0; counts.len()];
    let mut next = 0_u32;
    for function in program.defined().chain(0..program.imported) {
        first[function as usize] = next;
        next = next.saturating_add(counts[function as usize]);
    }
    first
}

/// The sites of the normal forms, or where something lives that cannot be saved. `first`: their numbers.
pub(crate) fn build(program: &Program<'_>, forms: &[Form], first: Vec<u32>) -> Result<SiteTable, Refused> {
    let mut table = SiteTable { sites: BTreeMap::new(), first };
    let mut reasons = Vec::new();
    for form in forms {
        for (number, spot) in (table.first[form.function as usize]..).zip(&form.spots) {
            match scalars(&form.types_of(&spot.live)) {
                Some(saved) => _ = table.sites.insert(number, site(form, spot.callee, saved)),
                None => reasons.push(program.reason(form.function, "an exception is alive where it may be stopped")),
            }
        }
    }
    add_imports(program, &mut table, &mut reasons);
    reasons.dedup();
    if reasons.is_empty() { Ok(table) } else { Err(Refused::Suspension(reasons)) }
}

fn site(form: &Form, callee: Option<Callee>, saved: Vec<Scalar>) -> Site {
    Site { function: form.function, place: callee.map_or(Place::Point, Place::Call), saved }
}

fn add_imports(program: &Program<'_>, table: &mut SiteTable, reasons: &mut Vec<Reason>) {
    for import in 0..program.imported {
        let number = table.first[import as usize];
        match scalars(program.type_of(import).params()) {
            Some(saved) => _ = table.sites.insert(number, Site { function: import, place: Place::Import, saved }),
            None => reasons.push(program.reason(import, "an imported function takes an exception")),
        }
    }
}

pub(crate) fn results_of<'x>(program: &'x Program<'_>, callee: Callee) -> &'x [wasmparser::ValType] {
    match callee {
        Callee::Function(function) => program.type_of(function).results(),
        Callee::Indirect(ty) => program.types[ty as usize].results(),
    }
}

/// The functions in whose frame a call can be.
pub(crate) fn frames_of(graph: &Graph, callee: Callee) -> BTreeSet<usize> {
    graph.frames_of(node_of(graph, callee))
}

pub(crate) fn node_of(graph: &Graph, callee: Callee) -> usize {
    match callee {
        Callee::Function(function) => function as usize,
        Callee::Indirect(ty) => graph.node_of_type(ty),
    }
}
