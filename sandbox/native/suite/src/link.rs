//! Gives a module what it imports, so that its assertions can be run: the import becomes a definition at the same index.
//!
//! Imports come first in every index space, so a definition in front of the others has exactly the index that the import
//! had, and no other byte changes. Two sources can be used this way: `spectest` (its constants, memory, table and silent
//! functions are in the suite's documentation) and functions of an earlier module that touch nothing but their arguments.
//! What lost: merging whole modules, because what they share (memories, tables) would then be one with its exporter.

use std::collections::HashMap;

use wasm_encoder::Encode;
use wasmparser::{Operator, Parser, Payload, TypeRef};

use crate::sections::{CODE, FUNCTION, GLOBAL, IMPORT, MEMORY, Section, TABLE, join, prepend, sections};

/// Functions without state, by module and name: the body with its size in front, as the code section has it.
#[derive(Debug, Default)]
pub struct Providers {
    functions: HashMap<(String, String), Vec<u8>>,
}

/// What spectest's table, memory, globals and functions are, encoded.
const SPECTEST_TABLE: [u8; 4] = [0x70, 1, 10, 20];
const SPECTEST_MEMORY: [u8; 3] = [1, 1, 2];
const SPECTEST_GLOBALS: [(&str, &[u8]); 4] = [
    ("global_i32", &[0x7f, 0, 0x41, 0x9a, 0x05, 0x0b]),
    ("global_i64", &[0x7e, 0, 0x42, 0x9a, 0x05, 0x0b]),
    ("global_f32", &[0x7d, 0, 0x43, 0x66, 0xa6, 0x26, 0x44, 0x0b]),
    ("global_f64", &[0x7c, 0, 0x44, 0xcd, 0xcc, 0xcc, 0xcc, 0xcc, 0xd4, 0x84, 0x40, 0x0b]),
];
const NOTHING: [u8; 3] = [2, 0, 0x0b];

impl Providers {
    /// Remembers the exported functions of a registered module that can be copied.
    pub fn register(&mut self, name: &str, wasm: &[u8]) {
        let bodies = stateless_bodies(wasm);
        for payload in Parser::new(0).parse_all(wasm).map_while(Result::ok) {
            let Payload::ExportSection(exports) = payload else { continue };
            for export in exports.into_iter().map_while(Result::ok) {
                let body = usize::try_from(export.index).ok().and_then(|at| bodies.get(at).cloned().flatten());
                if let (wasmparser::ExternalKind::Func, Some(body)) = (export.kind, body) {
                    self.functions.insert((name.to_owned(), export.name.to_owned()), body);
                }
            }
        }
    }

    /// The module with all its imports as definitions; nothing if it imports something else.
    pub fn link(&self, wasm: &[u8]) -> Option<Vec<u8>> {
        let mut defined = Definitions::default();
        for payload in Parser::new(0).parse_all(wasm).map_while(Result::ok) {
            let Payload::ImportSection(imports) = payload else { continue };
            for import in imports.into_imports() {
                let import = import.ok()?;
                self.define(&mut defined, import.module, import.name, import.ty)?;
            }
        }
        defined.put_into(sections(wasm).ok()?)
    }

    fn define(&self, defined: &mut Definitions, module: &str, name: &str, ty: TypeRef) -> Option<()> {
        match (module, name, ty) {
            (_, _, TypeRef::Func(ty)) => {
                let known = self.functions.get(&(module.to_owned(), name.to_owned())).cloned();
                let printer = (module == "spectest" && name.starts_with("print")).then(|| NOTHING.to_vec());
                let mut index = Vec::new();
                ty.encode(&mut index);
                defined.functions.push(index);
                defined.bodies.push(known.or(printer)?);
            }
            ("spectest", "table", TypeRef::Table(_)) => defined.tables.push(SPECTEST_TABLE.to_vec()),
            ("spectest", "memory", TypeRef::Memory(_)) => defined.memories.push(SPECTEST_MEMORY.to_vec()),
            ("spectest", _, TypeRef::Global(_)) => {
                let (_, global) = SPECTEST_GLOBALS.iter().find(|(known, _)| *known == name)?;
                defined.globals.push(global.to_vec());
            }
            _ => return None,
        }
        Some(())
    }
}

