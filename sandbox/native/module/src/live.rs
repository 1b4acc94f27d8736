//! Which locals a site must save: those that may be read before they are written again. Fourth step of the path.
//!
//! Backward over the structured operators; loop headers are iterated until nothing changes. Saving dead locals would keep them in registers in the
//! hot path. `$b` is dead at the header and is not saved:
//!
//! ```wat
//! loop                                   ;; site, saves $a
//!   (local.set $b (i32.mul (local.get $a) (local.get $a)))
//!   (local.set $a (i32.sub (local.get $a) (i32.const 1)))
//!   (br_if 0 (local.get $b))
//! end
//! ```

use crate::form::{Form, Op};
use std::collections::BTreeMap;
use wasmparser::Catch;

/// A set of locals.
#[derive(Clone, Debug, PartialEq, Default)]
struct Set(Vec<u64>);

impl Set {
    fn add(&mut self, local: u32) {
        self.0[local as usize / 64] |= 1 << (local % 64);
    }

    fn remove(&mut self, local: u32) {
        self.0[local as usize / 64] &= !(1 << (local % 64));
    }

    fn has(&self, local: u32) -> bool {
        self.0[local as usize / 64] >> (local % 64) & 1 == 1
    }

    fn join(&mut self, other: &Set) {
        self.0.iter_mut().zip(&other.0).for_each(|(mine, theirs)| *mine |= theirs);
    }
}

/// A construct, seen from its end.
struct Open {
    /// What is live where a branch to it goes.
    label: Set,
    after: Set,
    /// What is live at the start of the `else` arm, once that was passed.
    other: Option<Set>,
}

/// The walk from the last operator to the first.
struct Walk<'x> {
    form: &'x Form,
    /// The starts of the constructs by their ends.
    starts: BTreeMap<usize, usize>,
    headers: BTreeMap<usize, Set>,
    empty: Set,
    live: Set,
    open: Vec<Open>,
    /// For each `try_table` around us, what is live where an exception may go from inside it.
    caught: Vec<Set>,
    found: Vec<Set>,
}

/// Fills in the live locals of every site.
pub(crate) fn add_liveness(form: &mut Form) {
    let empty = Set(vec![0; form.locals.len().div_ceil(64)]);
    let mut walk = Walk {
        form,
        starts: form.ends.iter().map(|(start, end)| (*end, *start)).collect(),
        headers: BTreeMap::new(),
        live: empty.clone(),
        open: Vec::new(),
        caught: Vec::new(),
        found: vec![empty.clone(); form.spots.len()],
        empty,
    };
    while walk.pass() {}
    let found = walk.found;
    let locals = crate::number(form.locals.len());
    for (spot, live) in form.spots.iter_mut().zip(found) {
        spot.live = (0..locals).filter(|local| live.has(*local)).collect();
        spot.live.sort_by_key(|local| (crate::scalar::Scalar::of(form.locals[*local as usize]), *local));
    }
}

impl Walk<'_> {
    /// Did a loop header change?
    fn pass(&mut self) -> bool {
        let before = self.headers.clone();
        self.live = self.empty.clone();
        self.open.clear();
        self.caught.clear();
        for at in (0..self.form.ops.len()).rev() {
            self.step(at);
        }
        before != self.headers
    }

    fn step(&mut self, at: usize) {
        match &self.form.ops[at] {
            Op::End => self.end(at),
            Op::Else => {
                let open = self.open.last_mut().expect("structured");
                open.other = Some(std::mem::replace(&mut self.live, open.after.clone()));
            }
            Op::If(_) => {
                let open = self.open.pop().expect("structured");
                self.live.join(open.other.as_ref().unwrap_or(&open.after));
            }
            Op::Loop(..) => {
                self.open.pop();
                self.headers.insert(at, self.live.clone());
            }
            Op::Block(_) => drop(self.open.pop()),
            Op::Try(..) => {
                self.open.pop();
                self.caught.pop();
            }
            Op::Branch(depth) => self.live = self.label(*depth).clone(),
            Op::BranchIf(depth) => {
                let label = self.label(*depth).clone();
                self.live.join(&label);
            }
            Op::BranchTable(depths) => {
                let mut all = self.empty.clone();
                depths.iter().for_each(|depth| all.join(self.label(*depth)));
                self.live = all;
            }
            Op::Return | Op::Unreachable | Op::TailCall(_) | Op::TailCallIndirect(_) => self.live = self.empty.clone(),
            Op::Throw(_) => {
                self.live = self.empty.clone();
                self.may_throw();
            }
            Op::Get(local) => self.live.add(*local),
            Op::Set(local) | Op::Tee(local) => self.live.remove(*local),
            Op::Poll(spot) => self.found[*spot] = self.live.clone(),
            Op::Check(spot, results) => {
                // A continuation makes the call in its place, and the callee may throw there.
                self.may_throw();
                // The results come from the callee, when it has gone on.
                self.found[*spot] = self.live.clone();
                results.iter().for_each(|local| self.found[*spot].remove(*local));
            }
            Op::Call(_) | Op::CallIndirect(..) => self.may_throw(),
            Op::Raw(_) | Op::Reference(_) | Op::Segment(_) => {}
        }
    }

    fn may_throw(&mut self) {
        if let Some(caught) = self.caught.last() {
            self.live.join(caught);
        }
    }

    fn end(&mut self, at: usize) {
        let start = self.starts.get(&at);
        if let Some(Op::Try(_, catches)) = start.map(|start| &self.form.ops[*start]) {
            let mut caught = self.caught.last().unwrap_or(&self.empty).clone();
            catches.iter().for_each(|catch| caught.join(self.label(label_of(catch))));
            self.caught.push(caught);
        }
        let header = start.filter(|start| matches!(self.form.ops[**start], Op::Loop(..)));
        let label = match header {
            Some(start) => self.headers.get(start).unwrap_or(&self.empty).clone(),
            None => self.live.clone(),
        };
        self.open.push(Open { label, after: self.live.clone(), other: None });
    }

    fn label(&self, depth: u32) -> &Set {
        let from_top = self.open.len().checked_sub(depth as usize + 1);
        from_top.map_or(&self.empty, |at| &self.open[at].label)
    }
}

pub(crate) fn label_of(catch: &Catch) -> u32 {
    match catch {
        Catch::One { label, .. } | Catch::OneRef { label, .. } | Catch::All { label } | Catch::AllRef { label } => {
            *label
        }
    }
}
