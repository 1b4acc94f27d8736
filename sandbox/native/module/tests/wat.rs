//! The constructs one by one: each program of `wat/` says in its comments what it is for and what it gives, plain and stopped at every visit. What the transformation
//! makes of them stands in docs/live-state.md, and is made again here (`GATEBUS_WRITE=1` writes it).

#![allow(missing_docs, clippy::unwrap_used, clippy::cast_possible_truncation)]

mod common;

use common::engines;
use common::plain::plain;
use common::stopped::{Stopped, always};
use gatebus_module::{Place, Suspendable};
use std::path::{Path, PathBuf};
use wasmtime::Val;

const BEGIN: &str = "<!-- made by sandbox/native/module/tests/wat.rs -->\n";

struct Example {
    name: String,
    text: String,
    why: String,
    argument: i32,
    result: i32,
}

fn crate_path(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Comments in front: what it is for, and the last of them `run ARGUMENT -> RESULT`.
fn examples() -> Vec<Example> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(crate_path("tests/wat")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
        .into_iter()
        .map(|path| {
            let whole = std::fs::read_to_string(&path).unwrap();
            let comments: Vec<&str> = whole.lines().map_while(|line| line.strip_prefix(";; ")).collect();
            let (call, why) = comments.split_last().unwrap();
            let (argument, result) = call.strip_prefix("run ").unwrap().split_once(" -> ").unwrap();
            let text = whole.lines().skip(comments.len()).collect::<Vec<_>>().join("\n");
            let name = path.file_stem().unwrap().to_str().unwrap()[3..].replace('-', " ");
            let (argument, result) = (argument.parse().unwrap(), result.parse().unwrap());
            Example { name, text, why: why.join(" "), argument, result }
        })
        .collect()
}

#[test]
fn every_construct_gives_what_it_says_however_often_it_is_stopped() {
    for example in examples() {
        let wasm = wat::parse_str(&example.text).unwrap();
        let engines = engines();
        let arguments = [Val::I32(example.argument)];
        let expected = plain(&engines[0], &wasm, "run", &arguments);
        assert_eq!(expected.results, Ok(vec![example.result.cast_unsigned().into()]), "{}", example.name);
        let mut stopped = Stopped::new(&wasm, &engines);
        assert_eq!(stopped.run("run", &arguments, &mut always), expected, "{}", example.name);
        let points = stopped.program.table().sites.values().filter(|site| site.place != Place::Import).count();
        assert!(stopped.legs > 0 || points == 0 || example.name == "host call", "{}", example.name);
    }
}

/// The functions of the source as they are afterwards; those of ours by the names under which they are exported.
fn after(program: &Suspendable<'_>) -> String {
    let text = wasmprinter::print_bytes(program.wasm()).unwrap();
    let mut names = Vec::new();
    for line in text.lines() {
        let Some(rest) = line.trim().strip_prefix("(export \"gatebus:") else { continue };
        if let Some((name, index)) = rest.split_once("\" (func ") {
            names.push((index.trim_end_matches(')').to_owned(), format!("$gatebus:{name}")));
        }
    }
    let mut shown = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        // Ours have no names in the module.
        inside |= line.starts_with("  (func $");
        if inside {
            let call = names.iter().find(|(index, _)| line.trim() == format!("call {index}"));
            shown.push(match call {
                Some((index, name)) => line.replace(&format!("call {index}"), &format!("call {name}")),
                None => line.to_owned(),
            });
        }
        inside &= line != "  )";
    }
    shown.join("\n")
}

#[test]
fn the_document_shows_what_the_transformation_makes() {
    let mut made = String::new();
    for example in examples() {
        let wasm = wat::parse_str(&example.text).unwrap();
        let program = Suspendable::new_untrusted(&wasm).unwrap();
        let Example { name, text, why, .. } = &example;
        let after = after(&program);
        made += &format!("\n### {name}\n\n{why}\n\n```wat\n{text}\n```\n\n```wat\n{after}\n```\n");
    }
    let path = crate_path("../../../docs/live-state.md");
    let document = std::fs::read_to_string(&path).unwrap();
    let (written, found) = document.split_once(BEGIN).expect("the place where the examples begin");
    if std::env::var("GATEBUS_WRITE").is_ok() {
        std::fs::write(&path, format!("{written}{BEGIN}{made}")).unwrap();
        return;
    }
    assert!(found == made, "docs/live-state.md is old: GATEBUS_WRITE=1 cargo test --test wat writes it");
}
