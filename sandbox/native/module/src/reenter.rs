//! The second form of a function: entered at the headers of its loops (of a large one: the outermost), with the values that are alive there as arguments.
//!
//! A continuation goes on in the program's own code as soon as it reaches a loop, so that what runs long runs as if it had never been stopped: with the program's
//! own memory and tables, compiled when the program was. In front of each part that holds loops stands a choice, where an outer loop can come back to it.
//!
//! ```wat
//! (func $run (param $n i32)             (func $run_again (param $n i32) (param $entry i32)
//!   lead-1                                                                    ;; lead-1 is gone: it never runs again
//!   loop $outer  poll                     loop $outer
//!     lead-2                                block $inside  local.get $entry  br_if $inside  poll  lead-2  end
//!     loop $inner  poll                     entry = 0
//!       …                                   loop $inner  poll                 ;; passed once, if it was entered here
//!       br_if $inner                          …
//!     end                                     br_if $inner
//!     br_if $outer                          end  br_if $outer
//!   end  tail)                            end  tail)
//! ```

use crate::base::{Base, Links};
use crate::entries::{Reentry, header};
use crate::exits::{self, Exits};
use crate::form::{Form, Op, Shape};
use crate::helpers;
use crate::print::{Passed, Printer};
use crate::scalar::Types;
use std::collections::BTreeMap;
use std::ops::Range;
use wasm_encoder::{BlockType, Function, Instruction};
use wasmparser::ValType;

/// The second form.
pub(crate) fn print(base: &Base<'_>, links: &Links, types: &mut Types, function: u32) -> (Function, Vec<(u32, bool)>) {
    let (source, reentry) = (&base.forms[&function], &base.reentries[&function]);
    let form = &renamed(source, &reentry.given);
    let entry = crate::number(reentry.given.len());
    let ifs = reentry.ifs(form);
    let site = Exits::site_local(form);
    let passed = site + crate::number(Exits::LOCALS.len());
    let first = passed + 1;
    let mut locals = form.locals[form.params..].to_vec();
    locals.extend(Exits::LOCALS);
    locals.extend(std::iter::repeat_n(ValType::I32, 1 + ifs.len()));
    let out = helpers::with_locals(&locals);
    let mut printer = Printer::new((base, links, types), form, out);
    let polls = reentry.loops.iter().map(|start| (header(form, *start).1, reentry.number(*start)));
    printer.passed = polls.map(|(spot, number)| (spot, Passed { local: passed, number })).collect();
    exits::print(&mut printer, |printer| {
        printer.write(Instruction::LocalGet(entry));
        printer.write(Instruction::LocalSet(passed));
        let conditions = ifs.into_iter().zip(first..).collect();
        let mut inside = Inside { printer, form, reentry, entry, conditions, labels: vec![0], now: 1 };
        inside.part(0..form.ops.len() - 1, false);
        inside.printer.write(Instruction::End);
    });
    (printer.out, printer.hints)
}

impl Reentry {
    /// The conditions that a way to a loop goes past.
    fn ifs(&self, form: &Form) -> Vec<usize> {
        let on_the_way =
            |at: &usize| matches!(form.ops[*at], Op::If(_)) && !self.within(&(*at..form.ends[at])).is_empty();
        form.ends.keys().copied().filter(on_the_way).collect()
    }
}

/// The same function with other numbers for its locals: first the given ones, then the number of the loop, then the others.
fn renamed(form: &Form, given: &[u32]) -> Form {
    let mut new = vec![0; form.locals.len()];
    let others = (0..crate::number(form.locals.len())).filter(|local| given.binary_search(local).is_err());
    let others: Vec<u32> = others.collect();
    given.iter().zip(0..).for_each(|(local, number)| new[*local as usize] = number);
    others.iter().zip(crate::number(given.len()) + 1..).for_each(|(local, number)| new[*local as usize] = number);
    let rename = |locals: &[u32]| locals.iter().map(|local| new[*local as usize]).collect::<Vec<u32>>();
    let mut form = form.clone();
    form.locals = [form.types_of(given), vec![ValType::I32], form.types_of(&others)].concat();
    form.params = given.len() + 1;
    for op in &mut form.ops {
        match op {
            Op::Get(local) | Op::Set(local) | Op::Tee(local) => *local = new[*local as usize],
            Op::Loop(_, locals) | Op::Check(_, locals) => *locals = rename(locals),
            _ => {}
        }
    }
    // Their order is the order in a frame, and stays.
    form.spots.iter_mut().for_each(|spot| spot.live = rename(&spot.live));
    form
}

