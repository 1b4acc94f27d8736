//! A tool for tests: turns the WebAssembly core suite into modules that check themselves.
//!
//! The sandbox has no host that could compare results, and should not get one for a test. So the comparisons go into
//! the module: `gatebus-suite DIRECTORY [SCRIPT..]` writes for each module of each script a copy with added functions, which make
//! the calls of the script's assertions in order and compare bit patterns; modules that must be refused; and
//! `manifest.json`, which says what each must do. Whoever runs them needs nothing but start, kill causes and one i32.

pub mod causes;
pub mod emit;
pub mod lines;
pub mod link;
pub mod mutate;
pub mod output;
pub mod policy;
pub mod script;
pub mod sections;
pub mod shape;
pub mod source;
pub mod splice;
pub mod value;

use std::path::Path;

/// Writes everything that the scripts ask for into the directory.
pub fn generate(directory: &Path, sources: &[source::Source]) -> Result<(), String> {
    std::fs::create_dir_all(directory).map_err(|e| e.to_string())?;
    let mut manifest = output::Manifest::default();
    for source in sources {
        let script = script::read(&source.text).map_err(|e| format!("{}: {e}", source.name))?;
        manifest.add(directory, &source.name, script).map_err(|e| format!("{}: {e}", source.name))?;
    }
    std::fs::write(directory.join("manifest.json"), manifest.text()).map_err(|e| e.to_string())
}
