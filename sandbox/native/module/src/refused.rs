//! Why a module cannot be made suspendable. The program itself is not refused: it runs as it came, and cannot be stopped.

use std::fmt;

/// One construct that cannot be captured yet, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reason {
    /// The number of the function; `None` where the module as a whole is meant.
    pub function: Option<u32>,
    /// The function's name in the module's name section.
    pub name: Option<String>,
    /// What it is, as the end of "… cannot be suspended: ".
    pub why: &'static str,
}

/// Nothing was transformed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Not a module that the sandbox accepts. Admission says it better; here it only ends the work.
    Invalid(String),
    /// A valid program that runs, but cannot be suspended. Never empty; in the order of the functions.
    Suspension(Vec<Reason>),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.function, &self.name) {
            (Some(number), Some(name)) => write!(f, "function {number} ({name}): {}", self.why),
            (Some(number), None) => write!(f, "function {number}: {}", self.why),
            (None, _) => f.write_str(self.why),
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Invalid(text) => write!(f, "not a valid module: {text}"),
            Refused::Suspension(reasons) => {
                let lines: Vec<String> = reasons.iter().map(Reason::to_string).collect();
                write!(f, "the program cannot be suspended: {}", lines.join("; "))
            }
        }
    }
}

impl std::error::Error for Refused {}

impl From<wasmparser::BinaryReaderError> for Refused {
    fn from(error: wasmparser::BinaryReaderError) -> Refused {
        Refused::Invalid(error.to_string())
    }
}
