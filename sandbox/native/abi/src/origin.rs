//! Standard input and output of a WASI program: stream 0 of service 0, open from the start, with credit both ways.
//!
//! ```text
//! guest writes -> data packets, as far as the host has given credit -> host
//! guest reads  <- bytes that came in data packets <- host, as far as we have given credit (from the first read on)
//! ```
//!
//! Every wait here takes in packets, so credit, input and the end of either direction are noticed wherever the guest
//! blocks. Input that the guest has not read yet is bounded by the credit that was given.

use std::collections::VecDeque;

use gatebus_wire::Malformed;
use gatebus_wire::fields::{Reader, Writer};
use gatebus_wire::packets::{DOMAIN_DATA, DOMAIN_FLOW, HEADER, Header, PACKET_MAX};

use crate::errno::{Errno, Fail, Outcome};
use crate::link::{Link, is_suspend_untrusted, malformed, orphaned};
use crate::memory::Cursor;
use crate::{Channel, Exit, Io};

/// Header of a data packet with stream and note.
const DATA_HEADER: usize = HEADER + 8;
/// Most bytes of a stream in one packet.
pub(crate) const DATA_MAX: usize = PACKET_MAX - DATA_HEADER;
/// Credit for input: one full packet may wait in here while another is on its way; a multiple of what a packet holds, so
/// that no crumbs are left.
const INPUT_CREDIT: usize = 2 * DATA_MAX;
/// With less credit than this, and more to write, a write waits a moment for more: crumbs of credit would make crumbs of packets.
const CRUMB: u64 = 4096;
/// A moment: a few times what the host needs to answer when nobody else uses the processor.
const MOMENT_NS: u64 = 200_000;
/// The service and the stream.
const ORIGIN: i16 = 0;
const STREAM: i32 = 0;

/// The two directions and the link below them.
#[derive(Debug)]
pub(crate) struct Origin {
    link: Link,
    /// Bytes that the host takes now.
    credit: u64,
    output: Direction,
    input: Direction,
    unread: VecDeque<u8>,
    /// Bytes that the host may still send.
    granted: usize,
    /// Reused for every packet that goes out.
    packet: Vec<u8>,
    /// The host has asked for the program's state, and says nothing more.
    asked_to_stop: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Direction {
    Open = 0,
    /// The other side has ended it.
    Ended,
    /// The guest has closed it.
    Closed,
}

/// What a read or write does when it cannot go on at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    Wait,
    Again,
}

impl Origin {
    pub(crate) fn new(link: Link, credit: u32) -> Origin {
        Origin {
            link,
            credit: u64::from(credit),
            output: Direction::Open,
            input: Direction::Open,
            unread: VecDeque::new(),
            granted: 0,
            packet: Vec::new(),
            asked_to_stop: false,
        }
    }

    /// `u64 credit, u8 output, u8 input, u16 0, u32 granted, u32 length, unread input`. Everything that the host said
    /// before its word to stop has been taken in, so that the link is empty.
    pub(crate) fn save(&self, into: Writer) -> Writer {
        let head = into.u64(self.credit).u8(self.output as u8).u8(self.input as u8).u16(0);
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let (first, second) = self.unread.as_slices();
        head.u32(number(self.granted)).u32(number(self.unread.len())).bytes(first).bytes(second)
    }

    /// What [`Origin::save`] wrote.
    pub(crate) fn restore_untrusted(link: Link, fields: &mut Reader<'_>) -> Result<Origin, Malformed> {
        let credit = fields.u64()?;
        let (output, input) = (direction_untrusted(fields.u8()?)?, direction_untrusted(fields.u8()?)?);
        if fields.u16()? != 0 {
            return Err(Malformed("reserved field is not zero"));
        }
        let (granted, len) = (fields.u32()? as usize, fields.u32()? as usize);
        let unread = fields.bytes(len)?;
        let possible = input != Direction::Closed || unread.is_empty();
        if granted.saturating_add(len) > INPUT_CREDIT || !possible {
            return Err(Malformed("more input than was asked for"));
        }
        let unread = VecDeque::from(unread.to_vec());
        Ok(Origin { credit, output, input, unread, granted, ..Origin::new(link, 0) })
    }

    /// Whoever would wait now must not.
    pub(crate) fn is_asked_to_stop(&self) -> bool {
        self.asked_to_stop
    }

    /// Takes in everything that the host says before its word to stop. Blocks.
    pub(crate) fn drain_until_suspend(&mut self, channel: &mut dyn Channel) -> Result<(), Exit> {
        self.pump(channel)?;
        while !self.asked_to_stop {
            channel.wait(true, false, None);
            self.pump(channel)?;
        }
        Ok(())
    }

    /// Bytes of input that can be read now.
    pub(crate) fn available(&self) -> usize {
        self.unread.len()
    }

    /// All input has been read and no more comes.
    pub(crate) fn input_ended(&self) -> bool {
        self.unread.is_empty() && self.input != Direction::Open
    }

    /// Bytes of output that can be written now.
    pub(crate) fn writable(&self) -> u64 {
        self.credit
    }

