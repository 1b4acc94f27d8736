//! How a program's process ends: one table for `exit_group`, for REPORT and for whoever reads the wait status.

/// One row: the number, its name and what it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// Argument of `exit_group`, 0..255.
    pub number: u8,
    /// Name of the constant.
    pub name: &'static str,
    /// What happened.
    pub meaning: &'static str,
}

macro_rules! statuses {
    ($($name:ident = $number:literal, $meaning:literal;)*) => {
        $(#[doc = $meaning] pub const $name: u8 = $number;)*
        /// Every status that stands for one thing. Ranges: [`jail_step`] and [`native_crash`].
        pub const TABLE: &[Status] = &[$(Status { number: $number, name: stringify!($name), meaning: $meaning }),*];
    };
}

statuses! {
    HALTED = 0, "the entry function returned 0 or nothing";
    HALTED_NONZERO = 1, "the entry function returned something else";
    TERMINATED = 2, "proc_exit 0";
    TERMINATED_NONZERO = 3, "proc_exit with another value; REPORT has it";
    SUSPENDED = 4, "stopped on request; STATE packets hold what it goes on from";
    UNREACHABLE = 23, "unreachable instruction";
    CALL_STACK_EXHAUSTED = 24, "stack exhausted";
    MEMORY_ACCESS_OUT_OF_BOUNDS = 25, "memory access out of bounds";
    INDIRECT_CALL_INDEX_OUT_OF_BOUNDS = 26, "table index out of bounds or null element";
    INDIRECT_CALL_SIGNATURE_MISMATCH = 27, "indirect call of another signature";
    INTEGER_DIVIDE_BY_ZERO = 28, "integer division by zero";
    INTEGER_OVERFLOW = 29, "integer overflow or bad conversion";
    TRAP = 30, "any other trap; REPORT's text says which";
    ABI_DEFICIENCY = 47, "Gate: a call that its interface lacks";
    ABI_VIOLATION = 48, "a packet that no program may write";
    CPU_TIME = 60, "CPU time used up";
    WALL_TIME = 61, "wall time used up";
    RUNTIME_MEMORY = 62, "the runtime's own fixed heap is full";
    MEMORY_LIMIT = 63, "the initial memory or table is larger than the limit";
    PANIC = 70, "bug in the runtime";
    IMAGE_UNUSABLE = 71, "the image cannot be used by this engine";
    IMPORTS_UNSATISFIED = 72, "imports that the runtime does not have";
    NO_FUNCTION = 73, "no such entry function";
    SETUP_MALFORMED = 74, "setup packets malformed";
    ORPHANED = 75, "the host closed the packet socket";
    SEGMENT_OUT_OF_BOUNDS = 76, "a segment does not fit at instantiation";
    BAD_STATE = 77, "the state to go on from is damaged, of another program, or larger than the limits";
    STACK_NOT_SAVED = 78, "left for a stop with more on its stack than there is room for; REPORT's text says of what";
}

/// Step `step` of the jail failed (80..99).
pub const fn jail_step(step: u8) -> u8 {
    80 + if step < 20 { step } else { 19 }
}

/// The process crashed natively with this signal and our handler caught it (100..131).
pub const fn native_crash(signal: u8) -> u8 {
    100 + if signal < 32 { signal } else { 31 }
}

/// The row of this number.
pub fn find(number: u8) -> Option<&'static Status> {
    TABLE.iter().find(|status| status.number == number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_unique_and_outside_the_ranges() {
        for (position, status) in TABLE.iter().enumerate() {
            assert!(status.number < 80, "{}", status.name);
            assert!(!status.meaning.is_empty());
            for other in &TABLE[position + 1..] {
                assert!(other.number > status.number, "{} after {}", other.name, status.name);
                assert_ne!(other.name, status.name);
            }
        }
    }

    #[test]
    fn ranges_never_meet() {
        assert_eq!((jail_step(0), jail_step(19), jail_step(200)), (80, 99, 99));
        assert_eq!((native_crash(4), native_crash(11), native_crash(200)), (104, 111, 131));
    }

    #[test]
    fn a_number_is_found_or_not() {
        assert_eq!(find(CPU_TIME).map(|status| status.name), Some("CPU_TIME"));
        assert_eq!(find(99), None);
    }
}
