//! What both printers, of the program and of its continuations, work from: the forms, the site table and the numbers of the added functions.

use crate::entries::Reentry;
use crate::form::{Form, Op};
use crate::graph::Graph;
use crate::parse::Program;
use crate::scalar::Types;
use crate::table::SiteTable;
use crate::uses::SegmentOp;
use std::collections::{BTreeMap, BTreeSet};
use wasmparser::ValType;

/// Everything that is derived from the module before anything is printed.
pub(crate) struct Base<'a> {
    pub(crate) program: Program<'a>,
    pub(crate) graph: Graph,
    /// Of the functions that have sites, by number.
    pub(crate) forms: BTreeMap<u32, Form>,
    pub(crate) table: SiteTable,
    /// The types of the program; what is printed adds to a copy.
    pub(crate) types: Types,
    pub(crate) added: Added,
    /// The functions that can be entered at the headers of their loops.
    pub(crate) reentries: BTreeMap<u32, Reentry>,
    /// The functions that a reference can mean, in their order.
    pub(crate) escaped: Vec<u32>,
    /// The number of the control memory.
    pub(crate) control: u32,
}

/// The functions that the transformed program has behind its own. The wrapper of import i is the i-th of them.
pub(crate) struct Added {
    first: u32,
    /// By type, the functions that a continuation may have to call.
    pub(crate) dispatch: BTreeMap<u32, Vec<u32>>,
    pub(crate) segments: BTreeSet<SegmentOp>,
    /// Frames can hold references to functions.
    pub(crate) references: bool,
    /// There are active data segments.
    pub(crate) loads: bool,
}

impl Links {
    /// How many of them a continuation imports.
    pub(crate) fn shared(&self) -> u32 {
        let maps = self.dispatch.len() + self.segments.len() + self.reentries.len();
        crate::number(1 + maps + usize::from(self.take.is_some()) + usize::from(self.keep.is_some()))
    }

    /// Only those of what a continuation can import that it calls by these numbers; they are numbered anew from 0 on.
    pub(crate) fn called(&self, numbers: &BTreeSet<u32>) -> Links {
        let mut next = 1..;
        let mut number = |old: u32| numbers.contains(&old).then(|| next.next().expect("fewer than 2^32 functions"));
        let dispatch = self.dispatch.iter().filter_map(|(ty, old)| Some((*ty, number(*old)?))).collect();
        let take = self.take.and_then(&mut number);
        let keep = self.keep.and_then(&mut number);
        let segments = self.segments.iter().filter_map(|(op, old)| Some((*op, number(*old)?))).collect();
        let reentries = self.reentries.iter().filter_map(|(function, old)| Some((*function, number(*old)?))).collect();
        Links { push: 0, dispatch, take, keep, segments, reentries, loader: None }
    }
}

