//! Keeper and spawner, and keeper and prepared child: internal to the executable.
//!
//! ```text
//! keeper -> spawner   PREPARE token, class              descriptors: the child's private socket, its cgroup.procs
//!                     SHIFT token                       descriptor: the cgroup.procs of the group it goes to
//! spawner -> keeper   READY layers, fingerprint         once
//!                     BORN token                        descriptor: the child's pidfd
//!                     UNBORN token, errno
//!                     GONE token, status, usage         after wait4
//!                     LACKING layer, errno              before READY: an optional layer cannot be had
//!                     BROKEN text                       a step of the container failed; the spawner ends
//! child -> keeper     PREPARED                          on its private socket; then the hang-up when it is locked
//! keeper -> child     START or COMPILE, as the host sent it, with its descriptors
//! ```
//! The spawner trusts the keeper. The keeper reads what spawner and children write as untrusted.

use crate::Malformed;
use crate::fields::{Reader, Writer};
use crate::layers::Layers;

/// No datagram is longer.
pub const DATAGRAM_MAX: usize = 512;
/// What a prepared child writes.
pub const PREPARED: &[u8] = b"prepared";
const TEXT_MAX: usize = 400;

/// What a child is prepared for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum Class {
    /// A program with 256 KiB of stack.
    Small = 0,
    /// A program with 8 MiB of stack.
    Large = 1,
    /// A compile worker.
    Compile = 2,
    /// As `Small`, of an account that has had more than its part of the processors.
    LowSmall = 4,
    /// As `Large`, of such an account.
    LowLarge = 5,
}

impl Class {
    /// The class of a program with this stack, as START names it.
    pub fn of_stack(number: u32, low: bool) -> Option<Class> {
        match (number, low) {
            (0, false) => Some(Class::Small),
            (1, false) => Some(Class::Large),
            (0, true) => Some(Class::LowSmall),
            (1, true) => Some(Class::LowLarge),
            _ => None,
        }
    }
}

/// PREPARE: fork a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prepare {
    /// The keeper's name for the child.
    pub token: u32,
    /// What it shall become.
    pub class: Class,
}

impl Prepare {
    /// The datagram.
    pub fn encode(&self) -> Vec<u8> {
        Writer::default().u32(self.token).u32(self.class as u32).done()
    }

    /// What the keeper asks.
    pub fn decode(datagram: &[u8]) -> Result<Prepare, Malformed> {
        let mut fields = Reader::new(datagram);
        let (token, number) = (fields.u32()?, fields.u32()?);
        fields.end()?;
        let all = [Class::Small, Class::Large, Class::Compile, Class::LowSmall, Class::LowLarge];
        let class = all.into_iter().find(|class| *class as u32 == number);
        Ok(Prepare { token, class: class.ok_or(Malformed("unknown class"))? })
    }
}

/// SHIFT stands where PREPARE has its class.
const SHIFT: u32 = 3;

/// What the keeper asks of a spawner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Fork a child.
    Prepare(Prepare),
    /// Write this child's id into the descriptor that comes along. The spawner is the one that waits for it: as long as
    /// it has not, no other process can have the id.
    Shift {
        /// The child's name.
        token: u32,
    },
}

impl Order {
    /// The datagram.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Order::Prepare(prepare) => prepare.encode(),
            Order::Shift { token } => Writer::default().u32(*token).u32(SHIFT).done(),
        }
    }

    /// What the keeper asks.
    pub fn decode(datagram: &[u8]) -> Result<Order, Malformed> {
        let mut fields = Reader::new(datagram);
        let (token, number) = (fields.u32()?, fields.u32()?);
        if number == SHIFT {
            return fields.end().map(|()| Order::Shift { token });
        }
        Prepare::decode(datagram).map(Order::Prepare)
    }
}

/// CPU time and memory of a child that is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Microseconds in the program.
    pub user_us: u64,
    /// Microseconds in the kernel.
    pub system_us: u64,
    /// Bytes.
    pub max_rss: u64,
}

/// What the spawner says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// The container stands and the engine is made.
    Ready {
        /// Layers that are on.
        on: Layers,
        /// Layers that were wanted and could not be had.
        missing: Layers,
        /// The workload's.
        fingerprint: u64,
    },
    /// A child runs; its pidfd comes along.
    Born {
        /// Its name.
        token: u32,
    },
    /// No child could be made.
    Unborn {
        /// Its name.
        token: u32,
        /// Why.
        errno: i32,
    },
    /// A child has ended and was waited for.
    Gone {
        /// Its name.
        token: u32,
        /// As wait4 gives it.
        wait_status: i32,
        /// What it cost.
        usage: Usage,
    },
    /// An optional layer that cannot be had.
    Lacking {
        /// Which.
        layer: Layers,
        /// Why.
        errno: i32,
    },
    /// The container cannot be made.
    Broken {
        /// What failed, for the operator.
        text: String,
    },
}

const READY: u32 = 1;
const BORN: u32 = 2;
const UNBORN: u32 = 3;
const GONE: u32 = 4;
const BROKEN: u32 = 5;
const LACKING: u32 = 6;

