use super::*;
use crate::testing::{Fake, data, flow};

fn all(link: &mut Link, channel: &mut Fake) -> Vec<(Header, Vec<u8>)> {
    let mut found = Vec::new();
    loop {
        while let Some((header, content)) = link.packet_untrusted().expect("good") {
            found.push((header, content.to_vec()));
            link.consume(header.padded());
        }
        if !link.fill(channel).expect("open") {
            return found;
        }
    }
}

#[test]
fn packets_are_whole_however_the_stream_is_cut() {
    let contents = [vec![], vec![1; 3], vec![2; 65_520], vec![3; 8], vec![4; 40_000], vec![5; 1]];
    let stream: Vec<u8> = contents.iter().flat_map(|bytes| data(bytes)).chain(flow(9)).collect();
    for piece in [1, 7, 8, 100, 4096, 65_536] {
        let mut channel = Fake::new();
        channel.piece = piece;
        channel.bring(&stream);
        let found = all(&mut Link::new(), &mut channel);
        assert_eq!(found.len(), 7, "{piece}");
        for ((header, content), bytes) in found.iter().zip(&contents) {
            assert_eq!((header.domain, &content[8..]), (3, bytes.as_slice()));
        }
        assert_eq!(found[6].0.domain, 2);
    }
}

#[test]
fn a_size_that_no_packet_has_is_malformed() {
    for size in [0u32, 7, 65_537, u32::MAX] {
        let mut channel = Fake::new();
        channel.bring(&size.to_le_bytes());
        channel.bring(&[0; 4]);
        let mut link = Link::new();
        assert_eq!(link.fill(&mut channel), Ok(true));
        assert_eq!(link.packet_untrusted().map(|_| ()), Err(malformed()));
    }
}

#[test]
fn a_closed_channel_is_an_orphan_after_the_last_byte() {
    let mut channel = Fake::new();
    channel.bring(&flow(1));
    channel.closed = true;
    let mut link = Link::new();
    assert_eq!(link.fill(&mut channel), Ok(true));
    assert!(link.packet_untrusted().is_ok_and(|packet| packet.is_some()));
    assert_eq!(link.fill(&mut channel), Err(orphaned()));
    assert_eq!(orphaned().status, 75);
}

#[test]
fn an_idle_link_holds_one_page() {
    let mut channel = Fake::new();
    channel.bring(&flow(1));
    let mut link = Link::new();
    all(&mut link, &mut channel);
    assert_eq!(link.buffer.len(), FIRST);
}
