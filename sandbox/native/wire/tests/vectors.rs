//! The examples that both implementations must write and read alike: `vectors.json`.
//! `BLESS=1 cargo test -p gatebus-wire --test vectors` writes the file; otherwise it is compared.

use gatebus_wire::control::{self, Begin, Kind, Node, NodeType, Report};
use gatebus_wire::keeper::{Answer, Compile, Ended, Job, Ready, Reason, Request, Scan, Start, Why};
use gatebus_wire::{Layers, layers, packets, status};
use serde_json::{Map, Value, json};
use std::fmt::Write;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}

fn packet_rows() -> Vec<Value> {
    let cases: [(i16, u8, u8, &[u8]); 6] = [
        (0, packets::DOMAIN_CALL, 0, b""),
        (1, packets::DOMAIN_INFO, 0, b"\x01"),
        (32_767, packets::DOMAIN_FLOW, 0, &[0, 0, 0, 0, 0, 16, 0, 0]),
        (0, packets::DOMAIN_DATA, 0, &[0, 0, 0, 0, 0, 0, 0, 0, b'h', b'i']),
        (-1, packets::DOMAIN_CALL, 0, b"\x01\x00\x06origin"),
        (2, packets::DOMAIN_CALL, 7, b"12345678"),
    ];
    let row = |(code, domain, index, content): (i16, u8, u8, &[u8])| {
        let bytes = packets::packet(code, domain, index, content).expect("small");
        json!({"code": code, "domain": domain, "index": index, "content": hex(content), "size": 8 + content.len(), "hex": hex(&bytes)})
    };
    cases.into_iter().map(row).collect()
}

fn refused_header_rows() -> Vec<Value> {
    let header = |size: u32, code: i16| hex(&packets::Header { size, code, domain: 0, index: 0 }.encode());
    [(0, 0), (7, 0), (65_537, 0), (u32::MAX, 0), (8, -2), (8, -3), (16, i16::MIN)]
        .map(|(size, code)| json!({"size": size, "code": code, "hex": header(size, code)}))
        .to_vec()
}

fn control_row(name: &str, kind: Kind, content: &[u8], fields: Value) -> Value {
    let bytes = control::encode(kind, content).expect("small");
    json!({"name": name, "kind": kind as u8, "fields": fields, "hex": hex(&bytes)})
}

