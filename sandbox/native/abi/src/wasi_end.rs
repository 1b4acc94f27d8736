//! WASI: what leaves after the guest: the tree, if it is wanted and the guest ended by itself, and the report.
//!
//! The end of the output stream is not said: the end of the process is the end of everything.

use gatebus_files::{Export, Exported, Kind};
use gatebus_wire::control::{CONTENT_MAX, Kind as Control, Node, NodeType, Report, encode};
use gatebus_wire::packets::PACKET_MAX;
use gatebus_wire::status;

use crate::wasi::Wasi;
use crate::{Channel, Exit};

impl Wasi {
    /// Takes in everything that the host says before its word to stop. Blocks.
    pub fn drain_until_suspend(&mut self, channel: &mut dyn Channel) -> Result<(), Exit> {
        self.origin.drain_until_suspend(channel)
    }

    /// Sends the tree and the report. `memory` is the size of all linear memories. Fails only if the host is gone.
    pub fn finish(&mut self, channel: &mut dyn Channel, end: &Exit, memory: u64) -> Result<(), Exit> {
        let by_itself = end.status <= u32::from(status::TERMINATED_NONZERO);
        let skipped = if by_itself && self.files_wanted { self.send_tree(channel)? } else { 0 };
        let mut text = end.text.to_string();
        if skipped > 0 {
            text = format!("{skipped} paths or links were too long or too deep and were not sent back");
        }
        let log_dropped = self.log.dropped();
        let report = Report { status: end.status, result: end.result, memory, log_dropped, text };
        self.origin.send(channel, &report.packet())
    }

    fn send_tree(&mut self, channel: &mut dyn Channel) -> Result<u64, Exit> {
        let mut export = Export::new(&self.files);
        let mut batch = Vec::new();
        while let Some(node) = export.next(&self.files) {
            self.queue(channel, &mut batch, &packet(&node))?;
            self.send_content(channel, &mut batch, &node)?;
        }
        self.origin.send(channel, &batch)?;
        Ok(export.skipped())
    }

    fn send_content(&mut self, channel: &mut dyn Channel, batch: &mut Vec<u8>, node: &Exported) -> Result<(), Exit> {
        let mut offset = 0;
        while node.kind == Kind::File && offset < node.size {
            let left = usize::try_from(node.size - offset).unwrap_or(usize::MAX);
            let mut piece = vec![0; left.min(CONTENT_MAX)];
            let count = self.files.read_at(node.id, offset, &mut piece).unwrap_or(0);
            if count == 0 {
                break;
            }
            piece.truncate(count);
            offset += count as u64;
            self.queue(channel, batch, &encode(Control::Content, &piece).unwrap_or_default())?;
        }
        Ok(())
    }

    /// Small packets leave together, one write for up to 64 KiB.
    fn queue(&mut self, channel: &mut dyn Channel, batch: &mut Vec<u8>, packet: &[u8]) -> Result<(), Exit> {
        if batch.len() + packet.len() > PACKET_MAX {
            self.origin.send(channel, batch)?;
            batch.clear();
        }
        batch.extend_from_slice(packet);
        Ok(())
    }
}

fn packet(node: &Exported) -> Vec<u8> {
    let kind = match node.kind {
        Kind::Directory => NodeType::Directory,
        Kind::File => NodeType::File,
        Kind::Link => NodeType::Link,
    };
    let target = node.target.as_ref().map_or(&b""[..], |target| target.as_bytes());
    let node = Node { kind, modified: node.modified, path: node.path.as_bytes(), target };
    // Path and target have at most 4,096 bytes each: they fit.
    node.encode().and_then(|content| encode(Control::Node, &content)).unwrap_or_default()
}

#[cfg(test)]
#[path = "wasi_end_tests.rs"]
mod tests;
