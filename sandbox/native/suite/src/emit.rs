//! Turns recorded steps of one instance into functions of its module.
//!
//! ```text
//! chunk_k: () -> i32     up to CHUNK steps in a row: 0, or the number of the first that is wrong
//! upto_k:  ()            upto_{k-1}, then chunk_k: brings an instance to the state after chunk k
//! check:   () -> i32     every chunk; exported
//! fail-n:  () -> i32     upto_k, then one call that must not return; exported
//! ```
//! Every start is a fresh instance, so each call that must trap gets an entry of its own that first repeats what
//! happened before it. What a trapping call itself changed is not repeated: no program can go on after a trap.

use std::collections::HashMap;

use wasm_encoder::{AbstractHeapType, BlockType, Function, HeapType, Ieee32, Ieee64, InstructionSink, ValType};

use crate::shape::{Shape, Target};
use crate::splice::Addition;
use crate::value::{Expect, NullOf, Value};

/// One thing that the script does to an instance.
#[derive(Debug)]
pub struct Step {
    /// The line of the script.
    pub line: usize,
    /// What is called or read.
    pub target: Target,
    /// With these arguments.
    pub arguments: Vec<Value>,
    /// And with this end.
    pub end: End,
}

/// How a step must end.
#[derive(Debug)]
pub enum End {
    /// An action: its results are not looked at.
    Any,
    /// With results of these patterns.
    Returns(Vec<Expect>),
    /// Not at all: the program is killed.
    Killed {
        /// `trap`, `exhaustion` or `exception`: what the script calls it.
        kind: &'static str,
        /// With which cause.
        cause: &'static str,
    },
}

/// A function of a few hundred calls still compiles in a moment; a chunk is also the unit that failing entries repeat.
const CHUNK: usize = 100;

/// The name of the entry that checks everything which returns.
pub const CHECK: &str = "gatebus-check";

/// The name of the entry for step number `step`, which must not return.
pub fn fail_entry(step: usize) -> String {
    format!("gatebus-fail-{step}")
}

/// The functions for the steps; of those that are killed only the ones in `fails` (indexes into `steps`).
pub fn functions(shape: &Shape, steps: &[Step], fails: &[usize]) -> Result<Addition, String> {
    let mut emitter = Emitter::new(shape);
    let mut before = HashMap::new();
    let mut chunk = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        let killed = matches!(step.end, End::Killed { .. });
        if !killed {
            chunk.push((at + 1, step));
        }
        if (killed || chunk.len() == CHUNK) && !chunk.is_empty() {
            emitter.chunk(&std::mem::take(&mut chunk))?;
        }
        before.insert(at, emitter.chunks.len());
    }
    if !chunk.is_empty() {
        emitter.chunk(&chunk)?;
    }
    emitter.check()?;
    for at in fails {
        emitter.fail(*at, &steps[*at], before[at])?;
    }
    Ok(emitter.addition)
}

struct Emitter {
    checked: u32,
    plain: u32,
    next: u32,
    chunks: Vec<u32>,
    upto: Vec<u32>,
    addition: Addition,
}

impl Emitter {
    fn new(shape: &Shape) -> Emitter {
        let types = vec![vec![0x60, 0, 1, 0x7f], vec![0x60, 0, 0]];
        Emitter {
            checked: shape.types,
            plain: shape.types + 1,
            next: shape.functions,
            chunks: Vec::new(),
            upto: Vec::new(),
            addition: Addition { types, ..Addition::default() },
        }
    }

    fn push(&mut self, ty: u32, function: Function) -> u32 {
        self.addition.functions.push((ty, function));
        self.next += 1;
        self.next - 1
    }

    fn chunk(&mut self, steps: &[(usize, &Step)]) -> Result<(), String> {
        let mut locals = Locals::default();
        let plans: Vec<Vec<u32>> = steps.iter().map(|(_, step)| locals.for_results(step)).collect();
        let mut function = Function::new_with_locals_types(locals.types);
        let mut out = function.instructions();
        for ((number, step), locals) in steps.iter().zip(&plans) {
            perform(&mut out, step);
            match &step.end {
                End::Returns(expects) => check_results(&mut out, expects, locals, *number)?,
                End::Any | End::Killed { .. } => (0..results(&step.target)).for_each(|_| {
                    out.drop();
                }),
            }
        }
        out.i32_const(0).end();
        let chunk = self.push(self.checked, function);
        let mut function = Function::new([]);
        let mut out = function.instructions();
        if let Some(previous) = self.upto.last() {
            out.call(*previous);
        }
        out.call(chunk).drop().end();
        let upto = self.push(self.plain, function);
        self.chunks.push(chunk);
        self.upto.push(upto);
        Ok(())
    }

