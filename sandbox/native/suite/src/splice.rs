//! Adds functions to an encoded module without touching a byte of what was there.
//!
//! Sections are lists with a count in front, so adding is: a new count, the old entries, the new entries. New exports
//! stand before the old ones, because admission reports only the first entry functions of a module.

use wasm_encoder::{Encode, Function};
use wasmparser::{BinaryReader, Parser};

/// What to add; indexes continue those of the module.
#[derive(Debug, Default)]
pub struct Addition {
    /// Function types, each already encoded.
    pub types: Vec<Vec<u8>>,
    /// For each new function: the index of its type, and its body.
    pub functions: Vec<(u32, Function)>,
    /// Names and indexes of new exported functions.
    pub exports: Vec<(String, u32)>,
}

const TYPE: u8 = 1;
const FUNCTION: u8 = 3;
const EXPORT: u8 = 7;
const CODE: u8 = 10;

/// The order that the specification asks for; sections of an id that is not listed are custom ones.
const ORDER: [u8; 13] = [TYPE, 2, FUNCTION, 4, 5, 13, 6, EXPORT, 8, 9, 12, CODE, 11];

/// The module with everything of `addition` in it.
pub fn splice(wasm: &[u8], addition: &Addition) -> Result<Vec<u8>, String> {
    let mut sections = sections(wasm)?;
    let list = |encode: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = Vec::new();
        encode(&mut bytes);
        bytes
    };
    let types = addition.types.concat();
    let functions = list(&|out| addition.functions.iter().for_each(|(ty, _)| ty.encode(out)));
    let bodies = list(&|out| {
        addition
            .functions
            .iter()
            .for_each(|(_, body)| body.encode(out))
    });
    let exports = list(&|out| {
        addition
            .exports
            .iter()
            .for_each(|export| encode_export(export, out))
    });
    add(
        &mut sections,
        TYPE,
        addition.types.len(),
        &types,
        Place::Last,
    )?;
    add(
        &mut sections,
        FUNCTION,
        addition.functions.len(),
        &functions,
        Place::Last,
    )?;
    add(
        &mut sections,
        EXPORT,
        addition.exports.len(),
        &exports,
        Place::First,
    )?;
    add(
        &mut sections,
        CODE,
        addition.functions.len(),
        &bodies,
        Place::Last,
    )?;
    let mut out = b"\0asm\x01\0\0\0".to_vec();
    for (id, content) in &sections {
        out.push(*id);
        content.as_slice().encode(&mut out);
    }
    Ok(out)
}

fn encode_export((name, index): &(String, u32), out: &mut Vec<u8>) {
    name.as_str().encode(out);
    out.push(0);
    index.encode(out);
}

fn sections(wasm: &[u8]) -> Result<Vec<(u8, Vec<u8>)>, String> {
    let mut sections = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        if let Some((id, range)) = payload.map_err(|e| e.to_string())?.as_section() {
            sections.push((id, wasm[range.start..range.end].to_vec()));
        }
    }
    Ok(sections)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    First,
    Last,
}

fn add(
    sections: &mut Vec<(u8, Vec<u8>)>,
    id: u8,
    count: usize,
    entries: &[u8],
    place: Place,
) -> Result<(), String> {
    let at = match sections.iter().position(|(found, _)| *found == id) {
        Some(at) => at,
        None => insert_empty(sections, id),
    };
    let content = &mut sections[at].1;
    let mut reader = BinaryReader::new(content, 0);
    let old = reader.read_var_u32().map_err(|e| e.to_string())?;
    let rest = content[reader.original_position()..].to_vec();
    let total = usize::try_from(old).map_err(|e| e.to_string())? + count;
    let mut out = Vec::new();
    total.encode(&mut out);
    match place {
        Place::First => out.extend([entries, rest.as_slice()].concat()),
        Place::Last => out.extend([rest.as_slice(), entries].concat()),
    }
    *content = out;
    Ok(())
}

fn insert_empty(sections: &mut Vec<(u8, Vec<u8>)>, id: u8) -> usize {
    let rank = |id: u8| ORDER.iter().position(|x| *x == id);
    let later = |other: u8| rank(other).is_some_and(|r| Some(r) > rank(id));
    let at = sections
        .iter()
        .position(|(other, _)| later(*other))
        .unwrap_or(sections.len());
    sections.insert(at, (id, vec![0]));
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{ACCEPTED, valid_with};

    fn addition(ty: u32, index: u32) -> Addition {
        let mut body = Function::new([]);
        body.instructions().end();
        Addition {
            types: vec![vec![0x60, 0, 0]],
            functions: vec![(ty, body)],
            exports: vec![("added".to_owned(), index)],
        }
    }

    #[test]
    fn an_empty_module_gets_all_four_sections_in_order() {
        let wasm = splice(b"\0asm\x01\0\0\0", &addition(0, 0)).expect("spliced");
        assert_eq!(valid_with(&wasm, ACCEPTED), Ok(()));
        assert_eq!(
            sections(&wasm)
                .expect("sections")
                .iter()
                .map(|s| s.0)
                .collect::<Vec<_>>(),
            [1, 3, 7, 10]
        );
    }

    #[test]
    fn what_was_there_stays() {
        let old = wat::parse_str(
            r#"(module (memory 1) (func (export "f")) (data "x") (@custom "c" "y"))"#,
        )
        .expect("text");
        let wasm = splice(&old, &addition(1, 1)).expect("spliced");
        assert_eq!(valid_with(&wasm, ACCEPTED), Ok(()));
        let find = |wasm: &[u8], id| {
            sections(wasm)
                .expect("sections")
                .into_iter()
                .find(|s| s.0 == id)
        };
        for id in [0, 5, 11] {
            assert_eq!(find(&wasm, id), find(&old, id), "section {id}");
        }
    }

    #[test]
    fn new_exports_come_first() {
        let old = wat::parse_str(r#"(module (func (export "f")))"#).expect("text");
        let wasm = splice(&old, &addition(1, 1)).expect("spliced");
        let exports = sections(&wasm)
            .expect("sections")
            .into_iter()
            .find(|s| s.0 == EXPORT)
            .expect("exports")
            .1;
        assert_eq!(exports, b"\x02\x05added\x00\x01\x01f\x00\x00");
    }

    #[test]
    fn a_count_with_needless_bytes_is_read() {
        let old = b"\0asm\x01\0\0\0\x01\x05\x81\x00\x60\x00\x00";
        let wasm = splice(old, &addition(1, 0)).expect("spliced");
        assert_eq!(valid_with(&wasm, ACCEPTED), Ok(()));
    }
}
