//! The sections of the transformed program but those of code and types: the module's own content under its own numbers, ours behind it.

use crate::base::{Base, Links};
use crate::constants::expression;
use crate::layout::{
    CHANGES, CONTROL, CONTROL_PAGES, DROPPED, FUNCTIONS, LEFT, LOAD, PREFIX, REFERENCES, REFERENCES_MAX, START,
};
use crate::scalar::{encode, encode_reference};
use std::collections::BTreeMap;
use wasm_encoder::{
    ConstExpr, DataCountSection, DataSection, ElementSection, Elements, Encode, ExportKind, ExportSection,
    GlobalSection, GlobalType, MemorySection, MemoryType, NameMap, RefType, TableSection, TableType, ValType,
};
use wasmparser::{ElementItems, ElementKind, ExternalKind, TableInit};

const KNOWN: &str = "types were checked when the module was read";

pub(crate) fn tables(base: &Base<'_>) -> TableSection {
    let mut section = TableSection::new();
    for table in &base.program.tables {
        match &table.init {
            TableInit::RefNull => section.table(table_type(&table.ty)),
            TableInit::Expr(init) => section.table_with_init(table_type(&table.ty), &expression(base, init)),
        };
    }
    if !base.escaped.is_empty() {
        section.table(functions_type(base));
    }
    if base.added.references {
        section.table(references_type(base));
    }
    section
}

pub(crate) fn functions_type(base: &Base<'_>) -> TableType {
    let count = base.escaped.len() as u64;
    TableType { element_type: RefType::FUNCREF, minimum: count, maximum: Some(count), table64: false, shared: false }
}

/// With a maximum of its own, by which its growth is told from that of the program's tables.
pub(crate) fn references_type(base: &Base<'_>) -> TableType {
    let is_own = |most: &u64| base.program.tables.iter().any(|table| table.ty.maximum == Some(*most));
    let maximum = (u64::from(REFERENCES_MAX)..).find(|most| !is_own(most));
    TableType { element_type: RefType::FUNCREF, minimum: 0, maximum, table64: false, shared: false }
}

pub(crate) fn table_type(ty: &wasmparser::TableType) -> TableType {
    let element_type = encode_reference(ty.element_type).expect(KNOWN);
    TableType { element_type, minimum: ty.initial, maximum: ty.maximum, table64: false, shared: false }
}

pub(crate) fn memories(base: &Base<'_>) -> MemorySection {
    let mut section = MemorySection::new();
    base.program.memories.iter().for_each(|memory| _ = section.memory(memory_type(memory)));
    section.memory(control_type());
    section
}

pub(crate) fn memory_type(ty: &wasmparser::MemoryType) -> MemoryType {
    MemoryType { minimum: ty.initial, maximum: ty.maximum, memory64: false, shared: false, page_size_log2: None }
}

/// Of a size that never changes.
pub(crate) fn control_type() -> MemoryType {
    let (minimum, maximum) = (CONTROL_PAGES.into(), Some(CONTROL_PAGES.into()));
    MemoryType { minimum, maximum, memory64: false, shared: false, page_size_log2: None }
}

pub(crate) fn globals(base: &Base<'_>) -> GlobalSection {
    let mut section = GlobalSection::new();
    for global in &base.program.globals {
        section.global(global_type(&global.ty), &expression(base, &global.init_expr));
    }
    section.global(FLAG, &ConstExpr::i32_const(0));
    base.graph.uses.drops().for_each(|_| _ = section.global(FLAG, &ConstExpr::i32_const(0)));
    section
}

/// What the hidden globals are.
pub(crate) const FLAG: GlobalType = GlobalType { val_type: ValType::I32, mutable: true, shared: false };

pub(crate) fn global_type(ty: &wasmparser::GlobalType) -> GlobalType {
    GlobalType { val_type: encode(ty.content_type).expect(KNOWN), mutable: ty.mutable, shared: false }
}

/// Those of the module, and one that fills the hidden table of functions.
pub(crate) fn elements(base: &Base<'_>) -> ElementSection {
    let mut section = ElementSection::new();
    for element in &base.program.elements {
        let (functions, expressions, ty);
        let items = match &element.items {
            ElementItems::Functions(list) => {
                functions =
                    list.clone().into_iter().flatten().map(|function| base.target(function)).collect::<Vec<_>>();
                Elements::Functions(functions.into())
            }
            ElementItems::Expressions(of, list) => {
                ty = encode_reference(*of).expect(KNOWN);
                expressions =
                    list.clone().into_iter().flatten().map(|item| expression(base, &item)).collect::<Vec<_>>();
                Elements::Expressions(ty, expressions.into())
            }
        };
        match &element.kind {
            ElementKind::Passive => section.passive(items),
            ElementKind::Declared => section.declared(items),
            ElementKind::Active { table_index, offset_expr } => {
                section.active(*table_index, &expression(base, offset_expr), items)
            }
        };
    }
    if !base.escaped.is_empty() {
        let all: Vec<u32> = base.escaped.iter().map(|function| base.target(*function)).collect();
        let table = Some(base.functions_table());
        section.active(table, &ConstExpr::i32_const(0), Elements::Functions(all.into()));
    }
    section
}

/// All of them passive: nothing is written by making an instance.
pub(crate) fn data(base: &Base<'_>) -> Option<(DataCountSection, DataSection)> {
    let mut section = DataSection::new();
    base.program.data.iter().for_each(|data| _ = section.passive(data.data.iter().copied()));
    let count = DataCountSection { count: section.len() };
    (count.count > 0).then_some((count, section))
}

