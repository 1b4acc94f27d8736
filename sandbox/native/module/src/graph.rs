//! Who calls whom, and which calls may end because the program is being stopped. Second step of the path.
//!
//! A call needs a check behind it only where the callee may be left: it has a loop, reaches an import (which the host may suspend), or stands
//! on a cycle of calls. Everything else ends by itself in bounded time, so the stop waits for it:
//!
//! ```wat
//! (func $leaf (param i32) (result i32) (i32.mul (local.get 0) (i32.const 3)))   ;; never left
//! (func $loop (param i32) loop … br_if 0 end)                                 ;; may be left
//! … call $leaf …       ;; stays as it is, and so does $leaf
//! … call $loop …       ;; gets a check
//! ```
//!
//! An indirect call goes to a node of its own per type, from which edges lead to every escaped function of that type: the graph stays as large
//! as the module. Types are compared by structure.

use crate::parse::Program;
use crate::refused::{Reason, Refused};
use crate::scalar::Scalar;
use crate::uses::{SegmentOp, Uses};
use std::collections::{BTreeMap, BTreeSet};
use wasmparser::{FuncType, Operator, ValType};

/// What one function does, from its operators alone.
#[derive(Default)]
struct Facts {
    loops: bool,
    /// Nodes that it calls, and those that it ends in by a tail call.
    calls: BTreeSet<usize>,
    tails: BTreeSet<usize>,
    /// It has an operator that must be printed as another one, also where the function has no sites.
    rewritten: bool,
}

/// The call graph and what follows from it.
pub(crate) struct Graph {
    functions: usize,
    /// The first type with the same structure.
    same: Vec<u32>,
    tails: Vec<Vec<usize>>,
    leaves: Vec<bool>,
    /// Functions that are stopped at their entry: at least one on each cycle of calls.
    entries: Vec<bool>,
    rewritten: Vec<bool>,
    /// Functions that a reference can mean.
    pub(crate) escaped: BTreeSet<u32>,
    pub(crate) uses: Uses,
}

impl Graph {
    pub(crate) fn of(program: &Program<'_>) -> Result<Graph, Refused> {
        let functions = program.functions.len();
        let same = same_types(&program.types);
        let mut escaped = program.escaped.clone();
        let mut facts: Vec<Facts> = (0..functions).map(|_| Facts::default()).collect();
        let mut uses = Uses::default();
        for function in program.defined() {
            facts[function as usize] = scan(program, function, &same, &mut escaped, &mut uses)?;
        }
        uses.add_active(&program.active());
        let exceptions =
            |table: &u32| Scalar::of(ValType::Ref(program.tables[*table as usize].ty.element_type)).is_none();
        if uses.changed.iter().any(exceptions) {
            let why = "it has a variable table that holds exceptions";
            return Err(Refused::Suspension(vec![Reason { function: None, name: None, why }]));
        }
        let mut graph = Graph::close(program, same, &escaped, facts);
        (graph.escaped, graph.uses) = (escaped, uses);
        Ok(graph)
    }

    fn close(program: &Program<'_>, same: Vec<u32>, escaped: &BTreeSet<u32>, facts: Vec<Facts>) -> Graph {
        let functions = facts.len();
        let mut calls: Vec<Vec<usize>> =
            facts.iter().map(|fact| fact.calls.union(&fact.tails).copied().collect()).collect();
        let mut tails: Vec<Vec<usize>> = facts.iter().map(|fact| fact.tails.iter().copied().collect()).collect();
        calls.resize(functions + same.len(), Vec::new());
        tails.resize(functions + same.len(), Vec::new());
        for function in escaped {
            let node = functions + same[program.functions[*function as usize] as usize] as usize;
            calls[node].push(*function as usize);
            tails[node].push(*function as usize);
        }
        let cycles = on_cycle(&calls);
        let imported = program.imported as usize;
        let direct = |node: usize| node < imported || cycles[node] || facts.get(node).is_some_and(|fact| fact.loops);
        let leaves = reach_backwards(&calls, (0..calls.len()).filter(|node| direct(*node)).collect());
        let entries = entries(&calls, functions);
        let rewritten = facts.iter().map(|fact| fact.rewritten).collect();
        let (escaped, uses) = (BTreeSet::new(), Uses::default());
        Graph { functions, same, tails, leaves, entries, rewritten, escaped, uses }
    }