fn control_rows() -> Vec<Value> {
    let begin = Begin {
        flags: control::FLAG_FILES | control::FLAG_DEBUG_LOG,
        log_limit: 1 << 20,
        files_limit: 1 << 33,
        nodes_limit: 10_000,
        clock_ms: 10,
        clock_ns: 0,
        origin_credit: 65_536,
        instance: *b"0123456789abcdef",
    };
    let plain = Begin { flags: begin.flags | control::FLAG_PLAIN_OUTPUT, ..begin };
    let resumed = Begin { flags: begin.flags | control::FLAG_RESUMED, ..begin };
    let begin_fields = |begin: &Begin| {
        json!({"version": control::VERSION, "flags": begin.flags, "log_limit": begin.log_limit, "files_limit": begin.files_limit,
        "nodes_limit": begin.nodes_limit, "clock_ms": begin.clock_ms, "origin_credit": begin.origin_credit, "instance": hex(&begin.instance)})
    };
    let mut rows = vec![
        control_row("BEGIN", Kind::Begin, &begin.encode(), begin_fields(&begin)),
        control_row("BEGIN", Kind::Begin, &plain.encode(), begin_fields(&plain)),
        control_row("BEGIN", Kind::Begin, &resumed.encode(), begin_fields(&resumed)),
        control_row("ARGUMENT", Kind::Argument, b"hello", json!({"bytes": hex(b"hello")})),
        control_row("ENVIRONMENT", Kind::Environment, b"LANG=C", json!({"bytes": hex(b"LANG=C")})),
        control_row("FUNCTION", Kind::Function, b"main", json!({"name": "main"})),
        control_row("CONTENT", Kind::Content, b"abc\x00", json!({"bytes": hex(b"abc\x00")})),
        control_row("GO", Kind::Go, b"", json!({})),
        control_row("SUSPEND", Kind::Suspend, b"", json!({})),
        control_row("STATE", Kind::State, b"piece", json!({"bytes": hex(b"piece")})),
        control_row("RESTORE", Kind::Restore, b"piece", json!({"bytes": hex(b"piece")})),
    ];
    for (kind, path, target) in
        [(NodeType::Directory, "d", ""), (NodeType::File, "d/f", ""), (NodeType::Link, "l", "d/f")]
    {
        let node = Node { kind, modified: 1_700_000_000_000_000_001, path: path.as_bytes(), target: target.as_bytes() };
        let fields = json!({"type": kind as u8, "modified": node.modified, "path": path, "target": target});
        rows.push(control_row("NODE", Kind::Node, &node.encode().expect("small"), fields));
    }
    for stream in [1u8, 2] {
        let bytes = control::log_packet(stream, b"line\n").expect("small");
        rows.push(json!({"name": "LOG", "kind": 7, "fields": {"stream": stream, "bytes": hex(b"line\n")}, "hex": hex(&bytes)}));
    }
    for (status, result, text) in [(0u32, 0, ""), (25, -1, "memory access out of bounds"), (3, 42, "ä")] {
        let report = Report { status, result, memory: 1 << 17, log_dropped: 5, text: text.into() };
        let fields = json!({"status": status, "result": result, "memory": report.memory, "log_dropped": report.log_dropped, "text": text});
        rows.push(json!({"name": "REPORT", "kind": 8, "fields": fields, "hex": hex(&report.packet())}));
    }
    rows
}

fn request_rows() -> Vec<Value> {
    let start = Start {
        memory_limit: 1 << 33,
        data_limit: 1 << 28,
        cpu_ms: 10_000,
        wall_ms: 0,
        table_limit: 100_000,
        stack_class: 1,
        flags: 0,
        control_bytes: 0,
        base_files: 0,
        base_pages: 0,
        low: false,
    };
    let suspendable = Start { control_bytes: 1 << 26, ..start };
    let shared = Start { base_files: 2, base_pages: 17, ..suspendable };
    let low = Start { low: true, ..start };
    let scan = Scan { address: 1 << 46, length: 1 << 20, list_at: 4096 };
    let start_fields = |start: &Start| {
        json!({"memory_limit": start.memory_limit, "data_limit": start.data_limit, "cpu_ms": start.cpu_ms, "wall_ms": start.wall_ms,
        "table_limit": start.table_limit, "stack_class": start.stack_class, "flags": start.flags, "control_bytes": start.control_bytes,
        "base_files": start.base_files, "base_pages": start.base_pages, "low": start.low})
    };
    let mut cases = vec![
        ("START", Request::Start(start), start_fields(&start)),
        ("START", Request::Start(suspendable), start_fields(&suspendable)),
        ("START", Request::Start(shared), start_fields(&shared)),
        ("START", Request::Start(low), start_fields(&low)),
        ("SCAN", Request::Scan(scan), json!({"address": scan.address, "length": scan.length, "list_at": scan.list_at})),
        ("KILL", Request::Kill, json!({})),
        ("STATUS", Request::Status, json!({})),
        ("SHARE", Request::Share(70_000), json!({"account": 70_000})),
        ("PARK", Request::Park(true), json!({"parked": true})),
        ("UNPARK", Request::Park(false), json!({"parked": false})),
    ];
    for job in [Job::Plain, Job::Suspendable, Job::Continue, Job::Show, Job::Export] {
        let (cpu_ms, wall_ms) = (60_000, 90_000);
        let job = Compile { memory_limit: 1 << 30, max_code: 1 << 26, cpu_ms, wall_ms, flags: 0, job };
        let fields = json!({"memory_limit": job.memory_limit, "max_code": job.max_code, "cpu_ms": cpu_ms, "wall_ms": wall_ms,
            "flags": job.flags, "job": job.job as u32});
        cases.push(("COMPILE", Request::Compile(job), fields));
    }
    let row = |(name, request, fields): (&str, Request, Value)| {
        let (least, most) = request.descriptors().into_inner();
        json!({"name": name, "id": 7, "descriptors": [least, most], "fields": fields, "hex": hex(&request.encode(7))})
    };
    cases.into_iter().map(row).collect()
}

