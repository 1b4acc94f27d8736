//! The command line of the generator: a directory, then scripts (none: the core suite).

use std::path::Path;
use std::process::ExitCode;

use gatebus_suite::source::{Source, scripts};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(directory) = arguments.next() else {
        eprintln!("usage: gatebus-suite DIRECTORY [SCRIPT.wast ..]");
        return ExitCode::from(2);
    };
    match read(arguments).and_then(|sources| gatebus_suite::generate(Path::new(&directory), &sources)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gatebus-suite: {error}");
            ExitCode::FAILURE
        }
    }
}

fn read(paths: impl Iterator<Item = String>) -> Result<Vec<Source>, String> {
    let open = |name: String| match std::fs::read_to_string(&name) {
        Ok(text) => Ok(Source { name, text: text.into() }),
        Err(error) => Err(format!("{name}: {error}")),
    };
    let own = paths.map(open).collect::<Result<Vec<_>, _>>()?;
    Ok(if own.is_empty() { scripts() } else { own })
}
