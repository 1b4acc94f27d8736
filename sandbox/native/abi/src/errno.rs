//! Numbers of WASI's errno, the answer of every function; and the three ways in which a function can stop early.

use gatebus_files::Problem;

use crate::{Answer, Exit, Stop};

/// An errno of WASI preview 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Errno(pub(crate) i32);

macro_rules! errnos {
    ($($name:ident = $number:literal;)*) => {
        impl Errno { $(pub(crate) const $name: Errno = Errno($number);)* }
    };
}

errnos! {
    AGAIN = 6;
    BADF = 8;
    BUSY = 10;
    EXIST = 20;
    FAULT = 21;
    FBIG = 22;
    ILSEQ = 25;
    INVAL = 28;
    ISDIR = 31;
    LOOP = 32;
    MFILE = 33;
    MLINK = 34;
    NAMETOOLONG = 37;
    NFILE = 41;
    NOENT = 44;
    NOSPC = 51;
    NOTDIR = 54;
    NOTEMPTY = 55;
    NOTSOCK = 57;
    NOTSUP = 58;
    OVERFLOW = 61;
    PERM = 63;
    PIPE = 64;
    SPIPE = 70;
    NOTCAPABLE = 76;
}

impl From<Problem> for Errno {
    fn from(problem: Problem) -> Errno {
        match problem {
            Problem::NotFound => Errno::NOENT,
            Problem::Exists => Errno::EXIST,
            Problem::NotDirectory => Errno::NOTDIR,
            Problem::IsDirectory => Errno::ISDIR,
            Problem::NotEmpty => Errno::NOTEMPTY,
            Problem::Loop => Errno::LOOP,
            Problem::NameTooLong => Errno::NAMETOOLONG,
            Problem::Invalid => Errno::INVAL,
            Problem::Busy => Errno::BUSY,
            Problem::NoSpace => Errno::NOSPC,
            Problem::TooBig => Errno::FBIG,
            Problem::TooManyOpen => Errno::NFILE,
            Problem::TooManyLinks => Errno::MLINK,
            Problem::NotPermitted => Errno::PERM,
            Problem::NotCapable => Errno::NOTCAPABLE,
            Problem::Stale => Errno::BADF,
        }
    }
}

/// Why a function does not go on: the guest gets an errno, it ends, or it is stopped and makes the call again later.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fail {
    Errno(Errno),
    Exit(Exit),
    Suspend,
}

impl From<Errno> for Fail {
    fn from(errno: Errno) -> Fail {
        Fail::Errno(errno)
    }
}

impl From<Problem> for Fail {
    fn from(problem: Problem) -> Fail {
        Fail::Errno(problem.into())
    }
}

impl From<Exit> for Fail {
    fn from(exit: Exit) -> Fail {
        Fail::Exit(exit)
    }
}

pub(crate) type Outcome<T> = Result<T, Fail>;

/// What the guest sees of an outcome.
pub(crate) fn answer(outcome: Outcome<()>) -> Answer<i32> {
    match outcome {
        Ok(()) => Ok(0),
        Err(Fail::Errno(errno)) => Ok(errno.0),
        Err(Fail::Exit(exit)) => Err(Stop::Exit(exit)),
        Err(Fail::Suspend) => Err(Stop::Suspend),
    }
}
