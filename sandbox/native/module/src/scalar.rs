//! Types: those whose values can be written down, and the list of function types that grows while we print.

use std::collections::{BTreeMap, BTreeSet};
use wasm_encoder::{
    AbstractHeapType, BlockType, HeapType, Ieee32, Ieee64, Instruction, MemArg, RefType, TypeSection,
    ValType as Encoded,
};
use wasmparser::ValType;

/// A type whose values a frame can hold. The order is the order of a frame's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Scalar {
    I32,
    I64,
    F32,
    F64,
    V128,
    /// A reference to a function: 0 for null, else one more than its place in the list of references that goes with the frames.
    Function,
    /// A reference to something of the host: 0 for null. Another one cannot be saved.
    Extern,
}

impl Scalar {
    /// `None` for references to exceptions.
    pub fn of(ty: ValType) -> Option<Scalar> {
        match ty {
            ValType::I32 => Some(Scalar::I32),
            ValType::I64 => Some(Scalar::I64),
            ValType::F32 => Some(Scalar::F32),
            ValType::F64 => Some(Scalar::F64),
            ValType::V128 => Some(Scalar::V128),
            ValType::Ref(_) => match nullable(ty) {
                ValType::FUNCREF => Some(Scalar::Function),
                ValType::EXTERNREF => Some(Scalar::Extern),
                _ => None,
            },
        }
    }

    /// Bytes in a frame.
    pub fn size(self) -> u32 {
        match self {
            Scalar::I32 | Scalar::F32 | Scalar::Function | Scalar::Extern => 4,
            Scalar::I64 | Scalar::F64 => 8,
            Scalar::V128 => 16,
        }
    }

    /// The byte that stands for the type in states and guides.
    pub(crate) fn code(self) -> u8 {
        match self {
            Scalar::I32 => 0,
            Scalar::I64 => 1,
            Scalar::F32 => 2,
            Scalar::F64 => 3,
            Scalar::V128 => 4,
            Scalar::Function => 5,
            Scalar::Extern => 6,
        }
    }

    pub(crate) fn from_code(code: u8) -> Option<Scalar> {
        const ALL: [Scalar; 7] =
            [Scalar::I32, Scalar::I64, Scalar::F32, Scalar::F64, Scalar::V128, Scalar::Function, Scalar::Extern];
        ALL.get(usize::from(code)).copied()
    }

    /// Of a value as a frame holds it.
    pub(crate) fn store(self, at: MemArg) -> Instruction<'static> {
        match self {
            Scalar::I32 | Scalar::Function | Scalar::Extern => Instruction::I32Store(at),
            Scalar::I64 => Instruction::I64Store(at),
            Scalar::F32 => Instruction::F32Store(at),
            Scalar::F64 => Instruction::F64Store(at),
            Scalar::V128 => Instruction::V128Store(at),
        }
    }

    pub(crate) fn load(self, at: MemArg) -> Instruction<'static> {
        match self {
            Scalar::I32 | Scalar::Function | Scalar::Extern => Instruction::I32Load(at),
            Scalar::I64 => Instruction::I64Load(at),
            Scalar::F32 => Instruction::F32Load(at),
            Scalar::F64 => Instruction::F64Load(at),
            Scalar::V128 => Instruction::V128Load(at),
        }
    }
}

/// The type as it can be declared: `ref.func` gives a reference to one type of function that is never null, a local for it holds any function or null.
/// Without typed references nothing asks for more.
pub(crate) fn nullable(ty: ValType) -> ValType {
    use wasmparser::{AbstractHeapType, HeapType};
    let ValType::Ref(reference) = ty else { return ty };
    match reference.heap_type() {
        HeapType::Concrete(_) | HeapType::Exact(_) => ValType::FUNCREF,
        HeapType::Abstract { ty: AbstractHeapType::Func | AbstractHeapType::NoFunc, .. } => ValType::FUNCREF,
        HeapType::Abstract { ty: AbstractHeapType::Extern | AbstractHeapType::NoExtern, .. } => ValType::EXTERNREF,
        HeapType::Abstract { ty: AbstractHeapType::Exn | AbstractHeapType::NoExn, .. } => ValType::EXNREF,
        _ => ty,
    }
}

/// All of them, or nothing where one is a reference to an exception.
pub(crate) fn scalars(types: &[ValType]) -> Option<Vec<Scalar>> {
    types.iter().map(|ty| Scalar::of(*ty)).collect()
}

