//! Brings a function into normal form. Third step of the path.
//!
//! One pass over the operators, with the engine's own validator beside it, which says how many operands each operator takes and of which types its
//! results are. An operand under a call, before and after (`$t` is the temporary for height 0 and type i32):
//!
//! ```wat
//! local.get 0              local.get 0   local.set $t
//! local.get 1              local.get 1
//! call $may_be_left        call $may_be_left   local.set $u   (check, results $u)
//! i32.add                  local.get $t   local.get $u   i32.add
//! ```

use crate::form::{Callee, Form, Op, Shape, Spot};
use crate::graph::Graph;
use crate::number;
use crate::parse::{Located, Program};
use crate::refused::Refused;
use crate::stack::{Operands, Slot};
use crate::uses::SegmentOp;
use std::collections::BTreeMap;
use wasmparser::{BlockType, FuncValidator, Operator, ValType, ValidatorResources};

/// A construct that is open in the source.
struct Open {
    is_if: bool,
    hot: bool,
    base: usize,
    params: Vec<ValType>,
    results: Vec<ValType>,
    entry: Vec<Slot>,
    has_else: bool,
    /// Everything that follows in it comes after a poll of this call of the function; and so it was at its start.
    polled: bool,
    polled_before: bool,
}

/// Calls of a recursive function that may each get a site in front of them. One at the entry of a larger function costs nothing beside its work, and less code.
const FEW_CALLS: usize = 3;

/// What a walk over one function has made so far.
struct Walk<'x, 'a> {
    program: &'x Program<'a>,
    graph: &'x Graph,
    stack: Operands,
    open: Vec<Open>,
    spots: Vec<Spot>,
    hints: BTreeMap<usize, bool>,
    /// How deep below the point where the code became unreachable.
    dead: Option<u32>,
}

/// The normal form of one function; without sites where the function cannot be left.
pub(crate) fn normalise(program: &Program<'_>, graph: &Graph, function: u32) -> Result<Form, Refused> {
    let operators = program.operators(function)?;
    let hot = hot_constructs(&operators, graph);
    let ty = program.type_of(function);
    let mut validator = program.validator(function);
    let mut locals = ty.params().to_vec();
    validator.read_locals(&mut program.body(function).get_binary_reader())?;
    for group in program.body(function).get_locals_reader()? {
        let (count, ty) = group?;
        locals.extend(std::iter::repeat_n(ty, count as usize));
    }
    let outermost = Open {
        is_if: false,
        hot: false,
        base: 0,
        params: Vec::new(),
        results: ty.results().to_vec(),
        entry: Vec::new(),
        has_else: false,
        polled: true,
        polled_before: true,
    };
    let stack = Operands::new(locals);
    let (spots, hints) = (Vec::new(), BTreeMap::new());
    let mut walk = Walk { program, graph, stack, open: vec![outermost], spots, hints, dead: None };
    let hints = program.hints.get(&function);
    let start = program.body(function).range().start;
    if graph.stops_at_entry(function) {
        walk.poll_on_the_way_in(&operators);
    }
    for (at, located) in operators.iter().enumerate() {
        walk.step(located, hot[at], &mut validator)?;
        if let Some(likely) = hints.and_then(|hints| hints.get(&(located.range.start - start))) {
            walk.hint(*likely);
        }
    }
    let (locals, ops) = walk.stack.finish();
    let results = ty.results().to_vec();
    let mut form = Form { function, params: ty.params().len(), results, locals, ops, ..Form::default() };
    (form.spots, form.hints) = (walk.spots, walk.hints);
    form.close();
    Ok(form)
}

