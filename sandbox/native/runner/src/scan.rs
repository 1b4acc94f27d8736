//! One pass over a module that counts and measures everything, and believes nothing.

use crate::bounds;
use crate::functions::check_body_untrusted;
use crate::refusal::{Refusal, at_most};
use wasmparser::{
    BinaryReaderError, CompositeInnerType, ExternalKind, FromReader, FuncType, Parser, Payload, SectionLimited, TypeRef,
};

/// One import, as it stands in the module.
#[derive(Debug)]
pub struct Import {
    /// Module name.
    pub module: String,
    /// Field name.
    pub name: String,
    /// Index of the type, for functions.
    pub function: Option<u32>,
}

/// What the pass found.
#[derive(Debug, Default)]
pub struct Scan {
    /// Types; None for those that are not function types.
    pub types: Vec<Option<FuncType>>,
    /// Type index of each function, imported ones first.
    pub functions: Vec<u32>,
    /// All imports, in order.
    pub imports: Vec<Import>,
    /// Exported functions: name and index.
    pub exported_functions: Vec<(String, u32)>,
    /// Whether there is a start section.
    pub has_start: bool,
    /// Pages that all memories have at the start.
    pub memory_pages: u64,
    /// Pages that memory 0 may ever have, when it says so.
    pub memory_max_pages: Option<u64>,
    /// Elements that all tables have at the start.
    pub table_elements: u64,
    memories: u32,
    tables: u32,
}

/// Counts everything. Refuses what is too large, or so broken that it cannot be counted.
pub fn scan_untrusted(wasm: &[u8]) -> Result<Scan, Refusal> {
    let mut scan = Scan::default();
    for payload in Parser::new(0).parse_all(wasm) {
        scan.payload(payload.map_err(|error| Refusal::malformed(&error))?)?;
    }
    Ok(scan)
}

impl Scan {
    /// The table of sections: what each adds to the counts.
    fn payload(&mut self, payload: Payload<'_>) -> Result<(), Refusal> {
        match payload {
            Payload::TypeSection(section) => self.types(section),
            Payload::ImportSection(section) => self.imports(section),
            Payload::FunctionSection(section) => {
                at_most("functions", section.count(), bounds::FUNCTIONS)?;
                each(section, |ty| {
                    self.functions.push(ty);
                    Ok(())
                })
            }
            Payload::TableSection(section) => {
                at_most("tables", section.count(), bounds::TABLES)?;
                each(section, |table| self.table(&table.ty))
            }
            Payload::MemorySection(section) => {
                at_most("memories", section.count(), bounds::MEMORIES)?;
                each(section, |memory| self.memory(&memory))
            }
            Payload::TagSection(section) => at_most("tags", section.count(), bounds::TAGS),
            Payload::GlobalSection(section) => {
                at_most("globals", section.count(), bounds::GLOBALS)?;
                each(section, |global| constant(&global.init_expr))
            }
            Payload::ExportSection(section) => self.exports(section),
            Payload::StartSection { .. } => {
                self.has_start = true;
                Ok(())
            }
            Payload::ElementSection(section) => elements(section),
            Payload::DataCountSection { count, .. } => at_most("data segments", count, bounds::DATA_SEGMENTS),
            Payload::DataSection(section) => {
                at_most("data segments", section.count(), bounds::DATA_SEGMENTS)?;
                each(section, |data| match &data.kind {
                    wasmparser::DataKind::Active { offset_expr, .. } => constant(offset_expr),
                    wasmparser::DataKind::Passive => Ok(()),
                })
            }
            Payload::CodeSectionStart { count, .. } => at_most("functions", count, bounds::FUNCTIONS),
            Payload::CodeSectionEntry(body) => check_body_untrusted(&body),
            _ => Ok(()),
        }
    }