    /// What a continuation asks of it, again: of each function whether it may be left, whether it is stopped at its entry, and where its tail calls go.
    pub(crate) fn again(
        program: &Program<'_>,
        (mut leaves, entries): (Vec<bool>, Vec<bool>),
        mut tails: Vec<Vec<usize>>,
        escaped: BTreeSet<u32>,
    ) -> Graph {
        let functions = program.functions.len();
        let same = same_types(&program.types);
        leaves.resize(functions + same.len(), false);
        tails.resize(functions + same.len(), Vec::new());
        for function in &escaped {
            let node = functions + same[program.functions[*function as usize] as usize] as usize;
            tails[node].push(*function as usize);
            leaves[node] |= leaves[*function as usize];
        }
        let rewritten = vec![false; functions];
        Graph { functions, same, tails, leaves, entries, rewritten, escaped, uses: Uses::default() }
    }

    /// May a call of this function end because the program is being stopped?
    pub(crate) fn may_leave(&self, function: u32) -> bool {
        self.leaves[function as usize]
    }

    pub(crate) fn may_leave_indirect(&self, ty: u32) -> bool {
        self.leaves[self.node_of_type(ty)]
    }

    /// Does the function need a site at its entry? A check behind a call asks only whether the callee was left, so a recursion without loops
    /// would never be stopped.
    pub(crate) fn stops_at_entry(&self, function: u32) -> bool {
        self.entries[function as usize]
    }

    /// Does the function need a normal form although it has no sites?
    pub(crate) fn rewritten(&self, function: u32) -> bool {
        self.rewritten[function as usize]
    }

    /// The nodes that the function ends in by tail calls.
    pub(crate) fn tails_of(&self, function: u32) -> &[usize] {
        &self.tails[function as usize]
    }

    pub(crate) fn node_of_type(&self, ty: u32) -> usize {
        self.functions + self.same[ty as usize] as usize
    }

    /// The functions in whose frame a call of the node can be: itself, and whatever follows by tail calls.
    pub(crate) fn frames_of(&self, node: usize) -> BTreeSet<usize> {
        let mut seen = BTreeSet::from([node]);
        let mut open = vec![node];
        while let Some(next) = open.pop() {
            open.extend(self.tails[next].iter().filter(|to| seen.insert(**to)));
        }
        seen.retain(|node| *node < self.functions);
        seen
    }
}

fn same_types(types: &[FuncType]) -> Vec<u32> {
    let mut first: BTreeMap<(&[_], &[_]), u32> = BTreeMap::new();
    let mut same = Vec::with_capacity(types.len());
    for (number, ty) in types.iter().enumerate() {
        same.push(*first.entry((ty.params(), ty.results())).or_insert(crate::number(number)));
    }
    same
}

fn scan(
    program: &Program<'_>,
    function: u32,
    same: &[u32],
    escaped: &mut BTreeSet<u32>,
    uses: &mut Uses,
) -> Result<Facts, Refused> {
    let mut facts = Facts::default();
    let indirect = |ty: u32| program.functions.len() + same[ty as usize] as usize;
    for operator in program.body(function).get_operators_reader()? {
        match operator? {
            Operator::Loop { .. } => facts.loops = true,
            Operator::Call { function_index } => drop(facts.calls.insert(function_index as usize)),
            Operator::ReturnCall { function_index } => drop(facts.tails.insert(function_index as usize)),
            Operator::CallIndirect { type_index, .. } => drop(facts.calls.insert(indirect(type_index))),
            Operator::ReturnCallIndirect { type_index, .. } => drop(facts.tails.insert(indirect(type_index))),
            Operator::RefFunc { function_index } => {
                escaped.insert(function_index);
                facts.rewritten |= function_index < program.imported;
            }
            other => {
                facts.rewritten |= SegmentOp::of(&other).is_some();
                uses.take(&other);
            }
        }
    }
    Ok(facts)
}