fn answer_rows() -> Vec<Value> {
    let ready = Ready {
        on: Layers::ALL.without(Layers::TSC),
        missing: Layers::TSC,
        cgroup_mode: 1,
        fingerprint: 0xfedc_ba98_7654_3210,
        pool_ready: 3,
        pool_size: 4,
        programs: 12,
        generation: 2,
    };
    let ready_fields = json!({"version": 1, "on": ready.on.0, "missing": ready.missing.0, "cgroup_mode": ready.cgroup_mode, "fingerprint": ready.fingerprint,
        "pool_ready": ready.pool_ready, "pool_size": ready.pool_size, "programs": ready.programs, "generation": ready.generation});
    let mut rows =
        vec![json!({"name": "READY", "id": 0, "fields": ready_fields, "hex": hex(&Answer::Ready(ready).encode(0))})];
    for (why, wait_status) in
        [(Why::Itself, 0x0100), (Why::Kill, 9), (Why::Wall, 9), (Why::Memory, 9), (Why::Itself, 31)]
    {
        let ended = Ended { wait_status, why, user_us: 1 << 33, system_us: 20, max_rss: 4096 };
        let fields = json!({"wait_status": wait_status, "why": why as u32, "user_us": ended.user_us, "system_us": ended.system_us, "max_rss": ended.max_rss});
        rows.push(json!({"name": "ENDED", "id": 9, "fields": fields, "hex": hex(&Answer::Ended(ended).encode(9))}));
    }
    for reason in [Reason::BadRequest, Reason::NoProcess, Reason::TooMany, Reason::SpawnerLost, Reason::NoStackClass] {
        let fields = json!({"reason": reason as u32, "errno": 11});
        rows.push(
            json!({"name": "FAILED", "id": 9, "fields": fields, "hex": hex(&Answer::Failed(reason, 11).encode(9))}),
        );
    }
    for parked in [true, false] {
        let bytes = hex(&Answer::Parked(parked).encode(9));
        rows.push(json!({"name": "PARKED", "id": 9, "fields": {"parked": parked}, "hex": bytes}));
    }
    for count in [Some(3), None] {
        let bytes = hex(&Answer::Scanned(count).encode(9));
        rows.push(json!({"name": "SCANNED", "id": 9, "fields": {"count": count}, "hex": bytes}));
    }
    rows
}

fn vectors() -> Value {
    let statuses =
        status::TABLE.iter().map(|row| json!({"number": row.number, "name": row.name, "meaning": row.meaning}));
    let layers = layers::TABLE
        .iter()
        .map(|row| json!({"bit": row.bit.0.trailing_zeros(), "name": row.name, "purpose": row.purpose}));
    let mut top = Map::new();
    top.insert("packets".into(), packet_rows().into());
    top.insert("refused_headers".into(), refused_header_rows().into());
    top.insert("control".into(), control_rows().into());
    top.insert("requests".into(), request_rows().into());
    top.insert("answers".into(), answer_rows().into());
    top.insert("statuses".into(), statuses.collect());
    top.insert("layers".into(), layers.collect());
    Value::Object(top)
}

#[test]
fn the_committed_vectors_are_what_this_crate_writes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors.json");
    let made = serde_json::to_string_pretty(&vectors()).expect("json") + "\n";
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(path, &made).expect("written");
    }
    let committed = std::fs::read_to_string(path).expect("vectors.json (make it with BLESS=1)");
    assert_eq!(
        committed, made,
        "vectors.json is not what the code writes: BLESS=1 if the protocol was meant to change"
    );
}