/// For each operator that opens a construct: does the construct contain a site (a loop always does)?
fn hot_constructs(operators: &[Located<'_>], graph: &Graph) -> Vec<bool> {
    let mut hot = vec![false; operators.len()];
    let mut open: Vec<usize> = Vec::new();
    for (at, located) in operators.iter().enumerate() {
        let site = match &located.operator {
            Operator::Loop { .. } => {
                open.push(at);
                true
            }
            Operator::Block { .. } | Operator::If { .. } | Operator::TryTable { .. } => {
                open.push(at);
                false
            }
            Operator::End => {
                let inner = open.pop();
                // What holds of a construct holds of the one around it: each is marked once.
                if let (Some(inner), Some(outer)) = (inner, open.last()) {
                    hot[*outer] |= hot[inner];
                }
                false
            }
            Operator::Call { function_index } => graph.may_leave(*function_index),
            Operator::CallIndirect { type_index, .. } => graph.may_leave_indirect(*type_index),
            _ => false,
        };
        if let Some(innermost) = open.last().filter(|_| site) {
            hot[*innermost] = true;
        }
    }
    hot
}

impl Walk<'_, '_> {
    fn step(
        &mut self,
        located: &Located<'_>,
        hot: bool,
        validator: &mut FuncValidator<ValidatorResources>,
    ) -> Result<(), Refused> {
        let operator = &located.operator;
        let at = located.range.start;
        let arity = self.dead.is_none().then(|| operator.operator_arity(&validator.visitor(at))).flatten();
        validator.op(at, operator)?;
        if self.skips(operator) {
            return Ok(());
        }
        let takes = arity.map_or(0, |(takes, _)| takes as usize);
        match operator {
            Operator::Block { blockty } | Operator::Loop { blockty } | Operator::If { blockty } => {
                self.enter(operator, *blockty, hot);
            }
            Operator::TryTable { try_table } => self.enter(operator, try_table.ty, hot),
            Operator::Else => self.other_arm(),
            Operator::End => self.end(),
            Operator::LocalGet { local_index } => self.stack.get(*local_index),
            Operator::LocalSet { local_index } => self.stack.simple(Op::Set(*local_index), 1),
            Operator::LocalTee { local_index } => {
                self.stack.need(1);
                self.stack.out(Op::Tee(*local_index));
            }
            Operator::BrIf { relative_depth } => {
                self.stack.need(takes);
                self.stack.pop(1);
                self.stack.out(Op::BranchIf(*relative_depth));
            }
            Operator::Br { relative_depth } => self.leave(Op::Branch(*relative_depth), takes),
            Operator::BrTable { targets } => {
                let mut all: Vec<u32> = targets.targets().collect::<Result<_, _>>()?;
                all.push(targets.default());
                self.leave(Op::BranchTable(all), takes);
            }
            Operator::Return => self.leave(Op::Return, self.open[0].results.len()),
            Operator::Unreachable => self.leave(Op::Unreachable, 0),
            Operator::ReturnCall { function_index } => self.leave(Op::TailCall(*function_index), takes),
            Operator::ReturnCallIndirect { .. } => self.leave(Op::TailCallIndirect(located.range.clone()), takes),
            Operator::Throw { .. } | Operator::ThrowRef => self.leave(Op::Throw(located.range.clone()), takes),
            Operator::RefFunc { function_index } => {
                self.stack.out(Op::Reference(*function_index));
                self.stack.push(ValType::FUNCREF);
            }
            Operator::Call { function_index } => {
                let ty = self.program.functions[*function_index as usize];
                let site = self.graph.may_leave(*function_index).then_some(Callee::Function(*function_index));
                self.call(Op::Call(*function_index), ty, takes, site);
            }
            Operator::CallIndirect { type_index, table_index } => {
                let site = self.graph.may_leave_indirect(*type_index).then_some(Callee::Indirect(*type_index));
                self.call(Op::CallIndirect(*type_index, *table_index), *type_index, takes, site);
            }
            _ => match SegmentOp::of(operator) {
                Some(op) => self.stack.simple(Op::Segment(op), op.params().len()),
                None => self.plain(located, arity.unwrap_or_default(), validator),
            },
        }
        Ok(())
    }

    /// Of the branch that was just written; it may have been dropped with unreachable code.
    fn hint(&mut self, likely: bool) {
        let last = self.stack.position().checked_sub(1);
        if let Some(at) = last.filter(|at| matches!(self.stack.op(*at), Op::If(_) | Op::BranchIf(_))) {
            self.hints.entry(at).or_insert(likely);
        }
    }

    /// Unreachable code is dropped, up to the `else` or `end` of the construct that it stands in.
    fn skips(&mut self, operator: &Operator<'_>) -> bool {
        let Some(depth) = self.dead else { return false };
        match operator {
            Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } | Operator::TryTable { .. } => {
                self.dead = Some(depth + 1);
            }
            Operator::End if depth > 0 => self.dead = Some(depth - 1),
            Operator::Else | Operator::End if depth == 0 => return false,
            _ => {}
        }
        true
    }

    fn leave(&mut self, op: Op, takes: usize) {
        self.stack.need(takes);
        self.stack.out(op);
        self.dead = Some(0);
    }

    fn plain(&mut self, located: &Located<'_>, arity: (u32, u32), validator: &FuncValidator<ValidatorResources>) {
        self.stack.simple(Op::Raw(located.range.clone()), arity.0 as usize);
        for depth in (0..arity.1 as usize).rev() {
            let ty = validator.get_operand_type(depth).flatten().expect("the code is reachable");
            self.stack.push(ty);
        }
    }

    fn call(&mut self, op: Op, ty: u32, takes: usize, site: Option<Callee>) {
        let results = self.program.types[ty as usize].results().to_vec();
        let Some(callee) = site else {
            self.stack.simple(op, takes);
            results.iter().for_each(|ty| self.stack.push(*ty));
            return;
        };
        if !self.innermost().polled {
            self.stack.flush(0);
            self.poll();
            self.innermost().polled = true;
        }
        self.stack.flush(takes);
        self.stack.pop(takes);
        self.stack.out(op);
        let temporaries = self.stack.store_results(&results);
        self.spots.push(Spot { callee: Some(callee), op: self.stack.position(), live: Vec::new() });
        self.stack.out(Op::Check(self.spots.len() - 1, temporaries));
    }

    /// A small function that can call itself is stopped in front of the first call on each way: most calls of a recursion go no deeper. A tail call
    /// is no site, so a function that ends in one is stopped at its entry.
    fn poll_on_the_way_in(&mut self, operators: &[Located<'_>]) {
        let tail = |operator: &Operator<'_>| {
            matches!(operator, Operator::ReturnCall { .. } | Operator::ReturnCallIndirect { .. })
        };
        let call = |operator: &Operator<'_>| matches!(operator, Operator::Call { .. } | Operator::CallIndirect { .. });
        let calls = operators.iter().filter(|located| call(&located.operator)).count();
        if calls > FEW_CALLS || operators.iter().any(|located| tail(&located.operator)) {
            return self.poll();
        }
        self.innermost().polled = false;
    }

    fn innermost(&mut self) -> &mut Open {
        self.open.last_mut().expect("the function itself is open")
    }

    fn poll(&mut self) {
        self.spots.push(Spot { callee: None, op: self.stack.position(), live: Vec::new() });
        self.stack.out(Op::Poll(self.spots.len() - 1));
    }

    fn enter(&mut self, operator: &Operator<'_>, ty: BlockType, hot: bool) {
        let (params, results, shape) = self.shape(ty);
        let is_if = matches!(operator, Operator::If { .. });
        let is_loop = matches!(operator, Operator::Loop { .. });
        let plain = |shape: Shape| if hot { Shape::Results(results.clone()) } else { shape };
        if hot {
            self.stack.flush(usize::from(is_if));
        } else {
            self.stack.need(params.len() + usize::from(is_if));
        }
        self.stack.pop(usize::from(is_if));
        let base = self.stack.height() - params.len();
        match operator {
            _ if is_loop => self.enter_loop(&params, &results, shape),
            Operator::TryTable { try_table } => {
                self.stack.out(Op::Try(plain(shape), try_table.catches.clone()));
            }
            _ if is_if => self.stack.out(Op::If(plain(shape))),
            _ => self.stack.out(Op::Block(plain(shape))),
        }
        let entry = self.stack.above(base);
        let polled = self.innermost().polled || is_loop;
        self.open.push(Open {
            is_if,
            hot,
            base,
            params,
            results,
            entry,
            has_else: false,
            polled,
            polled_before: polled,
        });
    }

    /// Branches carry a loop's parameters, so it keeps them; storing them again is harmless.
    fn enter_loop(&mut self, params: &[ValType], results: &[ValType], shape: Shape) {
        let temporaries = self.stack.top_temporaries(params.len());
        temporaries.iter().for_each(|local| self.stack.out(Op::Get(*local)));
        let shape = if params.is_empty() { Shape::Results(results.to_vec()) } else { shape };
        self.stack.out(Op::Loop(shape, temporaries.clone()));
        temporaries.iter().rev().for_each(|local| self.stack.out(Op::Set(*local)));
        self.poll();
    }

    fn other_arm(&mut self) {
        let open = self.open.last_mut().expect("validated");
        if self.dead.take().is_none() {
            self.stack.need(open.results.len());
        }
        open.has_else = true;
        open.polled = open.polled_before;
        self.stack.restore(open.base, &open.entry);
        self.stack.out(Op::Else);
    }

    fn end(&mut self) {
        let open = self.open.pop().expect("validated");
        if self.dead.take().is_none() {
            self.stack.need(open.results.len());
        }
        if open.is_if && open.hot && !open.has_else && !open.params.is_empty() {
            // The absent arm hands the parameters on; they are in temporaries now.
            self.stack.out(Op::Else);
            self.stack.restore(open.base, &open.entry);
            self.stack.need(open.params.len());
        }
        self.stack.restore(open.base, &[]);
        open.results.iter().for_each(|ty| self.stack.push(*ty));
        self.stack.out(Op::End);
    }

    fn shape(&self, ty: BlockType) -> (Vec<ValType>, Vec<ValType>, Shape) {
        match ty {
            BlockType::Empty => (Vec::new(), Vec::new(), Shape::Results(Vec::new())),
            BlockType::Type(ty) => (Vec::new(), vec![ty], Shape::Results(vec![ty])),
            BlockType::FuncType(number) => {
                let ty = &self.program.types[number as usize];
                (ty.params().to_vec(), ty.results().to_vec(), Shape::Numbered(number))
            }
        }
    }
}

/// The number of a new local.
pub(crate) fn next_local(locals: &[ValType]) -> u32 {
    number(locals.len())
}
