//! How much of everything a module may have, checked before the compiler sees a byte.
//!
//! Compiling is the cheapest attack: half a megabyte can cost ten seconds and 900 MB, because the compiler's work grows
//! faster than the module when one function is strange. These counts refuse the strange ones at the cost of reading;
//! the limits of the worker's process (memory, CPU time) are the back-stop for the rest. Each number lies above what
//! was found in real programs (SQLite, QuickJS, MicroPython, CPython, Go's and Rust's output) and is commented with it.

/// Bytes of a module. CPython with its library is 28 MB; Gate's limit is the same.
pub const MODULE: usize = 32 << 20;
/// Bytes of a module's text. Text is parsed into a tree of about 50 times its size; programs are shipped as binaries.
pub const TEXT: usize = 4 << 20;
/// Functions. clang as a module has about 70,000.
pub const FUNCTIONS: u32 = 100_000;
/// Bytes of one function. The largest interpreter loops (CPython, QuickJS, SQLite) are 60 to 300 KB.
pub const FUNCTION_BYTES: usize = 1 << 20;
/// Locals of one function, parameters included. Unoptimised C reaches a few thousand.
pub const LOCALS: u32 = 20_000;
/// Blocks inside blocks. A `switch` of C is one level per case; Go's functions one per resume point, some thousands.
pub const NESTING: u32 = 10_000;
/// Targets of one `br_table`. Switches over 65,536 values are the largest that compilers emit.
pub const BRANCH_TARGETS: u32 = 65_536;
/// All targets of all `br_table` of one function.
pub const FUNCTION_BRANCH_TARGETS: u32 = 200_000;
/// Locals x blocks of one function: what the compiler's conversion to single assignment costs. CPython's loop: 5 million.
pub const LOCALS_TIMES_BLOCKS: u64 = 20_000_000;
/// Function types. Large C++ programs have some hundreds.
pub const TYPES: u32 = 20_000;
/// Parameters or results of one type. LLVM's own limit for arguments is lower.
pub const TYPE_SIZE: usize = 1_000;
/// Imports. All functions that there are would be 150; a linker may import one several times.
pub const IMPORTS: u32 = 1_000;
/// Exports. Programs linked with everything exported have some tens of thousands at most.
pub const EXPORTS: u32 = 50_000;
/// Bytes of a name of an import or export.
pub const NAME: usize = 10_000;
/// Globals. Position-independent C has one per symbol.
pub const GLOBALS: u32 = 20_000;
/// Tables. Toolchains emit one or two.
pub const TABLES: u32 = 100;
/// Elements that a table has at the start; the same number as in browsers.
pub const TABLE_ELEMENTS: u64 = 10_000_000;
/// Memories: each has 4 GiB of addresses set aside.
pub const MEMORIES: u32 = 8;
const _: () = assert!(MEMORIES as usize == crate::memory::MEMORIES, "one slot for each memory");
/// Exception tags. C++ has one.
pub const TAGS: u32 = 1_000;
/// Data segments as they come. Go's hello has 53,000, large programs several times that.
pub const DATA_SEGMENTS: u32 = 500_000;
/// Data segments after those that lie close together are joined (merge.rs): the engine compiles code for each.
pub const DATA_SEGMENTS_APART: u32 = 10_000;
/// Element segments.
pub const ELEMENT_SEGMENTS: u32 = 10_000;
/// Items of all element segments together: a function may be listed several times.
pub const ELEMENT_ITEMS: u32 = 1_000_000;
/// Operators of one constant expression. Extended constants of linkers have three.
pub const CONSTANT_OPERATORS: u32 = 100;
/// Names of entry functions in the facts (PROTOCOL.md).
pub const ENTRIES: usize = 64;
/// Bytes of the state of a stopped program, all but memory 0, and those of a continuation's guide. A state is held three times while it is put into a process;
/// files and further memories are most of it, whose own limits are of that size. The host's bounds are the same (`sandbox/limits.py`).
pub const STATE: usize = 1 << 30;
/// See [`STATE`]: the host takes no more facts than this.
pub const GUIDE: usize = 4 << 20;