fn reach_backwards(edges: &[Vec<usize>], from: Vec<usize>) -> Vec<bool> {
    let mut back: Vec<Vec<usize>> = vec![Vec::new(); edges.len()];
    for (node, to) in edges.iter().enumerate() {
        to.iter().for_each(|next| back[*next].push(node));
    }
    let mut reached = vec![false; edges.len()];
    from.iter().for_each(|node| reached[*node] = true);
    let mut open = from;
    while let Some(node) = open.pop() {
        for next in &back[node] {
            if !std::mem::replace(&mut reached[*next], true) {
                open.push(*next);
            }
        }
    }
    reached
}

/// One function of each cycle: every cycle has an edge that goes back on the path of a search in depth, so the functions at these edges are enough. Of
/// an edge to a type's node (an indirect call) that is the caller.
fn entries(edges: &[Vec<usize>], functions: usize) -> Vec<bool> {
    let mut chosen = vec![false; functions];
    let mut seen = vec![false; edges.len()];
    let mut on_path = vec![false; edges.len()];
    for root in 0..edges.len() {
        let mut path: Vec<(usize, usize)> = Vec::new();
        if !std::mem::replace(&mut seen[root], true) {
            on_path[root] = true;
            path.push((root, 0));
        }
        while let Some((node, edge)) = path.last_mut() {
            let (node, next) = (*node, edges[*node].get(*edge).copied());
            *edge += 1;
            match next {
                Some(to) if on_path[to] => chosen[if to < functions { to } else { node }] = true,
                Some(to) if !std::mem::replace(&mut seen[to], true) => {
                    on_path[to] = true;
                    path.push((to, 0));
                }
                Some(_) => {}
                None => {
                    on_path[node] = false;
                    path.pop();
                }
            }
        }
    }
    chosen
}

/// Tarjan's strongly connected components, with a stack of our own: the depth is the caller's choice.
fn on_cycle(edges: &[Vec<usize>]) -> Vec<bool> {
    let mut search = Search {
        order: vec![0; edges.len()],
        low: vec![0; edges.len()],
        open: Vec::new(),
        found: vec![false; edges.len()],
    };
    let mut on_stack = vec![false; edges.len()];
    let mut count = 0;
    for root in 0..edges.len() {
        let mut path: Vec<(usize, usize)> = if search.order[root] == 0 { vec![(root, 0)] } else { Vec::new() };
        while let Some((node, edge)) = path.last_mut() {
            let node = *node;
            if *edge == 0 {
                count += 1;
                search.order[node] = count;
                search.low[node] = count;
                search.open.push(node);
                on_stack[node] = true;
            }
            let next = edges[node].get(*edge).copied();
            *edge += 1;
            match next {
                Some(to) if search.order[to] == 0 => path.push((to, 0)),
                Some(to) if on_stack[to] => {
                    search.low[node] = search.low[node].min(search.order[to]);
                    search.found[node] |= to == node;
                }
                Some(_) => {}
                None => {
                    path.pop();
                    if let Some((parent, _)) = path.last() {
                        search.low[*parent] = search.low[*parent].min(search.low[node]);
                    }
                    search.close(node, &mut on_stack);
                }
            }
        }
    }
    search.found
}

struct Search {
    order: Vec<u32>,
    low: Vec<u32>,
    open: Vec<usize>,
    found: Vec<bool>,
}

impl Search {
    /// Where the node is the root of a component of several, all of them are on a cycle.
    fn close(&mut self, node: usize, on_stack: &mut [bool]) {
        if self.low[node] != self.order[node] {
            return;
        }
        let start = self.open.iter().rposition(|open| *open == node).expect("a root is still open");
        let component = self.open.split_off(start);
        let several = component.len() > 1;
        for member in component {
            on_stack[member] = false;
            self.found[member] |= several;
        }
    }
}