    /// Nobody reads the output any more.
    pub(crate) fn output_ended(&self) -> bool {
        self.output != Direction::Open
    }

    /// Takes in what has come, without blocking.
    pub(crate) fn pump(&mut self, channel: &mut dyn Channel) -> Result<(), Exit> {
        self.look_untrusted()?;
        if self.link.fill(channel)? {
            self.look_untrusted()?;
        }
        Ok(())
    }

    /// Takes in what was read already: no wait would tell of it.
    pub(crate) fn look_untrusted(&mut self) -> Result<(), Exit> {
        while let Some((header, content)) = self.link.packet_untrusted()? {
            if self.asked_to_stop {
                return Err(malformed());
            }
            let stop = is_suspend_untrusted(header)?;
            self.asked_to_stop = stop;
            match header.domain {
                _ if stop => {}
                _ if header.code != ORIGIN => return Err(malformed()),
                DOMAIN_FLOW => flow_untrusted(content, &mut self.credit, &mut self.output)?,
                DOMAIN_DATA => {
                    let bytes = data_untrusted(content)?;
                    self.granted = self.granted.checked_sub(bytes.len()).ok_or_else(malformed)?;
                    take_input(bytes, &mut self.input, &mut self.unread)?;
                }
                _ => return Err(malformed()),
            }
            self.link.consume(header.padded());
        }
        Ok(())
    }

    /// Sends whole packets; blocks until the last byte is gone, taking in packets meanwhile.
    pub(crate) fn send(&mut self, channel: &mut dyn Channel, packets: &[u8]) -> Result<(), Exit> {
        let mut rest = packets;
        while !rest.is_empty() {
            match channel.write(rest) {
                Io::Done(count) => rest = rest.get(count..).unwrap_or_default(),
                Io::WouldBlock => {
                    if channel.wait(true, true, None).readable {
                        self.pump(channel)?;
                    }
                }
                Io::Closed => return Err(orphaned()),
            }
        }
        Ok(())
    }

    /// Lets the host send, as soon as half of what it may send is used up: one packet of credit per full packet of input.
    pub(crate) fn want_input(&mut self, channel: &mut dyn Channel) -> Result<(), Exit> {
        let room = INPUT_CREDIT.saturating_sub(self.granted.saturating_add(self.unread.len()));
        if self.input == Direction::Open && room >= INPUT_CREDIT / 2 {
            self.granted += room;
            self.flow(channel, i32::try_from(room).unwrap_or(i32::MAX))?;
        }
        Ok(())
    }

    fn flow(&mut self, channel: &mut dyn Channel, value: i32) -> Result<(), Exit> {
        let mut packet = [0; HEADER + 8];
        let header = Header { size: 16, code: ORIGIN, domain: DOMAIN_FLOW, index: 0 };
        let (head, content) = packet.split_at_mut(HEADER);
        head.copy_from_slice(&header.encode());
        let (stream, amount) = content.split_at_mut(4);
        stream.copy_from_slice(&STREAM.to_le_bytes());
        amount.copy_from_slice(&value.to_le_bytes());
        self.send(channel, &packet)
    }

    /// Blocks until there is input or its end. False: nothing yet and no patience.
    pub(crate) fn wait_input(&mut self, channel: &mut dyn Channel, patience: Patience) -> Outcome<bool> {
        self.want_input(channel)?;
        while self.unread.is_empty() && self.input == Direction::Open {
            self.pump(channel)?;
            if !self.unread.is_empty() || self.input != Direction::Open {
                break;
            }
            if patience == Patience::Again {
                return Ok(false);
            }
            if self.asked_to_stop {
                return Err(Fail::Suspend);
            }
            channel.wait(true, false, None);
        }
        Ok(true)
    }

    /// Moves input into a piece of the guest's memory; answers how much.
    pub(crate) fn read(&mut self, into: &mut [u8]) -> usize {
        let mut count = 0;
        // At most two rounds: the queue is a ring.
        while let (Some(room), (piece, _)) = (into.get_mut(count..), self.unread.as_slices()) {
            let moved = room.len().min(piece.len());
            if moved == 0 {
                break;
            }
            room.split_at_mut(moved).0.copy_from_slice(piece.split_at(moved).0);
            self.unread.drain(..moved);
            count += moved;
        }
        count
    }

    /// Writes the guest's buffers: one packet, or more if they are larger than a packet or than the credit.
    /// Answers how much was written, which is less than `total` only without patience, at the end of the stream, or when the
    /// program is to stop.
    pub(crate) fn write(
        &mut self,
        channel: &mut dyn Channel,
        (memory, mut from, total): (&[u8], Cursor, usize),
        patience: Patience,
    ) -> Outcome<usize> {
        let mut written = 0;
        while written < total {
            let wanted = (total - written).min(DATA_MAX);
            self.wait_credit(channel, wanted, patience)?;
            let credit = usize::try_from(self.credit).unwrap_or(usize::MAX);
            if self.output != Direction::Open || credit == 0 {
                break;
            }
            let count = self.write_packet(channel, memory, &mut from, wanted.min(credit))?;
            if count == 0 {
                break;
            }
            written += count;
        }
        match (written, self.output, patience) {
            (0, Direction::Ended | Direction::Closed, _) if total > 0 => Err(Errno::PIPE.into()),
            (0, Direction::Open, Patience::Again) if total > 0 => Err(Errno::AGAIN.into()),
            (0, Direction::Open, Patience::Wait) if total > 0 && self.asked_to_stop => Err(Fail::Suspend),
            _ => Ok(written),
        }
    }

