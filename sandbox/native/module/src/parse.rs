//! Reads a module into one description that nobody changes afterwards. First step of the path.
//!
//! In: the bytes of a module from outside, untrusted. Out: a [`Program`] whose every function body has been validated, so that the later
//! passes may index without asking; or a refusal. All index spaces stay as they are in the source: whatever we add is appended, and
//! an operator that is not rewritten can be copied byte for byte.

use crate::features::ACCEPTED;
use crate::layout::PREFIX;
use crate::refused::{Reason, Refused};
use crate::scalar;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use wasmparser::{
    Data, DataKind, Element, ElementItems, ExternalKind, FuncToValidate, FuncType, FuncValidator,
    FuncValidatorAllocations, FunctionBody, Global, KnownCustom, MemoryType, Name, Operator, Parser, Payload, Table,
    TableInit, TypeRef, ValType, ValidPayload, Validator, ValidatorResources,
};

/// An export of the module as it came.
#[derive(Clone, Debug)]
pub(crate) struct Exported<'a> {
    pub(crate) name: &'a str,
    pub(crate) kind: ExternalKind,
    pub(crate) index: u32,
}

/// What the passes know of the module.
#[derive(Default)]
pub(crate) struct Program<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) types: Vec<FuncType>,
    /// The type of each function, imported ones first.
    pub(crate) functions: Vec<u32>,
    /// How many of the functions are imported.
    pub(crate) imported: u32,
    pub(crate) globals: Vec<Global<'a>>,
    pub(crate) memories: Vec<MemoryType>,
    pub(crate) tables: Vec<Table<'a>>,
    /// The types of the exception tags.
    pub(crate) tags: Vec<u32>,
    pub(crate) elements: Vec<Element<'a>>,
    pub(crate) data: Vec<Data<'a>>,
    /// Functions that an indirect call may reach: in an element segment, or taken by `ref.func`. Closed world: the host puts none into a table.
    pub(crate) escaped: BTreeSet<u32>,
    pub(crate) exports: Vec<Exported<'a>>,
    pub(crate) start: Option<u32>,
    /// Number and content of each section but the custom ones.
    pub(crate) sections: Vec<(u8, Range<usize>)>,
    pub(crate) names: BTreeMap<u32, String>,
    /// Of each function, the branches that its compiler called likely or not, by their place in the source.
    pub(crate) hints: BTreeMap<u32, BTreeMap<usize, bool>>,
    /// The content of the name section, which stays true: no number changes.
    pub(crate) name_section: Option<&'a [u8]>,
    bodies: Vec<FunctionBody<'a>>,
    checks: Vec<FuncToValidate<ValidatorResources>>,
    reasons: Vec<&'static str>,
}

/// An operator and its bytes in the source.
pub(crate) struct Located<'a> {
    pub(crate) operator: Operator<'a>,
    pub(crate) range: Range<usize>,
}

impl<'a> Program<'a> {
    pub(crate) fn read_untrusted(bytes: &'a [u8]) -> Result<Program<'a>, Refused> {
        let mut program = Program::sections_untrusted(bytes)?;
        program.validate_bodies()?;
        program.refuse()?;
        Ok(program)
    }

    /// The same of bytes that were read before and found valid: a body is validated when its normal form is made.
    pub(crate) fn again_untrusted(bytes: &'a [u8]) -> Result<Program<'a>, Refused> {
        let mut program = Program::sections_untrusted(bytes)?;
        program.refuse()?;
        Ok(program)
    }

    fn sections_untrusted(bytes: &'a [u8]) -> Result<Program<'a>, Refused> {
        let mut program = Program { bytes, ..Program::default() };
        let mut validator = Validator::new_with_features(ACCEPTED);
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = payload?;
            if let Some((id, range)) = payload.as_section().filter(|(id, _)| *id != 0) {
                program.sections.push((id, range));
            }
            if let ValidPayload::Func(check, body) = validator.payload(&payload)? {
                program.bodies.push(body);
                program.checks.push(check);
                continue;
            }
            program.take(payload)?;
        }
        Ok(program)
    }

    fn take(&mut self, payload: Payload<'a>) -> Result<(), Refused> {
        match payload {
            Payload::TypeSection(types) => {
                for ty in types.into_iter_err_on_gc_types() {
                    self.types.push(ty?);
                }
            }
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    self.take_import(import?.ty);
                }
            }
            Payload::FunctionSection(types) => {
                for ty in types {
                    self.functions.push(ty?);
                }
            }
            Payload::TableSection(tables) => {
                for table in tables {
                    let table = table?;
                    if let TableInit::Expr(expression) = &table.init {
                        self.take_constant(expression.get_operators_reader())?;
                    }
                    self.tables.push(table);
                }
            }
            Payload::TagSection(tags) => {
                for tag in tags {
                    self.tags.push(tag?.func_type_idx);
                }
            }
            Payload::MemorySection(memories) => {
                for memory in memories {
                    self.memories.push(memory?);
                }
            }
            Payload::GlobalSection(globals) => {
                for global in globals {
                    let global = global?;
                    self.take_constant(global.init_expr.get_operators_reader())?;
                    self.globals.push(global);
                }
            }
            Payload::ExportSection(exports) => {
                for export in exports {
                    let export = export?;
                    self.exports.push(Exported { name: export.name, kind: export.kind, index: export.index });
                }
            }
            Payload::StartSection { func, .. } => self.start = Some(func),
            Payload::ElementSection(segments) => {
                for segment in segments {
                    let segment = segment?;
                    self.take_elements(segment.items.clone())?;
                    self.elements.push(segment);
                }
            }
            Payload::DataSection(segments) => {
                for segment in segments {
                    self.data.push(segment?);
                }
            }
            Payload::CustomSection(custom) => match custom.as_known() {
                KnownCustom::Name(names) => {
                    self.name_section = Some(custom.data());
                    self.take_names(names);
                }
                KnownCustom::BranchHints(functions) => self.take_hints(functions),
                _ => {}
            },
            _ => {}
        }
        Ok(())
    }

