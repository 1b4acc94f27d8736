//! Short words for the tests of the file system.
#![allow(dead_code)]

use gatebus_files::{At, Files, Follow, Id, Kind, Limits, Open, Problem, Result};

pub(crate) const NOW: u64 = 1_000;

pub(crate) const ROOMY: Limits = Limits { bytes: 1 << 30, names: 10_000, open: 100 };

pub(crate) fn empty() -> Files {
    Files::new(ROOMY, NOW)
}

/// Makes files (`a`), directories (`a/`), and links (`a -> b`), in order.
pub(crate) fn with(entries: &[&str]) -> Files {
    let mut files = empty();
    for entry in entries {
        if let Some((name, target)) = entry.split_once(" -> ") {
            files.symlink(target, at(&files, name), NOW).expect(entry);
        } else if entry.ends_with('/') {
            files.make_directory(at(&files, entry), NOW).expect(entry);
        } else {
            put(&mut files, entry, entry.as_bytes());
        }
    }
    files
}

pub(crate) fn at<'a>(files: &Files, path: &'a str) -> At<'a> {
    At { base: files.root(), path }
}

pub(crate) fn creating() -> Open {
    Open { create: true, ..Open::existing(Follow::Links) }
}

/// Makes or overwrites a file.
pub(crate) fn put(files: &mut Files, path: &str, bytes: &[u8]) {
    let id = files.open(at(files, path), Open { truncate: true, ..creating() }, NOW).expect(path);
    assert_eq!(files.write_at(id, 0, bytes, NOW), Ok(bytes.len()));
    files.close(id);
}

/// Content of a file.
pub(crate) fn get(files: &Files, path: &str) -> Result<Vec<u8>> {
    let id = files.find(at(files, path), Follow::Links)?;
    let mut bytes = vec![0; usize::try_from(files.stat(id)?.size).expect("small")];
    let count = files.read_at(id, 0, &mut bytes)?;
    assert_eq!(count, bytes.len());
    Ok(bytes)
}

pub(crate) fn kind(files: &Files, path: &str) -> Result<Kind> {
    let id = files.find(at(files, path), Follow::Nothing)?;
    Ok(files.stat(id)?.kind)
}

pub(crate) fn held(files: &mut Files, path: &str) -> Id {
    files.open(at(files, path), Open::existing(Follow::Links), NOW).expect(path)
}

pub(crate) fn rename(files: &mut Files, from: &str, to: &str) -> Result<()> {
    files.rename(at(files, from), at(files, to), NOW)
}

pub(crate) fn names(files: &Files, path: &str) -> Vec<String> {
    let id = files.find(at(files, path), Follow::Links).expect(path);
    let mut found = Vec::new();
    let mut cookie = 0;
    while let Some(entry) = files.entry_after(id, cookie).expect("a directory") {
        cookie = entry.cookie;
        found.push(entry.name.to_string());
    }
    found
}

pub(crate) fn problem<T: std::fmt::Debug>(result: Result<T>) -> Problem {
    result.expect_err("must fail")
}
