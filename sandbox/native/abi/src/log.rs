//! How much a program may log, and what a LOG packet looks like.

use gatebus_wire::control::log_packet;

/// Bytes of log in one packet: round, and well within a packet.
pub(crate) const PIECE: usize = 32_768;

/// The account of the log.
#[derive(Debug)]
pub(crate) struct Log {
    wanted: bool,
    limit: u64,
    used: u64,
    dropped: u64,
}

impl Log {
    /// `limit` bytes in all; if the log is not `wanted`, everything is thrown away and nothing is counted.
    pub(crate) fn new(wanted: bool, limit: u64) -> Log {
        Log { wanted, limit, used: 0, dropped: 0 }
    }

    /// What [`Log::saved`] said, under the limit of whoever goes on.
    pub(crate) fn resumed(self, (used, dropped): (u64, u64)) -> Log {
        Log { used, dropped, ..self }
    }

    /// Bytes that went out, and those that did not.
    pub(crate) fn saved(&self) -> (u64, u64) {
        (self.used, self.dropped)
    }

    /// Bytes that were wanted but over a limit.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Of so many bytes, how many may go out; they are charged, the rest is counted as dropped.
    pub(crate) fn admit(&mut self, bytes: usize) -> usize {
        if !self.wanted {
            return 0;
        }
        let left = self.limit.saturating_sub(self.used);
        let allowed = usize::try_from(left).unwrap_or(usize::MAX).min(bytes);
        self.used = self.used.saturating_add(allowed as u64);
        self.drop(bytes - allowed);
        allowed
    }

    /// Bytes that were admitted or not, but cannot go out.
    pub(crate) fn drop(&mut self, bytes: usize) {
        self.dropped = self.dropped.saturating_add(bytes as u64);
    }
}

/// The packet for a piece of at most [`PIECE`] bytes.
pub(crate) fn packet(stream: u8, piece: &[u8]) -> Vec<u8> {
    log_packet(stream, piece).unwrap_or_default()
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