    fn take_import(&mut self, ty: TypeRef) {
        match ty {
            TypeRef::Func(ty) => {
                self.functions.push(ty);
                self.imported += 1;
            }
            _ => self.reasons.push("it imports something else than functions"),
        }
    }

    fn take_elements(&mut self, items: ElementItems<'a>) -> Result<(), Refused> {
        match items {
            ElementItems::Functions(functions) => {
                for function in functions {
                    self.escaped.insert(function?);
                }
            }
            ElementItems::Expressions(_, expressions) => {
                for expression in expressions {
                    self.take_constant(expression?.get_operators_reader())?;
                }
            }
        }
        Ok(())
    }

    fn take_constant(&mut self, operators: wasmparser::OperatorsReader<'a>) -> Result<(), Refused> {
        for operator in operators {
            if let Operator::RefFunc { function_index } = operator? {
                self.escaped.insert(function_index);
            }
        }
        Ok(())
    }

    /// Names are decoration: what cannot be read is left out.
    fn take_names(&mut self, names: wasmparser::NameSectionReader<'a>) {
        for part in names {
            let Ok(Name::Function(functions)) = part else { continue };
            for naming in functions.into_iter().flatten() {
                self.names.insert(naming.index, naming.name.to_owned());
            }
        }
    }

    /// As with names: an advice that cannot be read is none.
    fn take_hints(&mut self, functions: wasmparser::BranchHintSectionReader<'a>) {
        for function in functions.into_iter().flatten() {
            let hints = function.hints.into_iter().flatten();
            let hints = hints.map(|hint| (hint.func_offset as usize, hint.taken)).collect();
            self.hints.insert(function.func, hints);
        }
    }

    fn validate_bodies(&mut self) -> Result<(), Refused> {
        let mut memory = FuncValidatorAllocations::default();
        for number in 0..self.bodies.len() {
            let mut validator = self.validator_with(number, memory);
            validator.validate(&self.bodies[number])?;
            memory = validator.into_allocations();
        }
        Ok(())
    }

    /// Reasons that concern the module as a whole.
    fn refuse(&mut self) -> Result<(), Refused> {
        if self.exports.iter().any(|export| export.name.starts_with(PREFIX)) {
            self.reasons.push("it has an export whose name begins with gatebus:, which is reserved");
        }
        let known = |ty: &ValType| scalar::encode(*ty).is_some();
        let tables = self.tables.iter().all(|table| scalar::encode_reference(table.ty.element_type).is_some());
        let types = self.types.iter().all(|ty| ty.params().iter().chain(ty.results()).all(known));
        if !tables || !types || !self.globals.iter().all(|global| known(&global.ty.content_type)) {
            self.reasons.push("it uses a reference type that is not handled");
        }
        let exception = |ty: ValType| scalar::Scalar::of(ty).is_none();
        if self.globals.iter().any(|global| global.ty.mutable && exception(global.ty.content_type)) {
            self.reasons.push("it has a variable global that holds an exception");
        }
        if self.reasons.is_empty() {
            return Ok(());
        }
        self.reasons.dedup();
        Err(Refused::Suspension(self.reasons.iter().map(|why| Reason { function: None, name: None, why }).collect()))
    }

    pub(crate) fn type_of(&self, function: u32) -> &FuncType {
        &self.types[self.functions[function as usize] as usize]
    }

    /// The numbers of the functions that have a body.
    pub(crate) fn defined(&self) -> Range<u32> {
        self.imported..crate::number(self.functions.len())
    }

    pub(crate) fn body(&self, function: u32) -> &FunctionBody<'a> {
        &self.bodies[(function - self.imported) as usize]
    }

    /// A validator at the start of the function, to be asked for the operand types at each operator.
    pub(crate) fn validator(&self, function: u32) -> FuncValidator<ValidatorResources> {
        self.validator_with((function - self.imported) as usize, FuncValidatorAllocations::default())
    }

    fn validator_with(&self, number: usize, memory: FuncValidatorAllocations) -> FuncValidator<ValidatorResources> {
        let FuncToValidate { resources, index, ty, features } = &self.checks[number];
        FuncToValidate { resources: resources.clone(), index: *index, ty: *ty, features: *features }
            .into_validator(memory)
    }

    /// The operators of a body, each with its bytes. The body was validated: this cannot fail.
    pub(crate) fn operators(&self, function: u32) -> Result<Vec<Located<'a>>, Refused> {
        let body = self.body(function);
        let mut list: Vec<Located<'a>> = Vec::new();
        for item in body.get_operators_reader()?.into_iter_with_offsets() {
            let (operator, at) = item?;
            if let Some(last) = list.last_mut() {
                last.range.end = at;
            }
            list.push(Located { operator, range: at..body.range().end });
        }
        Ok(list)
    }

    pub(crate) fn section(&self, id: u8) -> Option<&'a [u8]> {
        self.sections.iter().find(|(known, _)| *known == id).map(|(_, range)| &self.bytes[range.clone()])
    }

    /// The active data segments.
    pub(crate) fn active(&self) -> BTreeSet<u32> {
        let active = |(_, data): &(u32, &Data<'_>)| matches!(data.kind, DataKind::Active { .. });
        (0..).zip(&self.data).filter(active).map(|(number, _)| number).collect()
    }

    pub(crate) fn reason(&self, function: u32, why: &'static str) -> Reason {
        Reason { function: Some(function), name: self.names.get(&function).cloned(), why }
    }
}
