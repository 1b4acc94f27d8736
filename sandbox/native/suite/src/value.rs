//! Words of an assertion: the arguments it passes and the bit patterns it expects, free of the text they came from.

use wast::core::{AbstractHeapType, HeapType, NanPattern, V128Pattern, WastArgCore, WastRetCore};
use wast::{WastArg, WastRet};

/// One argument of a call. There is no host here, hence no host reference: only the null ones can be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `i32.const`
    I32(i32),
    /// `i64.const`
    I64(i64),
    /// The bits of an `f32.const`.
    F32(u32),
    /// The bits of an `f64.const`.
    F64(u64),
    /// The bits of a `v128.const`, little endian.
    V128(u128),
    /// A null reference.
    Null(NullOf),
}

/// The three kinds of null reference that the accepted features know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NullOf {
    /// `ref.null func`
    Func,
    /// `ref.null extern`
    Extern,
    /// `ref.null exn`
    Exn,
}

/// What one result must look like: the bits under a mask, because NaN patterns leave bits free.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// An i32.
    I32(i32),
    /// An i64.
    I64(i64),
    /// An f32 whose bits under `mask` are `bits`.
    F32 {
        /// The bits that count.
        mask: u32,
        /// Their value.
        bits: u32,
    },
    /// An f64 whose bits under `mask` are `bits`.
    F64 {
        /// The bits that count.
        mask: u64,
        /// Their value.
        bits: u64,
    },
    /// A v128 whose bits under `mask` are `bits`.
    V128 {
        /// The bits that count.
        mask: u128,
        /// Their value.
        bits: u128,
    },
    /// A null reference.
    Null,
    /// Any reference but null.
    NotNull,
    /// One of several.
    Either(Vec<Expect>),
}

/// Why an assertion cannot be put into a self-checking module; the text is a key of the counts in the manifest.
pub type Reason = &'static str;

/// Only a host can make or compare these.
pub const HOST_REFERENCE: Reason = "needs a host reference";
/// References of proposals that admission refuses.
pub const REFUSED_TYPE: Reason = "needs a type that is refused by policy";

/// The argument as a value, or why there is none.
pub fn argument(arg: &WastArg<'_>) -> Result<Value, Reason> {
    let WastArg::Core(arg) = arg else {
        return Err(REFUSED_TYPE);
    };
    Ok(match arg {
        WastArgCore::I32(x) => Value::I32(*x),
        WastArgCore::I64(x) => Value::I64(*x),
        WastArgCore::F32(x) => Value::F32(x.bits),
        WastArgCore::F64(x) => Value::F64(x.bits),
        WastArgCore::V128(x) => Value::V128(u128::from_le_bytes(x.to_le_bytes())),
        WastArgCore::RefNull(heap) => Value::Null(null_of(heap)?),
        WastArgCore::RefExtern(_) | WastArgCore::RefHost(_) => return Err(HOST_REFERENCE),
    })
}

fn null_of(heap: &HeapType<'_>) -> Result<NullOf, Reason> {
    match heap {
        HeapType::Abstract { shared: false, ty: AbstractHeapType::Func } => Ok(NullOf::Func),
        HeapType::Abstract { shared: false, ty: AbstractHeapType::Extern } => Ok(NullOf::Extern),
        HeapType::Abstract { shared: false, ty: AbstractHeapType::Exn } => Ok(NullOf::Exn),
        _ => Err(REFUSED_TYPE),
    }
}

/// The expected result as masks and bits, or why it cannot be checked without a host.
pub fn expectation(ret: &WastRet<'_>) -> Result<Expect, Reason> {
    match ret {
        WastRet::Core(ret) => core_expectation(ret),
        _ => Err(REFUSED_TYPE),
    }
}

fn core_expectation(ret: &WastRetCore<'_>) -> Result<Expect, Reason> {
    Ok(match ret {
        WastRetCore::I32(x) => Expect::I32(*x),
        WastRetCore::I64(x) => Expect::I64(*x),
        WastRetCore::F32(x) => {
            let (mask, bits) = f32_pattern(x);
            Expect::F32 { mask, bits }
        }
        WastRetCore::F64(x) => {
            let (mask, bits) = f64_pattern(x);
            Expect::F64 { mask, bits }
        }
        WastRetCore::V128(x) => v128_pattern(x),
        WastRetCore::RefNull(_) => Expect::Null,
        WastRetCore::RefFunc(_) | WastRetCore::RefExtern(None) => Expect::NotNull,
        WastRetCore::RefExtern(Some(_)) | WastRetCore::RefHost(_) => return Err(HOST_REFERENCE),
        WastRetCore::Either(cases) => Expect::Either(cases.iter().map(core_expectation).collect::<Result<_, _>>()?),
        _ => return Err(REFUSED_TYPE),
    })
}