/// Entries to put in front of those that sections have.
#[derive(Default)]
struct Definitions {
    functions: Vec<Vec<u8>>,
    bodies: Vec<Vec<u8>>,
    tables: Vec<Vec<u8>>,
    memories: Vec<Vec<u8>>,
    globals: Vec<Vec<u8>>,
}

impl Definitions {
    fn put_into(self, mut sections: Vec<Section>) -> Option<Vec<u8>> {
        sections.retain(|(id, _)| *id != IMPORT);
        let lists = [
            (FUNCTION, self.functions),
            (CODE, self.bodies),
            (TABLE, self.tables),
            (MEMORY, self.memories),
            (GLOBAL, self.globals),
        ];
        for (id, entries) in lists {
            if !entries.is_empty() {
                prepend(&mut sections, id, &entries).ok()?;
            }
        }
        Some(join(&sections))
    }
}

/// For each function of a module without imports: its body, if no operator of it has an index of anything but a local.
fn stateless_bodies(wasm: &[u8]) -> Vec<Option<Vec<u8>>> {
    let mut bodies = Vec::new();
    for payload in Parser::new(0).parse_all(wasm).map_while(Result::ok) {
        match payload {
            Payload::ImportSection(_) => return Vec::new(),
            Payload::CodeSectionEntry(body) => {
                let mut operators = body.get_operators_reader().into_iter().flatten();
                let pure = operators.all(|operator| operator.is_ok_and(|operator| is_local(&operator)));
                bodies.push(pure.then(|| {
                    let mut bytes = Vec::new();
                    body.as_bytes().encode(&mut bytes);
                    bytes
                }));
            }
            _ => {}
        }
    }
    bodies
}

fn is_local(operator: &Operator<'_>) -> bool {
    matches!(
        operator,
        Operator::End
            | Operator::Nop
            | Operator::Drop
            | Operator::LocalGet { .. }
            | Operator::I32Const { .. }
            | Operator::I64Const { .. }
            | Operator::F32Const { .. }
            | Operator::F64Const { .. }
            | Operator::I32Add
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{ACCEPTED, Verdict, judge, valid_with};

    fn linked(text: &str) -> Option<Vec<u8>> {
        let mut providers = Providers::default();
        let a = r#"(module (global $g i32 (i32.const 0)) (func (export "one") (result i32) i32.const 1) (func (export "state") (result i32) global.get $g))"#;
        providers.register("a", &wat::parse_str(a).expect("text"));
        providers.link(&wat::parse_str(text).expect("text"))
    }

    #[test]
    fn everything_of_spectest_becomes_a_definition_at_its_index() {
        let wasm = linked(
            r#"(module
              (import "spectest" "global_i32" (global $g i32)) (import "spectest" "memory" (memory 1))
              (import "spectest" "table" (table 10 funcref)) (import "spectest" "print_i32" (func $print (param i32)))
              (global $h i64 (i64.const 1)) (memory $n 1) (table $u 1 funcref) (func (export "f") (call $print (global.get $g)))
              (elem (i32.const 0) $print) (data (i32.const 0) "x"))"#,
        )
        .expect("linked");
        assert_eq!(judge(&wasm), Verdict::Accepted);
        assert_eq!(valid_with(&wasm, ACCEPTED), Ok(()));
    }

    #[test]
    fn a_function_without_state_is_copied() {
        let wasm =
            linked(r#"(module (import "a" "one" (func (result i32))) (func (export "f") (result i32) (call 0)))"#);
        assert_eq!(judge(&wasm.expect("linked")), Verdict::Accepted);
    }

    #[test]
    fn what_has_state_or_is_unknown_is_not_linked() {
        for import in [r#""a" "state" (func (result i32))"#, r#""a" "two" (func)"#, r#""b" "memory" (memory 1)"#] {
            assert_eq!(linked(&format!("(module (import {import}))")), None, "{import}");
        }
    }
}
