//! Broken datagrams, packets and setup streams: a decoder answers or refuses, never panics, and what it accepts is exactly
//! what it would write.

use gatebus_suite::mutate::{Mutator, campaign};
use gatebus_wire::control::{Begin, Node, Report};
use gatebus_wire::keeper::{Answer, Request};
use gatebus_wire::packets::Header;
use gatebus_wire::setup::Tree;
use gatebus_wire::spawner::News;
use gatebus_wire::{Boundary, Malformed, SetupReader};
use serde_json::Value;

const ROUNDS: u64 = 20_000;

/// The bytes of every example of `vectors.json` in this list.
fn vectors(list: &str) -> Vec<Vec<u8>> {
    let all: Value = serde_json::from_str(include_str!("../../wire/vectors.json")).expect("vectors");
    let examples = all[list].as_array().expect("a list");
    examples.iter().map(|example| bytes(example["hex"].as_str().expect("hex"))).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).expect("hex")).collect()
}

/// The same without the header of a packet.
fn contents() -> Vec<Vec<u8>> {
    vectors("control").into_iter().map(|packet| packet[8..].to_vec()).collect()
}

#[test]
fn requests_to_the_keeper() {
    campaign(&vectors("requests"), ROUNDS, |datagram| {
        for descriptors in 0..6 {
            if let Ok((id, request)) = Request::decode_untrusted(datagram, descriptors) {
                assert_eq!(request.encode(id), datagram);
                assert!(request.descriptors().contains(&descriptors));
            }
        }
    });
}

#[test]
fn answers_of_the_keeper() {
    campaign(&vectors("answers"), ROUNDS, |datagram| {
        if let Ok((id, answer)) = Answer::decode_untrusted(datagram) {
            assert_eq!(answer.encode(id), datagram);
        }
    });
}

#[test]
fn news_of_the_spawner() {
    let mut seeds: Vec<Vec<u8>> = (0..8_u8).map(|kind| [&[kind, 0, 0, 0][..], &[1; 60]].concat()).collect();
    seeds.extend((0..8_u8).flat_map(|kind| (4..64).map(move |length| vec![kind; length])));
    campaign(&seeds, ROUNDS, |datagram| {
        if let Ok(news) = News::decode_untrusted(datagram) {
            // Its text is made readable, so the bytes may differ; the value may not.
            assert_eq!(News::decode_untrusted(&news.encode()), Ok(news));
        }
    });
}

#[test]
fn headers_of_packets() {
    let seeds = [vectors("packets"), vectors("refused_headers"), vectors("control")].concat();
    campaign(&seeds, ROUNDS, |bytes| {
        let Some(first) = bytes.first_chunk() else {
            return;
        };
        if let Ok(header) = Header::decode_untrusted(*first) {
            let again = Header::decode_untrusted(header.encode()).expect("what it wrote");
            assert_eq!(again, header);
            assert_eq!(header.padded() % 8, 0);
        }
    });
}

#[test]
fn contents_of_control_packets() {
    campaign(&contents(), ROUNDS, |content| {
        if let Ok(begin) = Begin::decode_untrusted(content) {
            assert_eq!(Begin::decode_untrusted(&begin.encode()), Ok(begin));
        }
        if let Ok(node) = Node::decode_untrusted(content) {
            assert_eq!(node.encode().as_deref(), Some(content));
        }
        if let Ok(report) = Report::decode_untrusted(content) {
            assert!(report.text.len() <= 200);
        }
    });
}

/// Remembers what it was given.
#[derive(Default, PartialEq, Debug)]
struct Given(Vec<u8>);

impl Tree for Given {
    fn node(&mut self, node: Node<'_>) -> Result<(), Malformed> {
        self.0.extend(node.encode().unwrap_or_default());
        Ok(())
    }

    fn content(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

/// A whole setup, in pieces that end at the given places: everything that came out of it.
fn read_setup(stream: &[u8], cuts: &[usize]) -> (String, Given) {
    let (mut reader, mut given, mut at) = (SetupReader::new(), Given::default(), 0);
    for end in cuts.iter().copied().chain([stream.len()]) {
        while at < end {
            match reader.feed_untrusted(&stream[at..end], &mut given) {
                Ok(progress) if progress.done => {
                    let text = format!("done after {} {:?}", at + progress.consumed, reader.finish());
                    return (text, given);
                }
                Ok(progress) => {
                    assert_eq!(progress.consumed, end - at, "a piece that does not end the setup is taken whole");
                    at = end;
                }
                Err(error) => return (format!("{error:?}"), given),
            }
        }
    }
    ("not done".to_owned(), given)
}

#[test]
fn setup_streams_in_any_pieces_come_to_the_same() {
    let control = vectors("control");
    let setup: Vec<Vec<u8>> = control.into_iter().filter(|packet| packet[7] <= 6).collect();
    let mut seeds: Vec<Vec<u8>> = (1..=setup.len()).map(|count| setup[..count].concat()).collect();
    seeds.extend(setup);
    let mut cutter = Mutator::new(2);
    campaign(&seeds, ROUNDS, |stream| {
        let mut cuts: Vec<usize> = (0..cutter.below(5)).map(|_| cutter.below(stream.len() + 1)).collect();
        cuts.sort_unstable();
        let (whole, pieces) = (read_setup(stream, &[]), read_setup(stream, &cuts));
        assert_eq!(whole.0, pieces.0, "cut at {cuts:?}");
        if whole.0.starts_with("done") {
            assert_eq!(whole.1, pieces.1, "cut at {cuts:?}");
        }
    });
}

#[test]
fn boundaries_of_packets_in_any_pieces_come_to_the_same() {
    let seeds = [vectors("packets"), vec![vectors("packets").concat()], vectors("refused_headers")].concat();
    let mut cutter = Mutator::new(3);
    campaign(&seeds, ROUNDS, |stream| {
        let cut = cutter.below(stream.len() + 1);
        let (mut whole, mut pieces) = (Boundary::new(), Boundary::new());
        let at_once = whole.feed(stream);
        let in_two = pieces.feed(&stream[..cut]).and_then(|()| pieces.feed(&stream[cut..]));
        assert_eq!(at_once.is_ok(), in_two.is_ok(), "cut at {cut}");
        if at_once.is_ok() {
            assert_eq!(whole.at_boundary(), pieces.at_boundary(), "cut at {cut}");
        }
    });
}