    fn types(&mut self, section: wasmparser::TypeSectionReader<'_>) -> Result<(), Refusal> {
        at_most("types", section.count(), bounds::TYPES)?;
        each(section, |group| {
            for ty in group.into_types() {
                let ty = match ty.composite_type.inner {
                    CompositeInnerType::Func(ty) => Some(ty),
                    _ => None,
                };
                let size = ty.as_ref().map_or(0, |ty| ty.params().len().max(ty.results().len()));
                at_most("parameters or results", size as u64, bounds::TYPE_SIZE as u64)?;
                self.types.push(ty);
                at_most("types", self.types.len() as u64, bounds::TYPES)?;
            }
            Ok(())
        })
    }

    fn imports(&mut self, section: wasmparser::ImportSectionReader<'_>) -> Result<(), Refusal> {
        at_most("imports", section.count(), bounds::IMPORTS)?;
        for import in section.into_imports() {
            let import = import.map_err(|error| Refusal::malformed(&error))?;
            at_most("imports", self.imports.len() as u64 + 1, bounds::IMPORTS)?;
            at_most("bytes in a name", import.module.len().max(import.name.len()) as u64, bounds::NAME as u64)?;
            let function = match import.ty {
                TypeRef::Func(index) => Some(index),
                _ => None,
            };
            self.functions.extend(function);
            self.imports.push(Import { module: import.module.to_owned(), name: import.name.to_owned(), function });
        }
        Ok(())
    }

    fn exports(&mut self, section: wasmparser::ExportSectionReader<'_>) -> Result<(), Refusal> {
        at_most("exports", section.count(), bounds::EXPORTS)?;
        each(section, |export| {
            at_most("bytes in a name", export.name.len() as u64, bounds::NAME as u64)?;
            if export.kind == ExternalKind::Func {
                self.exported_functions.push((export.name.to_owned(), export.index));
            }
            Ok(())
        })
    }

    fn memory(&mut self, memory: &wasmparser::MemoryType) -> Result<(), Refusal> {
        if self.memories == 0 {
            self.memory_max_pages = memory.maximum;
        }
        self.memories += 1;
        self.memory_pages = self.memory_pages.saturating_add(memory.initial);
        Ok(())
    }

    fn table(&mut self, table: &wasmparser::TableType) -> Result<(), Refusal> {
        self.tables += 1;
        self.table_elements = self.table_elements.saturating_add(table.initial);
        at_most("table elements", self.table_elements, bounds::TABLE_ELEMENTS)
    }

    /// Functions that the module defines itself.
    pub fn defined_functions(&self) -> usize {
        self.functions.len() - self.imports.iter().filter(|import| import.function.is_some()).count()
    }
}

/// Reads every item of a section.
fn each<'a, T: FromReader<'a>>(
    section: SectionLimited<'a, T>,
    mut action: impl FnMut(T) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    section
        .into_iter()
        .try_for_each(|item| action(item.map_err(|error: BinaryReaderError| Refusal::malformed(&error))?))
}

fn elements(section: wasmparser::ElementSectionReader<'_>) -> Result<(), Refusal> {
    at_most("element segments", section.count(), bounds::ELEMENT_SEGMENTS)?;
    let mut items = 0;
    each(section, |segment| {
        items += match &segment.items {
            wasmparser::ElementItems::Functions(list) => list.count(),
            wasmparser::ElementItems::Expressions(_, list) => list.count(),
        };
        at_most("element segment items", items, bounds::ELEMENT_ITEMS)?;
        match &segment.kind {
            wasmparser::ElementKind::Active { offset_expr, .. } => constant(offset_expr),
            _ => Ok(()),
        }
    })
}

/// Constant expressions are compiled too.
fn constant(expression: &wasmparser::ConstExpr<'_>) -> Result<(), Refusal> {
    let mut operators = 0u32;
    let mut reader = expression.get_operators_reader();
    while !reader.eof() {
        reader.read().map_err(|error| Refusal::malformed(&error))?;
        operators += 1;
        at_most("operators in a constant", operators, bounds::CONSTANT_OPERATORS)?;
    }
    Ok(())
}
