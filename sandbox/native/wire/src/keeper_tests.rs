use super::*;

fn requests() -> Vec<Request> {
    let start = Start {
        memory_limit: 1 << 34,
        data_limit: 2,
        cpu_ms: 3,
        wall_ms: 4,
        table_limit: 5,
        stack_class: 1,
        flags: 7,
        control_bytes: 8,
        base_files: 0,
        base_pages: 9,
        low: true,
    };
    let job = Compile { memory_limit: 1 << 35, max_code: 2, cpu_ms: 3, wall_ms: 4, flags: 5, job: Job::Plain };
    let jobs =
        [Job::Plain, Job::Suspendable, Job::Continue, Job::Show, Job::Export].map(|kind| Compile { job: kind, ..job });
    let mut all = vec![
        Request::Start(start),
        Request::Kill,
        Request::Status,
        Request::Share(9),
        Request::Park(true),
        Request::Scan(Scan { address: 1 << 47, length: 1 << 32, list_at: 70_000 }),
    ];
    all.extend(jobs.map(Request::Compile));
    all
}

fn answers() -> Vec<Answer> {
    let ready = Ready {
        on: Layers::ALL,
        missing: Layers::TSC,
        cgroup_mode: 1,
        fingerprint: u64::MAX - 1,
        pool_ready: 2,
        pool_size: 4,
        programs: 3000,
        generation: 9,
    };
    let ended = Ended { wait_status: 0x1f, why: Why::Memory, user_us: 1 << 40, system_us: 2, max_rss: 3 };
    vec![
        Answer::Ready(ready),
        Answer::Ended(ended),
        Answer::Failed(Reason::NoStackClass, -5),
        Answer::Parked(true),
        Answer::Scanned(Some(7)),
        Answer::Scanned(None),
    ]
}

#[test]
fn requests_are_read_back() {
    for request in requests() {
        let bytes = request.encode(77);
        assert!(bytes.len() <= DATAGRAM_MAX);
        for descriptors in request.descriptors() {
            assert_eq!(Request::decode_untrusted(&bytes, descriptors), Ok((77, request)));
        }
    }
}

#[test]
fn answers_are_read_back() {
    for answer in answers() {
        let bytes = answer.encode(u32::MAX);
        assert!(bytes.len() <= DATAGRAM_MAX);
        assert_eq!(Answer::decode_untrusted(&bytes), Ok((u32::MAX, answer)));
    }
}

#[test]
fn a_request_of_another_length_is_refused_with_its_id() {
    for request in requests() {
        let mut bytes = request.encode(77);
        for length in 0..bytes.len() {
            let bad = Request::decode_untrusted(&bytes[..length], *request.descriptors().start()).expect_err("short");
            assert_eq!(bad, BadRequest { id: if length < 8 { 0 } else { 77 }, text: "too short" });
        }
        bytes.push(0);
        let bad = Request::decode_untrusted(&bytes, *request.descriptors().start()).expect_err("long");
        assert_eq!(bad, BadRequest { id: 77, text: "too long" });
    }
}

#[test]
fn a_request_with_another_number_of_descriptors_is_refused() {
    for request in requests() {
        for descriptors in (0..9).filter(|count| !request.descriptors().contains(count)) {
            let bad = Request::decode_untrusted(&request.encode(5), descriptors).expect_err("descriptors");
            assert_eq!(bad, BadRequest { id: 5, text: "wrong number of descriptors" });
        }
    }
}

#[test]
fn unknown_kinds_and_jobs_are_refused() {
    for kind in [0u32, 8, 15, 16, 17, 18, u32::MAX] {
        let bytes = [kind.to_le_bytes(), 3u32.to_le_bytes()].concat();
        assert_eq!(Request::decode_untrusted(&bytes, 0), Err(BadRequest { id: 3, text: "unknown kind of request" }));
    }
    let mut bytes = Request::Park(true).encode(1);
    bytes[8] = 2;
    assert_eq!(Request::decode_untrusted(&bytes, 0).expect_err("park").text, "neither yes nor no");
    let mut bytes = Request::Compile(Compile::default()).encode(1);
    for job in [5, 255] {
        let at = bytes.len() - 4;
        bytes[at] = job;
        assert_eq!(Request::decode_untrusted(&bytes, 3).expect_err("job").text, "unknown job");
    }
}

#[test]
fn answers_of_another_length_kind_or_number_are_refused() {
    for answer in answers() {
        let mut bytes = answer.encode(1);
        for length in 0..bytes.len() {
            assert_eq!(Answer::decode_untrusted(&bytes[..length]), Err(Malformed("too short")));
        }
        bytes.push(0);
        assert_eq!(Answer::decode_untrusted(&bytes), Err(Malformed("too long")));
    }
    let corrupt = |answer: Answer, at: usize, value: u8| {
        let mut bytes = answer.encode(1);
        bytes[at] = value;
        Answer::decode_untrusted(&bytes).expect_err("corrupt").0
    };
    let [ready, ended, failed, parked, _, _] = answers().try_into().expect("six");
    assert_eq!(corrupt(ready, 0, 1), "unknown kind of answer");
    assert_eq!(corrupt(ready, 8, 2), "unknown version of the keeper");
    assert_eq!(corrupt(ended, 12, 4), "unknown why");
    assert_eq!(corrupt(failed, 8, 0), "unknown reason");
    assert_eq!(corrupt(failed, 8, 6), "unknown reason");
    assert_eq!(corrupt(parked, 8, 2), "neither yes nor no");
}
