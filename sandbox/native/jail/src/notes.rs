//! What the keeper tells its operator: lines on standard error, which may be a pipe that nobody reads.
//!
//! A keeper that waits there kills nobody and answers nobody, and much of what it tells was written by others: a
//! container that breaks, a child that is not locked yet. So a line that does not fit is dropped.

use std::os::fd::RawFd;

/// With the line's end. A pipe that can be written takes at least this much without waiting (PIPE_BUF).
const LINE_MAX: usize = 512;

/// One line. What is not printable is left out.
pub(crate) fn note(text: &str) {
    if cfg!(test) {
        return; // ten thousand lines of fuzzed containers bury what a test run says
    }
    note_to(libc::STDERR_FILENO, text);
}

fn note_to(descriptor: RawFd, text: &str) {
    let printable: String = text.chars().filter(|letter| !letter.is_control()).collect();
    let line = format!("gatebus-sandbox {}\n", &printable[..printable.floor_char_boundary(LINE_MAX - 32)]);
    let mut polled = libc::pollfd { fd: descriptor, events: libc::POLLOUT, revents: 0 };
    // SAFETY: one entry and no waiting; then a buffer that lives until the call returns. Raw: the library's own
    // standard error panics when nobody reads it any more.
    unsafe {
        if libc::poll(&mut polled, 1, 0) == 1 && polled.revents & libc::POLLOUT != 0 {
            libc::write(descriptor, line.as_ptr().cast(), line.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{PipeReader, Read, Write};
    use std::os::fd::AsRawFd;

    fn said(texts: &[&str]) -> String {
        let (mut reader, writer) = std::io::pipe().expect("a pipe");
        texts.iter().for_each(|text| note_to(writer.as_raw_fd(), text));
        drop(writer);
        let mut all = String::new();
        reader.read_to_string(&mut all).expect("a pipe");
        all
    }

    #[test]
    fn a_note_is_one_printable_line() {
        assert_eq!(said(&["keeper: a\n\x1b[2Jb"]), "gatebus-sandbox keeper: a[2Jb\n");
        let long = said(&["ä".repeat(1000).as_str(), "next"]);
        assert!(long.lines().count() == 2 && long.lines().all(|line| line.len() < LINE_MAX), "{long}");
    }

    #[test]
    fn a_reader_that_does_not_read_or_is_gone_stops_nobody() {
        let (reader, mut writer): (PipeReader, _) = std::io::pipe().expect("a pipe");
        for _ in 0..1000 {
            note_to(writer.as_raw_fd(), &"x".repeat(400));
        }
        drop(reader);
        note_to(writer.as_raw_fd(), "nobody is there");
        assert!(writer.write_all(b"x").is_err(), "the pipe was full or broken, and we are still here");
    }
}