impl<'a> Base<'a> {
    /// Of these forms, without functions that can be entered at their loops.
    pub(crate) fn new(
        program: Program<'a>,
        graph: Graph,
        forms: Vec<Form>,
        table: SiteTable,
        added: Added,
    ) -> Base<'a> {
        let forms = forms.into_iter().map(|form| (form.function, form)).collect();
        let types = Types::of(&program.types);
        let control = crate::number(program.memories.len());
        let escaped = graph.escaped.iter().copied().collect();
        Base { program, graph, forms, table, types, added, reentries: BTreeMap::new(), escaped, control }
    }

    /// The function in whose stead a call is made: an imported one is called through its wrapper.
    pub(crate) fn target(&self, function: u32) -> u32 {
        if function < self.program.imported { self.added.first + function } else { function }
    }

    /// The type of a function of the source or of a wrapper.
    pub(crate) fn type_of_target(&self, target: u32) -> u32 {
        let function = target.checked_sub(self.added.first).unwrap_or(target);
        self.program.functions[function as usize]
    }

    /// The numbers of the helpers and dispatchers, the first of them being `first`.
    pub(crate) fn links(&self, first: u32) -> Links {
        let mut next = first..;
        let mut number = || next.next().expect("fewer than 2^32 functions");
        let push = number();
        let dispatch = self.added.dispatch.keys().map(|ty| (*ty, number())).collect();
        let take = self.added.references.then(&mut number);
        let keep = self.added.references.then(&mut number);
        let segments = self.added.segments.iter().map(|op| (*op, number())).collect();
        let reentries = self.reentries.keys().map(|function| (*function, number())).collect();
        let loader = self.added.loads.then(&mut number);
        Links { push, dispatch, take, keep, segments, reentries, loader }
    }

    /// The hidden table of the functions that a reference can mean.
    pub(crate) fn functions_table(&self) -> u32 {
        crate::number(self.program.tables.len())
    }

    /// The hidden table of the references in frames.
    pub(crate) fn references_table(&self) -> u32 {
        self.functions_table() + u32::from(!self.escaped.is_empty())
    }

    /// The place of a function in the hidden table.
    pub(crate) fn place_of(&self, function: u32) -> u32 {
        crate::number(self.escaped.binary_search(&function).expect("ref.func makes it escape"))
    }

    /// The hidden global that says that frames are being written: the first behind the module's own, also in a continuation.
    pub(crate) fn left(&self) -> u32 {
        crate::number(self.program.globals.len())
    }

    /// The hidden global that says that a segment was dropped.
    pub(crate) fn dropped_global(&self, op: SegmentOp) -> Option<u32> {
        let place = self.graph.uses.drops().position(|drop| drop == op)?;
        Some(crate::number(self.program.globals.len() + 1 + place))
    }

    /// The number of the first helper in the transformed program.
    pub(crate) fn first_helper(&self) -> u32 {
        self.added.first + self.program.imported
    }
}

/// Where helpers and dispatchers are: in the program among its own functions, in a continuation among the imports.
#[derive(Default)]
pub(crate) struct Links {
    /// Ends the writing of a frame.
    pub(crate) push: u32,
    pub(crate) dispatch: BTreeMap<u32, u32>,
    /// Gives the reference for a number in a frame.
    pub(crate) take: Option<u32>,
    /// Gives the number for a reference.
    pub(crate) keep: Option<u32>,
    pub(crate) segments: BTreeMap<SegmentOp, u32>,
    /// The second form of a function, which is entered at a loop header.
    pub(crate) reentries: BTreeMap<u32, u32>,
    /// Writes the active data segments. Not for continuations, and so behind the others.
    pub(crate) loader: Option<u32>,
}

/// Which functions have to be added. `called`: those that a continuation may have to call; `references`: frames can hold some.
pub(crate) fn add(program: &Program<'_>, graph: &Graph, called: &BTreeSet<u32>, references: bool) -> Added {
    let first = crate::number(program.functions.len());
    let (segments, loads) = (graph.uses.segments.clone(), !program.active().is_empty());
    let mut added = Added { first, dispatch: BTreeMap::new(), segments, references, loads };
    for function in called {
        let target = if *function < program.imported { added.first + function } else { *function };
        added.dispatch.entry(program.functions[*function as usize]).or_default().push(target);
    }
    added.dispatch.values_mut().for_each(|targets| targets.sort_unstable());
    added
}

/// The imported functions, and those that the forms call by their numbers.
pub(crate) fn called(program: &Program<'_>, forms: &[Form]) -> BTreeSet<u32> {
    let mut called: BTreeSet<u32> = (0..program.imported).collect();
    for form in forms {
        called.extend(form.ops.iter().filter_map(|op| match op {
            Op::Call(function) | Op::TailCall(function) => Some(*function),
            _ => None,
        }));
    }
    called
}

/// The export of a continuation that gives these results.
pub(crate) fn name_of(results: &[ValType]) -> String {
    let names: Vec<String> = results.iter().map(ValType::to_string).collect();
    format!("gatebus:resume:{}", names.join(","))
}

/// What the function gives that goes on from a site.
pub(crate) fn results_at(base: &Base<'_>, site: u32) -> Vec<ValType> {
    base.program.type_of(base.table.sites[&site].function).results().to_vec()
}
