use super::*;

fn names(rows: &[Function], module: &str) -> Vec<&'static str> {
    rows.iter().filter(|row| row.module == module).map(|row| row.name).collect()
}

#[test]
fn preview1_has_all_46_functions() {
    assert_eq!(names(WASI, "wasi_snapshot_preview1").len(), 46);
}

#[test]
fn wasi_unstable_has_the_same_functions_and_signatures_except_sock_accept() {
    assert_eq!(names(WASI, "wasi_unstable").len(), 45);
    for row in WASI.iter().filter(|row| row.module == "wasi_unstable") {
        let twin = find(WASI, "wasi_snapshot_preview1", row.name).expect("the same name");
        assert_eq!((row.parameters, row.result), (twin.parameters, twin.result), "{}", row.name);
    }
    assert!(find(WASI, "wasi_unstable", "sock_accept").is_none());
}

#[test]
fn gate_has_its_own_two_functions_and_45_of_wasi() {
    assert_eq!(names(GATE, "gate"), ["fd", "io"]);
    assert_eq!(names(GATE, "wasi_snapshot_preview1").len(), 45);
    for row in GATE.iter().filter(|row| row.module != "gate") {
        assert_eq!(find(WASI, row.module, row.name), Some(row));
    }
}

#[test]
fn no_function_is_listed_twice() {
    for rows in [WASI, GATE] {
        for (position, row) in rows.iter().enumerate() {
            let first = rows.iter().position(|other| (other.module, other.name) == (row.module, row.name));
            assert_eq!(first, Some(position), "{}.{}", row.module, row.name);
        }
    }
}

#[test]
fn signatures_are_those_of_the_documents() {
    let expected = "args_get ii; args_sizes_get ii; clock_res_get ii; clock_time_get iIi; environ_get ii; \
        environ_sizes_get ii; fd_advise iIIi; fd_allocate iII; fd_close i; fd_datasync i; fd_fdstat_get ii; \
        fd_fdstat_set_flags ii; fd_fdstat_set_rights iII; fd_filestat_get ii; fd_filestat_set_size iI; \
        fd_filestat_set_times iIIi; fd_pread iiiIi; fd_prestat_dir_name iii; fd_prestat_get ii; fd_pwrite iiiIi; \
        fd_read iiii; fd_readdir iiiIi; fd_renumber ii; fd_seek iIii; fd_sync i; fd_tell ii; fd_write iiii; \
        path_create_directory iii; path_filestat_get iiiii; path_filestat_set_times iiiiIIi; path_link iiiiiii; \
        path_open iiiiiIIii; path_readlink iiiiii; path_remove_directory iii; path_rename iiiiii; path_symlink iiiii; \
        path_unlink_file iii; poll_oneoff iiii; proc_exit i; proc_raise i; random_get ii; sched_yield ; \
        sock_recv iiiiii; sock_send iiiii; sock_shutdown ii";
    for entry in expected.split(';') {
        let (name, letters) = entry.trim_start().split_once(' ').expect("name and letters");
        let row = find(GATE, "wasi_snapshot_preview1", name).expect(name);
        let found: String = row.parameters.iter().map(|kind| if *kind == Kind::I32 { 'i' } else { 'I' }).collect();
        assert_eq!(found, letters, "{name}");
        assert_eq!(row.result, (name != "proc_exit").then_some(Kind::I32), "{name}");
    }
    let io = find(GATE, "gate", "io").expect("io");
    use Kind::{I32, I64};
    assert_eq!((io.parameters, io.result), (&[I32, I32, I32, I32, I32, I32, I64, I32][..], None));
    let fd = find(GATE, "gate", "fd").expect("fd");
    assert_eq!((fd.parameters, fd.result), (&[][..], Some(I32)));
    let accept = find(WASI, "wasi_snapshot_preview1", "sock_accept").expect("sock_accept");
    assert_eq!((accept.parameters, accept.result), (&[I32, I32, I32][..], Some(I32)));
}

#[test]
fn gate_names_carry_a_number_of_at_least_one_packet() {
    for name in ["fd_65536", "fd_65537", "io_65536", "io_4294967295", "io_4294967296", "fd_99999999999999999999"] {
        assert!(gate_function("gate", name).is_some(), "{name}");
        assert!(gate_function("env", &format!("__gate_{name}")).is_some(), "{name}");
    }
    for name in [
        "fd",
        "fd_",
        "fd_0",
        "fd_065536",
        "fd_65535",
        "fd_-65536",
        "fd_+65536",
        "fd_65536x",
        "fd__",
        "x_65536",
        "_65536",
        "",
    ] {
        assert!(gate_function("gate", name).is_none(), "{name}");
        assert!(gate_function("env", &format!("__gate_{name}")).is_none(), "{name}");
    }
    assert_eq!(gate_function("gate", "io_65536").map(|row| row.name), Some("io"));
}

#[test]
fn gate_reaches_wasi_functions_under_three_names() {
    for name in names(GATE, "wasi_snapshot_preview1") {
        let row = find(GATE, "wasi_snapshot_preview1", name);
        assert_eq!(gate_function("wasi_snapshot_preview1", name), row);
        assert_eq!(gate_function("wasi_unstable", name), row);
        assert_eq!(gate_function("env", &format!("__wasi_{name}")), row);
    }
}

#[test]
fn gate_refuses_other_names() {
    for (module, name) in [
        ("env", "fd_write"),
        ("env", "rt_debug"),
        ("env", "__gate_fd"),
        ("env", "__wasi_sock_accept"),
        ("env", "memory"),
        ("wasi_snapshot_preview1", "sock_accept"),
        ("wasi_snapshot_preview1", "fd_65536"),
        ("gate", "fd_write"),
        ("wasi_snapshot_preview2", "fd_write"),
        ("", ""),
        ("gate", "args_get"),
    ] {
        assert!(gate_function(module, name).is_none(), "{module}.{name}");
    }
}

#[test]
fn the_imports_choose_the_personality() {
    assert_eq!(personality([]), Personality::Wasi);
    assert_eq!(personality(["wasi_unstable", "wasi_snapshot_preview1"]), Personality::Wasi);
    assert_eq!(personality(["wasi_snapshot_preview1", "gate"]), Personality::Gate);
    assert_eq!(personality(["env"]), Personality::Gate);
    // An unknown module is refused by whichever personality looks it up.
    assert_eq!(personality(["other"]), Personality::Wasi);
    assert!(function_untrusted(Personality::Wasi, "other", "f").is_none());
}

#[test]
fn a_wasi_program_cannot_import_gate_functions() {
    assert!(function_untrusted(Personality::Wasi, "gate", "fd_65536").is_none());
    assert!(function_untrusted(Personality::Wasi, "wasi_snapshot_preview1", "sock_accept").is_some());
    assert!(function_untrusted(Personality::Gate, "gate", "fd_65536").is_some());
    assert!(function_untrusted(Personality::Gate, "wasi_unstable", "fd_write").is_some());
}
