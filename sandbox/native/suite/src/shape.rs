//! What the generator must know of a module before it can add functions: counts, and what each export is.

use std::collections::HashMap;

use wasm_encoder::{RefType, ValType};
use wasmparser::{Payload, Validator, types::EntityType};

use crate::policy::ACCEPTED;
use crate::value::{REFUSED_TYPE, Reason};

/// Something that an assertion can name.
#[derive(Clone, Debug)]
pub enum Target {
    /// A function with its parameters and results.
    Function {
        /// In the function index space.
        index: u32,
        /// Of its type.
        params: Vec<ValType>,
        /// Of its type.
        results: Vec<ValType>,
    },
    /// A global with the type of its value.
    Global {
        /// In the global index space.
        index: u32,
        /// Of its content.
        value: ValType,
    },
}

/// Counts and exports of one valid module without imports.
#[derive(Debug, Default)]
pub struct Shape {
    /// Types in the type section.
    pub types: u32,
    /// Functions in the function index space.
    pub functions: u32,
    exports: HashMap<String, Result<Target, Reason>>,
}

/// No export of that name, or one that can neither be called nor read.
pub const NO_TARGET: Reason = "names no function or global";

impl Shape {
    /// Reads a module that `policy::judge` has accepted.
    pub fn of(wasm: &[u8]) -> Result<Shape, String> {
        let types = Validator::new_with_features(ACCEPTED).validate_all(wasm).map_err(|e| e.to_string())?;
        let types = types.as_ref();
        let mut shape = Shape {
            types: types.core_type_count_in_module(),
            functions: types.function_count(),
            exports: HashMap::new(),
        };
        for payload in wasmparser::Parser::new(0).parse_all(wasm) {
            let Payload::ExportSection(section) = payload.map_err(|e| e.to_string())? else {
                continue;
            };
            for export in section {
                let export = export.map_err(|e| e.to_string())?;
                let target = match types.entity_type_from_export(&export) {
                    Some(EntityType::Func(id)) => {
                        let ty = types[id].unwrap_func();
                        function(export.index, ty.params(), ty.results())
                    }
                    Some(EntityType::Global(ty)) => {
                        val_type(ty.content_type).map(|value| Target::Global { index: export.index, value })
                    }
                    _ => Err(NO_TARGET),
                };
                shape.exports.insert(export.name.to_owned(), target);
            }
        }
        Ok(shape)
    }

    /// What the export of this name is.
    pub fn target(&self, name: &str) -> Result<Target, Reason> {
        self.exports.get(name).cloned().unwrap_or(Err(NO_TARGET))
    }
}

fn function(index: u32, params: &[wasmparser::ValType], results: &[wasmparser::ValType]) -> Result<Target, Reason> {
    let all = |list: &[wasmparser::ValType]| list.iter().copied().map(val_type).collect::<Result<Vec<_>, _>>();
    Ok(Target::Function { index, params: all(params)?, results: all(results)? })
}

fn val_type(ty: wasmparser::ValType) -> Result<ValType, Reason> {
    Ok(match ty {
        wasmparser::ValType::I32 => ValType::I32,
        wasmparser::ValType::I64 => ValType::I64,
        wasmparser::ValType::F32 => ValType::F32,
        wasmparser::ValType::F64 => ValType::F64,
        wasmparser::ValType::V128 => ValType::V128,
        wasmparser::ValType::Ref(wasmparser::RefType::FUNCREF) => ValType::Ref(RefType::FUNCREF),
        wasmparser::ValType::Ref(wasmparser::RefType::EXTERNREF) => ValType::Ref(RefType::EXTERNREF),
        wasmparser::ValType::Ref(wasmparser::RefType::EXNREF) => ValType::Ref(RefType::EXNREF),
        wasmparser::ValType::Ref(_) => return Err(REFUSED_TYPE),
    })
}
