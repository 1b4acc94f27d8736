//! Placeholder.
pub(crate) fn main() -> ! {
    std::process::exit(1)
}