/// The printing of a part of the function that may be entered inside.
struct Inside<'p, 'x, 'a> {
    printer: &'p mut Printer<'x, 'a>,
    form: &'x Form,
    reentry: &'x Reentry,
    /// The local that holds the number of the loop that is entered, and 0 from then on.
    entry: u32,
    /// For each `if` on a way to a loop the local of its condition.
    conditions: BTreeMap<usize, u32>,
    /// For each construct of the source around us, how many constructs are around it now.
    labels: Vec<u32>,
    /// How many are around us.
    now: u32,
}

impl Inside<'_, '_, '_> {
    fn write(&mut self, instruction: Instruction<'_>) {
        self.printer.write(instruction);
    }

    /// Operators as they are.
    fn plain(&mut self, range: Range<usize>) {
        self.printer.deep = self.now - 1;
        let (labels, now) = (&self.labels, self.now);
        self.printer.range_in(range, &|outer| now - 1 - labels[labels.len() - 1 - outer as usize]);
    }

    /// The constructs in the range that hold loops; none of them is inside another one.
    fn targets(&self, range: &Range<usize>) -> Vec<(usize, usize)> {
        let mut targets: Vec<(usize, usize)> = Vec::new();
        let mut from = range.start;
        while let Some(first) = self.reentry.within(&(from..range.end)).first() {
            // The outermost construct in the range around it: the first one that ends behind its start.
            let around = self.form.ends.range(from..=*first).find(|(_, end)| *end > first);
            let (start, end) = around.expect("a loop ends");
            targets.push((*start, *end));
            from = *end;
        }
        targets
    }

    /// What stands in front of a construct is skipped on the way to a loop. `again`: a loop encloses us, so it can run all the same.
    fn part(&mut self, range: Range<usize>, again: bool) {
        let targets = self.targets(&range);
        let blocks = if again || targets.len() > 1 { crate::number(targets.len()) } else { 0 };
        self.choose(&targets, blocks, again);
        let mut from = range.start;
        for (place, (start, end)) in (1..).zip(&targets) {
            let params = match &self.form.ops[*start] {
                Op::Loop(_, params) => params.len(),
                _ => 0,
            };
            if again || place > 1 {
                self.plain(from..start - params);
                if let Some(condition) = self.conditions.get(start).filter(|_| again || place > 1) {
                    self.printer.write(Instruction::LocalSet(*condition));
                }
            }
            if blocks > 0 {
                self.write(Instruction::End);
                self.now -= 1;
            }
            self.construct(*start, *end, again || place > 1);
            from = end + 1;
        }
        self.plain(from..range.end);
    }

    /// Opens a block for each of the constructs, which ends in front of it, and goes to the one that is to be entered.
    fn choose(&mut self, targets: &[(usize, usize)], blocks: u32, again: bool) {
        for (start, _) in targets {
            self.arm_of(*start);
        }
        (0..blocks).for_each(|_| self.write(Instruction::Block(BlockType::Empty)));
        self.now += blocks;
        if blocks == 0 {
            return;
        }
        self.write(Instruction::LocalGet(self.entry));
        if targets.len() == 1 {
            return self.write(Instruction::BrIf(0));
        }
        let loops = |(start, end): &(usize, usize)| self.reentry.within(&(*start..*end));
        let first = self.reentry.number(loops(&targets[0])[0]);
        let ways = (0..).zip(targets).flat_map(|(place, target)| std::iter::repeat_n(place, loops(target).len()));
        let ways: Vec<u32> = ways.collect();
        self.write(Instruction::I32Const(first));
        self.write(Instruction::I32Sub);
        if !again {
            return self.write(Instruction::BrTable(ways.into(), 0));
        }
        // A number beyond the table is 0: nothing is entered here.
        let ty = self.printer.types.intern(&[ValType::I32], &[]);
        self.write(Instruction::Block(BlockType::FunctionType(ty)));
        let ways: Vec<u32> = ways.into_iter().map(|way| way + 1).collect();
        self.write(Instruction::BrTable(ways.into(), 0));
        self.write(Instruction::End);
    }

    /// Where an `if` is gone past, its condition says which arm it is.
    fn arm_of(&mut self, start: usize) {
        let Some(condition) = self.conditions.get(&start).copied() else { return };
        let arms = self.arms(start);
        match arms.map(|arm| self.reentry.within(&arm).first().copied()) {
            [Some(_), Some(other)] => {
                self.write(Instruction::LocalGet(self.entry));
                self.write(Instruction::I32Const(self.reentry.number(other)));
                self.write(Instruction::I32LtU);
            }
            [one, _] => self.write(Instruction::I32Const(one.is_some().into())),
        }
        self.write(Instruction::LocalSet(condition));
    }

    /// The second one is empty where there is no `else`.
    fn arms(&self, start: usize) -> [Range<usize>; 2] {
        let end = self.form.ends[&start];
        match self.form.elses.get(&start) {
            Some(other) => [start + 1..*other, other + 1..end],
            None => [start + 1..end, end..end],
        }
    }

    fn construct(&mut self, start: usize, end: usize, again: bool) {
        let form = self.form;
        match &form.ops[start] {
            Op::Loop(shape, params) => self.looped(start, shape, params),
            Op::If(shape) => self.either(start, shape, again),
            Op::Block(shape) => {
                let ty = self.printer.shape(shape);
                self.open(Instruction::Block(ty));
                self.part(start + 1..end, again);
            }
            Op::Try(shape, catches) => {
                let (labels, now) = (self.labels.clone(), self.now);
                let label = |outer: u32| now - 1 - labels[labels.len() - 1 - outer as usize];
                self.printer.open_try(shape, catches, label);
                self.opened();
                self.part(start + 1..end, again);
            }
            _ => unreachable!("only constructs have an end"),
        }
        self.write(Instruction::End);
        self.labels.pop();
        self.now -= 1;
    }

    fn open(&mut self, instruction: Instruction<'_>) {
        self.write(instruction);
        self.opened();
    }

    fn opened(&mut self) {
        self.labels.push(self.now);
        self.now += 1;
    }

    fn looped(&mut self, start: usize, shape: &Shape, params: &[u32]) {
        let end = self.form.ends[&start];
        let body = start + 1 + params.len()..end;
        if self.reentry.within(&body).is_empty() {
            self.write(Instruction::I32Const(0));
        } else {
            // On the way to a loop inside it stays what it is.
            self.write(Instruction::I32Const(0));
            self.write(Instruction::LocalGet(self.entry));
            self.write(Instruction::LocalGet(self.entry));
            self.write(Instruction::I32Const(self.reentry.number(start)));
            self.write(Instruction::I32Eq);
            self.write(Instruction::Select);
        }
        self.write(Instruction::LocalSet(self.entry));
        params.iter().for_each(|local| self.write(Instruction::LocalGet(*local)));
        let ty = self.printer.shape(shape);
        self.open(Instruction::Loop(ty));
        params.iter().rev().for_each(|local| self.write(Instruction::LocalSet(*local)));
        self.part(body, true);
    }

    /// Where its condition is never computed, only an arm with loops is left.
    fn either(&mut self, start: usize, shape: &Shape, again: bool) {
        let arms = self.arms(start);
        let ty = self.printer.shape(shape);
        let hot = arms.clone().map(|arm| !self.reentry.within(&arm).is_empty());
        if let Some(only) = (0..2).find(|arm| !again && !hot[1 - arm]) {
            self.open(Instruction::Block(ty));
            return self.part(arms[only].clone(), again);
        }
        self.write(Instruction::LocalGet(self.conditions[&start]));
        self.open(Instruction::If(ty));
        let [one, other] = arms;
        self.part(one, again);
        if self.form.elses.contains_key(&start) {
            self.write(Instruction::Else);
            self.part(other, again);
        }
    }
}