/// `None` for a reference type that the sandbox does not accept in the first place.
pub(crate) fn encode(ty: ValType) -> Option<Encoded> {
    Some(match ty {
        ValType::I32 => Encoded::I32,
        ValType::I64 => Encoded::I64,
        ValType::F32 => Encoded::F32,
        ValType::F64 => Encoded::F64,
        ValType::V128 => Encoded::V128,
        ValType::Ref(ty) => Encoded::Ref(encode_reference(ty)?),
    })
}

pub(crate) fn encode_reference(ty: wasmparser::RefType) -> Option<RefType> {
    match ty {
        wasmparser::RefType::FUNCREF => Some(RefType::FUNCREF),
        wasmparser::RefType::EXTERNREF => Some(RefType::EXTERNREF),
        wasmparser::RefType::EXNREF => Some(RefType::EXNREF),
        _ => None,
    }
}

/// Of types that `encode` took when the module was read.
pub(crate) fn encode_all(types: &[ValType]) -> Vec<Encoded> {
    types.iter().map(|ty| encode(*ty).expect("checked when the module was read")).collect()
}

/// What a function that is being left returns where its first result is a whole number. A caller that sees any other number need not ask. Small, so
/// that comparing takes three bytes of code, and rare: neither a usual count nor a usual code of an error.
const RARE: i8 = -119;

/// Does a caller see by this result that the function may have been left? Leaves the answer on the stack.
pub(crate) fn looks_left(ty: ValType) -> Option<[Instruction<'static>; 2]> {
    match ty {
        ValType::I32 => Some([dummy(ty), Instruction::I32Eq]),
        ValType::I64 => Some([dummy(ty), Instruction::I64Eq]),
        _ => None,
    }
}

/// What a function that is being left returns; nobody uses it.
pub(crate) fn dummy(ty: ValType) -> Instruction<'static> {
    match ty {
        ValType::I32 => Instruction::I32Const(RARE.into()),
        ValType::I64 => Instruction::I64Const(RARE.into()),
        ValType::F32 => Instruction::F32Const(Ieee32::new(0)),
        ValType::F64 => Instruction::F64Const(Ieee64::new(0)),
        ValType::V128 => Instruction::V128Const(0),
        ValType::Ref(wasmparser::RefType::EXTERNREF) => Instruction::RefNull(HeapType::EXTERN),
        ValType::Ref(wasmparser::RefType::EXNREF) => {
            Instruction::RefNull(HeapType::Abstract { shared: false, ty: AbstractHeapType::Exn })
        }
        ValType::Ref(_) => Instruction::RefNull(HeapType::FUNC),
    }
}

/// What a local is in which nothing was stored yet.
pub(crate) fn zero(ty: ValType) -> Instruction<'static> {
    match ty {
        ValType::I32 => Instruction::I32Const(0),
        ValType::I64 => Instruction::I64Const(0),
        ty => dummy(ty),
    }
}

/// Parameters and results.
pub(crate) type Signature = (Vec<ValType>, Vec<ValType>);

/// The module's function types under their own numbers, and what we need besides behind them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Types {
    list: Vec<Signature>,
    number: BTreeMap<Signature, u32>,
}

impl Types {
    pub(crate) fn of(types: &[wasmparser::FuncType]) -> Types {
        let mut all = Types::default();
        for ty in types {
            let signature = (ty.params().to_vec(), ty.results().to_vec());
            all.number.entry(signature.clone()).or_insert(crate::number(all.list.len()));
            all.list.push(signature);
        }
        all
    }

    pub(crate) fn intern(&mut self, params: &[ValType], results: &[ValType]) -> u32 {
        let signature = (params.to_vec(), results.to_vec());
        if let Some(known) = self.number.get(&signature) {
            return *known;
        }
        let new = crate::number(self.list.len());
        self.list.push(signature.clone());
        self.number.insert(signature, new);
        new
    }

    /// A block without parameters.
    pub(crate) fn block(&mut self, results: &[ValType]) -> BlockType {
        match results {
            [] => BlockType::Empty,
            [one] => BlockType::Result(encode_all(&[*one])[0]),
            many => BlockType::FunctionType(self.intern(&[], many)),
        }
    }

    /// Only these as they are; the others keep their numbers, and all are the empty one.
    pub(crate) fn only(&self, named: &BTreeSet<u32>) -> TypeSection {
        let mut section = TypeSection::new();
        for (number, (params, results)) in (0..).zip(&self.list) {
            let kept = named.contains(&number);
            let kept = |types: &[ValType]| if kept { encode_all(types) } else { Vec::new() };
            section.ty().function(kept(params), kept(results));
        }
        section
    }

    pub(crate) fn section(&self) -> TypeSection {
        let mut section = TypeSection::new();
        for (params, results) in &self.list {
            section.ty().function(encode_all(params), encode_all(results));
        }
        section
    }
}
