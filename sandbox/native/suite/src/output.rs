//! Writes the modules of all scripts into one directory, with a manifest that says what each must do.
//!
//! ```text
//! {"runs":    [{"module", "file", "line", "check": asserts, "steps": [lines], "entries": [{"name", "line", "kind", "cause"}],
//!               "trap": cause|null, "linked": bool}],
//!  "refuse":  [{"module", "file", "line", "kind": "invalid"|"malformed"|"policy", "reason"}],
//!  "skipped": [{"kind", "reason", "count"}], "files": n}
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use wast::QuoteWatTest;

use crate::emit::{self, End, Step};
use crate::script::{Instance, Refusal, Script};
use crate::splice::splice;

/// Admission reports at most 64 entry functions of a module; modules with more calls that must not return are written
/// several times, each with its share.
const ENTRIES: usize = 60;

/// What is collected while scripts are written.
#[derive(Default)]
pub struct Manifest {
    runs: Vec<Value>,
    refuse: Vec<Value>,
    skipped: BTreeMap<(&'static str, String), u64>,
    files: u64,
}

impl Manifest {
    /// Writes everything of one script.
    pub fn add(&mut self, directory: &Path, name: &str, script: Script) -> Result<(), String> {
        self.files += 1;
        for instance in &script.instances {
            self.instance(directory, name, instance).map_err(|e| format!("line {}: {e}", instance.line))?;
        }
        for refusal in &script.refusals {
            self.refusal(directory, name, refusal)?;
        }
        for skip in script.skipped {
            *self.skipped.entry(skip).or_default() += 1;
        }
        Ok(())
    }

    /// The manifest as text.
    pub fn text(&self) -> String {
        let skipped: Vec<Value> = self
            .skipped
            .iter()
            .map(|((kind, reason), count)| json!({"kind": kind, "reason": reason, "count": count}))
            .collect();
        json!({"files": self.files, "runs": self.runs, "refuse": self.refuse, "skipped": skipped}).to_string()
    }

    fn instance(&mut self, directory: &Path, name: &str, instance: &Instance) -> Result<(), String> {
        let fails: Vec<usize> = killed(&instance.steps).collect();
        let returns = instance.steps.iter().filter(|step| matches!(step.end, End::Returns(_))).count();
        let lines: Vec<usize> = instance.steps.iter().map(|step| step.line).collect();
        let shares: Vec<&[usize]> = if fails.is_empty() { vec![&[]] } else { fails.chunks(ENTRIES).collect() };
        for (number, share) in shares.into_iter().enumerate() {
            let addition = emit::functions(&instance.shape, &instance.steps, share)?;
            let module = self.write(directory, "wasm", &splice(&instance.wasm, &addition)?)?;
            let first = number == 0;
            self.runs.push(json!({
                "module": module, "file": name, "line": instance.line, "trap": instance.trap, "linked": instance.linked,
                "check": if first { returns } else { 0 }, "steps": if first { lines.clone() } else { vec![] },
                "entries": share.iter().map(|at| entry(*at, &instance.steps[*at])).collect::<Vec<_>>(),
            }));
        }
        Ok(())
    }

    fn refusal(&mut self, directory: &Path, name: &str, refusal: &Refusal) -> Result<(), String> {
        let module = match &refusal.module {
            QuoteWatTest::Binary(wasm) => self.write(directory, "wasm", wasm)?,
            QuoteWatTest::Text(text) => self.write(directory, "wat", &as_module(text))?,
        };
        let Refusal { line, kind, reason, .. } = refusal;
        self.refuse.push(json!({"module": module, "file": name, "line": line, "kind": kind, "reason": reason}));
        Ok(())
    }

    fn write(&self, directory: &Path, kind: &str, content: &[u8]) -> Result<String, String> {
        let name = format!("{:05}.{kind}", self.runs.len() + self.refuse.len());
        fs::write(directory.join(&name), content).map_err(|e| format!("{name}: {e}"))?;
        Ok(name)
    }
}

fn killed(steps: &[Step]) -> impl Iterator<Item = usize> {
    steps.iter().enumerate().filter(|(_, step)| matches!(step.end, End::Killed { .. })).map(|(at, _)| at)
}

fn entry(at: usize, step: &Step) -> Value {
    let End::Killed { kind, cause } = step.end else {
        return Value::Null;
    };
    json!({"name": emit::fail_entry(at + 1), "line": step.line, "kind": kind, "cause": cause})
}

/// Admission takes text that begins with `(module`; a script may quote only what stands inside.
fn as_module(text: &[u8]) -> Vec<u8> {
    if text.trim_ascii_start().starts_with(b"(module") {
        return text.to_vec();
    }
    [b"(module\n", text, b"\n)"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_fields_become_a_module() {
        assert_eq!(as_module(b"(func)"), b"(module\n(func)\n)");
        assert_eq!(as_module(b" (module (func))"), b" (module (func))");
    }
}
