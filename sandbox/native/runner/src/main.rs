//! `gatebus-sandbox ROLE`: the one executable of the native back-end.

use gatebus_jail::{keeper_main, probe_main, spawner_main};
use gatebus_sandbox::workload::Native;

const USAGE: &str =
    "usage: gatebus-sandbox keeper [--pool N] [--require LAYER,..] [--without LAYER,..] | probe | bench-spawn";

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (role, rest) = words.split_first().map_or(("", &[][..]), |(role, rest)| (role.as_str(), rest));
    match role {
        "keeper" => keeper_main::<Native>(rest),
        "spawner" => spawner_main::<Native>(rest),
        "probe" => probe_main(),
        "bench-spawn" => {
            if let Err(error) = gatebus_sandbox::bench::main() {
                eprintln!("bench-spawn: {error}");
                std::process::exit(1)
            }
        }
        _ => {
            eprintln!("{USAGE}");
            std::process::exit(2)
        }
    }
}