/// Canonical: only the sign is free. Arithmetic: exponent and the quiet bit count, the rest and the sign are free.
fn f32_pattern(pattern: &NanPattern<wast::token::F32>) -> (u32, u32) {
    match pattern {
        NanPattern::CanonicalNan => (0x7fff_ffff, 0x7fc0_0000),
        NanPattern::ArithmeticNan => (0x7fc0_0000, 0x7fc0_0000),
        NanPattern::Value(x) => (u32::MAX, x.bits),
    }
}

fn f64_pattern(pattern: &NanPattern<wast::token::F64>) -> (u64, u64) {
    match pattern {
        NanPattern::CanonicalNan => (0x7fff_ffff_ffff_ffff, 0x7ff8_0000_0000_0000),
        NanPattern::ArithmeticNan => (0x7ff8_0000_0000_0000, 0x7ff8_0000_0000_0000),
        NanPattern::Value(x) => (u64::MAX, x.bits),
    }
}

fn v128_pattern(pattern: &V128Pattern) -> Expect {
    let exact = |bytes: Vec<u8>| Expect::V128 { mask: u128::MAX, bits: joined(&bytes) };
    match pattern {
        V128Pattern::I8x16(lanes) => exact(lanes.iter().flat_map(|x| x.to_le_bytes()).collect()),
        V128Pattern::I16x8(lanes) => exact(lanes.iter().flat_map(|x| x.to_le_bytes()).collect()),
        V128Pattern::I32x4(lanes) => exact(lanes.iter().flat_map(|x| x.to_le_bytes()).collect()),
        V128Pattern::I64x2(lanes) => exact(lanes.iter().flat_map(|x| x.to_le_bytes()).collect()),
        V128Pattern::F32x4(lanes) => {
            let pairs = lanes.each_ref().map(f32_pattern);
            Expect::V128 {
                mask: joined(&pairs.map(|(mask, _)| mask.to_le_bytes()).concat()),
                bits: joined(&pairs.map(|(_, bits)| bits.to_le_bytes()).concat()),
            }
        }
        V128Pattern::F64x2(lanes) => {
            let pairs = lanes.each_ref().map(f64_pattern);
            Expect::V128 {
                mask: joined(&pairs.map(|(mask, _)| mask.to_le_bytes()).concat()),
                bits: joined(&pairs.map(|(_, bits)| bits.to_le_bytes()).concat()),
            }
        }
    }
}

fn joined(bytes: &[u8]) -> u128 {
    bytes.iter().rev().fold(0, |sum, byte| (sum << 8) | u128::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wast::parser::{self, ParseBuffer};

    fn expected(text: &str) -> Result<Expect, Reason> {
        let buffer = ParseBuffer::new(text).expect("text");
        expectation(&WastRet::Core(parser::parse(&buffer).expect("a result")))
    }

    #[test]
    fn a_canonical_nan_leaves_only_the_sign_free() {
        assert_eq!(expected("f32.const nan:canonical"), Ok(Expect::F32 { mask: 0x7fff_ffff, bits: 0x7fc0_0000 }));
    }

    #[test]
    fn an_arithmetic_nan_asks_for_the_quiet_bit() {
        let bits = 0x7ff8_0000_0000_0000;
        assert_eq!(expected("f64.const nan:arithmetic"), Ok(Expect::F64 { mask: bits, bits }));
    }

    #[test]
    fn an_exact_float_counts_every_bit() {
        assert_eq!(expected("f32.const -0.0"), Ok(Expect::F32 { mask: u32::MAX, bits: 0x8000_0000 }));
    }

    #[test]
    fn lanes_are_joined_from_the_lowest() {
        let bits = 0x0000_0004_0000_0003_0000_0002_0000_0001;
        assert_eq!(expected("v128.const i32x4 1 2 3 4"), Ok(Expect::V128 { mask: u128::MAX, bits }));
    }

    #[test]
    fn a_lane_may_be_a_pattern() {
        let Ok(Expect::V128 { mask, bits }) = expected("v128.const f64x2 nan:arithmetic 1.0") else { panic!("v128") };
        assert_eq!((mask & u128::from(u64::MAX), bits >> 64), (0x7ff8_0000_0000_0000, u128::from(1.0_f64.to_bits())));
    }

    #[test]
    fn a_host_reference_is_named_as_the_reason() {
        assert_eq!(expected("ref.extern 1"), Err(HOST_REFERENCE));
    }

    #[test]
    fn references_of_refused_proposals_are_named_so() {
        assert_eq!(expected("ref.i31"), Err(REFUSED_TYPE));
    }
}
