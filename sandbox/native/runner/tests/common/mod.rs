//! Programs with a known end: the same table runs without a jail (`programs.rs`) and through a keeper (`chain.rs`).
#![allow(dead_code, reason = "each test file uses another part")]
#![allow(missing_docs)]

pub(crate) mod cases;

use gatebus_sandbox::client::Packet;
use gatebus_wire::packets::DOMAIN_DATA;

/// What a WASI program wrote to standard output.
pub(crate) fn output(packets: &[Packet]) -> Vec<u8> {
    let data = packets.iter().filter(|(header, _)| header.code == 0 && header.domain == DOMAIN_DATA);
    data.flat_map(|(_, content)| content[8..].to_vec()).collect()
}
