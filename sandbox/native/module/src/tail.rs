//! What goes on from a site and never comes back: up to the next loop, which the program itself runs, or to the end of the function.
//!
//! ```wat
//! (func $run (param $n i32)                  (func $from_site (local $n i32) (local $frame i32)
//!   lead-1                                     pop frame: $n                             ;; values of the site
//!   loop $l  poll                              block $out  block $l
//!     lead-2                                     call $next                              ;; the frame inside this one
//!     call $f  check                             if unwinding  push the frame, return
//!     tail-1                                     tail-1
//!     br_if $l                                   br_if $l  br $out
//!   end                                        end  …what is alive at the loop…  i32.const 1  return_call $run_again  end
//!   tail-2)                                    tail-2)
//! ```
//!
//! It holds nothing that cannot be reached from the site, so it is compiled soon also where the function is large. At the header of such a loop there is
//! nothing but the last line. Loops that cannot be entered in the program stay loops here (`resume` shows one): a later turn runs what stands in front of the site.

use crate::base::{Base, Links};
use crate::entries::Reentry;
use crate::exits;
use crate::form::{Form, Op, Shape};
use crate::live::label_of;
use crate::print::Printer;
use crate::scalar::{Types, zero};
use crate::target::{Body, Target};
use std::ops::Range;
use wasm_encoder::{BlockType, Instruction};
use wasmparser::Catch;

/// The function that goes on from one site; `reentry` is how its loops can be entered in the program.
pub(crate) fn print<'x, 'a>(
    program: (&'x Base<'a>, &'x Links, &'x mut Types),
    target: &'x Target<'x>,
    reentry: Option<&'x Reentry>,
) -> Body {
    let form = target.form;
    let mut printer = target.begin(program);
    // One that is not called from here has no number in what is printed (see `resume`).
    let number = printer.links.reentries.get(&form.function).copied().unwrap_or_default();
    let again = reentry.map(|reentry| (reentry, number));
    let at_loop = again.and_then(|again| Some((again, again.0.loop_at(form, target.spot)?)));
    if let Some((again, start)) = at_loop {
        go_to_loop(&mut printer, again, start, &form.spots[target.spot].live);
        printer.write(Instruction::End);
        return (printer.out, printer.hints);
    }
    exits::print(&mut printer, |printer| {
        let (entering, open) = (target.entering(), vec![Label::new(0)]);
        Tail { printer, form, again, entering, repeats: false, open, now: 1, dead: false }.go_on(target);
    });
    (printer.out, printer.hints)
}

/// The last thing that is done here. What is not alive at this loop may be anything.
fn go_to_loop(printer: &mut Printer<'_, '_>, (reentry, function): (&Reentry, u32), start: usize, live: &[u32]) {
    let form = printer.form;
    for local in &reentry.given {
        let value = Instruction::LocalGet(*local);
        printer.write(if live.contains(local) { value } else { zero(form.locals[*local as usize]) });
    }
    printer.write(Instruction::I32Const(reentry.number(start)));
    printer.write(Instruction::ReturnCall(function));
}

/// A construct that a branch can go to.
struct Label {
    /// How many constructs are around it.
    depth: u32,
    /// Somebody goes to its end.
    reached: bool,
    /// A branch goes to its start.
    is_loop: bool,
    /// Its condition is asked: both arms are here.
    is_if: bool,
}

impl Label {
    fn new(depth: u32) -> Label {
        Label { depth, reached: false, is_loop: false, is_if: false }
    }
}

/// A construct around the site.
struct Around {
    start: usize,
    /// Where the arm of the site begins and ends.
    inner: usize,
    arm_end: usize,
    end: usize,
}

impl Around {
    fn of(form: &Form, start: usize, end: usize, site: usize) -> Around {
        let other = form.elses.get(&start).copied();
        let inner = match &form.ops[start] {
            Op::Loop(_, params) => start + 1 + params.len(),
            _ => other.filter(|at| *at < site).unwrap_or(start) + 1,
        };
        Around { start, inner, arm_end: other.filter(|at| *at > site).unwrap_or(end), end }
    }
}

/// The way from the site on.
struct Tail<'p, 'x, 'a> {
    printer: &'p mut Printer<'x, 'a>,
    form: &'x Form,
    again: Option<(&'x Reentry, u32)>,
    /// The local that says that the site has not been reached yet.
    entering: u32,
    /// A loop that is printed here encloses us: what stands in front of the site can run.
    repeats: bool,
    open: Vec<Label>,
    /// How many constructs are around us, with the function.
    now: u32,
    /// What is printed next would never be reached.
    dead: bool,
}