pub(crate) fn exports(base: &Base<'_>, links: &Links) -> ExportSection {
    let mut section = ExportSection::new();
    for export in &base.program.exports {
        let kind = export_kind(export.kind);
        let index = if kind == ExportKind::Func { base.target(export.index) } else { export.index };
        section.export(export.name, kind, index);
    }
    section.export(CONTROL, ExportKind::Memory, base.control);
    for (name, kind, index) in hidden(base, links) {
        section.export(&name, kind, index);
    }
    for table in &base.graph.uses.changed {
        section.export(&format!("{CHANGES}{table}"), ExportKind::Table, *table);
    }
    for op in base.graph.uses.drops() {
        let global = base.dropped_global(op).expect("it drops");
        section.export(&format!("{DROPPED}{}", op.name()), ExportKind::Global, global);
    }
    if let Some(loader) = links.loader {
        section.export(LOAD, ExportKind::Func, loader);
    }
    if let Some(start) = base.program.start {
        section.export(START, ExportKind::Func, base.target(start));
    }
    section
}

/// The name section without the names of labels: there are other blocks now. All other numbers stay.
pub(crate) fn names(section: &[u8]) -> Vec<u8> {
    const LABELS: u8 = 3;
    parts_of_names(section).filter(|(id, _)| *id != LABELS).flat_map(|(_, part)| part).copied().collect()
}

/// The name section with functions that were added behind the others.
pub(crate) fn names_with(section: &[u8], own: &BTreeMap<u32, String>, added: &[(u32, String)]) -> Vec<u8> {
    const FUNCTIONS: u8 = 1;
    let mut map = NameMap::new();
    own.iter().for_each(|(number, name)| map.append(*number, name));
    added.iter().for_each(|(number, name)| map.append(*number, name));
    let (mut content, mut whole) = (Vec::new(), Vec::new());
    map.encode(&mut content);
    for (id, part) in parts_of_names(section) {
        if id == FUNCTIONS {
            whole.push(FUNCTIONS);
            content.as_slice().encode(&mut whole);
        } else {
            whole.extend(part);
        }
    }
    whole
}

/// Of a name section: what a part names, and all of its bytes. Names are decoration: what cannot be read is left out.
fn parts_of_names(section: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut reader = wasmparser::BinaryReader::new(section, 0);
    std::iter::from_fn(move || {
        let start = reader.original_position();
        let id = reader.read_u8().ok()?;
        let size = reader.read_var_u32().ok()?;
        reader.read_bytes(size as usize).ok()?;
        Some((id, &section[start..reader.original_position()]))
    })
}

pub(crate) fn export_kind(kind: ExternalKind) -> ExportKind {
    match kind {
        ExternalKind::Func | ExternalKind::FuncExact => ExportKind::Func,
        ExternalKind::Table => ExportKind::Table,
        ExternalKind::Memory => ExportKind::Memory,
        ExternalKind::Global => ExportKind::Global,
        ExternalKind::Tag => ExportKind::Tag,
    }
}

/// What a continuation reaches, besides the control memory, which is the last of its memories: name, kind, number. Functions first, in the order of [`Links`].
pub(crate) fn hidden(base: &Base<'_>, links: &Links) -> Vec<(String, ExportKind, u32)> {
    let program = &base.program;
    let mut all = Vec::new();
    let mut add = |name: &str, kind: ExportKind, indices: &mut dyn Iterator<Item = u32>| {
        all.extend(
            (0..).zip(indices).map(|(number, index): (u32, u32)| (format!("{PREFIX}{name}:{number}"), kind, index)),
        );
    };
    add("push", ExportKind::Func, &mut std::iter::once(links.push));
    let dispatchers = links.dispatch.iter();
    all.extend(dispatchers.map(|(ty, function)| (format!("{PREFIX}call:{ty}"), ExportKind::Func, *function)));
    let of_references = [("take", links.take), ("keep", links.keep)];
    let of_references = of_references.into_iter().filter_map(|(name, function)| Some((name, function?)));
    all.extend(of_references.map(|(name, function)| (format!("{PREFIX}{name}"), ExportKind::Func, function)));
    let segments = links.segments.iter();
    all.extend(segments.map(|(op, function)| (format!("{PREFIX}{}", op.name()), ExportKind::Func, *function)));
    let reentries = links.reentries.iter();
    all.extend(reentries.map(|(of, function)| (format!("{PREFIX}again:{of}"), ExportKind::Func, *function)));
    let counts = [
        ("memory", ExportKind::Memory, program.memories.len()),
        ("global", ExportKind::Global, program.globals.len()),
        ("table", ExportKind::Table, program.tables.len()),
        ("tag", ExportKind::Tag, program.tags.len()),
    ];
    for (name, kind, count) in counts {
        all.extend((0..crate::number(count)).map(|number| (format!("{PREFIX}{name}:{number}"), kind, number)));
    }
    all.push((LEFT.to_owned(), ExportKind::Global, base.left()));
    if !base.escaped.is_empty() {
        all.push((FUNCTIONS.to_owned(), ExportKind::Table, base.functions_table()));
    }
    if base.added.references {
        all.push((REFERENCES.to_owned(), ExportKind::Table, base.references_table()));
    }
    all
}
