use super::*;

#[test]
fn the_limit_is_met_exactly_and_the_rest_is_counted() {
    let mut log = Log::new(true, 10);
    assert_eq!((log.admit(4), log.admit(6), log.admit(0)), (4, 6, 0));
    assert_eq!(log.dropped(), 0);
    assert_eq!((log.admit(1), log.dropped()), (0, 1));
    let mut log = Log::new(true, 10);
    assert_eq!((log.admit(25), log.dropped()), (10, 15));
    log.drop(3);
    assert_eq!(log.dropped(), 18);
}

#[test]
fn what_nobody_wants_is_not_dropped_but_ignored() {
    let mut log = Log::new(false, 10);
    assert_eq!((log.admit(100), log.dropped()), (0, 0));
}

#[test]
fn a_piece_fits_into_a_packet() {
    let packet = packet(2, &[b'x'; PIECE]);
    assert_eq!(packet.len(), (8 + 1 + PIECE).next_multiple_of(8));
    assert_eq!((packet[7], packet[8], packet[9]), (7, 2, b'x'));
}