impl Tail<'_, '_, '_> {
    fn write(&mut self, instruction: Instruction<'_>) {
        self.printer.write(instruction);
    }

    /// The constructs around the site are opened from the outermost on, what stands in each in front of it skipped; then the site; then the rest of
    /// each, from the innermost on.
    fn go_on(&mut self, target: &Target<'_>) {
        let form = self.form;
        let site = form.spots[target.spot].op;
        let around = form.ends.range(..site).filter(|(_, end)| **end > site);
        let around: Vec<Around> = around.map(|(start, end)| Around::of(form, *start, *end, site)).collect();
        if around.iter().any(|around| self.stays(around.start)) {
            self.write(Instruction::I32Const(1));
            self.write(Instruction::LocalSet(self.entering));
        }
        let mut from = 0;
        for around in &around {
            self.open(from..around.start, around);
            from = around.inner;
        }
        self.at_site(from..site + 1, target);
        let mut at = site + 1;
        for around in around.iter().rev() {
            self.rest(at..around.arm_end);
            self.close(around);
            at = around.end + 1;
        }
        self.rest(at..form.ops.len() - 1);
        self.write(Instruction::End);
    }

    /// Is it a loop that cannot be entered in the program?
    fn stays(&self, start: usize) -> bool {
        matches!(self.form.ops[start], Op::Loop(..)) && !self.again.is_some_and(|(reentry, _)| reentry.has(start))
    }

    fn at_site(&mut self, lead: Range<usize>, target: &Target<'_>) {
        self.skip(lead, BlockType::Empty, |tail| {
            if tail.repeats {
                tail.write(Instruction::I32Const(0));
                tail.write(Instruction::LocalSet(tail.entering));
            }
            target.go_on_inside(tail.printer, tail.now - 1);
        });
    }

    /// A leading part: left out when entering. Where it cannot run again, it is gone.
    fn skip(&mut self, lead: Range<usize>, ty: BlockType, instead: impl Fn(&mut Self)) {
        if !self.repeats {
            return instead(self);
        }
        if lead.is_empty() && matches!(ty, BlockType::Empty) {
            return;
        }
        self.write(Instruction::LocalGet(self.entering));
        self.write(Instruction::If(ty));
        self.now += 1;
        instead(self);
        self.write(Instruction::Else);
        self.rest(lead);
        self.write(Instruction::End);
        self.now -= 1;
        self.dead = false;
    }

    fn open(&mut self, lead: Range<usize>, around: &Around) {
        let form = self.form;
        match &form.ops[around.start] {
            Op::Loop(shape, params) if self.stays(around.start) => self.open_loop(lead, shape, params),
            Op::Loop(shape, params) => {
                let results = self.printer.results_of(shape);
                let ty = self.printer.types.block(&results);
                self.write(Instruction::Block(ty));
                self.now += 1;
                let ty = self.printer.types.block(&form.types_of(params));
                self.begin(Instruction::Block(ty));
            }
            Op::If(shape) => self.open_if(lead, shape, around),
            Op::Block(shape) => {
                self.skip(lead, BlockType::Empty, |_| {});
                self.begin_shape(shape, Instruction::Block);
            }
            Op::Try(shape, catches) => {
                self.skip(lead, BlockType::Empty, |_| {});
                self.begin_try(shape, catches);
            }
            _ => unreachable!("only constructs have an end"),
        }
    }

    /// Its parameters are in their temporaries, loaded when it is entered and stored again as the first thing.
    fn open_loop(&mut self, lead: Range<usize>, shape: &Shape, params: &[u32]) {
        let types = self.form.types_of(params);
        let ty = self.printer.types.block(&types);
        self.skip(lead, ty, |tail| params.iter().for_each(|local| tail.write(Instruction::LocalGet(*local))));
        self.begin_loop(shape);
        params.iter().rev().for_each(|local| self.write(Instruction::LocalSet(*local)));
        self.repeats = true;
    }

    /// Where it cannot be reached again, only the arm of the site is left, as a block.
    fn open_if(&mut self, lead: Range<usize>, shape: &Shape, around: &Around) {
        if !self.repeats {
            return self.begin_shape(shape, Instruction::Block);
        }
        let in_other = around.inner > around.start + 1;
        let arm = Instruction::I32Const(i32::from(!in_other));
        self.skip(lead, BlockType::Result(wasm_encoder::ValType::I32), |tail| tail.write(arm.clone()));
        self.begin_if(around.start, shape);
        if in_other {
            self.rest(around.start + 1..around.inner - 1);
            self.other_arm();
        }
    }

    fn begin(&mut self, instruction: Instruction<'_>) {
        self.write(instruction);
        self.open.push(Label::new(self.now));
        self.now += 1;
    }

    fn begin_shape(&mut self, shape: &Shape, instruction: fn(BlockType) -> Instruction<'static>) {
        let ty = self.printer.shape(shape);
        self.begin(instruction(ty));
    }

    fn begin_loop(&mut self, shape: &Shape) {
        self.begin_shape(shape, Instruction::Loop);
        self.place_of(0).is_loop = true;
    }

    fn begin_if(&mut self, start: usize, shape: &Shape) {
        self.begin_shape(shape, Instruction::If);
        let other = self.form.elses.contains_key(&start);
        let label = self.place_of(0);
        (label.reached, label.is_if) = (!other, true);
    }

    fn begin_try(&mut self, shape: &Shape, catches: &[Catch]) {
        catches.iter().map(label_of).for_each(|outer| self.place_of(outer).reached = true);
        let depths: Vec<u32> = self.open.iter().map(|label| label.depth).collect();
        let now = self.now;
        self.printer.open_try(shape, catches, |outer| now - 1 - depths[depths.len() - 1 - outer as usize]);
        self.open.push(Label::new(now));
        self.now += 1;
    }

    fn close(&mut self, around: &Around) {
        let form = self.form;
        let Op::Loop(_, params) = &form.ops[around.start] else {
            if self.place_of(0).is_if && around.arm_end < around.end {
                self.other_arm();
                self.rest(around.arm_end + 1..around.end);
            }
            return self.end();
        };
        if self.stays(around.start) {
            return self.end();
        }
        let falls = !self.dead;
        if falls {
            self.write(Instruction::Br(1));
        }
        // Where the loop's branches go.
        self.dead = true;
        self.end();
        if !self.dead {
            params.iter().rev().for_each(|local| self.write(Instruction::LocalSet(*local)));
            self.go_to(around.start);
        }
        self.write(Instruction::End);
        self.now -= 1;
        self.go_dead(!falls);
    }

    /// Behind the end of the innermost construct, which is reached from inside or by a branch, or nobody comes there.
    fn end(&mut self) {
        self.write(Instruction::End);
        self.now -= 1;
        let label = self.open.pop().expect("structured");
        self.go_dead(self.dead && (label.is_loop || !label.reached));
    }

    /// To the validator, what stands behind an end is reached.
    fn go_dead(&mut self, dead: bool) {
        self.dead = dead;
        if dead {
            self.write(Instruction::Unreachable);
        }
    }

    fn other_arm(&mut self) {
        let falls = !self.dead;
        self.write(Instruction::Else);
        self.place_of(0).reached |= falls;
        self.dead = false;
    }

    fn go_to(&mut self, start: usize) {
        let form = self.form;
        let again = self.again.expect("it can be entered");
        let Op::Loop(_, params) = &form.ops[start] else { unreachable!("it is a loop") };
        let Op::Poll(spot) = form.ops[start + 1 + params.len()] else { unreachable!("each loop is polled") };
        go_to_loop(self.printer, again, start, &form.spots[spot].live);
        self.dead = true;
    }

    /// Prints what can be reached of these operators; what they open, they end.
    fn rest(&mut self, range: Range<usize>) {
        let form = self.form;
        let mut at = range.start;
        while at < range.end {
            let op = &form.ops[at];
            let mut next = at + 1;
            match op {
                Op::End => self.end(),
                Op::Else => self.other_arm(),
                _ if self.dead => next = form.ends.get(&at).unwrap_or(&at) + 1,
                Op::Loop(_, params) if !self.stays(at) => {
                    params.iter().rev().for_each(|local| self.write(Instruction::LocalSet(*local)));
                    self.go_to(at);
                    next = form.ends[&at] + 1;
                }
                _ => self.reached(at, op),
            }
            at = next;
        }
    }

    fn reached(&mut self, at: usize, op: &Op) {
        self.printer.hint(at);
        match op {
            Op::Block(shape) => self.begin_shape(shape, Instruction::Block),
            Op::Loop(shape, _) => self.begin_loop(shape),
            Op::If(shape) => self.begin_if(at, shape),
            Op::Try(shape, catches) => self.begin_try(shape, catches),
            Op::Branch(to) => {
                let to = self.branch(*to);
                self.write(Instruction::Br(to));
                self.dead = true;
            }
            Op::BranchIf(to) => {
                let to = self.branch(*to);
                self.write(Instruction::BrIf(to));
            }
            Op::BranchTable(all) => {
                let all: Vec<u32> = all.iter().map(|to| self.branch(*to)).collect();
                let (default, listed) = all.split_last().expect("a table has a default");
                self.write(Instruction::BrTable(listed.into(), *default));
                self.dead = true;
            }
            Op::Poll(spot) => self.printer.poll(*spot, self.now - 1),
            Op::Check(spot, results) => self.printer.check(*spot, results, self.now - 1),
            op => {
                self.printer.straight(op);
                self.dead = op.leaves();
            }
        }
    }

    fn place_of(&mut self, outer: u32) -> &mut Label {
        let place = self.open.len() - 1 - outer as usize;
        &mut self.open[place]
    }

    fn branch(&mut self, outer: u32) -> u32 {
        let now = self.now;
        let label = self.place_of(outer);
        label.reached = true;
        now - 1 - label.depth
    }
}