    fn check(&mut self) -> Result<(), String> {
        let mut function = Function::new_with_locals_types([ValType::I32]);
        let mut out = function.instructions();
        for chunk in &self.chunks {
            out.call(*chunk).local_tee(0).if_(BlockType::Empty).local_get(0).return_().end();
        }
        out.i32_const(0).end();
        let index = self.push(self.checked, function);
        self.addition.exports.push((CHECK.to_owned(), index));
        Ok(())
    }

    fn fail(&mut self, at: usize, step: &Step, chunks_before: usize) -> Result<(), String> {
        let mut function = Function::new([]);
        let mut out = function.instructions();
        if let Some(previous) = chunks_before.checked_sub(1) {
            out.call(self.upto[previous]);
        }
        perform(&mut out, step);
        (0..results(&step.target)).for_each(|_| {
            out.drop();
        });
        out.i32_const(0).end();
        let index = self.push(self.checked, function);
        self.addition.exports.push((fail_entry(at + 1), index));
        Ok(())
    }
}

/// Locals for results, shared by the steps of one chunk.
#[derive(Default)]
struct Locals {
    types: Vec<ValType>,
    by_type: HashMap<ValType, Vec<u32>>,
}

impl Locals {
    fn for_results(&mut self, step: &Step) -> Vec<u32> {
        let mut used: HashMap<ValType, usize> = HashMap::new();
        let types = match (&step.end, &step.target) {
            (End::Returns(_), Target::Function { results, .. }) => results.clone(),
            (End::Returns(_), Target::Global { value, .. }) => vec![*value],
            _ => Vec::new(),
        };
        types.iter().map(|ty| self.nth(*ty, used.entry(*ty).or_default())).collect()
    }

    fn nth(&mut self, ty: ValType, used: &mut usize) -> u32 {
        let known = self.by_type.entry(ty).or_default();
        if *used == known.len() {
            known.push(u32::try_from(self.types.len()).unwrap_or(u32::MAX));
            self.types.push(ty);
        }
        *used += 1;
        known[*used - 1]
    }
}

fn results(target: &Target) -> usize {
    match target {
        Target::Function { results, .. } => results.len(),
        Target::Global { .. } => 1,
    }
}

fn perform(out: &mut InstructionSink<'_>, step: &Step) {
    step.arguments.iter().for_each(|value| constant(out, value));
    match step.target {
        Target::Function { index, .. } => out.call(index),
        Target::Global { index, .. } => out.global_get(index),
    };
}

fn constant(out: &mut InstructionSink<'_>, value: &Value) {
    match value {
        Value::I32(x) => out.i32_const(*x),
        Value::I64(x) => out.i64_const(*x),
        Value::F32(bits) => out.f32_const(Ieee32::new(*bits)),
        Value::F64(bits) => out.f64_const(Ieee64::new(*bits)),
        Value::V128(bits) => out.v128_const(bits.cast_signed()),
        Value::Null(NullOf::Func) => out.ref_null(HeapType::FUNC),
        Value::Null(NullOf::Extern) => out.ref_null(HeapType::EXTERN),
        Value::Null(NullOf::Exn) => out.ref_null(HeapType::Abstract { shared: false, ty: AbstractHeapType::Exn }),
    };
}

fn check_results(
    out: &mut InstructionSink<'_>,
    expects: &[Expect],
    locals: &[u32],
    number: usize,
) -> Result<(), String> {
    let number = i32::try_from(number).map_err(|e| e.to_string())?;
    locals.iter().rev().for_each(|local| {
        out.local_set(*local);
    });
    for (expect, local) in expects.iter().zip(locals) {
        matches(out, expect, *local);
        out.i32_eqz().if_(BlockType::Empty).i32_const(number).return_().end();
    }
    Ok(())
}

/// Leaves 1 when the local looks as expected, else 0.
fn matches(out: &mut InstructionSink<'_>, expect: &Expect, local: u32) {
    if let Expect::Either(cases) = expect {
        out.i32_const(0);
        for case in cases {
            matches(out, case, local);
            out.i32_or();
        }
        return;
    }
    out.local_get(local);
    match expect {
        Expect::I32(x) => out.i32_const(*x).i32_eq(),
        Expect::I64(x) => out.i64_const(*x).i64_eq(),
        Expect::F32 { mask, bits } => {
            out.i32_reinterpret_f32().i32_const(mask.cast_signed()).i32_and().i32_const(bits.cast_signed()).i32_eq()
        }
        Expect::F64 { mask, bits } => {
            out.i64_reinterpret_f64().i64_const(mask.cast_signed()).i64_and().i64_const(bits.cast_signed()).i64_eq()
        }
        Expect::V128 { mask, bits } => out
            .v128_const(mask.cast_signed())
            .v128_and()
            .v128_const(bits.cast_signed())
            .v128_xor()
            .v128_any_true()
            .i32_eqz(),
        Expect::Null => out.ref_is_null(),
        Expect::NotNull => out.ref_is_null().i32_eqz(),
        Expect::Either(_) => out.unreachable(),
    };
}
