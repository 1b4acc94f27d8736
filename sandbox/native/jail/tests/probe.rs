//! `probe`: what it says where everything is there, where control groups are not, and where namespaces are forbidden.

mod common;
#[path = "common/rig.rs"]
mod rig;

use serde_json::Value;
use std::os::unix::process::CommandExt;
use std::process::Command;

fn probe(mut command: Command) -> (Value, Option<i32>) {
    let output = command.arg("probe").output().expect("probe");
    (serde_json::from_slice(&output.stdout).expect("JSON"), output.status.code())
}

fn off(found: &Value) -> Vec<&str> {
    let rows = found["layers"].as_array().expect("layers").iter();
    rows.filter(|row| row["on"] == false).filter_map(|row| row["name"].as_str()).collect()
}

fn nobody() -> Command {
    let mut command = Command::new(rig::public_copy());
    if rig::is_root() {
        command.uid(rig::NOBODY).gid(rig::NOBODY);
    }
    command
}

#[test]
fn every_layer_is_a_row_and_the_machine_is_described() {
    let (found, code) = probe(Command::new(rig::REHEARSAL));
    assert_eq!(found["layers"].as_array().map(Vec::len), Some(17));
    assert_eq!(code, Some(0), "{found:#}");
    assert!(found["kernel"].is_string() && found["vulnerabilities"].is_object() && found["fingerprint"].is_string());
}

#[test]
fn an_ordinary_user_is_told_why_there_are_no_control_groups() {
    let (found, code) = probe(nobody());
    assert_eq!(code, Some(0));
    for name in off(&found) {
        assert!(name.starts_with("cgroup-"), "{name}");
    }
    for row in found["layers"].as_array().expect("layers").iter().filter(|row| row["on"] == false) {
        assert!(row["why"].as_str().is_some_and(|why| why.starts_with("no right to make groups")), "{row}");
        assert!(row["advice"].as_str().is_some_and(|advice| advice.contains("Delegate=yes")), "{row}");
    }
}

#[test]
fn where_namespaces_are_forbidden_programs_cannot_run_and_it_says_so() {
    let mut command = nobody();
    // SAFETY: calls that are allowed between fork and exec. Inside a namespace of its own the limit is this test's.
    unsafe {
        command.pre_exec(|| {
            libc::unshare(libc::CLONE_NEWUSER);
            let limit = libc::open(c"/proc/sys/user/max_user_namespaces".as_ptr(), libc::O_WRONLY);
            libc::write(limit, c"0".as_ptr().cast(), 1);
            libc::close(limit);
            Ok(())
        });
    }
    let (found, code) = probe(command);
    assert_eq!(code, Some(78));
    assert!(found["broken"].as_str().is_some_and(|text| text.starts_with("new namespaces: ")), "{found:#}");
    assert!(off(&found).starts_with(&["user", "pid", "mount", "network"]), "{found:#}");
    let row = &found["layers"][0];
    assert_eq!(row["required"], true);
    assert!(
        !off(&found).contains(&"landlock") || found["landlock_version"] == 0,
        "what needs no container is judged alone"
    );
}
