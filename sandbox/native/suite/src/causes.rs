//! The message of the suite for each trap, and the cause with which our program must be killed.

/// Nobody catches it: a trap that has no cause of its own.
pub const EXCEPTION: &str = "TRAP";

const CAUSES: [(&str, &str); 14] = [
    ("unreachable", "UNREACHABLE"),
    ("call stack exhausted", "CALL_STACK_EXHAUSTED"),
    ("out of bounds memory access", "MEMORY_ACCESS_OUT_OF_BOUNDS"),
    ("out of bounds table access", "INDIRECT_CALL_INDEX_OUT_OF_BOUNDS"),
    ("undefined element", "INDIRECT_CALL_INDEX_OUT_OF_BOUNDS"),
    ("undefined", "INDIRECT_CALL_INDEX_OUT_OF_BOUNDS"),
    ("uninitialized element", "INDIRECT_CALL_INDEX_OUT_OF_BOUNDS"),
    ("uninitialized element 2", "INDIRECT_CALL_INDEX_OUT_OF_BOUNDS"),
    ("uninitialized", "INDIRECT_CALL_INDEX_OUT_OF_BOUNDS"),
    ("indirect call type mismatch", "INDIRECT_CALL_SIGNATURE_MISMATCH"),
    ("integer divide by zero", "INTEGER_DIVIDE_BY_ZERO"),
    ("integer overflow", "INTEGER_OVERFLOW"),
    ("invalid conversion to integer", "INTEGER_OVERFLOW"),
    ("null exception reference", "TRAP"),
];

/// Traps of proposals that admission refuses: their modules never run, so any cause will do.
const REFUSED: [&str; 9] = [
    "null function reference",
    "null reference",
    "null array reference",
    "null structure reference",
    "null i31 reference",
    "cast failure",
    "out of bounds array access",
    "expected shared memory",
    "unaligned atomic",
];

/// The cause for a message, or nothing for one that this table does not know.
pub fn of(message: &str) -> Option<&'static str> {
    let known = CAUSES.iter().find(|(text, _)| *text == message).map(|(_, cause)| *cause);
    known.or_else(|| REFUSED.contains(&message).then_some("TRAP"))
}

/// The cause when a module is killed while its instance is made. A segment that does not fit is one cause for memories
/// and tables (status 76 of PROTOCOL.md).
pub fn at_start(message: &str) -> Option<&'static str> {
    if message == "out of bounds table access" { Some("MEMORY_ACCESS_OUT_OF_BOUNDS") } else { of(message) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_the_suite_have_the_causes_of_the_protocol() {
        assert_eq!(of("invalid conversion to integer"), Some("INTEGER_OVERFLOW"));
        assert_eq!(of("uninitialized element 2"), Some("INDIRECT_CALL_INDEX_OUT_OF_BOUNDS"));
    }

    #[test]
    fn a_segment_that_does_not_fit_has_one_cause() {
        assert_eq!(at_start("out of bounds table access"), at_start("out of bounds memory access"));
        assert_ne!(of("out of bounds table access"), of("out of bounds memory access"));
    }

    #[test]
    fn a_message_that_nobody_knows_has_no_cause() {
        assert_eq!(of("something new"), None);
    }
}
