//! The layers of protection, as bits of READY and as words of the command line.

use std::fmt;

/// A set of layers.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Layers(pub u32);

/// One layer's name and what it does.
#[derive(Debug, Clone, Copy)]
pub struct Layer {
    /// The set that has only this layer.
    pub bit: Layers,
    /// The word of `--require` and `--without`.
    pub name: &'static str,
    /// What it keeps away.
    pub purpose: &'static str,
}

macro_rules! layers {
    ($($constant:ident = $bit:literal, $name:literal, $purpose:literal;)*) => {
        impl Layers { $(#[doc = $purpose] pub const $constant: Layers = Layers(1 << $bit);)* }
        /// Every layer, in the order of their bits.
        pub const TABLE: &[Layer] = &[$(Layer { bit: Layers(1 << $bit), name: $name, purpose: $purpose }),*];
    };
}

layers! {
    USER = 0, "user", "user namespace: the ids inside own nothing outside";
    PID = 1, "pid", "pid namespace: no process outside can be named";
    MOUNT = 2, "mount", "mount namespace with an empty read-only root: no file can be named";
    NETWORK = 3, "network", "network namespace without a device: nobody can be reached";
    IPC = 4, "ipc", "System V and message queue namespace of its own";
    UTS = 5, "uts", "empty host name";
    CGROUP_NAMESPACE = 6, "cgroup-namespace", "the names of control groups are hidden";
    CAPABILITIES = 7, "capabilities", "no capabilities, and none to be gained (no_new_privs)";
    SECCOMP = 8, "seccomp", "system calls outside a list of six end the process";
    LANDLOCK = 9, "landlock", "no file, port, signal or abstract socket outside the process's own domain";
    RLIMITS = 10, "rlimits", "no fork, no files, bounded memory, stack and CPU time";
    CGROUP_MEMORY = 11, "cgroup-memory", "memory of everything together is bounded by the kernel";
    CGROUP_PIDS = 12, "cgroup-pids", "one process";
    CGROUP_CPU = 13, "cgroup-cpu", "programs share the CPU as one group beside the host";
    DUMPABLE = 14, "dumpable", "siblings cannot trace or read the process";
    NO_NESTED = 15, "nested", "no further namespaces can be made";
    TSC = 16, "tsc", "the precise clock of the processor is closed";
}

impl Layers {
    /// No layer.
    pub const NONE: Layers = Layers(0);
    /// All layers.
    pub const ALL: Layers = Layers((1 << 17) - 1);
    /// What must be there unless the caller says otherwise; the rest is a warning.
    pub const REQUIRED: Layers = Layers(
        Self::USER.0
            | Self::PID.0
            | Self::MOUNT.0
            | Self::NETWORK.0
            | Self::CAPABILITIES.0
            | Self::SECCOMP.0
            | Self::RLIMITS.0,
    );
    /// The three that are control groups.
    pub const CGROUPS: Layers = Layers(Self::CGROUP_MEMORY.0 | Self::CGROUP_PIDS.0 | Self::CGROUP_CPU.0);

    /// Whether every layer of `other` is in this set.
    pub const fn has(self, other: Layers) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets together.
    pub const fn with(self, other: Layers) -> Layers {
        Layers(self.0 | other.0)
    }

    /// This set without the other.
    pub const fn without(self, other: Layers) -> Layers {
        Layers(self.0 & !other.0)
    }

    /// What both sets have.
    pub const fn and(self, other: Layers) -> Layers {
        Layers(self.0 & other.0)
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// A comma-separated list of names; the first unknown name is the error.
    pub fn parse(text: &str) -> Result<Layers, String> {
        let names = text.split(',').filter(|name| !name.is_empty());
        names
            .map(|name| by_name(name).ok_or_else(|| name.to_owned()))
            .try_fold(Layers::NONE, |set, one| Ok(set.with(one?)))
    }
}

/// The layer of this name. `cgroup` means the three of them.
pub fn by_name(name: &str) -> Option<Layers> {
    if name == "cgroup" {
        return Some(Layers::CGROUPS);
    }
    TABLE.iter().find(|layer| layer.name == name).map(|layer| layer.bit)
}

impl fmt::Display for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = TABLE.iter().filter(|layer| self.has(layer.bit)).map(|layer| layer.name).collect();
        f.write_str(&names.join(","))
    }
}

impl fmt::Debug for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Layers({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_all_bits_in_order() {
        for (position, layer) in TABLE.iter().enumerate() {
            assert_eq!(layer.bit.0, 1 << position);
        }
        assert_eq!(TABLE.iter().fold(Layers::NONE, |set, layer| set.with(layer.bit)), Layers::ALL);
    }

    #[test]
    fn names_are_read_back() {
        for set in [Layers::NONE, Layers::ALL, Layers::SECCOMP, Layers::REQUIRED, Layers::CGROUPS] {
            assert_eq!(Layers::parse(&set.to_string()), Ok(set));
        }
        assert_eq!(Layers::parse("cgroup"), Ok(Layers::CGROUPS));
        assert_eq!(Layers::parse("seccomp,landlok,tsc"), Err("landlok".to_owned()));
    }

    #[test]
    fn sets_are_sets() {
        let set = Layers::USER.with(Layers::PID);
        assert!(set.has(Layers::USER) && !set.has(Layers::MOUNT) && set.has(Layers::NONE));
        assert_eq!(set.without(Layers::PID), Layers::USER);
        assert_eq!(set.and(Layers::PID.with(Layers::TSC)), Layers::PID);
        assert!(Layers::NONE.is_empty() && !set.is_empty());
    }
}
