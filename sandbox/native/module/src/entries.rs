//! Which functions are entered at their loops, and at which of them; `reenter` prints their second form.

use crate::form::{Form, Op};
use crate::parse::Program;
use crate::scalar::Signature;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use wasmparser::ValType;

/// Bytes of a module's functions that get a second form whatever the module's size: all of a small program.
const ALWAYS: usize = 24 << 10;
/// Of a larger one this part of its code.
const PART: usize = 8;
/// Functions of this size come first, the largest before the others: they are what takes long to compile when a program goes on. Then the smallest, of
/// which there can be most. A large function is entered only at its outermost loops and at those that are a fourth of it: with a choice in front
/// of each case of its `switch`, sqlite3's interpreter ran 1.6 times as long.
const LARGE: usize = 4 << 10;
/// See above.
const MAIN: usize = 4;
/// Constructs around a loop: printing goes down into them by recursion. A `switch` has one for each of its cases.
const DEEP: usize = 2000;
/// Values that are alive at the loops of one function; the engine takes 1,000 parameters.
const GIVEN: usize = 500;

/// At which loops a program can be entered. It changes nothing of what a program does or of its states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loops {
    /// What suits the sizes of its functions.
    Usual,
    /// Each function is taken for a large one.
    Outermost,
    /// At none: whatever was stopped goes on in the continuation.
    Never,
}

/// How a function is entered at its loops.
pub(crate) struct Reentry {
    /// The locals that are alive at any of the headers, ascending: the parameters, but for the last one, which is the number of the loop.
    pub(crate) given: Vec<u32>,
    /// The loops, ascending. The number of the first one is 1.
    pub(crate) loops: Vec<usize>,
}

impl Reentry {
    fn of(form: &Form, which: Loops) -> Option<Reentry> {
        let mut loops: Vec<usize> = (0..form.ops.len()).filter(|at| matches!(form.ops[*at], Op::Loop(..))).collect();
        if which == Loops::Outermost {
            let mut end = 0;
            loops.retain(|start| {
                let (outermost, length) = (*start >= end, form.ends[start] - start);
                end = end.max(form.ends[start]);
                outermost || length * MAIN > form.ops.len()
            });
        }
        let given: BTreeSet<u32> = loops.iter().flat_map(|at| &form.spots[header(form, *at).1].live).copied().collect();
        let known = given.len() <= GIVEN && !loops.is_empty() && depth(form) <= DEEP;
        known.then(|| Reentry { given: given.into_iter().collect(), loops })
    }

    /// The number of the loop.
    pub(crate) fn number(&self, start: usize) -> i32 {
        let place = self.loops.binary_search(&start).expect("it is a loop");
        i32::try_from(place + 1).expect("few loops")
    }

    pub(crate) fn has(&self, start: usize) -> bool {
        self.loops.binary_search(&start).is_ok()
    }

    /// The loop whose header this site is.
    pub(crate) fn loop_at(&self, form: &Form, spot: usize) -> Option<usize> {
        self.loops.iter().copied().find(|start| header(form, *start).1 == spot)
    }

    pub(crate) fn signature(&self, form: &Form) -> Signature {
        let mut params = form.types_of(&self.given);
        params.push(ValType::I32);
        (params, form.results.clone())
    }

    pub(crate) fn within(&self, range: &Range<usize>) -> &[usize] {
        let place = |at: usize| self.loops.partition_point(|start| *start < at);
        &self.loops[place(range.start)..place(range.end)]
    }
}

/// How many constructs are open at once.
fn depth(form: &Form) -> usize {
    let (mut open, mut most) = (0_usize, 0);
    for op in &form.ops {
        match op {
            Op::Block(_) | Op::Loop(..) | Op::If(_) | Op::Try(..) => open += 1,
            // Of the function's own nothing is left to close.
            Op::End => open = open.saturating_sub(1),
            _ => {}
        }
        most = most.max(open);
    }
    most
}

/// The poll of a loop, and its site.
pub(crate) fn header(form: &Form, start: usize) -> (usize, usize) {
    let Op::Loop(_, params) = &form.ops[start] else { unreachable!("it is a loop") };
    let at = start + 1 + params.len();
    let Op::Poll(spot) = form.ops[at] else { unreachable!("each loop is polled") };
    (at, spot)
}

/// How the function is entered at its loops, if it gets a second form.
pub(crate) fn of(program: &Program<'_>, form: &Form, which: Loops) -> Option<Reentry> {
    let large = program.body(form.function).range().len() >= LARGE;
    Reentry::of(form, if large { Loops::Outermost } else { which })
}

/// The functions that get a second form. It follows from the module's bytes alone.
pub(crate) fn choose(program: &Program<'_>, forms: &BTreeMap<u32, Form>, which: Loops) -> BTreeMap<u32, Reentry> {
    if which == Loops::Never {
        return BTreeMap::new();
    }
    let size = |function: u32| program.body(function).range().len();
    let mut left = ALWAYS.max(program.defined().map(size).sum::<usize>() / PART);
    let mut candidates: Vec<(u32, Reentry)> =
        forms.iter().filter_map(|(function, form)| Some((*function, of(program, form, which)?))).collect();
    candidates.sort_by_key(|(function, _)| match size(*function) {
        large if large >= LARGE => (0, usize::MAX - large),
        small => (1, small),
    });
    candidates.retain(|(function, _)| {
        let rest = left.checked_sub(size(*function));
        left = rest.unwrap_or(left);
        rest.is_some()
    });
    candidates.into_iter().collect()
}