    /// With less credit than wanted: looks whether more has come, waits a moment if there is little and for as long as it
    /// takes if there is none, but not when the program is to stop.
    fn wait_credit(&mut self, channel: &mut dyn Channel, wanted: usize, patience: Patience) -> Result<(), Exit> {
        if self.credit < wanted as u64 {
            self.pump(channel)?;
        }
        let crumb = 0 < self.credit && self.credit < CRUMB.min(wanted as u64);
        if crumb && patience == Patience::Wait && channel.wait(true, false, Some(MOMENT_NS)).readable {
            self.pump(channel)?;
        }
        let waits = patience == Patience::Wait;
        while self.credit == 0 && self.output == Direction::Open && waits && !self.asked_to_stop {
            channel.wait(true, false, None);
            self.pump(channel)?;
        }
        Ok(())
    }

    fn write_packet(
        &mut self,
        channel: &mut dyn Channel,
        memory: &[u8],
        from: &mut Cursor,
        count: usize,
    ) -> Outcome<usize> {
        let mut packet = std::mem::take(&mut self.packet);
        packet.clear();
        packet.resize(DATA_HEADER, 0);
        let count = from.gather(memory, count, &mut packet).map_err(|_| Errno::FAULT)?;
        finish_data(&mut packet);
        self.credit = self.credit.saturating_sub(count as u64);
        let sent = if count > 0 { self.send(channel, &packet) } else { Ok(()) };
        self.packet = packet;
        sent?;
        Ok(count)
    }

    /// The guest has closed its input: the host hears that nothing more is wanted.
    pub(crate) fn close_input(&mut self, channel: &mut dyn Channel) -> Result<(), Exit> {
        let before = std::mem::replace(&mut self.input, Direction::Closed);
        self.unread = VecDeque::new();
        if before == Direction::Open { self.flow(channel, 0) } else { Ok(()) }
    }

    /// The guest has closed its output: the host hears the end of the stream.
    pub(crate) fn close_output(&mut self, channel: &mut dyn Channel) -> Result<(), Exit> {
        self.output = Direction::Closed;
        let mut packet = vec![0; DATA_HEADER];
        finish_data(&mut packet);
        self.send(channel, &packet)
    }
}

fn direction_untrusted(number: u8) -> Result<Direction, Malformed> {
    match number {
        0 => Ok(Direction::Open),
        1 => Ok(Direction::Ended),
        2 => Ok(Direction::Closed),
        _ => Err(Malformed("a direction of a stream that is neither open nor closed")),
    }
}

/// Fills in the header of a data packet and pads it.
fn finish_data(packet: &mut Vec<u8>) {
    let size = u32::try_from(packet.len()).unwrap_or(u32::MAX);
    let header = Header { size, code: ORIGIN, domain: DOMAIN_DATA, index: 0 };
    if let Some(head) = packet.first_chunk_mut::<HEADER>() {
        *head = header.encode();
    }
    packet.resize(header.padded(), 0);
}

/// Entries `i32 stream, i32 value`: credit, or 0 for the end of reading. Notes (negative) are nothing to us.
fn flow_untrusted(content: &[u8], credit: &mut u64, output: &mut Direction) -> Result<(), Exit> {
    let (entries, _) = content.as_chunks::<8>();
    for entry in entries {
        let [s0, s1, s2, s3, v0, v1, v2, v3] = *entry;
        if i32::from_le_bytes([s0, s1, s2, s3]) != STREAM {
            return Err(malformed());
        }
        match i32::from_le_bytes([v0, v1, v2, v3]) {
            0 if *output == Direction::Open => *output = Direction::Ended,
            value => *credit = credit.saturating_add(u64::try_from(value).unwrap_or(0)),
        }
    }
    Ok(())
}

/// `i32 stream, i32 note, bytes`.
fn data_untrusted(content: &[u8]) -> Result<&[u8], Exit> {
    let (head, bytes) = content.split_first_chunk::<8>().ok_or_else(malformed)?;
    let [s0, s1, s2, s3, ..] = *head;
    if i32::from_le_bytes([s0, s1, s2, s3]) != STREAM {
        return Err(malformed());
    }
    Ok(bytes)
}

fn take_input(bytes: &[u8], input: &mut Direction, unread: &mut VecDeque<u8>) -> Result<(), Exit> {
    match (*input, bytes.is_empty()) {
        (Direction::Open, true) => *input = Direction::Ended,
        (Direction::Open, false) => unread.extend(bytes),
        (Direction::Ended, _) => return Err(malformed()),
        // Was on its way when the guest closed.
        (Direction::Closed, _) => {}
    }
    Ok(())
}

#[cfg(test)]
#[path = "origin_tests.rs"]
mod tests;
