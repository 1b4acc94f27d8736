//! Watches what a Gate guest writes: are we between packets, and may this header pass?
//!
//! A Gate program writes the packet stream itself, in pieces of any size. The runtime must know two things about it:
//! whether its own control packets may follow (only between packets), and that the guest does not forge one. The
//! bytes themselves are not copied and, but for headers, not looked at. What lost: parsing whole packets here, which
//! costs a copy and would be done once more by the host, who cannot trust this process.

use crate::packets::{CODE_DISCOVERY, HEADER, Header};

/// A header that no program may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Violation {
    /// How many bytes of the offered input come before the refused header (those may still be sent).
    pub before: usize,
    /// Why.
    pub text: &'static str,
}

/// Where in the packet stream the guest is.
#[derive(Debug, Clone, Default)]
pub struct Boundary {
    header: [u8; HEADER],
    /// Bytes of the next header that have been seen, 0..7.
    seen: usize,
    /// Bytes of the present packet (content and padding) that are still to come.
    left: usize,
}

impl Boundary {
    /// At the start of a stream, which is a boundary.
    pub fn new() -> Self {
        Boundary::default()
    }

    /// Whether everything written so far is whole packets.
    pub fn at_boundary(&self) -> bool {
        self.seen == 0 && self.left == 0
    }

    /// Bytes of the packet that has begun and not ended, 0 at a boundary.
    pub fn unfinished(&self) -> usize {
        match (self.seen, self.left) {
            (0, 0) => 0,
            // What `feed` has found good once.
            (0, left) => content_of_untrusted(self.header).unwrap_or(left) + HEADER - left,
            (seen, _) => seen,
        }
    }

    /// Takes the next bytes of the stream. After an error the stream is over.
    pub fn feed(&mut self, input: &[u8]) -> Result<(), Violation> {
        let mut rest = input;
        while !rest.is_empty() {
            let skipped = self.left.min(rest.len());
            self.left -= skipped;
            rest = &rest[skipped..];
            let before = input.len() - rest.len();
            let taken = (HEADER - self.seen).min(rest.len());
            self.header[self.seen..self.seen + taken].copy_from_slice(&rest[..taken]);
            self.seen += taken;
            rest = &rest[taken..];
            if self.seen == HEADER {
                self.left = content_of_untrusted(self.header).map_err(|text| Violation { before, text })?;
                self.seen = 0;
            }
        }
        Ok(())
    }
}

/// Bytes that follow this header, padding included.
fn content_of_untrusted(bytes: [u8; HEADER]) -> Result<usize, &'static str> {
    let header = Header::decode_untrusted(bytes).map_err(|malformed| malformed.0)?;
    if header.code < CODE_DISCOVERY {
        return Err("packet code is reserved");
    }
    Ok(header.padded() - HEADER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packets::packet;

    fn stream() -> (Vec<u8>, Vec<usize>) {
        let mut bytes = Vec::new();
        let mut ends = vec![0];
        for length in [0, 1, 7, 8, 9, 300, 2, 65_528, 5] {
            bytes.extend(packet(0, 3, 0, &vec![0xee; length]).expect("fits"));
            ends.push(bytes.len());
        }
        (bytes, ends)
    }

    #[test]
    fn boundaries_are_found_however_the_stream_is_cut() {
        let (bytes, ends) = stream();
        for step in [1, 2, 3, 5, 7, 8, 13, 64, 1000, 65_536, 1 << 20] {
            let mut boundary = Boundary::new();
            let mut at = 0;
            for piece in bytes.chunks(step) {
                boundary.feed(piece).expect("all packets are good");
                at += piece.len();
                assert_eq!(boundary.at_boundary(), ends.contains(&at), "step {step} at {at}");
                let begun = ends.iter().rev().find(|end| **end <= at).expect("the first is 0");
                assert_eq!(boundary.unfinished(), at - begun, "step {step} at {at}");
            }
        }
    }

    #[test]
    fn an_empty_piece_changes_nothing() {
        let mut boundary = Boundary::new();
        boundary.feed(&[]).expect("empty");
        assert!(boundary.at_boundary());
        boundary.feed(&[8, 0, 0]).expect("part of a header");
        boundary.feed(&[]).expect("empty");
        assert!(!boundary.at_boundary());
    }

    #[test]
    fn a_guest_cannot_write_a_control_packet_at_any_cut() {
        let (mut bytes, _) = stream();
        let good = bytes.len();
        bytes.extend(packet(-2, 0, 8, b"forged").expect("small"));
        for step in [1, 3, 8, 4096, 1 << 20] {
            let mut boundary = Boundary::new();
            let mut passed = 0;
            let violation = bytes.chunks(step).find_map(|piece| match boundary.feed(piece) {
                Ok(()) => {
                    passed += piece.len();
                    None
                }
                Err(violation) => Some(violation),
            });
            let violation = violation.expect("must be refused");
            assert_eq!(violation.text, "packet code is reserved");
            let limit = good.div_ceil(step) * step;
            assert!(passed + violation.before <= limit.max(good + 8), "step {step}");
            assert!(passed + violation.before >= good, "everything before it may pass: step {step}");
        }
    }

    #[test]
    fn the_bytes_before_a_refused_header_are_counted() {
        let mut bytes = packet(0, 0, 0, b"fine").expect("small");
        bytes.extend(packet(-3, 0, 0, b"").expect("small"));
        let violation = Boundary::new().feed(&bytes).expect_err("code -3");
        assert_eq!(violation, Violation { before: 16, text: "packet code is reserved" });
    }

    #[test]
    fn sizes_that_no_packet_has_are_refused() {
        for size in [0u32, 1, 7, 65_537, u32::MAX] {
            let bytes = Header { size, code: 0, domain: 0, index: 0 }.encode();
            let violation = Boundary::new().feed(&bytes).expect_err("bad size");
            assert_eq!(violation.text, "packet size is outside 8..65536");
        }
    }

    #[test]
    fn discovery_and_every_service_pass() {
        for code in [-1, 0, 1, 255, i16::MAX] {
            let bytes = packet(code, 0, 0, b"abc").expect("small");
            Boundary::new().feed(&bytes).expect("allowed");
        }
        for code in i16::MIN..-1 {
            let bytes = packet(code, 0, 0, b"").expect("small");
            assert!(Boundary::new().feed(&bytes).is_err(), "{code}");
        }
    }
}
