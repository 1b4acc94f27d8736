//! A module as a list of sections, and entries added to them without touching a byte of what was there.
//!
//! Most sections are lists with a count in front, so adding is: a new count, then old and new entries.

use wasm_encoder::Encode;
use wasmparser::{BinaryReader, Parser};

/// Its id, and its content without the size.
pub type Section = (u8, Vec<u8>);

/// Types.
pub const TYPE: u8 = 1;
/// Imports.
pub const IMPORT: u8 = 2;
/// The type of each function.
pub const FUNCTION: u8 = 3;
/// Tables.
pub const TABLE: u8 = 4;
/// Memories.
pub const MEMORY: u8 = 5;
/// Globals.
pub const GLOBAL: u8 = 6;
/// Exports.
pub const EXPORT: u8 = 7;
/// The body of each function.
pub const CODE: u8 = 10;

/// The order that the specification asks for; sections of an id that is not listed are custom ones.
const ORDER: [u8; 13] = [TYPE, IMPORT, FUNCTION, TABLE, MEMORY, 13, GLOBAL, EXPORT, 8, 9, 12, CODE, 11];

/// Takes a module apart.
pub fn sections(wasm: &[u8]) -> Result<Vec<Section>, String> {
    let mut sections = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        if let Some((id, range)) = payload.map_err(|e| e.to_string())?.as_section() {
            sections.push((id, wasm[range.start..range.end].to_vec()));
        }
    }
    Ok(sections)
}

/// The inverse of [`sections`].
pub fn join(sections: &[Section]) -> Vec<u8> {
    let mut out = b"\0asm\x01\0\0\0".to_vec();
    for (id, content) in sections {
        out.push(*id);
        content.as_slice().encode(&mut out);
    }
    out
}

/// Adds entries behind those that are there.
pub fn append(sections: &mut Vec<Section>, id: u8, entries: &[Vec<u8>]) -> Result<(), String> {
    add(sections, id, entries.len(), |old| [old, &entries.concat()].concat())
}

/// Adds entries in front of those that are there.
pub fn prepend(sections: &mut Vec<Section>, id: u8, entries: &[Vec<u8>]) -> Result<(), String> {
    add(sections, id, entries.len(), |old| [&entries.concat(), old].concat())
}

fn add(sections: &mut Vec<Section>, id: u8, count: usize, join: impl Fn(&[u8]) -> Vec<u8>) -> Result<(), String> {
    let at = sections.iter().position(|(found, _)| *found == id).unwrap_or_else(|| insert_empty(sections, id));
    let content = &mut sections[at].1;
    let mut reader = BinaryReader::new(content, 0);
    let old = reader.read_var_u32().map_err(|e| e.to_string())?;
    let entries = join(&content[reader.original_position()..]);
    let mut out = Vec::new();
    (usize::try_from(old).map_err(|e| e.to_string())? + count).encode(&mut out);
    out.extend(entries);
    *content = out;
    Ok(())
}

fn insert_empty(sections: &mut Vec<Section>, id: u8) -> usize {
    let rank = |id: u8| ORDER.iter().position(|x| *x == id);
    let later = |other: u8| rank(other).is_some_and(|r| Some(r) > rank(id));
    let at = sections.iter().position(|(other, _)| later(*other)).unwrap_or(sections.len());
    sections.insert(at, (id, vec![0]));
    at
}
