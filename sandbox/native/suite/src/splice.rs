//! Adds functions to an encoded module without touching a byte of what was there.
//!
//! Sections are lists with a count in front, so adding is: a new count, the old entries, the new entries. New exports
//! stand before the old ones, because admission reports only the first entry functions of a module.

use wasm_encoder::{Encode, Function};

use crate::sections::{CODE, EXPORT, FUNCTION, TYPE, append, join, prepend, sections};

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

/// The module with everything of `addition` in it.
pub fn splice(wasm: &[u8], addition: &Addition) -> Result<Vec<u8>, String> {
    let mut sections = sections(wasm)?;
    let functions: Vec<_> = addition.functions.iter().map(|(ty, _)| encoded(ty)).collect();
    let bodies: Vec<_> = addition.functions.iter().map(|(_, body)| encoded(body)).collect();
    let exports: Vec<_> = addition.exports.iter().map(export).collect();
    append(&mut sections, TYPE, &addition.types)?;
    append(&mut sections, FUNCTION, &functions)?;
    prepend(&mut sections, EXPORT, &exports)?;
    append(&mut sections, CODE, &bodies)?;
    Ok(join(&sections))
}

fn export((name, index): &(String, u32)) -> Vec<u8> {
    [encoded(name.as_str()), vec![0], encoded(index)].concat()
}

fn encoded(what: &(impl Encode + ?Sized)) -> Vec<u8> {
    let mut bytes = Vec::new();
    what.encode(&mut bytes);
    bytes
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
        assert_eq!(sections(&wasm).expect("sections").iter().map(|s| s.0).collect::<Vec<_>>(), [1, 3, 7, 10]);
    }

    #[test]
    fn what_was_there_stays() {
        let old =
            wat::parse_str(r#"(module (memory 1) (func (export "f")) (data "x") (@custom "c" "y"))"#).expect("text");
        let wasm = splice(&old, &addition(1, 1)).expect("spliced");
        assert_eq!(valid_with(&wasm, ACCEPTED), Ok(()));
        let find = |wasm: &[u8], id| sections(wasm).expect("sections").into_iter().find(|s| s.0 == id);
        for id in [0, 5, 11] {
            assert_eq!(find(&wasm, id), find(&old, id), "section {id}");
        }
    }

    #[test]
    fn new_exports_come_first() {
        let old = wat::parse_str(r#"(module (func (export "f")))"#).expect("text");
        let wasm = splice(&old, &addition(1, 1)).expect("spliced");
        let exports = sections(&wasm).expect("sections").into_iter().find(|s| s.0 == EXPORT).expect("exports").1;
        assert_eq!(exports, b"\x02\x05added\x00\x01\x01f\x00\x00");
    }

    #[test]
    fn a_count_with_needless_bytes_is_read() {
        let old = b"\0asm\x01\0\0\0\x01\x05\x81\x00\x60\x00\x00";
        let wasm = splice(old, &addition(1, 0)).expect("spliced");
        assert_eq!(valid_with(&wasm, ACCEPTED), Ok(()));
    }
}
