use gatebus_wire::packets::packet;

use super::*;
use crate::testing::{Fake, suspend};

fn stream() -> Vec<u8> {
    [0, 1, 7, 300, 65_528, 8, 5].iter().flat_map(|len| packet(3, 1, 0, &vec![0xee; *len]).expect("fits")).collect()
}

/// Reads all that comes while it comes in pieces of one size, into buffers of another.
fn read_all(bytes: &[u8], piece: usize, room: usize) -> (Vec<u8>, Inbox) {
    let mut inbox = Inbox::new(Link::new());
    let mut channel = Fake::new();
    let mut got = Vec::new();
    for piece in bytes.chunks(piece) {
        channel.bring(piece);
        loop {
            let mut into = vec![0; room];
            let count = inbox.read(&mut channel, &mut into).expect("good packets");
            got.extend(&into[..count]);
            if count == 0 {
                break;
            }
        }
    }
    (got, inbox)
}

#[test]
fn packets_pass_unchanged_however_they_are_cut() {
    for (piece, room) in [(1, 1), (3, 5), (8, 8), (7, 65_536), (4096, 3), (65_536, 65_536), (1 << 20, 1 << 20)] {
        let (got, inbox) = read_all(&stream(), piece, room);
        assert!(got == stream(), "{piece} {room}");
        assert_eq!(inbox.saved(), (0, &b""[..]));
        assert!(!inbox.is_asked_to_stop());
    }
}

#[test]
fn the_word_to_stop_is_not_the_guests_however_it_is_cut() {
    let bytes = [stream(), suspend()].concat();
    for (piece, room) in [(1, 1), (5, 9), (8, 3), (4096, 65_536), (1 << 20, 1 << 20)] {
        let (got, inbox) = read_all(&bytes, piece, room);
        assert!(got == stream(), "{piece} {room}");
        assert!(inbox.is_asked_to_stop());
    }
}

#[test]
fn a_header_passes_whole_or_not_yet() {
    let mut inbox = Inbox::new(Link::new());
    let mut channel = Fake::new();
    let bytes = packet(1, 1, 0, b"abcdefgh").expect("small");
    let mut into = [0; 16];
    for byte in &bytes[..7] {
        channel.bring(&[*byte]);
        assert_eq!((inbox.read(&mut channel, &mut into), inbox.available()), (Ok(0), Ok(0)));
    }
    channel.bring(&bytes[7..12]);
    assert_eq!(inbox.read(&mut channel, &mut into[..3]), Ok(3));
    assert_eq!(inbox.available(), Ok(9));
    channel.bring(&bytes[12..]);
    assert_eq!(inbox.read(&mut channel, &mut into[3..]), Ok(9));
    assert_eq!(inbox.read(&mut channel, &mut into[12..]), Ok(4));
    assert_eq!(&into[..], bytes);
}

#[test]
fn nothing_comes_after_the_word_to_stop() {
    for after in [&b"\0"[..], &stream(), &suspend()] {
        let mut inbox = Inbox::new(Link::new());
        let mut channel = Fake::new();
        channel.bring(&[&suspend(), after].concat());
        assert_eq!(inbox.fill(&mut channel).map_err(|exit| exit.status), Err(70), "at once");
        let mut inbox = Inbox::new(Link::new());
        let mut channel = Fake::new();
        channel.bring(&suspend());
        assert_eq!(inbox.fill(&mut channel), Ok(true));
        channel.bring(after);
        assert_eq!(inbox.fill(&mut channel).map_err(|exit| exit.status), Err(70), "later");
    }
}

#[test]
fn what_the_host_never_sends_ends_the_program() {
    let other = |kind| packet(-2, 0, kind, b"").expect("small");
    let (short, long) = ([7, 0, 0, 0, 0, 0, 0, 0].to_vec(), packet(-2, 0, 9, b"x").expect("small"));
    for bytes in [other(6), other(8), other(10), short, long] {
        let mut inbox = Inbox::new(Link::new());
        let mut channel = Fake::new();
        channel.bring(&bytes);
        assert_eq!(inbox.fill(&mut channel).map_err(|exit| exit.status), Err(70), "{bytes:?}");
    }
}

#[test]
fn what_is_unread_is_saved_wherever_reading_stood() {
    let bytes = [packet(0, 1, 0, b"0123456789"), packet(1, 3, 0, &[0; 16]), packet(2, 0, 0, b"")];
    let bytes = bytes.map(|packet| packet.expect("small")).concat();
    for at in 0..=bytes.len() {
        let mut channel = Fake::new();
        channel.bring(&[&bytes[..], &suspend()].concat());
        let mut inbox = Inbox::new(Link::new());
        let mut first = vec![0; at];
        assert_eq!(inbox.read(&mut channel, &mut first), Ok(at));
        inbox.fill(&mut channel).expect("no more");
        let (begun, unread) = inbox.saved();
        let mut again = Inbox::restore_untrusted(begun, unread, &Link::new()).expect("what was saved");
        assert_eq!(again.saved(), inbox.saved());
        assert!(!again.is_asked_to_stop());
        let mut channel = Fake::new();
        channel.bring(&packet(7, 0, 0, b"").expect("small"));
        let mut rest = vec![0; 100];
        let mut count = again.read(&mut channel, &mut rest).expect("good");
        count += again.read(&mut channel, &mut rest[count..]).expect("good");
        assert_eq!([&first, &rest[..count]].concat(), [&bytes[..], &packet(7, 0, 0, b"").expect("small")].concat());
    }
}

#[test]
fn what_is_no_rest_of_packets_is_refused() {
    let whole = packet(0, 1, 0, b"01234567").expect("small");
    for (begun, bytes) in [
        (0, &whole[..15]),
        (1, &whole[..]),
        (17, &whole[..]),
        (8, &whole[..7]),
        (0, &[0; 8]),
        (0, &suspend()),
        (16, &[&whole[..], &suspend()].concat()),
        (65_536, &vec![0; 65_536]),
        (usize::MAX, &whole[..]),
    ] {
        assert!(Inbox::restore_untrusted(begun, bytes, &Link::new()).is_none(), "{begun} {bytes:?}");
    }
}

#[test]
fn only_so_much_waits_in_here() {
    let mut inbox = Inbox::new(Link::new());
    let mut channel = Fake::new();
    let one = packet(0, 3, 0, &[0; 65_528]).expect("fits");
    for _ in 0..RECEIVED_MAX / one.len() + 1 {
        channel.bring(&one);
    }
    while inbox.has_room() {
        assert_eq!(inbox.fill(&mut channel), Ok(true));
    }
    assert_eq!((inbox.available(), channel.incoming.len()), (Ok(RECEIVED_MAX), one.len()));
}
