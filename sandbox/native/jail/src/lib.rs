//! The kernel mechanisms that hold a program: one file each, and the processes that are made of them.

pub mod child;
pub mod workload;

pub use child::{CompileLock, ProgramLock};
pub use workload::{CompileDescriptors, ProgramDescriptors, StackClass, Workload};

/// The keeper: arguments after the word `keeper`.
pub fn keeper_main<W: Workload>(_arguments: &[String]) -> ! {
    std::process::exit(1)
}

/// The spawner: arguments after the word `spawner`.
pub fn spawner_main<W: Workload>(_arguments: &[String]) -> ! {
    std::process::exit(1)
}

/// Prints the layers as JSON.
pub fn probe_main() -> ! {
    std::process::exit(1)
}
