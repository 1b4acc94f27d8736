//! What Binaryen's Asyncify needs to be comparable: every loop asks whether to stop.
//!
//! Asyncify only makes programs suspendable in calls of imports, so a busy loop is out of its reach. The usual remedy is a question at each loop header:
//!
//! ```wat
//! loop … end      loop  global.get $stop  if  call $poll  end  … end
//! (func $poll  i32.const 0  call_indirect (type []))            ;; for Asyncify, any indirect call may stop the program
//! ```
//!
//! An exported variable global, so that no optimiser takes it for a constant. Everything is appended: no number changes.

use crate::Result;
use std::collections::BTreeMap;
use wasmparser::{Operator, Parser, Payload};

/// One entry for the end of each section, by the section's number.
type Entries = BTreeMap<u8, Vec<u8>>;

/// The order of sections in a module.
const ORDER: [u8; 13] = [1, 2, 3, 4, 5, 13, 6, 7, 8, 9, 12, 10, 11];

pub(crate) fn add_polls(wasm: &[u8]) -> Result<Vec<u8>> {
    let mut sections: BTreeMap<u8, Vec<u8>> = BTreeMap::new();
    let mut bodies = Vec::new();
    let (mut types, mut functions, mut globals) = (0, 0, 0);
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload?;
        if let Some((id, range)) = payload.as_section().filter(|(id, _)| *id != 0) {
            sections.insert(id, wasm[range].to_vec());
        }
        match payload {
            Payload::TypeSection(section) => types = section.count(),
            Payload::ImportSection(section) => functions += section.count(),
            Payload::FunctionSection(section) => functions += section.count(),
            Payload::GlobalSection(section) => globals = section.count(),
            Payload::CodeSectionEntry(body) => bodies.push(body),
            _ => {}
        }
    }
    let ask = [&[0x23][..], &leb(globals), &[0x04, 0x40, 0x10], &leb(functions), &[0x0b]].concat();
    let mut code = leb(bodies.len().try_into()?);
    for body in bodies {
        code.extend(body_with(wasm, &body, &ask)?);
    }
    sections.insert(10, code);
    let name = b"stop!";
    let entries = Entries::from([
        (1, vec![0x60, 0, 0]),
        (3, leb(types)),
        (6, vec![0x7f, 1, 0x41, 0, 0x0b]),
        (7, [&leb(name.len().try_into()?), &name[..], &[3], &leb(globals)].concat()),
        (10, sized([&[0, 0x41, 0, 0x11][..], &leb(types), &[0, 0x0b]].concat())?),
    ]);
    for (id, entry) in entries {
        append(sections.entry(id).or_insert_with(|| vec![0]), &entry)?;
    }
    // A table of one empty entry, where there is none.
    sections.entry(4).or_insert_with(|| vec![1, 0x70, 0, 1]);
    let mut out = wasm[..8].to_vec();
    for id in ORDER {
        if let Some(content) = sections.remove(&id) {
            out.push(id);
            out.extend(sized(content)?);
        }
    }
    Ok(out)
}

/// The function with the question behind each `loop`.
fn body_with(wasm: &[u8], body: &wasmparser::FunctionBody<'_>, ask: &[u8]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut from = body.range().start;
    let mut behind_loop = false;
    for item in body.get_operators_reader()?.into_iter_with_offsets() {
        let (operator, at) = item?;
        if std::mem::replace(&mut behind_loop, matches!(operator, Operator::Loop { .. })) {
            out.extend(&wasm[from..at]);
            out.extend(ask);
            from = at;
        }
    }
    out.extend(&wasm[from..body.range().end]);
    sized(out)
}

/// One more entry in a section, whose content begins with their number.
fn append(section: &mut Vec<u8>, entry: &[u8]) -> Result<()> {
    let length = section.iter().position(|byte| byte & 0x80 == 0).ok_or("a count without an end")? + 1;
    let count = section[..length].iter().rev().fold(0, |sum, byte| sum << 7 | u32::from(byte & 0x7f));
    section.splice(..length, leb(count + 1));
    section.extend(entry);
    Ok(())
}

fn sized(content: Vec<u8>) -> Result<Vec<u8>> {
    Ok([leb(content.len().try_into()?), content].concat())
}

fn leb(mut value: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(value & 0x7f).unwrap_or_default();
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}
