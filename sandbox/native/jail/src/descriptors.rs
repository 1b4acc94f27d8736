//! Descriptors: made, sent with a message, received, moved out of the way, closed.

use crate::sys::{Failure, check, syscall};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Most descriptors in one message; COMPILE has three, PREPARE at most four, START six.
pub const DESCRIPTORS_MAX: usize = 6;
/// Kernel structures of one control message with [`DESCRIPTORS_MAX`] descriptors, in 8-byte words (16 + 6 x 4 bytes).
const CONTROL_WORDS: usize = 8;
/// The same as the kernel's macros count it.
const NUMBERS_BYTES: u32 = 24;
const _: () = assert!(NUMBERS_BYTES as usize == DESCRIPTORS_MAX * size_of::<RawFd>());

/// A pair of connected SEQPACKET sockets.
pub fn seqpacket_pair() -> Result<(OwnedFd, OwnedFd), Failure> {
    let mut ends = [-1; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    // SAFETY: `ends` has room for the two descriptors.
    check("socketpair", unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) })?;
    // SAFETY: the call made both and nobody else has them.
    Ok(unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) })
}

/// Sends one datagram with descriptors. `flags`: 0 to wait, MSG_DONTWAIT not to.
pub fn send(socket: RawFd, datagram: &[u8], descriptors: &[RawFd], flags: i32) -> io::Result<()> {
    debug_assert!(descriptors.len() <= DESCRIPTORS_MAX);
    let mut control = [0u64; CONTROL_WORDS];
    let mut part = libc::iovec { iov_base: datagram.as_ptr().cast_mut().cast(), iov_len: datagram.len() };
    // SAFETY: an all-zero msghdr is a valid empty one.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &mut part;
    message.msg_iovlen = 1;
    if !descriptors.is_empty() {
        let bytes = u32::try_from(size_of_val(descriptors)).map_err(|_| io::ErrorKind::InvalidInput)?;
        message.msg_control = control.as_mut_ptr().cast();
        // SAFETY: `control` is aligned for and large enough for a header and DESCRIPTORS_MAX numbers; `message`
        // names it, so CMSG_FIRSTHDR gives its start.
        unsafe {
            message.msg_controllen = libc::CMSG_SPACE(bytes) as _;
            let header = libc::CMSG_FIRSTHDR(&message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(bytes) as _;
            std::ptr::copy_nonoverlapping(descriptors.as_ptr().cast::<u8>(), libc::CMSG_DATA(header), bytes as usize);
        }
    }
    // SAFETY: every pointer in `message` is to a local that lives until the call returns.
    let sent = unsafe { libc::sendmsg(socket, &message, flags | libc::MSG_NOSIGNAL) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// One received datagram.
#[derive(Debug)]
pub struct Received {
    /// Its length; 0 means that the peer is gone.
    pub length: usize,
    /// Its descriptors.
    pub descriptors: Vec<OwnedFd>,
    /// It was longer than the buffer or had more descriptors than we take (those are closed).
    pub cut: bool,
}

/// Receives one datagram. `flags`: 0 to wait, MSG_DONTWAIT not to.
pub fn receive(socket: RawFd, buffer: &mut [u8], flags: i32) -> io::Result<Received> {
    let mut control = [0u64; CONTROL_WORDS];
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: an all-zero msghdr is a valid empty one.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    // SAFETY: CMSG_SPACE only computes; the size is that of `control` as DESCRIPTORS_MAX numbers need it.
    message.msg_controllen = unsafe { libc::CMSG_SPACE(NUMBERS_BYTES) } as _;
    // SAFETY: every pointer in `message` is to a local or to `buffer`, which live until the call returns.
    let length = unsafe { libc::recvmsg(socket, &mut message, flags | libc::MSG_CMSG_CLOEXEC) };
    let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
    let cut = message.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0;
    Ok(Received { length, descriptors: taken(&message), cut })
}

fn taken(message: &libc::msghdr) -> Vec<OwnedFd> {
    let mut descriptors = Vec::new();
    // SAFETY: the kernel filled `message`; the CMSG macros stay within the length it reports, and each descriptor in
    // it was made for us by the kernel and has no other owner.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(message);
        while !header.is_null() {
            if (*header).cmsg_level == libc::SOL_SOCKET && (*header).cmsg_type == libc::SCM_RIGHTS {
                let count = ((*header).cmsg_len as usize - libc::CMSG_LEN(0) as usize) / size_of::<RawFd>();
                let numbers = libc::CMSG_DATA(header).cast::<RawFd>();
                descriptors.extend((0..count).map(|i| OwnedFd::from_raw_fd(numbers.add(i).read_unaligned())));
            }
            header = libc::CMSG_NXTHDR(message, header);
        }
    }
    descriptors
}

/// Gives `number` to a copy of `from`, whatever it was before.
pub(crate) fn place(from: RawFd, number: RawFd) -> Result<(), Failure> {
    if from == number {
        return Ok(());
    }
    // SAFETY: descriptors are numbers; whoever owned `number` before is the caller's business (only the jail's own
    // reserved range is overwritten).
    check("dup3", unsafe { syscall!(libc::SYS_dup3, from, number, 0) }).map(|_| ())
}

/// Moves a descriptor to a number from `lowest` up, out of the range that is handed out by number.
pub(crate) fn move_up(descriptor: OwnedFd, lowest: RawFd) -> Result<OwnedFd, Failure> {
    // SAFETY: fcntl makes a new descriptor that only the result owns.
    let moved = check("fcntl", unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_DUPFD_CLOEXEC, lowest) })?;
    let moved = RawFd::try_from(moved).map_err(|_| Failure::now("fcntl"))?;
    // SAFETY: as above.
    Ok(unsafe { OwnedFd::from_raw_fd(moved) })
}

