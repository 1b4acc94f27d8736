//! Why an operation on files was not done. Each has the meaning of one POSIX errno.

use std::fmt;

/// The reasons, and the errno that says the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// ENOENT: no such name.
    NotFound,
    /// EEXIST: the name is taken.
    Exists,
    /// ENOTDIR: a directory is needed here.
    NotDirectory,
    /// EISDIR: a directory cannot be used so.
    IsDirectory,
    /// ENOTEMPTY: the directory has entries.
    NotEmpty,
    /// ELOOP: too many symbolic links, or a link where none is wanted.
    Loop,
    /// ENAMETOOLONG: a name over 255 or a path over 4,096 bytes.
    NameTooLong,
    /// EINVAL: it has no meaning, for example a directory moved into itself.
    Invalid,
    /// EBUSY: the root, `.` or `..` cannot be removed or moved.
    Busy,
    /// ENOSPC: the limit of bytes or of names.
    NoSpace,
    /// EFBIG: an offset that no file can have.
    TooBig,
    /// ENFILE: the limit of open nodes.
    TooManyOpen,
    /// EMLINK: too many names for one file.
    TooManyLinks,
    /// EPERM: not for this kind of node, for example a hard link to a directory.
    NotPermitted,
    /// ENOTCAPABLE: the path would leave the directory that it starts from.
    NotCapable,
    /// EBADF: not a node (any more).
    Stale,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for Problem {}
