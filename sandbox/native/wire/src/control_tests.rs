use super::*;
use crate::packets::{HEADER, Header, PACKET_MAX};

fn begin() -> Begin {
    let instance = std::array::from_fn(|i| u8::try_from(i).expect("small"));
    Begin {
        flags: 5,
        log_limit: 1 << 33,
        files_limit: 77,
        nodes_limit: 9,
        clock_ms: 10,
        clock_ns: 0,
        origin_credit: 65_536,
        instance,
    }
}

fn content(packet: &[u8]) -> &[u8] {
    let header = Header::decode_untrusted(packet[..HEADER].try_into().expect("eight")).expect("good");
    assert_eq!(header.code, CODE_CONTROL);
    &packet[HEADER..header.size as usize]
}

#[test]
fn begin_is_56_bytes_and_read_back() {
    let bytes = begin().encode();
    assert_eq!(bytes.len(), 56);
    assert_eq!(Begin::decode_untrusted(&bytes), Ok(begin()));
}

#[test]
fn begin_of_any_other_length_is_refused() {
    let mut bytes = begin().encode();
    for length in 0..bytes.len() {
        assert_eq!(Begin::decode_untrusted(&bytes[..length]), Err(Malformed("too short")));
    }
    bytes.push(0);
    assert_eq!(Begin::decode_untrusted(&bytes), Err(Malformed("too long")));
}

#[test]
fn begin_with_another_version_flag_or_resolution_is_refused() {
    let corrupt = |at: usize, value: u8| {
        let mut bytes = begin().encode();
        bytes[at] = value;
        Begin::decode_untrusted(&bytes).expect_err("corrupt").0
    };
    assert_eq!(corrupt(0, 2), "unknown version of the setup");
    assert_eq!(corrupt(4, 128), "unknown flag in the setup");
    assert_eq!(corrupt(7, 128), "unknown flag in the setup");
    assert_eq!(corrupt(39, 1), "the resolution of clocks below a millisecond is a millisecond or more");
    let finest = Begin { clock_ms: 0, clock_ns: 999_999, ..begin() };
    assert_eq!(Begin::decode_untrusted(&finest.encode()), Ok(finest));
}

#[test]
fn nodes_are_read_back() {
    for (kind, target) in [(NodeType::Directory, &b""[..]), (NodeType::File, b""), (NodeType::Link, b"../x")] {
        let node = Node { kind, modified: u64::MAX, path: b"a/b c/\xff", target };
        let bytes = node.encode().expect("small");
        assert_eq!(Node::decode_untrusted(&bytes), Ok(node));
    }
}

#[test]
fn nodes_cut_anywhere_in_their_head_or_path_are_refused() {
    let bytes = Node { kind: NodeType::File, modified: 1, path: b"abc", target: b"" }.encode().expect("small");
    for length in 0..bytes.len() {
        assert!(Node::decode_untrusted(&bytes[..length]).is_err(), "{length}");
    }
}

#[test]
fn every_corrupt_field_of_a_node_is_refused() {
    let good = Node { kind: NodeType::File, modified: 1, path: b"abc", target: b"" }.encode().expect("small");
    for (at, value) in [
        (0, 0),
        (0, 5),
        (0, 255),
        (0, 7),
        (1, 1),
        (3, 9),
        (4, 4),
        (4, 2),
        (7, 255),
        (16, b'/'),
        (17, b'/'),
        (18, b'/'),
        (16, 0),
    ] {
        let mut bytes = good.clone();
        bytes[at] = value;
        let result = Node::decode_untrusted(&bytes);
        let harmless = at == 17 && value == b'/';
        assert_eq!(result.is_ok(), harmless, "byte {at} = {value}: {result:?}");
    }
}

#[test]
fn a_link_without_target_and_a_file_with_one_are_refused() {
    for (kind, target) in
        [(NodeType::Link, &b""[..]), (NodeType::File, b"x"), (NodeType::Directory, b"x"), (NodeType::Link, b"a\0")]
    {
        let bytes = Node { kind, modified: 0, path: b"p", target }.encode().expect("small");
        assert!(Node::decode_untrusted(&bytes).is_err());
    }
}

#[test]
fn paths_that_lead_elsewhere_are_refused() {
    for bad in ["", "/", "/a", "a/", "a//b", ".", "..", "a/..", "../a", "./a", "a/./b", "a\0b"] {
        assert!(check_path_untrusted(bad.as_bytes()).is_err(), "{bad:?}");
    }
    for good in ["a", "a/b", "...", ".a", "a/..b", "a b", "ä"] {
        assert!(check_path_untrusted(good.as_bytes()).is_ok(), "{good:?}");
    }
}

#[test]
fn a_node_larger_than_a_packet_is_not_made() {
    let path = vec![b'a'; CONTENT_MAX - 16];
    let fits = Node { kind: NodeType::File, modified: 0, path: &path, target: b"" };
    assert_eq!(fits.encode().map(|bytes| bytes.len()), Some(CONTENT_MAX));
    assert_eq!(Node { target: b"x", kind: NodeType::Link, ..fits }.encode(), None);
}

#[test]
fn a_report_is_read_back() {
    let report = Report { status: 25, result: -1, memory: 1 << 32, log_dropped: 3, text: "memory at 0x10".into() };
    assert_eq!(Report::decode_untrusted(content(&report.packet())), Ok(report));
}

#[test]
fn a_long_report_is_cut_between_characters() {
    let report = Report { text: format!("{}ä", "x".repeat(199)), ..Report::default() };
    let back = Report::decode_untrusted(content(&report.packet())).expect("good");
    assert_eq!(back.text, "x".repeat(199));
}

#[test]
fn reports_that_are_short_long_or_not_text_are_refused() {
    let good = content(&Report { text: "abc".into(), ..Report::default() }.packet()).to_vec();
    for length in 0..24 {
        assert!(Report::decode_untrusted(&good[..length]).is_err());
    }
    let mut long = good.clone();
    long.resize(24 + 201, b'a');
    assert!(Report::decode_untrusted(&long).is_err());
    assert!(Report::decode_untrusted(&[&good[..], &[0xff]].concat()).is_err());
}

#[test]
fn logs_fill_a_packet_and_no_more() {
    assert_eq!(log_packet(2, &vec![0; LOG_MAX]).map(|packet| packet.len()), Some(PACKET_MAX));
    assert_eq!(log_packet(2, &vec![0; LOG_MAX + 1]), None);
    assert_eq!(content(&log_packet(1, b"hi").expect("small")), b"\x01hi");
}

#[test]
fn kinds_are_their_numbers() {
    for number in 0..=255u8 {
        match Kind::from_untrusted(number) {
            Ok(kind) => assert_eq!(kind as u8, number),
            Err(_) => assert!(number > 11),
        }
    }
}
