//! The header of a packet between host and program.
//!
//! ```text
//! 0  u32  size    header + content, without padding; 8..65,536
//! 4  i16  code    >= 0 a discovered service, -1 discovery, -2 control; others are violations
//! 6  u8   domain  low 4 bits: 0 call, 1 info, 2 flow, 3 data
//! 7  u8   index   call replies: which unanswered call; control: the kind
//! ```

use crate::Malformed;

/// Bytes of a header.
pub const HEADER: usize = 8;
/// Largest packet, header included (Gate's constant; programs size their buffers by it).
pub const PACKET_MAX: usize = 65_536;
/// Packets start at multiples of this.
pub const ALIGNMENT: usize = 8;
/// Code of discovery packets.
pub const CODE_DISCOVERY: i16 = -1;
/// Code of control packets, which only the runtime and the host write.
pub const CODE_CONTROL: i16 = -2;
/// Domain of calls and their replies.
pub const DOMAIN_CALL: u8 = 0;
/// Domain of messages that want no reply.
pub const DOMAIN_INFO: u8 = 1;
/// Domain of credit for streams.
pub const DOMAIN_FLOW: u8 = 2;
/// Domain of stream content.
pub const DOMAIN_DATA: u8 = 3;

/// One packet's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Header and content, without padding.
    pub size: u32,
    /// Service, discovery or control.
    pub code: i16,
    /// Call, info, flow or data.
    pub domain: u8,
    /// Position of the answered call, or kind of a control packet.
    pub index: u8,
}

impl Header {
    /// The header that eight bytes say; a size that no packet can have is refused.
    pub fn decode_untrusted(bytes: [u8; HEADER]) -> Result<Header, Malformed> {
        let [s0, s1, s2, s3, c0, c1, domain, index] = bytes;
        let size = u32::from_le_bytes([s0, s1, s2, s3]);
        match usize::try_from(size) {
            Ok(HEADER..=PACKET_MAX) => {}
            _ => return Err(Malformed("packet size is outside 8..65536")),
        }
        Ok(Header { size, code: i16::from_le_bytes([c0, c1]), domain: domain & 15, index })
    }

    /// The eight bytes of this header.
    pub fn encode(&self) -> [u8; HEADER] {
        let [s0, s1, s2, s3] = self.size.to_le_bytes();
        let [c0, c1] = self.code.to_le_bytes();
        [s0, s1, s2, s3, c0, c1, self.domain, self.index]
    }

    /// Bytes of this packet in the stream, padding included.
    pub fn padded(&self) -> usize {
        padded(self.size as usize)
    }
}

/// `size` rounded up to the alignment of packets.
pub fn padded(size: usize) -> usize {
    size.next_multiple_of(ALIGNMENT)
}

/// A whole packet with its padding. `None` when the content is larger than a packet can be.
pub fn packet(code: i16, domain: u8, index: u8, content: &[u8]) -> Option<Vec<u8>> {
    let size = HEADER + content.len();
    if size > PACKET_MAX {
        return None;
    }
    let header = Header { size: u32::try_from(size).ok()?, code, domain, index };
    let mut bytes = Vec::with_capacity(padded(size));
    bytes.extend_from_slice(&header.encode());
    bytes.extend_from_slice(content);
    bytes.resize(padded(size), 0);
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_says_what_was_written() {
        for code in [i16::MIN, -2, -1, 0, 1, i16::MAX] {
            for (domain, index) in [(0, 0), (3, 255), (15, 7)] {
                let header = Header { size: 24, code, domain, index };
                assert_eq!(Header::decode_untrusted(header.encode()), Ok(header));
            }
        }
    }

    #[test]
    fn only_sizes_from_8_to_65536_are_packets() {
        for (size, good) in [(0, false), (7, false), (8, true), (65_536, true), (65_537, false), (u32::MAX, false)] {
            let bytes = Header { size, code: 0, domain: 0, index: 0 }.encode();
            assert_eq!(Header::decode_untrusted(bytes).is_ok(), good, "{size}");
        }
    }

    #[test]
    fn the_upper_half_of_the_domain_is_ignored() {
        let header = Header::decode_untrusted([8, 0, 0, 0, 0, 0, 0xf3, 0]);
        assert_eq!(header.map(|h| h.domain), Ok(DOMAIN_DATA));
    }

    #[test]
    fn packets_are_padded_with_zeroes_to_eight() {
        for length in 0..40usize {
            let bytes = packet(1, DOMAIN_INFO, 0, &vec![255; length]).expect("small");
            assert_eq!(bytes.len() % 8, 0);
            assert_eq!(bytes.len(), padded(8 + length));
            assert!(bytes[8 + length..].iter().all(|&byte| byte == 0));
        }
    }

    #[test]
    fn a_packet_has_at_most_65536_bytes() {
        assert_eq!(packet(0, 0, 0, &vec![0; PACKET_MAX - HEADER]).map(|p| p.len()), Some(PACKET_MAX));
        assert_eq!(packet(0, 0, 0, &vec![0; PACKET_MAX - HEADER + 1]), None);
    }
}