impl News {
    /// The datagram.
    pub fn encode(&self) -> Vec<u8> {
        let head = |kind| Writer::default().u32(kind);
        match self {
            News::Ready { on, missing, fingerprint } => head(READY).u32(on.0).u32(missing.0).u64(*fingerprint).done(),
            News::Born { token } => head(BORN).u32(*token).done(),
            News::Unborn { token, errno } => head(UNBORN).u32(*token).i32(*errno).done(),
            News::Gone { token, wait_status, usage } => {
                let head = head(GONE).u32(*token).i32(*wait_status);
                head.u64(usage.user_us).u64(usage.system_us).u64(usage.max_rss).done()
            }
            News::Lacking { layer, errno } => head(LACKING).u32(layer.0).i32(*errno).done(),
            News::Broken { text } => head(BROKEN).bytes(&text.as_bytes()[..text.floor_char_boundary(TEXT_MAX)]).done(),
        }
    }

    /// What a datagram of the spawner says.
    pub fn decode_untrusted(datagram: &[u8]) -> Result<News, Malformed> {
        let mut fields = Reader::new(datagram);
        let news = match fields.u32()? {
            READY => {
                News::Ready { on: Layers(fields.u32()?), missing: Layers(fields.u32()?), fingerprint: fields.u64()? }
            }
            BORN => News::Born { token: fields.u32()? },
            UNBORN => News::Unborn { token: fields.u32()?, errno: fields.i32()? },
            GONE => News::Gone {
                token: fields.u32()?,
                wait_status: fields.i32()?,
                usage: Usage { user_us: fields.u64()?, system_us: fields.u64()?, max_rss: fields.u64()? },
            },
            LACKING => News::Lacking { layer: Layers(fields.u32()?), errno: fields.i32()? },
            BROKEN => return Ok(News::Broken { text: String::from_utf8_lossy(fields.rest()).into_owned() }),
            _ => return Err(Malformed("unknown kind of news")),
        };
        fields.end()?;
        Ok(news)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn news() -> Vec<News> {
        let usage = Usage { user_us: 1, system_us: 2, max_rss: 1 << 40 };
        vec![
            News::Ready { on: Layers::ALL, missing: Layers::TSC, fingerprint: u64::MAX },
            News::Born { token: 1 },
            News::Unborn { token: 2, errno: 11 },
            News::Gone { token: 3, wait_status: 31, usage },
            News::Lacking { layer: Layers::TSC, errno: 22 },
            News::Broken { text: "mount: EPERM".into() },
        ]
    }

    #[test]
    fn news_are_read_back() {
        for one in news() {
            assert_eq!(News::decode_untrusted(&one.encode()), Ok(one));
        }
    }

    #[test]
    fn news_of_another_length_are_refused() {
        for one in news().into_iter().filter(|one| !matches!(one, News::Broken { .. })) {
            let mut bytes = one.encode();
            for length in 0..bytes.len() {
                assert_eq!(News::decode_untrusted(&bytes[..length]), Err(Malformed("too short")));
            }
            bytes.push(0);
            assert_eq!(News::decode_untrusted(&bytes), Err(Malformed("too long")));
        }
        assert_eq!(News::decode_untrusted(&[9, 0, 0, 0]), Err(Malformed("unknown kind of news")));
    }

    #[test]
    fn a_long_text_still_fits_a_datagram() {
        let bytes = News::Broken { text: "ä".repeat(1000) }.encode();
        assert!(bytes.len() <= DATAGRAM_MAX);
        assert_eq!(News::decode_untrusted(&bytes), Ok(News::Broken { text: "ä".repeat(200) }));
    }

    #[test]
    fn prepare_is_read_back_and_its_class_checked() {
        for class in [Class::Small, Class::Large, Class::Compile, Class::LowSmall, Class::LowLarge] {
            let prepare = Prepare { token: 9, class };
            assert_eq!(Prepare::decode(&prepare.encode()), Ok(prepare));
        }
        assert_eq!(Prepare::decode(&[0, 0, 0, 0, 3, 0, 0, 0]), Err(Malformed("unknown class")));
    }

    #[test]
    fn orders_are_told_apart_and_read_back() {
        for order in [Order::Prepare(Prepare { token: 3, class: Class::Large }), Order::Shift { token: u32::MAX }] {
            let bytes = order.encode();
            assert_eq!(Order::decode(&bytes), Ok(order));
            assert_eq!(Order::decode(&bytes[..7]), Err(Malformed("too short")));
            assert_eq!(Order::decode(&[bytes, vec![0]].concat()), Err(Malformed("too long")));
        }
        assert_eq!(Order::decode(&[0, 0, 0, 0, 6, 0, 0, 0]), Err(Malformed("unknown class")));
    }

    #[test]
    fn only_two_stacks_have_a_class() {
        let classes = |low| [0, 1, 2, 3].map(|stack| Class::of_stack(stack, low));
        assert_eq!(classes(false), [Some(Class::Small), Some(Class::Large), None, None]);
        assert_eq!(classes(true), [Some(Class::LowSmall), Some(Class::LowLarge), None, None]);
    }
}
