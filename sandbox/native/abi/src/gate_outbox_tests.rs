use gatebus_wire::packets::packet;

use super::*;
use crate::testing::Fake;

fn stream() -> Vec<u8> {
    [0, 1, 7, 300, 65_528, 8, 5].iter().flat_map(|len| packet(3, 1, 0, &vec![0xee; *len]).expect("fits")).collect()
}

#[test]
fn packets_leave_whole_however_they_are_written() {
    for piece in [1, 3, 8, 11, 4096, 65_536, 1 << 20] {
        let mut outbox = Outbox::default();
        let mut channel = Fake::new();
        let mut written: Vec<u8> = Vec::new();
        for bytes in stream().chunks(piece) {
            assert_eq!(outbox.write(&mut channel, bytes), Ok(bytes.len()));
            written.extend(bytes);
            assert!([&channel.outgoing[..], outbox.unfinished()].concat() == written, "{piece}");
        }
        assert_eq!(channel.packets().len(), 7, "{piece}");
        assert_eq!((outbox.waiting(), outbox.unfinished().len()), (0, 0));
    }
}

#[test]
fn a_slow_socket_gets_every_byte_once_and_in_order() {
    for room in [1, 5, 100, 40_000] {
        let mut outbox = Outbox::default();
        let mut channel = Fake::new();
        let (bytes, mut at) = (stream(), 0);
        while at < bytes.len() || outbox.waiting() > 0 {
            channel.room = room;
            let end = (at + 20_000).min(bytes.len());
            at += outbox.write(&mut channel, &bytes[at..end]).expect("good packets");
            outbox.flush(&mut channel).expect("the host is there");
            assert!(outbox.waiting() < 2 * 65_536);
        }
        assert!(channel.outgoing == bytes, "{room}");
    }
}

#[test]
fn an_unfinished_packet_is_saved_at_every_byte() {
    let bytes =
        [packet(0, 1, 0, b"0123456789"), packet(1, 3, 0, &[0; 16])].map(|packet| packet.expect("small")).concat();
    for at in 0..bytes.len() {
        let (mut outbox, mut channel) = (Outbox::default(), Fake::new());
        assert_eq!(outbox.write(&mut channel, &bytes[..at]), Ok(at));
        let mut again = Outbox::restore_untrusted(outbox.unfinished()).expect("what was saved");
        assert_eq!(again.unfinished(), outbox.unfinished());
        assert_eq!(again.write(&mut channel, &bytes[at..]), Ok(bytes.len() - at));
        assert_eq!(channel.outgoing, bytes);
    }
}

#[test]
fn what_is_no_beginning_of_a_packet_is_refused() {
    let whole = packet(0, 1, 0, b"01234567").expect("small");
    let forged = packet(-2, 0, 8, b"").expect("small");
    for bytes in [&whole[..], &[&whole[..], &whole[..3]].concat(), &forged, &[0; 8], &vec![0; 70_000]] {
        assert!(Outbox::restore_untrusted(bytes).is_none(), "{bytes:?}");
    }
    assert!(Outbox::restore_untrusted(b"").is_some() && Outbox::restore_untrusted(&whole[..15]).is_some());
}

#[test]
fn a_broken_off_packet_goes_out_as_it_is() {
    let (mut outbox, mut channel) = (Outbox::default(), Fake::new());
    assert!(!outbox.break_off());
    assert_eq!(outbox.write(&mut channel, &stream()[..11]), Ok(11));
    assert!(outbox.break_off());
    outbox.drain(&mut channel).expect("the host is there");
    assert_eq!(channel.outgoing, stream()[..11]);
}
