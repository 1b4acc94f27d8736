//! Constant expressions: initial values of globals and tables, items and offsets of segments. They are copied byte for byte but for references to
//! imported functions, which become references to their wrappers: else the host would be called where the program cannot be stopped.

use crate::base::Base;
use std::ops::Range;
use wasm_encoder::{Encode, Instruction};
use wasmparser::{ConstExpr, Operator};

/// The operators of an expression with their bytes, without the end.
fn operators<'a>(expression: &ConstExpr<'a>) -> Vec<(Operator<'a>, Range<usize>)> {
    let mut list: Vec<(Operator<'a>, Range<usize>)> = Vec::new();
    for (operator, at) in expression.get_operators_reader().into_iter_with_offsets().flatten() {
        if let Some((_, range)) = list.last_mut() {
            range.end = at;
        }
        list.push((operator, at..at));
    }
    list.pop();
    list
}

/// The bytes of the expression in the transformed program, without the end.
pub(crate) fn bytes(base: &Base<'_>, expression: &ConstExpr<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    for (operator, range) in operators(expression) {
        match operator {
            Operator::RefFunc { function_index } => {
                Instruction::RefFunc(base.target(function_index)).encode(&mut out);
            }
            _ => out.extend(&base.program.bytes[range]),
        }
    }
    out
}

/// The expression as it came.
pub(crate) fn unchanged(base: &Base<'_>, expression: &ConstExpr<'_>) -> wasm_encoder::ConstExpr {
    let bytes = |(_, range): (Operator<'_>, Range<usize>)| base.program.bytes[range].to_vec();
    wasm_encoder::ConstExpr::raw(operators(expression).into_iter().flat_map(bytes))
}

/// The bytes of [`bytes`], as what the encoder of sections takes.
pub(crate) fn expression(base: &Base<'_>, expression: &ConstExpr<'_>) -> wasm_encoder::ConstExpr {
    wasm_encoder::ConstExpr::raw(bytes(base, expression))
}