/// Closes every descriptor from `first` to `last`.
pub(crate) fn close_range(first: u32, last: u32) -> Result<(), Failure> {
    // SAFETY: the callers close descriptors that nothing uses afterwards: before exec, or at the lock.
    check("close_range", unsafe { syscall!(libc::SYS_close_range, first, last, 0) }).map(|_| ())
}

/// A memfd with these bytes, sealed against every change.
pub fn sealed_memfd(bytes: &[u8]) -> Result<OwnedFd, Failure> {
    let memfd = memfd()?;
    io::Write::write_all(&mut std::fs::File::from(memfd.try_clone().map_err(|_| Failure::now("dup"))?), bytes)
        .map_err(|error| Failure { what: "write memfd", errno: error.raw_os_error().unwrap_or(0) })?;
    seal(&memfd, libc::F_SEAL_WRITE | libc::F_SEAL_GROW | libc::F_SEAL_SHRINK | libc::F_SEAL_SEAL)?;
    Ok(memfd)
}

/// A memfd of exactly this size, sealed against another size: guest memory.
pub fn memory_memfd(size: u64) -> Result<OwnedFd, Failure> {
    let memfd = memfd()?;
    let size = i64::try_from(size).map_err(|_| Failure { what: "memory size", errno: libc::EFBIG })?;
    // SAFETY: a call on a descriptor that we own.
    check("ftruncate", unsafe { libc::ftruncate(memfd.as_raw_fd(), size) })?;
    seal(&memfd, libc::F_SEAL_GROW | libc::F_SEAL_SHRINK)?;
    Ok(memfd)
}

/// An empty memfd that can be sealed.
pub fn memfd() -> Result<OwnedFd, Failure> {
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    // SAFETY: the name is a C string; kernels before 6.3 refuse MFD_NOEXEC_SEAL, so it is tried first.
    let made = unsafe {
        match libc::memfd_create(c"gatebus".as_ptr(), flags | libc::MFD_NOEXEC_SEAL) {
            -1 => libc::memfd_create(c"gatebus".as_ptr(), flags),
            made => made,
        }
    };
    check("memfd_create", made)?;
    // SAFETY: the call made it and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(made) })
}

fn seal(memfd: &OwnedFd, seals: i32) -> Result<(), Failure> {
    // SAFETY: a call on a descriptor that we own.
    check("seal", unsafe { libc::fcntl(memfd.as_raw_fd(), libc::F_ADD_SEALS, seals) }).map(|_| ())
}

/// Raises the soft limit of open descriptors to the hard one and returns it.
pub(crate) fn raise_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is valid for both calls.
    unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
    }
    limit.rlim_cur
}
