//! The measure for the benchmark `kernels`: the same engine, its default configuration, no sandbox around it.
//!
//! `gatebus-plain FILE` compiles the module, makes an instance, calls its export `run` and prints the processor time of
//! instance and call (compiling is not counted) and what `run` returned, as JSON.

use std::error::Error;
use std::process::ExitCode;

use wasmtime::{Engine, Instance, Module, Store};

fn main() -> ExitCode {
    let Some(file) = std::env::args().nth(1) else {
        eprintln!("usage: gatebus-plain FILE");
        return ExitCode::from(2);
    };
    match measure(&file) {
        Ok((cpu, result)) => {
            println!("{}", serde_json::json!({"cpu": cpu, "result": result}));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("gatebus-plain: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(file: &str) -> Result<(f64, i32), Box<dyn Error>> {
    let engine = Engine::default();
    let module = Module::new(&engine, wat::parse_file(file)?)?;
    let before = cpu_seconds()?;
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[])?;
    let run = instance.get_typed_func::<(), i32>(&mut store, "run")?;
    let result = run.call(&mut store, ())?;
    Ok((cpu_seconds()? - before, result))
}

/// Processor time of this thread, user and system, in the kernel's nanoseconds (getrusage would need unsafe code).
fn cpu_seconds() -> Result<f64, Box<dyn Error>> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds: f64 = text.split_whitespace().next().ok_or("no schedstat")?.parse()?;
    Ok(nanoseconds / 1e9)
}
